"""What is asked about a token that another one has taken the place of: that it be no more, or whether it still is.

Invariant: best effort and within two seconds, so that nobody waits for long on account of a token of the past.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

from vso.core.errors import VsoError
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.errors import InvalidTokenError, TokenSpentError
from vso.vault.logins import Held

_WITHIN = 2.0


async def give_back(client: VaultClient, held: Held, namespace: str, now: float) -> None:
    """Revoke the token, unless leases would go with it or it is not ours to revoke."""
    # A batch token has no accessor and cannot be revoked.
    if held.leases or held.shared or not held.token.accessor or not held.usable(now):
        return
    request = _under(held, "PUT", "auth/token/revoke-self", namespace)
    held.expires_at = -math.inf  # given back once, whoever else lets go of it meanwhile
    with contextlib.suppress(VsoError, TimeoutError):
        async with asyncio.timeout(_WITHIN):
            await client.send(request)


async def is_gone(client: VaultClient, held: Held, namespace: str, now: float) -> bool:
    """Tell whether Vault knows a token no more that only leases hang on: nothing else would tell soon."""
    if not held.leases or not held.usable(now) or not math.isinf(held.uses_left):
        return False
    request = _under(held, "GET", "auth/token/lookup-self", namespace)
    try:
        async with asyncio.timeout(_WITHIN):
            await client.send(request)
    except InvalidTokenError as error:
        return not isinstance(error, TokenSpentError)
    except (VsoError, TimeoutError):
        return False  # nobody can tell: its renewals and the probes of its leases will
    return False


def _under(held: Held, method: str, path: str, namespace: str) -> VaultRequest:
    request = VaultRequest(method, path, namespace=namespace, lane=Lane.URGENT)
    return request.under(held.token.token, held.expires_at)
