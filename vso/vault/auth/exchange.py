"""The exchange of what a login shows for a token.

Invariant: one request, and it is not repeated; a refusal becomes a LoginRefusedError that says what to
look at and never quotes what was shown.
"""

from __future__ import annotations

from vso.core.errors import Reason, TransientError, VsoError
from vso.runtime.workqueue import Lane
from vso.vault.auth.refusal import LoginRefusedError
from vso.vault.auth.token import Token, token_from
from vso.vault.client import VaultRequest
from vso.vault.config import LoginConfig
from vso.vault.errors import InvalidTokenError, NothingThereError, PermissionDeniedError
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
    match error.reason:
        case Reason.VAULT_REQUEST_INVALID if config.way.passes(error.message):
            where = f"auth/{config.mount.strip('/')}"
            told = f"VaultAuth {config.name}: Vault does not reach the cloud that verifies the logins of {where}"
            return TransientError(Reason.CLOUD_UNAVAILABLE, told)
        case Reason.VAULT_REQUEST_INVALID:
            return _refused(config, error.message)
        case Reason.VAULT_UNAVAILABLE if config.way.refused_by(error.message):
            return _refused(config, error.message)
        case _:
            return error


def _refused(config: LoginConfig, message: str) -> LoginRefusedError:
    told = config.way.pointed_at("" if message.lower() == "permission denied" else message)
    where = f"VaultAuth {config.name} at auth/{config.mount.strip('/')}"
    return LoginRefusedError(f"Vault refuses the login of {where}: {told}")
