"""The method approle: a role id and a secret id, which may come in a wrapping that opens once.

Invariant: a wrapping token is opened once, and only after Vault has said that it wraps a secret id of this
mount; what was inside is kept for later logins at this mount as long as the process lives and nobody changes the
source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.auth.entries import entry, text, token_entry, token_text
from vso.vault.client import VaultRequest
from vso.vault.errors import InvalidTokenError, PermissionDeniedError, answer_invalid
from vso.vault.json import JsonObject
from vso.vault.way import Reads, Shown, Visit, Way

_KEY = "id"


@dataclass(frozen=True)
class AppRoleWay(Way):
    """A role id, and a Secret or file with the secret id."""

    role_id: str
    secret: str = ""
    file: str = ""
    wrapped: bool = False

    RESERVED: ClassVar[frozenset[str]] = frozenset({"role_id", "secret_id"})

    @property
    def who(self) -> str:
        """The role."""
        return f"role id {self.role_id}"

    @property
    def account(self) -> str:
        """The role."""
        return self.role_id

    @property
    def personal(self) -> bool:
        """A file is the operator's."""
        return not self.file

    @property
    def reads(self) -> Reads:
        """The Secret, unless a file has the secret id."""
        return Reads((self.secret,)) if not self.file else Reads()

    async def show(self, visit: Visit) -> Shown:
        """Read the secret id, and take it out of its wrapping."""
        found, uid, source = await self._found(visit)
        secret_id = await _unwrapped(visit, found, source) if self.wrapped else found
        return Shown({"role_id": self.role_id, "secret_id": secret_id}, source=source, uid=uid)

    async def _found(self, visit: Visit) -> tuple[Sensitive, str, str]:
        if self.file:
            checked = token_text if self.wrapped else text
            where = f"VaultAuth {visit.config.name}: the file of its login"
            content = checked(await visit.sources.file(self.file, visit.config.name), where)
            return content, "", content.digest(self.file.encode())
        secret = await visit.sources.secret(visit.config.consumer, self.secret)
        found = token_entry(secret, _KEY) if self.wrapped else entry(secret, _KEY)
        return found, secret.uid, f"{secret.uid}@{secret.version}"


async def _unwrapped(visit: Visit, wrapping: Sensitive, source: str) -> Sensitive:
    place = f"{visit.config.namespace or visit.client.config.namespace} {visit.config.mount.strip('/')} {source}"
    if place in visit.kept:
        return visit.kept[place]
    await _check_wrapping(visit, wrapping)
    data = await _ask(visit, VaultRequest("PUT", "sys/wrapping/unwrap", token=wrapping, repeatable=False))
    secret_id = data.get("secret_id")
    if not isinstance(secret_id, str) or not secret_id:
        raise answer_invalid(visit.client.config.base, "the wrapping holds no secret id")
    visit.kept.clear()
    visit.kept[place] = Sensitive.of(secret_id)
    return visit.kept[place]


async def _check_wrapping(visit: Visit, wrapping: Sensitive) -> None:
    """Look before it is opened: a wrapping of something else was put in the place of the right one."""
    data = await _ask(visit, VaultRequest("PUT", "sys/wrapping/lookup", body={"token": wrapping}))
    made_at = str(data.get("creation_path", ""))
    mount = visit.config.mount.strip("/")
    if not (made_at.startswith(f"auth/{mount}/role/") and made_at.endswith(("/secret-id", "/custom-secret-id"))):
        raise ConfigError(
            Reason.WRAPPING_TOKEN_REFUSED,
            f"VaultAuth {visit.config.name}: the wrapping token was not made at auth/{mount}/role/…/secret-id "
            f"but at {made_at or 'an unknown path'}",
        )


async def _ask(visit: Visit, request: VaultRequest) -> JsonObject:
    try:
        answer = await visit.client.send(_urgent(request, visit.config.namespace))
    except (InvalidTokenError, PermissionDeniedError):
        raise _spent(visit) from None
    except VsoError as error:
        if error.reason is not Reason.VAULT_REQUEST_INVALID:
            raise
        raise _spent(visit) from None
    data = answer.body.get("data")
    return data if isinstance(data, dict) else {}


def _urgent(request: VaultRequest, namespace: str) -> VaultRequest:
    return VaultRequest(
        request.method,
        request.path,
        token=request.token,
        namespace=namespace,
        body=request.body,
        lane=Lane.URGENT,
        repeatable=request.repeatable,
    )


def _spent(visit: Visit) -> ConfigError:
    return ConfigError(
        Reason.WRAPPING_TOKEN_REFUSED,
        f"VaultAuth {visit.config.name}: the wrapping token of the secret id is over, or was opened before, "
        "perhaps by this operator before a restart",
    )
