"""The kubernetes method: a ServiceAccount's token for a Vault token.

Invariant: one request, PUT auth/<mount>/login; a refusal becomes a ConfigError that names what to
look at and never quotes the token.
"""

from __future__ import annotations

from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.workqueue import Lane
from vso.vault.auth.refusal import LoginRefusedError
from vso.vault.auth.token import Token, token_from
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.config import LoginConfig
from vso.vault.errors import InvalidTokenError, NothingThereError, PermissionDeniedError
from vso.vault.paths import join

_RESERVED = frozenset({"role", "jwt"})


async def login(client: VaultClient, config: LoginConfig, jwt: Sensitive) -> Token:
    """Log in; LoginRefusedError says what Vault did not accept."""
    taken = sorted(_RESERVED.intersection(name for name, _ in config.params))
    if taken:
        raise ConfigError(Reason.INVALID_SPEC, f"VaultAuth {config.name}: spec.params may not set {' or '.join(taken)}")
    path = join("auth", config.mount, "login")
    request = VaultRequest(
        "PUT",
        path,
        namespace=config.namespace,
        body={**dict(config.params), "role": config.role, "jwt": jwt},
        headers=config.headers,
        lane=Lane.URGENT,  # a login stands before every read that waits for it
    )
    try:
        answer = await client.send(request)
    except PermissionDeniedError as error:
        raise LoginRefusedError(_text(config, _named(config, "; ".join(error.texts)))) from None
    except (InvalidTokenError, NothingThereError):
        raise LoginRefusedError(_text(config, _unnamed(config))) from None
    except VsoError as error:
        if error.reason is not Reason.VAULT_REQUEST_INVALID:
            raise
        raise LoginRefusedError(_text(config, _named(config, error.message))) from None
    return token_from(answer.body, path)


def _text(config: LoginConfig, what: str) -> str:
    return f"Vault refuses the login of VaultAuth {config.name} at auth/{config.mount.strip('/')}: {what}"


def _named(config: LoginConfig, message: str) -> str:
    """Return what Vault's text points at, in the words of the VaultAuth."""
    identity = config.identity
    lower = message.lower()
    if "invalid role name" in lower:
        return f"there is no role {config.role!r}"
    if "audience" in lower:
        asked = ", ".join(identity.audiences) or "the API server's default"
        return f"role {config.role!r} does not accept the audience ({asked})"
    if "service account name not authorized" in lower:
        return f"role {config.role!r} is not bound to ServiceAccount {identity.service_account}"
    if "namespace not authorized" in lower:
        return f"role {config.role!r} is not bound to namespace {identity.namespace}"
    return _unnamed(config) if lower == "permission denied" else message


def _unnamed(config: LoginConfig) -> str:
    identity = config.identity
    return (
        f"permission denied, with role {config.role!r} and ServiceAccount {identity.namespace}/"
        f"{identity.service_account}; either nothing is mounted there, or the API server does not "
        "confirm the ServiceAccount's token to Vault"
    )
