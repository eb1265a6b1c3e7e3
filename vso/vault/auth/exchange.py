"""The exchange of what a login shows for a token.

Invariant: one request, and it is not repeated; a refusal becomes a LoginRefusedError that says what to
look at and never quotes what was shown; a mount that cannot tell is no Vault that is away.
"""

from __future__ import annotations

from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.runtime.workqueue import Lane
from vso.vault.auth.refusal import LoginRefusedError
from vso.vault.auth.token import Token, token_from
from vso.vault.client import VaultRequest
from vso.vault.config import LoginConfig
from vso.vault.errors import FailedError, InvalidTokenError, NothingThereError, PermissionDeniedError
from vso.vault.way import Shown, Visit


async def exchange(visit: Visit, shown: Shown) -> Token:
    """Log in; LoginRefusedError says what Vault did not accept."""
    config = visit.config
    request = VaultRequest(
        "PUT",
        config.path,
        namespace=config.namespace,
        body={**dict(config.params), **shown.body},
        headers=config.headers,
        lane=Lane.URGENT,  # a login stands before every read that waits for it
    )
    try:
        answer = await visit.client.send(request)
    except PermissionDeniedError as error:
        raise _refused(config, "; ".join(error.texts)) from None
    except (InvalidTokenError, NothingThereError):
        raise _refused(config, "") from None
    except VsoError as error:
        raise _sorted(config, error) from None
    return token_from(answer.body, config.path)


def _sorted(config: LoginConfig, error: VsoError) -> VsoError:
    """Return what an error means to the login: the way knows what its method answers with the wrong status."""
    match error:
        case ConfigError(reason=Reason.VAULT_REQUEST_INVALID) if config.way.passes(error.message):
            return _away(config, "Vault does not reach the cloud that verifies the logins there")
        case ConfigError(reason=Reason.VAULT_REQUEST_INVALID):
            return _refused(config, error.message)
        case FailedError() if config.way.refused_by(error.message):
            return _refused(config, error.message)
        case FailedError():
            return _away(config, error.message)
        case _:
            return error


def _away(config: LoginConfig, what: str) -> TransientError:
    """Return the error for a mount that cannot tell for now whether it accepts what it is shown."""
    return TransientError(Reason.VAULT_LOGIN_UNAVAILABLE, f"{_where(config)}: {what}")


def _where(config: LoginConfig) -> str:
    return f"VaultAuth {config.name} at auth/{config.mount.strip('/')}"


def _refused(config: LoginConfig, message: str) -> LoginRefusedError:
    told = config.way.pointed_at("" if message.lower() == "permission denied" else message)
    return LoginRefusedError(f"Vault refuses the login of {_where(config)}: {told}")
