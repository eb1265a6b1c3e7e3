"""Vault's tokens: one for all who may share it, replaced before it ends, given back at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stage import Stage, Team
from tests.testbed.bed import Mark, VaultCall, always, eventually
from tests.testbed.proxy import Proxy, path_has

LASTS = 25

OPERATOR_ARGS = ("--backoff-initial-interval=500ms", "--backoff-max-interval=1s")
LOGIN = path_has("/login")


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """Vault, with the headers of the requests on record."""
    with Proxy(stage.bed.vault.url, record_headers=True) as proxy:
        yield proxy


def tokens(proxy: Proxy) -> list[str]:
    """The tokens that were sent, in the order of their first use."""
    sent = [value for headers in proxy.headers for name, value in headers.items() if name.lower() == "x-vault-token"]
    return list(dict.fromkeys(sent))


def lives(team: Team, token: str) -> bool:
    return team.bed.vault.raw("GET", "auth/token/lookup-self", token=token).status_code == 200


def said_of_auth(team: Team) -> str:
    return str(team.condition("Ready", "VaultAuth", "auth")["message"])


def refused(team: Team, mark: Mark) -> list[VaultCall]:
    return [call for call in team.bed.vault_audit(mark) if team.ns in call.path and not call.ok]


def test_a_short_token_is_replaced_before_it_ends(team: Team, proxy: Proxy) -> None:
    team.role(token_ttl="2s")
    mark = team.bed.mark()
    team.ready(address=proxy.url)
    eventually(lambda: proxy.count(LOGIN) >= 2, message="it logs in again and again")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    assert refused(team, mark) == []
    assert team.condition("Healthy")["status"] == "True"


def test_one_login_serves_all_who_may_share_it(team: Team, proxy: Proxy) -> None:
    team.access(address=proxy.url)
    names = [f"app-{number}" for number in range(8)]
    for name in names:
        team.put(name, {"password": name})
        team.static(name, path=name)
    for name in names:
        team.wait_ready(name)
    assert proxy.count(LOGIN) == 1
    assert len(tokens(proxy)) == 1


def test_the_token_is_given_back_on_a_graceful_stop(team: Team, proxy: Proxy, stage: Stage) -> None:
    team.ready(address=proxy.url)
    (token,) = tokens(proxy)
    assert lives(team, token)
    mark = team.bed.mark()
    try:
        assert stage.operator.stop().code == 0
        assert not lives(team, token)
        assert [c.path for c in team.bed.vault_audit(mark) if c.path.endswith("revoke-self")]
    finally:
        stage.operator.start()
        stage.operator.wait_ready()


def test_a_role_with_other_policies_costs_one_login(team: Team, proxy: Proxy) -> None:
    team.ready(address=proxy.url)
    team.bed.vault.policy(f"{team.ns}-new", f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}')
    team.role(token_policies=f"{team.ns}-new")
    # A token that is younger than this counts as having the role's policies of now.
    eventually(lambda: proxy.count(path_has("/v1/kv/")) >= 4, message="the token is in use for a while")
    team.policy('path "kv/data/elsewhere" { capabilities = ["read"] }')
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    team.wait_condition("Healthy")
    assert proxy.count(LOGIN) == 2
    old, new = tokens(proxy)
    assert lives(team, new)
    eventually(lambda: not lives(team, old), message="the replaced token is given back")


def test_a_token_of_few_uses_is_replaced_when_it_is_spent_and_the_auth_warns(team: Team, proxy: Proxy) -> None:
    team.role(token_num_uses=3)
    mark = team.bed.mark()
    team.ready(address=proxy.url)
    eventually(lambda: proxy.count(LOGIN) >= 2, message="it logs in again and again")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    assert refused(team, mark) == []
    eventually(lambda: "token_num_uses" in said_of_auth(team), message="the VaultAuth warns")
    team.role(token_num_uses=0)
    eventually(lambda: "token_num_uses" not in said_of_auth(team), message="the warning goes with its cause")


def test_tokens_without_the_default_policy_work_and_the_auth_warns(team: Team, proxy: Proxy) -> None:
    team.role(token_no_default_policy=True)
    team.ready(address=proxy.url)
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    assert proxy.count(LOGIN) == 1
    eventually(lambda: "token_no_default_policy" in said_of_auth(team), message="the VaultAuth warns")
    (warning,) = team.get("VaultAuth", "auth")["status"]["warnings"]
    assert "token_no_default_policy" in warning
    always(lambda: proxy.count(path_has("/auth/token/")) == 0, during=1)


def test_a_revoked_token_is_replaced_and_nothing_is_lost(team: Team, proxy: Proxy) -> None:
    team.ready(address=proxy.url)
    (token,) = tokens(proxy)
    team.bed.vault.write("auth/token/revoke", {"token": token})
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    team.wait_condition("Healthy")
    assert proxy.count(LOGIN) == 2
