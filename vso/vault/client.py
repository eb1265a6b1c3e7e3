"""The one way to a Vault: every request of a connection passes through its VaultClient.

Invariant: at most `max_concurrency` requests in hand; what the gate does not let through (a Vault
that is away or asked to be left alone) fails at once with the cause, and `sys/health` alone goes out
all the same, at most once a second. The token goes to the configured address and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import urlencode

import tenacity

from vso.core.clock import Clock
from vso.core.errors import Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.attempts import attempt
from vso.runtime.workqueue import Lane
from vso.vault.channel import Channel
from vso.vault.config import ConnectionConfig, Pairs
from vso.vault.door import Door
from vso.vault.errors import (
    Asked,
    BehindError,
    DroppedError,
    ShutOutError,
    TokenSpentError,
    VaultDownError,
    answer_invalid,
    error_for,
)
from vso.vault.health import Health, health_in
from vso.vault.json import JsonObject
from vso.vault.limiter import LimiterStatistics
from vso.vault.observer import VaultObserver
from vso.vault.paths import check_namespace, encode_path
from vso.vault.tls import expired
from vso.vault.transport import Answer, Exchange, Transport

MAX_BODY = 32 * 1024 * 1024
_PROBE_TIMEOUT = 5.0
_ATTEMPTS = 3
_WORTH_RETRYING = (DroppedError, BehindError)

BodyValue: TypeAlias = object
"""What JSON can hold, or a Sensitive; a mapping's own values are plain."""


@dataclass(frozen=True)
class VaultRequest:
    """One API call. `path` is plain text without /v1; it is encoded on the way."""

    method: str
    path: str
    token: Sensitive | None = None
    expires: float | None = None
    """On clock.monotonic(): after it the token is not sent any more, however long a slot took."""
    namespace: str = ""
    body: Mapping[str, BodyValue] | None = field(default=None, repr=False)
    query: Pairs = ()
    headers: Pairs = field(default=(), repr=False)
    lane: Lane = Lane.REFRESH
    repeatable: bool = True
    """False for what makes something: it is not tried again when nobody knows whether it arrived."""

    def under(self, token: Sensitive, expires: float) -> VaultRequest:
        """Return the same request with a token."""
        return replace(self, token=token, expires=expires)


@dataclass(frozen=True)
class VaultAnswer:
    """What Vault said; `body` is {} for an answer without one."""

    status: int
    body: JsonObject = field(repr=False)
    request_id: str = ""


class _AsideError(Exception):
    """A failure that tells the gate nothing; never leaves this module."""

    def __init__(self, cause: VsoError) -> None:
        super().__init__(cause.message)
        self.cause = cause


