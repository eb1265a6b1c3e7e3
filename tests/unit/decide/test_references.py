from __future__ import annotations

import pytest

from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey
from vso.decide.references import (
    allowed,
    connection_allowed,
    missing_reference,
    parse_ref,
    prefixed_twin,
    shared_login_allowed,
    vault_namespace,
)

OPERATOR = "vso-system"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("va", ObjectKey("team-a", "va"), id="name-in-the-referrer's-namespace"),
        pytest.param("team-b/va", ObjectKey("team-b", "va"), id="namespace-and-name"),
        pytest.param("", ObjectKey(OPERATOR, "default"), id="empty-is-the-operator's-default"),
        pytest.param(None, ObjectKey(OPERATOR, "default"), id="absent-is-the-operator's-default"),
        pytest.param("default", ObjectKey("team-a", "default"), id="default-by-name-is-the-referrer's"),
    ],
)
def test_parse_ref(text: str | None, expected: ObjectKey) -> None:
    assert parse_ref(text, "team-a", OPERATOR) == expected


@pytest.mark.parametrize("text", ["a/b/c", "/va", "team-a/", "/", "//"])
def test_parse_ref_refuses(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ref(text, "team-a", OPERATOR)
    assert caught.value.reason is Reason.INVALID_REFERENCE
    assert repr(text) in caught.value.message


AUTH = ObjectKey("team-a", "va")


@pytest.mark.parametrize(
    ("target", "key", "listed", "expected"),
    [
        pytest.param("team-a", AUTH, None, True, id="own-namespace"),
        pytest.param("team-b", AUTH, None, False, id="no-list"),
        pytest.param("team-b", AUTH, (), False, id="empty-list"),
        pytest.param("team-b", AUTH, ("*",), True, id="wildcard-alone"),
        pytest.param("team-b", AUTH, ("*", "team-c"), False, id="wildcard-beside-others-is-none"),
        pytest.param("team-b", AUTH, ("team-c", "team-b"), True, id="listed"),
        pytest.param("team-b", AUTH, ("team-*",), False, id="no-globs"),
        pytest.param("team-b", ObjectKey(OPERATOR, "default"), None, True, id="operator's-default-for-everyone"),
        pytest.param(
            "team-b", ObjectKey(OPERATOR, "default"), ("team-c",), True, id="operator's-default-ignores-the-list"
        ),
        pytest.param("team-b", ObjectKey(OPERATOR, "va"), None, False, id="operator's-other"),
        pytest.param("team-b", ObjectKey("team-a", "default"), None, False, id="default-elsewhere"),
    ],
)
def test_allowed(target: str, key: ObjectKey, listed: tuple[str, ...] | None, expected: bool) -> None:
    assert allowed(target, key, listed, OPERATOR) is expected


@pytest.mark.parametrize(
    ("listed", "expected"), [(None, True), ((), True), (("*",), True), (("team-b",), True), (("team-c",), False)]
)
def test_a_login_of_the_operators_own_serves_whom_a_list_names(listed: tuple[str, ...] | None, expected: bool) -> None:
    assert shared_login_allowed("team-b", ObjectKey(OPERATOR, "default"), listed) is expected


@pytest.mark.parametrize(
    ("target", "listed", "expected", "with_a_certificate"),
    [
        pytest.param("team-b", None, True, False, id="no-list-is-everyone"),
        pytest.param("team-a", None, True, True, id="no-list-in-its-own-namespace"),
        pytest.param("team-b", (), False, False, id="empty-list-is-nobody-else"),
        pytest.param("team-a", (), True, True, id="own-namespace"),
        pytest.param("team-b", ("*",), True, True, id="wildcard"),
        pytest.param("team-b", ("team-b",), True, True, id="listed"),
        pytest.param("team-b", ("team-c",), False, False, id="not-listed"),
    ],
)
def test_connection_allowed(
    target: str, listed: tuple[str, ...] | None, expected: bool, with_a_certificate: bool
) -> None:
    key = ObjectKey("team-a", "vc")
    assert connection_allowed(target, key, listed, certified=False) is expected
    assert connection_allowed(target, key, listed, certified=True) is with_a_certificate


@pytest.mark.parametrize(
    ("secret", "auth", "connection", "expected"),
    [
        ("s", "a", "c", "s"),
        ("", "a", "c", "a"),
        (None, "", "c", "c"),
        (None, None, None, ""),
    ],
)
def test_vault_namespace(secret: str | None, auth: str | None, connection: str | None, expected: str) -> None:
    assert vault_namespace(secret, auth, connection) == expected


@pytest.mark.parametrize(
    ("name", "candidates", "expected"),
    [
        pytest.param("va-k8s", ("prod-va-k8s",), "prod-va-k8s", id="prefix"),
        pytest.param("va-k8s", ("va-k8s-v2",), "va-k8s-v2", id="suffix"),
        pytest.param("va", ("prod-va-v2",), "prod-va-v2", id="both"),
        pytest.param("va", ("eu.va",), "eu.va", id="dot"),
        pytest.param("va", ("prodva",), "prodva", id="prefix-without-a-dash"),
        pytest.param("va", ("vault",), None, id="only-begins-alike"),
        pytest.param("va", ("java-auth",), None, id="inside-a-word"),
        pytest.param("va", ("va",), None, id="itself"),
        pytest.param("va", (), None, id="nobody"),
        pytest.param("va", ("prodva", "va-v2", "prod-va"), "prod-va", id="prefix-before-suffix-before-the-rest"),
        pytest.param("va", ("staging-va", "prod-va"), "prod-va", id="shortest"),
        pytest.param("va", ("beta-va", "acme-va"), "acme-va", id="then-by-name"),
    ],
)
def test_prefixed_twin(name: str, candidates: tuple[str, ...], expected: str | None) -> None:
    assert prefixed_twin(name, candidates) == expected


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        (("other",), "vaultAuthRef names VaultAuth team-a/va-k8s, which does not exist"),
        (
            ("prod-va-k8s",),
            "vaultAuthRef names VaultAuth team-a/va-k8s, which does not exist; team-a/prod-va-k8s does: "
            "kustomize renames objects, but the strings that refer to them only with the nameReference "
            "configuration of the shipped base; add that, or refer to prod-va-k8s",
        ),
    ],
)
def test_missing_reference(candidates: tuple[str, ...], expected: str) -> None:
    error = missing_reference(Kind.VAULT_AUTH, ObjectKey("team-a", "va-k8s"), "vaultAuthRef", candidates)
    assert (error.reason, error.message) == (Reason.REFERENCE_NOT_FOUND, expected)
