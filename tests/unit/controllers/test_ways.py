"""From what a VaultAuth says to the way its consumers log in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.cluster import FakeCluster
from vso.api.access import VaultAuth
from vso.api.scheme import parse_as
from vso.controllers.ways import login_config
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind
from vso.vault.auth.approle import AppRoleWay
from vso.vault.auth.certificate import CertificateWay
from vso.vault.auth.generic import FromSecret, GenericWay
from vso.vault.auth.given import GivenWay
from vso.vault.auth.kubernetes import JwtWay, KubernetesWay
from vso.vault.auth.password import PasswordWay
from vso.vault.way import Identity, Way

TEAM = "team"


def auth(**spec: Any) -> VaultAuth:
    return parse_as(VaultAuth, FakeCluster().put(Kind.VAULT_AUTH, "va", {"mount": "m", **spec}).body)


@pytest.mark.parametrize(
    ("spec", "way", "consumer"),
    [
        pytest.param(
            {"method": "kubernetes", "kubernetes": {"role": "r", "serviceAccount": "sa"}},
            KubernetesWay("r", Identity(TEAM, "sa")),
            TEAM,
            id="kubernetes",
        ),
        pytest.param(
            {"method": "jwt", "jwt": {"role": "r", "serviceAccount": "sa", "secretRef": "s", "audiences": ["a"]}},
            JwtWay("r", Identity(TEAM, "sa", ("a",))),
            TEAM,
            id="jwt prefers the ServiceAccount",
        ),
        pytest.param(
            {"method": "jwt", "jwt": {"role": "r", "secretRef": "s"}},
            JwtWay("r", secret="s"),
            TEAM,
            id="jwt of a Secret",
        ),
        pytest.param(
            {"method": "approle", "appRole": {"roleId": "ri", "secretRef": "s"}},
            AppRoleWay("ri", secret="s"),
            TEAM,
            id="approle",
        ),
        pytest.param(
            {"method": "appRole", "appRole": {"roleId": "ri", "secretIDPath": "/run/id", "wrappedSecretID": True}},
            AppRoleWay("ri", file="/run/id", wrapped=True),
            "",
            id="approle with a file, which all consumers share",
        ),
        pytest.param({"method": "cert"}, CertificateWay(), "", id="the connection's certificate"),
        pytest.param(
            {"method": "cert", "cert": {"name": "web", "secretRef": "tls"}},
            CertificateWay("web", "tls"),
            TEAM,
            id="a certificate of one's own",
        ),
        pytest.param(
            {"method": "userpass", "userpass": {"username": "eve", "secretRef": "s"}},
            PasswordWay("eve", "s", "password"),
            TEAM,
            id="userpass",
        ),
        pytest.param(
            {"method": "ldap", "ldap": {"username": "eve", "secretRef": "s", "passwordKey": "pw"}},
            PasswordWay("eve", "s", "pw"),
            TEAM,
            id="ldap",
        ),
        pytest.param(
            {"method": "token", "mount": "", "token": {"secretRef": "s"}},
            GivenWay("s"),
            TEAM,
            id="token, without a mount",
        ),
        pytest.param(
            {"method": "token", "token": {"path": "/run/token", "renew": False}},
            GivenWay(file="/run/token", renew=False),
            "",
            id="token in a file",
        ),
        pytest.param(
            {
                "method": "generic",
                "generic": {"body": {"b": "2", "a": "1"}, "bodyFrom": [{"field": "f", "secretRef": "s", "key": "k"}]},
            },
            GenericWay((("a", "1"), ("b", "2")), (FromSecret("f", "s", "k"),)),
            TEAM,
            id="generic",
        ),
    ],
)
def test_a_vault_auth_says_how_its_consumers_log_in(spec: dict[str, Any], way: Way, consumer: str) -> None:
    login = login_config(auth(**spec), TEAM)
    assert login.way == way
    assert login.consumer == consumer


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"method": "jwt"}, "spec.jwt.role and spec.jwt.serviceAccount or spec.jwt.secretRef must be set"),
        ({"method": "jwt", "jwt": {"role": "r", "secretRef": "a/b"}}, "spec.jwt.secretRef"),
        ({"method": "appRole"}, "spec.appRole.roleId and spec.appRole.secretRef or spec.appRole.secretIDPath"),
        ({"method": "appRole", "appRole": {"roleId": "ri"}}, "spec.appRole.secretRef or"),
        (
            {"method": "appRole", "appRole": {"roleId": "ri", "secretRef": "s", "secretIDPath": "/run/id"}},
            "exactly one of spec.appRole.secretRef and spec.appRole.secretIDPath must be set",
        ),
        ({"method": "userpass"}, "spec.userpass.username and spec.userpass.secretRef"),
        ({"method": "userpass", "userpass": {"username": "a/b", "secretRef": "s"}}, "must not contain a slash"),
        ({"method": "ldap", "ldap": {"username": "eve"}}, "spec.ldap.secretRef must"),
        ({"method": "token"}, "spec.token.secretRef or spec.token.path"),
        ({"method": "cert", "cert": {"secretRef": "../x"}}, "spec.cert.secretRef"),
        ({"method": "generic", "mount": ""}, "spec.mount must be set for method generic"),
        (
            {"method": "appRole", "appRole": {"roleId": "ri", "secretRef": "s"}, "params": {"secret_id": "x"}},
            "spec.params may not set secret_id",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_the_object(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        login_config(auth(**spec), TEAM)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message.startswith("VaultAuth app/va: ")
    assert words in caught.value.message
