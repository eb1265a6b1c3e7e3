"""Answers that cannot be used: wrapped ones hold no data yet."""

from __future__ import annotations

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to
from tests.fakes.vault_server import Reply, VaultServer
from vso.core.errors import ConfigError, Reason
from vso.vault.leases import IssueRequest, issue
from vso.vault.sessions import Sessions


async def test_a_wrapped_answer_is_refused_by_name_and_its_token_is_not_shown(
    server: VaultServer, clock: FakeClock
) -> None:
    Tokens(server, clock)
    wrapped = {"token": "hvs.wrapping", "ttl": 60, "creation_path": "database/creds/app"}
    server.on("GET", "database/creds/app", Reply(200, {"data": None, "lease_id": "", "wrap_info": wrapped}))
    async with client_to(server.url, clock) as client:
        session = Sessions(clock, Credentials(), Observed()).session(client, LOGIN)
        with pytest.raises(ConfigError, match="wrapped") as caught:
            await issue(session, IssueRequest("database", "creds/app"))
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert "hvs.wrapping" not in str(caught.value)
