"""A login under way at a stand-in for a cloud, without a Vault: what a way shows is what is looked at."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import LOGIN, SA_UID, Credentials, client_to
from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.surroundings import Surroundings
from vso.vault.way import Identity, Shown, Visit, Way

OPERATOR = "vso-system"
CANARY = "canary"


@dataclass
class Accounts(Credentials):
    """A credential source whose tokens tell whom and whom for, as those of the API server do."""

    asked: list[Identity] = field(default_factory=list)
    unreadable: bool = False

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        self.asked.append(identity)
        subject = f"system:serviceaccount:{identity.namespace}:{identity.service_account}"
        claims = json.dumps({"sub": subject, "aud": list(identity.audiences)}).encode()
        text = base64.urlsafe_b64encode(claims).decode().rstrip("=")
        return Sensitive.of(f"canary-header.{text}.canary-signature"), SA_UID

    async def annotations(self, namespace: str, service_account: str) -> dict[str, str]:
        if self.unreadable:
            raise ConfigError(Reason.KUBERNETES_FORBIDDEN, "get on serviceaccounts is forbidden")
        return await super().annotations(namespace, service_account)


def around(env: Mapping[str, str], *, ambient: bool = True, admits: str = "http://127.0.0.1:") -> Surroundings:
    """Surroundings in which the operator's own identity may be used, and the addresses that begin so."""
    return Surroundings(env, OPERATOR, ambient, lambda url: url.startswith(admits))


async def shown(
    way: Way, surroundings: Surroundings, accounts: Accounts | None = None, *, auth: str = "team-a/auth"
) -> Shown:
    """What the way shows in a login of namespace team-a by the VaultAuth."""
    login = replace(LOGIN, name=auth, way=way, consumer="team-a")
    accounts = accounts or Accounts()
    accounts.surroundings = surroundings
    async with client_to("http://127.0.0.1:9") as client:
        return await way.show(Visit(client, login, accounts, FakeClock()))


def text(value: str | Sensitive) -> str:
    """A field of the body, revealed."""
    return value.reveal_text() if isinstance(value, Sensitive) else value
