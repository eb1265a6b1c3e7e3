"""Tokens that somebody revokes one after the other: who holds leases of them hears of each, and no login storm follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.stage import Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.proxy import Proxy, path_has

LASTS = 90
KIND = "VaultDynamicSecret"
NAMES = tuple(f"db-{number}" for number in range(4))
LOGIN = path_has("/login")


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """Vault, with the headers of the requests on record."""
    with Proxy(stage.bed.vault.url, record_headers=True) as proxy:
        yield proxy


def tokens(proxy: Proxy) -> list[str]:
    """The tokens that were sent, each at each request."""
    return [value for headers in proxy.headers for name, value in headers.items() if name.lower() == "x-vault-token"]


def users(team: Team) -> set[str]:
    """Whom the Secrets name."""
    return {team.the_data(name)["username"] for name in NAMES}


@pytest.mark.long
def test_a_second_token_that_is_revoked_within_a_minute_is_told_at_once_and_replaced_when_the_minute_is_over(
    team: Team, proxy: Proxy
) -> None:
    database = team.bed.database()
    database.role(team.ns, default_ttl="1h", max_ttl="24h")
    team.policy(
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    team.access(address=proxy.url)
    for name in NAMES:
        destination = {"name": name, "create": True, "transformation": {"excludeRaw": True}}
        spec = {"vaultAuthRef": "auth", "mount": database.mount, "path": f"creds/{team.ns}", "destination": destination}
        team.apply(KIND, name, spec)
    for name in NAMES:
        team.wait_ready(name, KIND)

    def revoke(value: str) -> set[str]:
        """Revoke the token of now, and have one object ask for something; whom the Secrets named."""
        before = users(team)
        team.bed.vault.write("auth/token/revoke", {"token": tokens(proxy)[-1]})
        eventually(lambda: database.users(team.ns) == [], message="Vault has dropped the leases")
        team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": value}}}, KIND, NAMES[0])
        return before

    first = revoke("1")
    eventually(lambda: not users(team) & first, message="every Secret holds new credentials")
    for name in NAMES:
        team.wait_ready(name, KIND)
    second = revoke("2")
    for name in NAMES:
        team.wait_condition("Healthy", "False", "VaultPermissionDenied", kind=KIND, name=name, timeout=15)
    logins, asked = proxy.count(LOGIN), len(tokens(proxy))
    always(lambda: (proxy.count(LOGIN), len(tokens(proxy))) == (logins, asked), during=20, message="nobody is asked")
    eventually(lambda: not users(team) & second, timeout=75, message="every Secret holds new credentials again")
    assert proxy.count(LOGIN) == logins + 1
    for name in NAMES:
        team.wait_ready(name, KIND)
    assert sorted(database.users(team.ns)) == sorted(users(team))
