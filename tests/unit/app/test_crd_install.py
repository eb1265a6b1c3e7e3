"""`vso crds --apply`: the whole spec is replaced, what is missing is made, and the API server serves it in the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.kube_transport import Reply, Request, connected, serving, status
from vso.api.crds import crd
from vso.app.cli import crds
from vso.app.crd_install import apply
from vso.core.keys import Kind
from vso.kube.errors import ForbiddenError

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ESTABLISHED = {"status": {"conditions": [{"type": "Established", "status": "True"}]}}
KIND = Kind.VAULT_AUTH
ONE = f"{PATH}/vaultauths.secrets.hashicorp.com"


def answers(**replies: Reply) -> Any:
    return lambda request: replies[request.method]


async def asked(*replies: Reply) -> list[Request]:
    clock = FakeClock()
    async with serving() as server, connected(server, clock=clock) as client:
        server.script.extend(replies)
        await apply(client, clock, [KIND])
        return server.requests


async def test_the_spec_of_an_older_version_is_replaced_whole() -> None:
    (request,) = await asked(Reply(200, ESTABLISHED))
    assert (request.method, request.path) == ("PATCH", ONE)
    assert request.headers["Content-Type"] == "application/json-patch+json"
    assert request.json == [{"op": "replace", "path": "/spec", "value": crd(KIND)["spec"]}]


async def test_a_missing_one_is_made_and_waited_for() -> None:
    replies = (status(404, "NotFound"), Reply(201, {}), Reply(200, ESTABLISHED))
    clock = FakeClock()
    async with serving() as server, connected(server, clock=clock) as client:
        server.script.extend(replies)
        await clocked(clock, apply(client, clock, [KIND]))
        made = server.requests
    assert [(r.method, r.path) for r in made] == [("PATCH", ONE), ("POST", PATH), ("GET", ONE)]
    assert made[1].json == crd(KIND)


async def clocked(clock: FakeClock, work: Any) -> None:
    """Await the work, moving the clock whenever somebody sleeps on it."""
    import asyncio  # noqa: PLC0415

    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.sleep(0)
        if clock.sleeping:
            await clock.advance(1)
    await task


async def test_a_missing_right_is_told() -> None:
    with pytest.raises(ForbiddenError):
        await asked(status(403, "Forbidden"))


def test_a_kind_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds.main(["--apply", "VaultAuht"]) == 2
    assert "VaultAuht" in capsys.readouterr().err


def test_without_a_cluster_it_says_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert crds.main(["--apply"], account=tmp_path) == 1
    assert "no cluster to speak to" in capsys.readouterr().err