class VaultClient:
    """Requests to one VaultConnection."""

    def __init__(
        self,
        config: ConnectionConfig,
        clock: Clock,
        rng: random.Random,
        *,
        user_agent: str,
        observer: VaultObserver,
        max_body: int = MAX_BODY,
        door: Door | None = None,
    ) -> None:
        self.config = config
        self._clock = clock
        self._rng = rng
        self._user_agent = user_agent
        self._observer = observer
        self._max_body = max_body
        self._transport = Transport(config, max_body)
        self._headers = {**dict(config.headers), "User-Agent": user_agent, "X-Vault-Request": "true"}
        self._answered = False
        self._door = door or Door(config, clock, observer)
        self._door.join(self)
        self._limiter, self._gate = self._door.limiter, self._door.gate

    def showing(self, config: ConnectionConfig) -> VaultClient:
        """Return a client of the same Vault that shows another certificate, behind the same limits and breaker."""
        return VaultClient(
            replace(config, timeout=self.config.timeout),
            self._clock,
            self._rng,
            user_agent=self._user_agent,
            observer=self._observer,
            max_body=self._max_body,
            door=self._door,
        )

    @property
    def answered(self) -> bool:
        """Whether Vault has ever answered: what this client shows of itself is let in."""
        return self._answered

    @property
    def breaker_open(self) -> bool:
        """Whether the breaker is open, or on trial and not yet closed."""
        return self._gate.is_open

    @property
    def outage(self) -> VsoError | None:
        """The cause while the breaker is open or on trial, else None."""
        return self._gate.outage

    def on_state(self, callback: Callable[[bool], None]) -> None:
        """Have the callback called with True when the breaker opens and False when it closes."""
        self._gate.on_state(callback)

    def on_trial(self, callback: Callable[[], None]) -> None:
        """Have the callback called when a few requests are wanted: only they can close the breaker."""
        self._gate.on_trial(callback)

    def statistics(self) -> LimiterStatistics:
        """Return how many requests are in hand and how many wait."""
        return self._limiter.statistics()

    def check(self) -> None:
        """Raise what keeps a request from going now: what only leads up to one is then not worth doing."""
        self._gate.check()

    async def send(self, request: VaultRequest) -> VaultAnswer:
        """Make the request; a 404 that holds data or warnings is an answer, everything else from 400 on an error.

        A GET whose connection is refused or dropped, or that a standby is too far behind for, is tried again.
        """
        exchange = self._exchange(request)
        self._gate.check()
        try:
            async with self._limiter.slot(request.lane):
                with self._gate.enter():
                    if request.method != "GET" or not request.repeatable:
                        return await self._once(request, exchange)
                    return await attempt(self._retrying, _WORTH_RETRYING, self._once, request, exchange)
        except _AsideError as aside:
            cause = aside.cause
        raise cause

    async def connect(self, request: VaultRequest) -> Channel:
        """Open a websocket; its handshake is a request like others, what comes over it takes no slot.

        Only a Vault that cannot be reached counts for the breaker: what else keeps a websocket from being
        opened (a proxy, a standby that serves reads) keeps no read from being answered.
        """
        exchange = self._exchange(request)
        self._gate.check()
        try:
            async with self._limiter.slot(request.lane):
                with self._gate.enter():
                    return await self._shake_hands(request, exchange)
        except _AsideError as aside:
            cause = aside.cause
        raise cause

    async def health(self) -> Health:
        """Ask sys/health, whatever the gate says; never raises a VsoError."""
        started = self._clock.monotonic()
        try:
            # Real time: it bounds the socket and the wait for a slot that a black hole still holds.
            async with asyncio.timeout(min(self.config.timeout, _PROBE_TIMEOUT)):
                found = await self._ask_health()
        except TimeoutError:
            found = Health(reachable=False, error=self._transport.silent())
        except VsoError as error:
            found = Health(reachable=False, error=error)
        self._observe("health", started, ok=found.error is None)
        return found

    async def run(self) -> None:
        """Look whether Vault is back as long as the breaker is open; for one of those who share it."""
        await self._door.run()

    async def close(self) -> None:
        """Close the sockets; whoever still asks is told that the connection is gone."""
        self._door.leave(self)
        await self._transport.close()

    def _retrying(self) -> tenacity.AsyncRetrying:
        return tenacity.AsyncRetrying(
            sleep=self._clock.sleep,
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=lambda state: 0.25 * state.attempt_number * (0.5 + self._rng.random()),
            retry=tenacity.retry_if_exception(self._worth_retrying),
            reraise=True,
        )

    def _worth_retrying(self, error: BaseException) -> bool:
        return isinstance(error, _WORTH_RETRYING) and not self._gate.is_open

    async def _once(self, request: VaultRequest, exchange: Exchange) -> VaultAnswer:
        started = self._clock.monotonic()
        _check_life(request, started)
        ok = False
        try:
            answer = await self._transport.exchange(exchange, self.config.timeout)
            ok, self._answered = answer.status < 400 or answer.status == 404, True
        except VaultDownError as error:
            if self._shut_out(error):
                raise _AsideError(ShutOutError(error.reason, error.message, error.retry_after)) from None
            raise
        finally:
            self._observe(_operation(request), started, ok=ok)
        return self._judge(request, answer)

    def _shut_out(self, error: VaultDownError) -> bool:
        """Tell whether it may be a consumer's certificate alone that is not let in: it keeps nobody else out.

        A server that refuses one drops the connection, and its word for it gets lost at times.
        """
        if not self.config.variant:
            return False
        told = error.reason is Reason.VAULT_TLS_ERROR or not self._answered
        return told or expired(self.config.tls.client_cert_pem, self._clock.now())

    async def _shake_hands(self, request: VaultRequest, exchange: Exchange) -> Channel:
        started = self._clock.monotonic()
        _check_life(request, started)
        found: Channel | Answer | None = None
        try:
            found = await self._transport.upgrade(exchange, self.config.timeout)
        except VaultDownError as error:
            if error.reason is Reason.VAULT_STANDBY or self._shut_out(error):
                raise _AsideError(error) from None
            raise
        finally:
            self._observe("subscribe", started, ok=isinstance(found, Channel))
        if isinstance(found, Channel):
            return found
        try:
            self._judge(request, found)
        except VsoError as error:
            if found.status >= 500:
                raise _AsideError(error) from None
            raise
        raise answer_invalid(self._transport.where, f"{request.path} is answered {found.status}, without a websocket")

    def _exchange(self, request: VaultRequest) -> Exchange:
        headers = {**self._headers, **dict(request.headers)}
        namespace = request.namespace or self.config.namespace
        check_namespace(namespace)
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        if request.token is not None:
            headers["X-Vault-Token"] = request.token.reveal_text()
        body = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps({key: _plain(value) for key, value in request.body.items()}).encode()
        query = f"?{urlencode(request.query)}" if request.query else ""
        url = f"{self.config.base}/v1/{encode_path(request.path)}{query}"
        return Exchange(request.method, url, headers, body)

    def _judge(self, request: VaultRequest, answer: Answer) -> VaultAnswer:
        body = answer.body
        holds = body is not None and (bool(body.get("data")) or bool(body.get("warnings")))
        if answer.status >= 400 and not (answer.status == 404 and holds):
            asked = Asked(self._transport.where, request.method, request.path)
            raise error_for(asked, answer.status, _redacted(body, request), answer.retry_after)
        if body is None and not answer.empty:
            raise answer_invalid(self._transport.where, f"{request.method} {request.path} is answered without JSON")
        found = body or {}
        return VaultAnswer(answer.status, found, str(found.get("request_id") or ""))

    async def _ask_health(self) -> Health:
        where = self._transport.where
        async with self._limiter.slot(Lane.URGENT):
            request = VaultRequest("GET", "sys/health")
            answer = await self._transport.exchange(self._exchange(request), _PROBE_TIMEOUT)
        try:
            return health_in(where, answer.body)
        except VsoError:
            if answer.status < 400:
                raise
        raise error_for(Asked(where, "GET", "sys/health"), answer.status, answer.body)

    def _observe(self, operation: str, started: float, *, ok: bool) -> None:
        self._observer.request(self.config.name, operation, self._clock.monotonic() - started, ok=ok)


def _check_life(request: VaultRequest, now: float) -> None:
    if request.expires is not None and now >= request.expires:
        raise TokenSpentError


def _operation(request: VaultRequest) -> str:
    last = request.path.rpartition("/")[2]
    if request.method == "GET":
        return "read"
    return {"login": "login", "renew-self": "renew", "renew": "renew", "revoke-self": "revoke"}.get(last, "write")


def _plain(value: BodyValue) -> object:
    return value.reveal_text() if isinstance(value, Sensitive) else value


def _redacted(body: JsonObject | None, request: VaultRequest) -> JsonObject | None:
    """Return the body whose error texts do not echo a credential of the request."""
    if body is None or not isinstance(body.get("errors"), list):
        return body
    given = [request.token, *(value for value in (request.body or {}).values() if isinstance(value, Sensitive))]
    secrets = [secret.reveal_text() for secret in given if isinstance(secret, Sensitive) and len(secret)]
    texts = []
    for text in body["errors"]:
        shown = str(text)
        for secret in secrets:
            shown = shown.replace(secret, "***")
        texts.append(shown)
    return {**body, "errors": texts}
