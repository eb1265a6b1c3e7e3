"""What the operator did is held against the rules of its install, where it was done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests import rights
from tests.conformance.install import INSTALLS, OPERATOR_NAMESPACE, OPERATOR_USER
from tests.testbed.audits import ApiCall
from tests.testbed.bed import Bed, Mark
from vso.app import rbac

CRS = "secrets.hashicorp.com"


def call(verb: str, resource: str, namespace: str = "team", name: str = "", group: str = "", **more: Any) -> ApiCall:
    plain, _, sub = resource.partition("/")
    told = {"user": OPERATOR_USER, "code": 200, "uri": "/", "user_agent": "", "stage": "", **more}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return ApiCall(
        verb=verb, resource=plain, subresource=sub, namespace=namespace, name=name, group=group, time=at, **told
    )


def lease(verb: str, name: str = rbac.LEASE) -> ApiCall:
    return call(verb, "leases", OPERATOR_NAMESPACE, name, group="coordination.k8s.io")


def scale(name: str, namespace: str = OPERATOR_NAMESPACE) -> ApiCall:
    return call("patch", "deployments/scale", namespace, name, group="apps")


def kept(verb: str, number: int) -> ApiCall:
    return call(verb, "secrets", OPERATOR_NAMESPACE, rbac.CLIENT_CACHE[number])


def bed(*calls: ApiCall, namespaces: Sequence[tuple[str, str]] = ()) -> Bed:
    found = [{"metadata": {"name": name}, "status": {"phase": phase}} for name, phase in namespaces]
    kube = SimpleNamespace(list=lambda _kind: found)
    return cast("Bed", SimpleNamespace(kube_audit=lambda _since: list(calls), kube=kube))


@pytest.mark.parametrize(
    ("install", "asked", "allowed"),
    [
        pytest.param("full", call("list", "secrets", ""), True, id="full-lists-secrets-everywhere"),
        pytest.param("write-only", call("list", "secrets", ""), False, id="write-only-lists-none"),
        pytest.param("namespaced-full", call("list", "secrets", ""), False, id="nothing-everywhere"),
        pytest.param("namespaced-full", call("list", "secrets"), True, id="in-a-namespace"),
        pytest.param("namespaced-write-only", call("delete", "secrets"), False, id="write-only-deletes-none"),
        pytest.param("full", call("update", "secrets"), False, id="a-verb-of-no-rule"),
        pytest.param("full", call("get", "secrets"), True, id="credentials-by-name"),
        pytest.param("full", call("list", "secrets", "vso-system"), True, id="its-own-namespace-is-one-of-all"),
        pytest.param("full", call("get", "leases", name="x", group="coordination.k8s.io"), False, id="foreign-lease"),
        pytest.param("full", lease("patch"), True, id="its-own-lease"),
        pytest.param("full", lease("create", name="x"), True, id="created-whatever-its-name"),
        pytest.param("full", scale("vault-secrets-operator"), True, id="its-own-deployment"),
        pytest.param("full", scale("vault-secrets-operator", "team"), False, id="one-of-its-name-elsewhere"),
        pytest.param("full", scale("other"), False, id="another-deployment"),
        pytest.param("full", scale(""), False, id="all-of-them"),
        pytest.param("full", call("patch", "vaultauths/status", group=CRS), True, id="a-status"),
        pytest.param("full", call("patch", "vaultauths/status", group="example.com"), False, id="of-another-group"),
        pytest.param("full", call("patch", "deployments", group="apps"), True, id="a-restart"),
        pytest.param("full", call("get", "deployments", group="apps"), False, id="a-look-at-a-workload"),
        pytest.param("full", call("create", "pods", code=403), True, id="what-was-refused-was-not-done"),
        pytest.param("full", call("create", "pods", user="admin"), True, id="by-somebody-else"),
    ],
)
def test_what_no_rule_gives_is_found(install: str, asked: ApiCall, allowed: bool) -> None:
    assert (rights.beyond(bed(asked), INSTALLS[install]) == set()) is allowed


@pytest.mark.parametrize(
    ("install", "asked", "uses"),
    [
        pytest.param("full", call("list", "secrets"), {("secrets", "list", "")}, id="of-no-name"),
        pytest.param("full", call("create", "secrets", name="app"), {("secrets", "create", "")}, id="of-any-name"),
        pytest.param("full", call("create", "pods"), set(), id="not-given"),
        pytest.param("full", call("list", "secrets", code=403), set(), id="refused"),
        pytest.param("full", lease("get"), {("leases", "get", rbac.LEASE)}, id="of-its-name"),
        pytest.param("full", lease("get", name="x"), set(), id="of-another-name"),
        pytest.param("full", kept("get", 1), {("secrets", "get", rbac.CLIENT_CACHE[1])}, id="one-of-four-names"),
        pytest.param(
            "full",
            kept("patch", 1),
            {("secrets", "patch", rbac.CLIENT_CACHE[1]), ("secrets", "patch", "")},
            id="of-its-name-and-of-any",
        ),
        pytest.param(
            "full",
            call("create", "serviceaccounts/token", name="web"),
            {("serviceaccounts/token", "create", "")},
            id="a-token-of-anybody",
        ),
        pytest.param(
            "namespaced-full",
            call("create", "serviceaccounts/token", name="app"),
            {("serviceaccounts/token", "create", "app")},
            id="a-token-of-one-who-is-named",
        ),
        pytest.param(
            "namespaced-full", call("create", "serviceaccounts/token", name="web"), set(), id="of-one-who-is-not"
        ),
    ],
)
def test_a_right_is_used_by_what_was_granted(install: str, asked: ApiCall, uses: set[rights.Right]) -> None:
    assert rights.used(bed(asked), INSTALLS[install]) == uses


def report(*calls: ApiCall, every_right: bool = True) -> list[str]:
    """What a run says at its end that saw these requests, one worker having seen them."""
    said: list[str] = []
    options = {"--every-right": every_right, "--install": "full"}
    output: dict[str, Any] = {}
    shared = {"getoption": options.get, "addinivalue_line": print}
    worker = cast("pytest.Config", SimpleNamespace(stash=pytest.Stash(), workeroutput=output, **shared))
    run = cast("pytest.Config", SimpleNamespace(stash=pytest.Stash(), **shared))
    for config in (worker, run):
        rights.pytest_configure(config)
    rights.note(worker, bed(*calls))
    rights.pytest_testnodedown(SimpleNamespace(workeroutput=json.loads(json.dumps(output)), config=run))
    rights.pytest_terminal_summary(SimpleNamespace(write_line=lambda line, **_: said.append(line)), run)
    return said


def test_a_name_that_nobody_asked_for_is_told() -> None:
    asked = [kept(verb, number) for verb in ("get", "patch") for number in range(3)]
    said = [line for line in report(*asked) if "vso-client-cache" in line]
    assert said == [
        "no scenario needs the right to get secrets named vso-client-cache-3",
        "no scenario needs the right to patch secrets named vso-client-cache-3",
    ]
    assert report(*asked, kept("get", 3), kept("patch", 3), every_right=False) == []


def test_a_name_that_no_rule_lists_is_told() -> None:
    assert report(lease("patch", name="theirs"), lease("patch"), every_right=False) == [
        "no rule of install full gives the right to patch leases named theirs"
    ]


def test_a_refusal_counts_where_the_namespace_stays() -> None:
    there = [("team", "Active"), ("going", "Terminating")]
    calls = [call("get", "secrets", where, code=403, forbidden=True) for where in ("going", "gone")]
    assert rights.refused(bed(*calls, namespaces=there), Mark()) == set()
    more = call("create", "serviceaccounts/token", code=403, forbidden=True)
    everywhere = call("watch", "vaultauths", "", code=403, forbidden=True)
    quota = call("create", "secrets", code=403)
    told = rights.refused(bed(*calls, more, everywhere, quota, namespaces=there), Mark())
    assert told == {"create serviceaccounts/token", "watch vaultauths"}
