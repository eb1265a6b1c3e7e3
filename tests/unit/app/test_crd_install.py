"""`vso crds --apply`: the whole spec is replaced, what is missing is made, and the API server serves it in the end."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.kube_transport import Reply, Request, connected, serving, status
from vso.api.crds import crd
from vso.app.cli import crds
from vso.app.crd_install import CrdInstall
from vso.core.keys import Kind
from vso.kube.errors import ForbiddenError

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SCHEMAS = "/openapi/v3/apis/secrets.hashicorp.com/v1beta1"
KIND = Kind.VAULT_AUTH
ONE = f"{PATH}/vaultauths.secrets.hashicorp.com"
ESTABLISHED = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}


def served(**changes: Any) -> Reply:
    """What the API server tells of the schema: ours, or ours with another spec."""
    schema = deepcopy(crd(KIND)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    schema["properties"]["spec"]["properties"] |= changes
    return Reply(200, {"components": {"schemas": {"com.hashicorp.secrets.v1beta1.VaultAuth": schema}}})


OLD = served(fieldOfThePast={"type": "string"})
PATCHED = (Reply(200, {}), Reply(200, ESTABLISHED))


async def asked(*replies: Reply, annotations: dict[str, str] | None = None) -> list[Request]:
    clock = FakeClock()
    async with serving() as server, connected(server, clock=clock) as client:
        server.script.extend(replies)
        await clocked(clock, CrdInstall(client, clock, annotations).apply([KIND]))
        return server.requests


async def clocked(clock: FakeClock, work: Any) -> None:
    """Await the work, moving the clock whenever somebody sleeps on it."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        if clock.sleeping:
            await clock.advance(1)
    await task


async def stuck(clock: FakeClock, work: Any) -> None:
    """Let the work go on until it sleeps on the clock, and end it there."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        if clock.sleeping:
            task.cancel()
    assert task.cancelled()


async def test_the_spec_of_an_older_version_is_replaced_whole() -> None:
    _, spec, _ = await asked(*PATCHED, served())
    assert (spec.method, spec.path) == ("PATCH", ONE)
    assert spec.headers["Content-Type"] == "application/json-patch+json"
    assert spec.json == [{"op": "replace", "path": "/spec", "value": crd(KIND)["spec"]}]


async def test_our_annotations_are_brought_along_and_no_others_are_named() -> None:
    metadata, *_ = await asked(*PATCHED, served(), annotations={"example.com/team": "a"})
    assert (metadata.method, metadata.path) == ("PATCH", ONE)
    assert metadata.headers["Content-Type"] == "application/merge-patch+json"
    ours = crd(KIND)["metadata"]["annotations"]
    assert "argocd.argoproj.io/sync-options" in ours
    assert metadata.json == {"metadata": {"annotations": {**ours, "example.com/team": "a"}}}


async def test_a_missing_one_is_made_and_waited_for() -> None:
    made = await asked(status(404, "NotFound"), Reply(201, {}), Reply(200, ESTABLISHED), served())
    assert [(r.method, r.path) for r in made] == [("PATCH", ONE), ("POST", PATH), ("GET", ONE), ("GET", SCHEMAS)]
    assert made[1].json == crd(KIND)


async def test_the_new_schema_is_waited_for() -> None:
    made = await asked(*PATCHED, status(404, "NotFound"), OLD, served())
    assert [r.path for r in made[2:]] == [SCHEMAS] * 3


async def test_where_the_schema_may_not_be_read_it_is_not_waited_for() -> None:
    made = await asked(*PATCHED, status(403, "Forbidden", f'forbidden: User "x" cannot get path "{SCHEMAS}"'))
    assert [r.path for r in made[2:]] == [SCHEMAS]


@pytest.mark.parametrize("code", [429, 503])
async def test_an_api_server_that_has_no_time_is_waited_for(code: int) -> None:
    busy = status(code, "TooManyRequests")
    made = await asked(Reply(200, {}), Reply(200, {}), busy, busy, Reply(200, ESTABLISHED), busy, served())
    assert [r.path for r in made[2:]] == [ONE] * 3 + [SCHEMAS] * 2


@pytest.mark.parametrize(
    ("replies", "awaited"),
    [
        (
            (Reply(200, {}), Reply(200, {"status": {"conditions": [
                {"type": "NamesAccepted", "status": "False", "reason": "ListKindConflict", "message": "taken"}]}})),
            "the CRD vaultauths.secrets.hashicorp.com to be established (ListKindConflict: taken)",
        ),
        ((*PATCHED, OLD), "the API server to serve the new schema of VaultAuth"),
        (
            (*PATCHED, status(503, "ServiceUnavailable")),
            f"the API server to serve the new schema of VaultAuth (get {SCHEMAS}: answer 503)",
        ),
    ],
)  # fmt: skip
async def test_what_is_waited_for_can_be_told(replies: tuple[Reply, ...], awaited: str) -> None:
    clock = FakeClock()
    async with serving() as server, connected(server, clock=clock) as client:
        server.script.extend(replies)
        install = CrdInstall(client, clock)
        await stuck(clock, install.apply([KIND]))
        assert install.awaited == awaited


async def test_a_missing_right_is_told() -> None:
    with pytest.raises(ForbiddenError):
        await asked(status(403, "Forbidden"))


def test_a_kind_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main(["--apply", "VaultAuht"]) == 2
    assert "VaultAuht" in capsys.readouterr().err


def test_an_annotation_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        crds.main(["--apply", "--annotation", "team"])
    assert "'team' is not KEY=VALUE" in capsys.readouterr().err


def test_without_a_cluster_it_says_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert crds.main(["--apply"], account=tmp_path) == 1
    assert "no cluster to speak to" in capsys.readouterr().err
