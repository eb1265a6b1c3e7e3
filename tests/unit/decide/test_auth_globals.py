"""What a VaultAuth says after the merge with its VaultAuthGlobal: one row for each rule."""

from __future__ import annotations

from typing import Any

import pytest

from vso.api.access import VaultAuthGlobalSpec, VaultAuthSpec
from vso.decide.auth_globals import blocks, merge
from vso.decide.references import global_references

Json = dict[str, Any]
KUBERNETES: Json = {"role": "r", "serviceAccount": "sa", "audiences": ["a", "b"], "tokenExpirationSeconds": 900}


def merged(auth: Json, defaults: Json) -> Json:
    """The merged specification as JSON, without what is left at its default."""
    spec = merge(VaultAuthSpec.model_validate(auth), VaultAuthGlobalSpec.model_validate(defaults))
    found: Json = spec.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    return found


def strategy(**kinds: str) -> Json:
    return {"vaultAuthGlobalRef": {"name": "g", "mergeStrategy": kinds}}


@pytest.mark.parametrize(
    ("auth", "defaults", "expected"),
    [
        pytest.param({"method": "jwt"}, {"defaultAuthMethod": "kubernetes"}, {"method": "jwt"}, id="own-method"),
        pytest.param({}, {"defaultAuthMethod": "approle"}, {"method": "appRole"}, id="method"),
        pytest.param({}, {}, {}, id="neither-names-a-method"),
        pytest.param(
            {"method": "jwt", "mount": "own"},
            {"defaultMount": "m", "jwt": {"mount": "jm"}},
            {"mount": "own"},
            id="own-mount",
        ),
        pytest.param(
            {"method": "jwt"}, {"defaultMount": "m", "jwt": {"mount": "jm"}}, {"mount": "jm"}, id="method's-mount"
        ),
        pytest.param({"method": "jwt"}, {"defaultMount": "m", "aws": {"mount": "am"}}, {"mount": "m"}, id="mount"),
        pytest.param(
            {"method": "jwt", "namespace": "own"},
            {"defaultVaultNamespace": "n", "jwt": {"namespace": "jn"}},
            {"namespace": "own"},
            id="own-namespace",
        ),
        pytest.param(
            {"method": "jwt"},
            {"defaultVaultNamespace": "n", "jwt": {"namespace": "jn"}},
            {"namespace": "jn"},
            id="method's-namespace",
        ),
        pytest.param({"method": "jwt"}, {"defaultVaultNamespace": "n"}, {"namespace": "n"}, id="namespace"),
        pytest.param(
            {"vaultConnectionRef": "own"},
            {"vaultConnectionRef": "c"},
            {"vaultConnectionRef": "own"},
            id="own-connection",
        ),
        pytest.param({}, {"vaultConnectionRef": "c"}, {"vaultConnectionRef": "c"}, id="connection"),
        pytest.param({"loginPath": "own"}, {"loginPath": "p"}, {"loginPath": "own"}, id="own-login-path"),
        pytest.param({}, {"loginPath": "p"}, {"loginPath": "p"}, id="login-path"),
        pytest.param(
            {"allowedNamespaces": ["x"]}, {"allowedNamespaces": ["y"]}, {"allowedNamespaces": ["x"]}, id="admission"
        ),
        pytest.param({}, {"allowedNamespaces": ["y"]}, {}, id="admission-to-the-global-is-not-admission-to-the-auth"),
    ],
)
def test_what_the_auth_leaves_out_comes_from_its_method_and_then_from_all(
    auth: Json, defaults: Json, expected: Json
) -> None:
    found = merged(auth, defaults)
    found.pop("jwt", None)
    said = {"method": auth["method"]} if "method" in auth else {}
    assert found == said | expected


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        pytest.param(None, KUBERNETES, KUBERNETES, id="no-block-of-its-own"),
        pytest.param(KUBERNETES, None, KUBERNETES, id="a-block-of-its-own-alone"),
        pytest.param({"role": "mine"}, KUBERNETES, {**KUBERNETES, "role": "mine"}, id="one-field"),
        pytest.param({"role": "", "audiences": []}, KUBERNETES, KUBERNETES, id="empty-fields-say-nothing"),
        pytest.param({"audiences": ["c"]}, KUBERNETES, {**KUBERNETES, "audiences": ["c"]}, id="lists-are-whole"),
        # As the API server stores it: with the default of the CRD.
        pytest.param(
            {"tokenExpirationSeconds": 600},
            KUBERNETES,
            {name: value for name, value in KUBERNETES.items() if name != "tokenExpirationSeconds"},
            id="a-stored-default-wins",
        ),
        pytest.param(
            None,
            {**KUBERNETES, "mount": "m", "params": {"a": "b"}},
            KUBERNETES,
            id="what-is-not-of-the-block-stays-out",
        ),
    ],
)
def test_a_block_is_merged_field_by_field(own: Json | None, given: Json | None, expected: Json) -> None:
    auth: Json = {"method": "kubernetes"} | ({} if own is None else {"kubernetes": own})
    assert merged(auth, {} if given is None else {"kubernetes": given})["kubernetes"] == expected


