from __future__ import annotations

from typing import Any

import pytest

from vso.sandbox.rbac import MASTERS, Access, Authorizer, User, allows, refusal
from vso.sandbox.storage import Ref, Storage

RULE = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch"]}
GROUP = "rbac.authorization.k8s.io"
ACCOUNT = User("system:serviceaccount:vso-system:op", ("system:authenticated",))


@pytest.mark.parametrize(
    ("rule", "access", "expected"),
    [
        (RULE, Access("create", "", "secrets"), True),
        (RULE, Access("get", "", "secrets"), False),
        (RULE, Access("create", "apps", "secrets"), False),
        (RULE, Access("patch", "", "secrets", "status"), False),
        (RULE | {"resources": ["secrets/status"]}, Access("patch", "", "secrets", "status"), True),
        (RULE | {"resources": ["*/status"]}, Access("patch", "", "secrets", "status"), True),
        (RULE | {"resources": ["*"], "apiGroups": ["*"], "verbs": ["*"]}, Access("get", "x", "y", "z"), True),
        (RULE | {"resourceNames": ["a"]}, Access("patch", "", "secrets", name="a"), True),
        (RULE | {"resourceNames": ["a"]}, Access("create", "", "secrets"), False),
    ],
)
def test_allows(rule: dict[str, Any], access: Access, expected: bool) -> None:
    assert allows(rule, access) is expected


def test_bindings_reach_as_far_as_they_say() -> None:
    storage = Storage()
    subjects = [{"kind": "ServiceAccount", "name": "op", "namespace": "vso-system"}]
    reference = {"kind": "ClusterRole", "name": "writer"}
    role = {"metadata": {"name": "writer", "uid": "1"}, "rules": [RULE]}
    storage.put(Ref(f"clusterroles.{GROUP}", "", "writer"), role)
    binding = {"metadata": {"name": "b", "namespace": "team", "uid": "2"}, "roleRef": reference, "subjects": subjects}
    storage.put(Ref(f"rolebindings.{GROUP}", "team", "b"), binding)
    authorizer = Authorizer(storage)
    assert authorizer.allowed(ACCOUNT, Access("create", "", "secrets", namespace="team"))
    assert not authorizer.allowed(ACCOUNT, Access("create", "", "secrets", namespace="other"))
    assert authorizer.allowed(User("admin", (MASTERS,)), Access("delete", "", "secrets", namespace="other"))
    everywhere = {"metadata": {"name": "b", "uid": "3"}, "roleRef": reference, "subjects": subjects}
    storage.put(Ref(f"clusterrolebindings.{GROUP}", "", "b"), everywhere)
    assert authorizer.allowed(ACCOUNT, Access("create", "", "secrets", namespace="other"))


@pytest.mark.parametrize(
    ("access", "where"),
    [
        (Access("create", "", "secrets", namespace="x"), 'resource "secrets" in API group "" in the namespace "x"'),
        (Access("list", "g", "things", "status"), 'resource "things/status" in API group "g" at the cluster scope'),
    ],
)
def test_a_refusal_has_the_real_words(access: Access, where: str) -> None:
    assert refusal(ACCOUNT, access) == f'User "{ACCOUNT.name}" cannot {access.verb} {where}'
