"""Answers that Vault has wrapped: opened at once, since what is in them has been made already.

Nobody here asks for a wrapping; a proxy on the way may (`X-Vault-Wrap-TTL`), or a control group. Invariant: a
wrapping is opened once, under its own token, for which no policy is needed; that token is in no message.
"""

from __future__ import annotations

from functools import partial

import structlog
import tenacity

from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.attempts import attempt
from vso.vault.client import VaultAnswer, VaultClient, VaultRequest
from vso.vault.errors import InvalidTokenError

_ATTEMPTS = 4
_PAUSE = 0.5

_log = structlog.get_logger("vso.vault")


async def opened(client: VaultClient, clock: Clock, request: VaultRequest, answer: VaultAnswer) -> VaultAnswer:
    """Return the answer, or what it wraps."""
    told = answer.body.get("wrap_info")
    token = told.get("token") if isinstance(told, dict) else None
    if not isinstance(token, str) or not token:
        return answer
    opening = VaultRequest(
        "PUT",
        "sys/wrapping/unwrap",
        token=Sensitive.of(token),
        namespace=request.namespace,
        lane=request.lane,
        repeatable=False,
    )
    try:
        # Tried again whatever has become of it: if it was opened and the answer lost, Vault says so.
        return await attempt(partial(_retrying, clock), TransientError, client.send, opening)
    except VsoError as error:
        failure = error
    _log.warning("wrapping not opened", path=request.path, reason=failure.reason.value, error=failure.message)
    text = f"{request.path}: the answer is wrapped, and the wrapping cannot be opened: {failure.message}"
    if _may_pass(failure):
        raise TransientError(failure.reason, text)
    raise ConfigError(Reason.WRAPPING_TOKEN_REFUSED, text)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, TransientError) and not isinstance(error, InvalidTokenError)


def _retrying(clock: Clock) -> tenacity.AsyncRetrying:
    return tenacity.AsyncRetrying(
        sleep=clock.sleep,
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_fixed(_PAUSE),
        retry=tenacity.retry_if_exception(_may_pass),
        reraise=True,
    )