@pytest.mark.parametrize(
    ("method", "own", "given", "expected"),
    [
        pytest.param("jwt", {"secretRef": "s"}, {"role": "r"}, {"secretRef": "s", "role": "r"}, id="jwt"),
        pytest.param("appRole", {"secretRef": "s"}, {"roleId": "i"}, {"secretRef": "s", "roleId": "i"}, id="appRole"),
        pytest.param("appRole", {"wrappedSecretID": False}, {"wrappedSecretID": True}, {}, id="false-is-said"),
        pytest.param("aws", {"region": "eu"}, {"role": "r"}, {"region": "eu", "role": "r"}, id="aws"),
        pytest.param("gcp", {"projectID": "p"}, {"role": "r"}, {"projectID": "p", "role": "r"}, id="gcp"),
        pytest.param("azure", {"clientID": "c"}, {"role": "r"}, {"clientID": "c", "role": "r"}, id="azure"),
        pytest.param("cert", {"secretRef": "s"}, {"name": "n"}, {"secretRef": "s", "name": "n"}, id="cert"),
        pytest.param(
            "userpass", {"username": "u"}, {"passwordKey": "k"}, {"username": "u", "passwordKey": "k"}, id="userpass"
        ),
        pytest.param("ldap", {"username": "u"}, {"secretRef": "s"}, {"username": "u", "secretRef": "s"}, id="ldap"),
        pytest.param("token", {"renew": True}, {"renew": False, "key": "k"}, {"key": "k"}, id="token"),
        pytest.param("token", {}, {"renew": False}, {"renew": False}, id="token-of-the-global"),
        pytest.param("generic", {"body": {"a": "1"}}, {"body": {"b": "2"}}, {"body": {"a": "1"}}, id="generic-body"),
        pytest.param(
            "generic",
            {"body": {"a": "1"}},
            {"bodyFrom": [{"field": "f", "secretRef": "s", "key": "k"}]},
            {"body": {"a": "1"}, "bodyFrom": [{"field": "f", "secretRef": "s", "key": "k"}]},
            id="generic-secrets",
        ),
    ],
)
def test_every_method_has_defaults(method: str, own: Json, given: Json, expected: Json) -> None:
    assert merged({"method": method, method: own}, {method: given})[method] == expected
    assert method not in merged({"method": "kubernetes"}, {method: given})
    assert list(blocks(VaultAuthGlobalSpec.model_validate({method: given}))) == [method]


OWN, METHODS, GENERAL = {"a": "own", "b": "own"}, {"b": "method", "c": "method"}, {"c": "all", "d": "all"}


@pytest.mark.parametrize("field", ["params", "headers"])
@pytest.mark.parametrize(
    ("kind", "own", "methods", "general", "expected"),
    [
        pytest.param(None, OWN, METHODS, GENERAL, OWN, id="nothing-said"),
        pytest.param("none", OWN, METHODS, GENERAL, OWN, id="none"),
        pytest.param("none", {}, METHODS, GENERAL, None, id="none-and-nothing-of-its-own"),
        pytest.param("union", OWN, METHODS, GENERAL, {"a": "own", "b": "own", "c": "method", "d": "all"}, id="union"),
        pytest.param("union", {}, {}, GENERAL, GENERAL, id="union-of-the-general-alone"),
        pytest.param("union", {}, {}, {}, None, id="union-of-nothing"),
        pytest.param("replace", OWN, METHODS, GENERAL, OWN, id="replace"),
        pytest.param("replace", {}, METHODS, GENERAL, METHODS, id="replace-by-the-method's"),
        pytest.param("replace", {}, {}, GENERAL, GENERAL, id="replace-by-the-general"),
    ],
)
def test_params_and_headers_come_together_by_their_strategy(
    field: str, kind: str | None, own: Json, methods: Json, general: Json, expected: Json | None
) -> None:
    other = {"params": "headers", "headers": "params"}[field]
    auth: Json = {"method": "jwt", field: own, **(strategy(**{field: kind}) if kind else {})}
    found = merged(auth, {field: general, other: {"x": "y"}, "jwt": {field: methods, other: {"z": "y"}}})
    assert found.get(field) == expected
    assert other not in found


def test_a_header_is_the_same_in_whatever_case_it_is_written() -> None:
    auth = {
        "method": "jwt",
        "headers": {"x-team": "own"},
        **strategy(headers="union", params="union"),
        "params": {"k": "own"},
    }
    found = merged(auth, {"headers": {"X-Team": "all"}, "params": {"K": "all"}})
    assert found["headers"] == {"x-team": "own"}
    assert found["params"] == {"k": "own", "K": "all"}


@pytest.mark.parametrize(
    ("name", "namespace", "allow_default", "expected"),
    [
        pytest.param("g", "", False, ("g",), id="by-name"),
        pytest.param("g", "shared", False, ("shared/g",), id="by-name-and-namespace"),
        pytest.param("g", "", True, ("g",), id="a-name-wins-over-the-default"),
        pytest.param("", "", True, ("default", ""), id="default-of-its-own-namespace-then-the-operator's"),
        pytest.param("", "shared", True, ("shared/default",), id="default-of-a-namespace"),
        pytest.param("", "shared", False, (), id="no-name-and-no-default"),
    ],
)
def test_where_a_global_is_looked_for(
    name: str, namespace: str, allow_default: bool, expected: tuple[str, ...]
) -> None:
    assert global_references(name, namespace, allow_default=allow_default) == expected
