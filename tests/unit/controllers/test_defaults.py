"""The VaultAuthGlobal that a VaultAuth means, whether it may have it, and what is said where it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.cluster import FakeCluster, Json
from tests.fakes.house import OPERATOR, Watches, auth_spec
from vso.api.access import VaultAuth
from vso.api.scheme import parse_as
from vso.controllers.defaults import Completed, Defaults
from vso.controllers.ways import login_config
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind

GLOBAL = Kind.VAULT_AUTH_GLOBAL


class Desk:
    """VaultAuthGlobals, and VaultAuths that refer to them."""

    def __init__(self, *namespaces: str, allow_default: bool = True) -> None:
        self.cluster, self.watches = FakeCluster(), Watches()
        caches = self.watches.caches(namespaces=namespaces or ("",))
        self.defaults = Defaults(caches, OPERATOR, allow_default=allow_default)

    def put(self, name: str, namespace: str = "app", **spec: Any) -> None:
        self.watches.show(GLOBAL, self.cluster.put(GLOBAL, name, spec, namespace))

    def auth(self, **changes: Any) -> VaultAuth:
        spec = {name: value for name, value in auth_spec(**changes).items() if value is not None}
        return parse_as(VaultAuth, self.cluster.put(Kind.VAULT_AUTH, "vault", spec).body)

    def completed(self, ref: Json | None, reader: str = "app", **changes: Any) -> Completed:
        return self.defaults.completed(self.auth(vaultAuthGlobalRef=ref, **changes), reader)

    def refused(self, ref: Json, **changes: Any) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.completed(ref, **changes)
        return caught.value


def test_an_auth_without_a_reference_is_complete_as_it_is() -> None:
    desk = Desk()
    desk.put("default", OPERATOR, defaultMount="other")
    auth = desk.auth(vaultAuthGlobalRef=None)
    assert desk.defaults.completed(auth, "app") == Completed(auth)


@pytest.mark.parametrize(
    ("there", "ref", "meant"),
    [
        pytest.param(["app/g"], {"name": "g"}, "app/g", id="of-its-own-namespace"),
        pytest.param(["app/g", "shared/g"], {"name": "g", "namespace": "shared"}, "shared/g", id="of-another"),
        pytest.param(["app/default", f"{OPERATOR}/default"], {"allowDefault": True}, "app/default", id="own-default"),
        pytest.param([f"{OPERATOR}/default"], {"allowDefault": True}, f"{OPERATOR}/default", id="operator's-default"),
        pytest.param(
            ["app/default", "shared/default"],
            {"allowDefault": True, "namespace": "shared"},
            "shared/default",
            id="default-of-a-namespace",
        ),
        pytest.param(["app/default", "app/g"], {"allowDefault": True, "name": "g"}, "app/g", id="a-name-wins"),
    ],
)
def test_which_global_is_meant(there: list[str], ref: Json, meant: str) -> None:
    desk = Desk()
    for path in there:
        namespace, _, name = path.partition("/")
        desk.put(name, namespace, allowedNamespaces=["app"], defaultMount=path)
    completed = desk.completed(ref, mount=None)
    assert str(completed.source) == meant
    assert completed.auth.spec.mount == meant
    assert completed.name == f"VaultAuth app/vault with the defaults of VaultAuthGlobal {meant}"


def test_a_global_that_is_not_there_is_named_with_its_prefixed_twin() -> None:
    desk = Desk()
    desk.put("prod-g")
    error = desk.refused({"name": "g"})
    assert error.reason is Reason.REFERENCE_NOT_FOUND
    assert "spec.vaultAuthGlobalRef names VaultAuthGlobal app/g, which does not exist" in error.message
    assert "app/prod-g" in error.message


@pytest.mark.parametrize(
    ("namespace", "reader"), [("shared", "app"), ("app", "team-b")], ids=["elsewhere", "read elsewhere"]
)
def test_no_name_of_another_namespace_is_told(namespace: str, reader: str) -> None:
    desk = Desk()
    desk.put("prod-g", namespace)
    with pytest.raises(ConfigError) as caught:
        desk.completed({"name": "g", "namespace": namespace}, reader)
    assert f"names VaultAuthGlobal {namespace}/g, which does not exist" in caught.value.message
    assert "prod" not in caught.value.message


def test_a_default_that_is_nowhere_is_said_to_be_missing_everywhere_it_was_looked_for() -> None:
    error = Desk().refused({"allowDefault": True})
    assert error.reason is Reason.REFERENCE_NOT_FOUND
    assert f"neither app/default nor {OPERATOR}/default exists" in error.message
    assert "VaultAuth app/vault" in error.message


def test_a_global_where_nobody_watches_is_said_to_be_there() -> None:
    error = Desk("app").refused({"name": "g", "namespace": "shared"})
    assert error.reason is Reason.REFERENCE_NOT_FOUND
    assert "does not watch" in error.message


@pytest.mark.parametrize(
    ("ref", "allow_default", "words"),
    [
        pytest.param({}, True, "spec.vaultAuthGlobalRef.name must be set unless", id="no-name"),
        pytest.param({"allowDefault": False}, True, "spec.vaultAuthGlobalRef.name must be set unless", id="no-default"),
        pytest.param({"allowDefault": True}, False, "global-vault-auth-options", id="defaults-are-switched-off"),
        pytest.param({"allowDefault": True, "name": "g"}, False, "allow-default-globals", id="even-beside-a-name"),
    ],
)
def test_a_reference_that_says_too_little_or_too_much_is_refused(ref: Json, allow_default: bool, words: str) -> None:
    desk = Desk(allow_default=allow_default)
    desk.put("g")
    desk.put("default")
    error = desk.refused(ref)
    assert error.reason is Reason.INVALID_SPEC
    assert error.message.startswith("VaultAuth app/vault: ")
    assert words in error.message


@pytest.mark.parametrize(("admitted", "goes"), [([], False), (["other"], False), (["app"], True), (["*"], True)])
def test_a_global_admits_the_namespaces_of_auths(admitted: list[str], goes: bool) -> None:
    desk = Desk()
    desk.put("g", "shared", allowedNamespaces=admitted)
    ref = {"name": "g", "namespace": "shared"}
    if goes:
        assert str(desk.completed(ref).source) == "shared/g"
    else:
        error = desk.refused(ref)
        assert error.reason is Reason.NAMESPACE_NOT_ALLOWED
        assert "VaultAuthGlobal shared/g does not admit namespace app of VaultAuth app/vault" in error.message


@pytest.mark.parametrize(("admitted", "told"), [([], False), ("app", False), (["app"], True)])
def test_what_is_wrong_with_a_global_is_told_to_whom_it_admits(admitted: object, told: bool) -> None:
    desk = Desk()
    desk.put("g", "shared", allowedNamespaces=admitted, defaultAuthMethod="carrier-pigeon")
    error = desk.refused({"name": "g", "namespace": "shared"})
    assert ("defaultAuthMethod" in error.message) is told
    assert ("does not admit namespace app" in error.message) is not told


@pytest.mark.parametrize(
    ("listed", "reader", "told"),
    [
        (["app"], "app", True),
        (["app"], "team-c", False),
        (["app", "team-c"], "team-c", True),
        (["*"], "team-c", True),
    ],
)
def test_what_is_wrong_with_a_global_is_told_to_no_reader_whom_it_does_not_admit(
    listed: list[str], reader: str, told: bool
) -> None:
    desk = Desk()
    desk.put("g", "shared", allowedNamespaces=listed, defaultAuthMethod="carrier-pigeon")
    error = desk.refused({"name": "g", "namespace": "shared"}, reader=reader)
    assert error.reason is Reason.INVALID_SPEC
    if told:
        assert error.message.startswith("VaultAuthGlobal shared/g: spec.defaultAuthMethod: must be ")
    else:
        assert error.message == "VaultAuthGlobal shared/g cannot be understood; its own status says why"


def test_a_global_that_cannot_be_understood_is_said_to_be_at_fault() -> None:
    desk = Desk()
    desk.put("g", defaultAuthMethod="carrier-pigeon")
    error = desk.refused({"name": "g"})
    assert error.reason is Reason.INVALID_SPEC
    assert error.message.startswith("VaultAuthGlobal app/g: spec.defaultAuthMethod: must be ")


def test_a_merge_is_made_once_until_either_object_changes() -> None:
    desk = Desk()
    desk.put("g", defaultMount="one")
    auth = desk.auth(vaultAuthGlobalRef={"name": "g"}, mount=None)
    first = desk.defaults.completed(auth, "app")
    assert desk.defaults.completed(auth, "app") is first
    desk.put("g", defaultMount="two")
    assert desk.defaults.completed(auth, "app").auth.spec.mount == "two"
    other = desk.auth(vaultAuthGlobalRef={"name": "g"}, mount="mine")
    assert desk.defaults.completed(other, "app").auth.spec.mount == "mine"


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        pytest.param({}, "spec.method is empty", id="no-method"),
        pytest.param({"defaultAuthMethod": "jwt"}, "spec.mount must be set", id="no-mount"),
        pytest.param(
            {"defaultAuthMethod": "jwt", "defaultMount": "m", "jwt": {"serviceAccount": "sa"}},
            "spec.jwt.role must be set",
            id="no-role",
        ),
        pytest.param(
            {"defaultAuthMethod": "cert", "defaultMount": "m", "params": {"name": "admin"}},
            "spec.params may not set name",
            id="reserved-param",
        ),
        pytest.param(
            {"defaultAuthMethod": "cert", "defaultMount": "m", "headers": {"X-Vault-Token": "t"}},
            "X-Vault-Token cannot be overridden",
            id="reserved-header",
        ),
    ],
)
def test_what_is_missing_after_the_merge_is_told_with_both_names(defaults: Json, words: str) -> None:
    desk = Desk()
    desk.put("g", **defaults)
    ref = {"name": "g", "mergeStrategy": {"params": "union", "headers": "union"}}
    completed = desk.completed(ref, method=None, mount=None, kubernetes=None)
    with pytest.raises(ConfigError) as caught:
        login_config(completed.auth, "app", completed.name)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message.startswith("VaultAuth app/vault with the defaults of VaultAuthGlobal app/g: ")
    assert words in caught.value.message
