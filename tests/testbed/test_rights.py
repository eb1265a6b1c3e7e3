"""What the operator did is held against the rules of its install, where it was done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests import rights
from tests.conformance.install import INSTALLS, OPERATOR_USER
from tests.testbed.audits import ApiCall
from tests.testbed.bed import Bed, Mark

CRS = "secrets.hashicorp.com"


def call(verb: str, resource: str, namespace: str = "team", name: str = "", group: str = "", **more: Any) -> ApiCall:
    plain, _, sub = resource.partition("/")
    told = {"user": OPERATOR_USER, "code": 200, "uri": "/", "user_agent": "", "stage": "", **more}
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return ApiCall(
        verb=verb, resource=plain, subresource=sub, namespace=namespace, name=name, group=group, time=at, **told
    )


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


def test_a_right_is_used_by_what_was_granted() -> None:
    assert rights.used(bed(call("list", "secrets"), call("create", "pods", code=403))) == {("secrets", "list")}


def test_a_refusal_counts_where_the_namespace_stays() -> None:
    there = [("team", "Active"), ("going", "Terminating")]
    calls = [call("get", "secrets", where, code=403, forbidden=True) for where in ("going", "gone")]
    assert rights.refused(bed(*calls, namespaces=there), Mark()) == set()
    more = call("create", "serviceaccounts/token", code=403, forbidden=True)
    everywhere = call("watch", "vaultauths", "", code=403, forbidden=True)
    quota = call("create", "secrets", code=403)
    told = rights.refused(bed(*calls, more, everywhere, quota, namespaces=there), Mark())
    assert told == {"create serviceaccounts/token", "watch vaultauths"}
