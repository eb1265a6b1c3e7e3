"""Vault namespaces (Enterprise): the nearest word counts, the secret's before the auth's before the connection's.

The header is what can be seen here: Vault's Community edition has no namespaces and ignores it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.headers import namespaces_asked_in
from tests.conformance.stage import Json, Stage, Team
from tests.testbed.proxy import Proxy

LOGIN = "/v1/auth/kubernetes/login"


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """A proxy before Vault that writes down what headers it sees."""
    with stage.bed.vault_proxy(record_headers=True) as proxy:
        yield proxy


@pytest.mark.parametrize(
    ("connection", "auth", "secret", "login", "read"),
    [
        pytest.param("", "", "", None, None, id="none"),
        pytest.param("con", "", "", "con", "con", id="the connection's"),
        pytest.param("con", "auth", "", "auth", "auth", id="the auth's before the connection's"),
        pytest.param("con", "auth", "sec", "auth", "sec", id="the secret's for its own requests alone"),
        pytest.param("con", "", "sec/child", "con", "sec/child", id="the secret's before the connection's"),
        pytest.param("", "auth", "", "auth", "auth", id="the auth's alone"),
    ],
)
def test_the_nearest_namespace_counts(
    team: Team, proxy: Proxy, connection: str, auth: str, secret: str, login: str | None, read: str | None
) -> None:
    named = {"namespace": connection} if connection else {}
    team.access(address=proxy.url, connection=named, auth={"namespace": auth} if auth else {})
    team.put("app", {"password": "v1"})
    own: Json = {"namespace": secret} if secret else {}
    team.static(**own)
    team.wait_ready()
    assert set(namespaces_asked_in(proxy, LOGIN)) == {login}
    assert set(namespaces_asked_in(proxy, f"/v1/kv/data/{team.ns}/app")) == {read}


def test_no_header_of_a_connection_or_auth_names_a_namespace(team: Team, proxy: Proxy) -> None:
    team.put("app", {"password": "v1"})
    team.access(address=proxy.url, connection={"headers": {"X-Vault-NAMESPACE": "smuggled"}})
    team.static()
    condition = team.wait_condition("Ready", "False", "InvalidSpec", kind="VaultConnection", name="vault")
    assert "cannot be overridden" in condition["message"]
    team.access(address=proxy.url, auth={"headers": {"x-vault-namespace": "smuggled"}})
    team.wait_condition("Ready", "False", "InvalidSpec", kind="VaultAuth", name="auth")
    assert "smuggled" not in str(proxy.headers)
