"""A token's life: logged in once for everyone who shares it, replaced before it ends.

Invariant: one login in flight per session, however many wait for it; no request carries a token
past its end, or one that Vault has disowned; `relogins` says how often a 403 leads to a login.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from vso.core.errors import Reason, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.runtime.single_flight import SingleFlight
from vso.runtime.workqueue import Lane
from vso.vault.client import VaultAnswer, VaultClient, VaultRequest
from vso.vault.config import ConnectionConfig, LoginConfig, Pairs, SessionKey, account_of, cache_key, session_key
from vso.vault.errors import InvalidTokenError, PermissionDeniedError, TokenSpentError
from vso.vault.keeping import client_id
from vso.vault.logins import Held, LoginParts, Logins
from vso.vault.parents import Keeping, Parent, Parents
from vso.vault.relogins import Relogins
from vso.vault.standing import Standing
from vso.vault.subscription import Subscription
from vso.vault.succeeded import give_back, is_gone
from vso.vault.wrapping import opened

_NEW = 2.0
"""Seconds in which a token counts as fresh: its policies cannot have changed since."""


class Session:
    """One identity's way into one Vault."""

    def __init__(
        self,
        client: VaultClient,
        login: LoginConfig,
        parts: LoginParts,
        before: Callable[[], Iterable[Session]] = tuple,
        kept: dict[str, Sensitive] | None = None,
    ) -> None:
        self.key: SessionKey = session_key(client.config, login)
        self.login = login
        self._client = client
        self._before = before
        self._clock = parts.clock
        # Of the session before, whose login under way may still put something there: a wrapping opens once.
        self.kept: dict[str, Sensitive] = {} if kept is None else kept
        self._logins = Logins(login, parts, repr(self.key), account_of(client.config, login), self.kept)
        self._noticed = parts.noticed
        self._told = Standing()
        self._made_at = self._used_at = parts.clock.monotonic()
        self._held: Held | None = None
        self._latest: Held | None = None  # outlives its end, so that what status tells does not flicker
        self._flights: SingleFlight[SessionKey, Held] = SingleFlight()
        self._relogins = Relogins(parts.clock)
        self._parents = Parents(
            parts.clock, self._renew, Keeping(parts.shelf, self.key.told, self._logins.whose), parts.bereaved
        )

    @property
    def connection_name(self) -> str:
        """namespace/name of the VaultConnection."""
        return self._client.config.name

    @property
    def logged_in(self) -> bool:
        """Whether a token is held."""
        return self._held is not None

    @property
    def spent(self) -> bool:
        """Whether there is no token that would have to be given back one day."""
        return self._held is None and not self._parents.hold_any

    @property
    def standing(self) -> Standing:
        """What its logins have come to."""
        held, token = self._held, None if self._latest is None else self._latest.token
        failing = self._logins.failing and (held is None or not held.usable(self._clock.monotonic()))
        passing = failing and self._logins.passing
        known = Standing() if token is None else Standing(token.cautions, token.type)
        return replace(known, failing=failing, passing=passing)

    @property
    def token_life(self) -> float:
        """Seconds that a token of its logins lives; infinite for one without an end, 0 where nobody can tell."""
        return 0.0 if self._latest is None else self._latest.token.life

    def goes_over(self, config: ConnectionConfig) -> bool:
        """Tell whether that is the connection, in another shape perhaps, that the session takes, to the same Vault."""
        return _way_to(self._client.config) == _way_to(config)

    def adopt(self, client: VaultClient) -> None:
        """Go on over another client of the same Vault (a changed CA, say); the token stays."""
        self._client = client

    async def read(
        self, path: str, *, namespace: str = "", query: Pairs = (), lane: Lane = Lane.REFRESH
    ) -> VaultAnswer:
        """GET the path under this session's token, logging in where that is due."""
        request = VaultRequest("GET", path, namespace=namespace or self.login.namespace, query=query, lane=lane)
        return (await self.send(request))[0]

    async def send(self, request: VaultRequest) -> tuple[VaultAnswer, Held]:
        """Make the request under this session's token; return the answer and the token that it was given to.

        A 403 says that nothing was done: the request goes out once more, under a newer token. A lease that was
        made (by what is not repeatable) hangs on its token when this returns, and is the caller's to let go.
        """
        request = request if request.namespace else replace(request, namespace=self.login.namespace)
        held = await self._token(request.lane)
        try:
            return await self._send(held, request), held
        except InvalidTokenError as error:
            replacement = await self._after_invalid(held, request.lane, error)
        except PermissionDeniedError as error:
            replacement = await self._after_denied(held, request.lane, error)
        try:
            return await self._send(replacement, request), replacement
        except PermissionDeniedError as error:
            raise error.named(self._who) from None

    def hang(self, lease_id: str, held: Held) -> None:
        """The lease was issued under that token, and ends with it: the token is kept until the lease is let go."""
        self._parents.hang(lease_id, held)

    async def let_go(self, lease_id: str) -> None:
        """The lease is replaced, revoked or at its end; it may hang on a token of a session before this one."""
        for session in (self, *self._before()):
            await session.release(lease_id)

    async def release(self, lease_id: str) -> None:
        """Let the lease go if it hangs on a token of this session itself."""
        orphaned = self._parents.let_go(lease_id)
        if orphaned is None:
            return
        if orphaned is not self._held:
            await self._retire(orphaned)
        await self._parents.forget(orphaned)

    async def parent(self, lease_id: str, known_as: str = "") -> Parent | None:
        """Return how long the token lives that the lease hangs on, renewed if that is due; None when it is not ours.

        `known_as` is what the status calls that token: by it one is found again that an earlier process has kept.
        """
        parent = await self._parents.keep(lease_id, known_as)
        held = self._parents.held(lease_id)
        if self._latest is None and held is not None and not held.by_accessor and not held.final:
            self._held = self._latest = held  # as good as a login
        return parent

    def share(self) -> None:
        """Another process may have hung leases on our tokens."""
        self._parents.share()
        if self._held is not None:
            self._held.shared = True

    @asynccontextmanager
    async def subscribe(self, path: str, *, namespace: str = "", query: Pairs = ()) -> AsyncIterator[Subscription]:
        """Hold a websocket open under this session's token; a token that was replaced lives until it is let go."""
        request = VaultRequest("GET", path, namespace=namespace or self.login.namespace, query=query)
        held = await self._token(request.lane)
        async with AsyncExitStack() as stack:
            try:
                try:
                    subscription = await stack.enter_async_context(self._subscription(held, request))
                except InvalidTokenError as error:
                    held = await self._after_invalid(held, request.lane, error)
                    subscription = await stack.enter_async_context(self._subscription(held, request))
            except PermissionDeniedError as error:
                raise error.named(self._who) from None
            yield subscription

    def holds(self, held: Held) -> bool:
        """Tell whether that token is still the session's, and not yet to be replaced."""
        return self._held is held and held.current(self._clock.monotonic())

    def client_meta(self, namespace: str = "") -> tuple[str, str]:
        """Return cacheKey and id for status.vaultClientMeta; both empty before the first login."""
        if self._latest is None:
            return "", ""
        key = cache_key(self.key, self.login, self._latest.provider_uid, namespace)
        return key, client_id(self._latest.token.accessor)

    def unused_for(self, seconds: float) -> bool:
        """Tell whether nobody has used the session for so long."""
        return self._clock.monotonic() - self._used_at >= seconds

    async def give_back(self) -> None:
        """Revoke the token as soon as no request and no lease needs it; whoever comes later logs in again."""
        held, self._held = self._held, None
        if held is not None:
            await self._retire(held)

    async def revoke(self) -> None:
        """Give the token back, best effort and bounded; the next read logs in again."""
        held, self._held = self._held, None
        if held is not None:
            await self._discard(held)

    @property
    def _who(self) -> str:
        return f"{self.login.way.who} (VaultAuth {self.login.name})"

    async def _token(self, lane: Lane) -> Held:
        """Return a token that may be sent; one that nears its end is replaced, or used up if that fails."""
        held, now = self._held, self._clock.monotonic()
        if held is not None and held.leases:
            await self._parents.renew(held)  # where that is due: a new login would leave its leases behind
            now = self._clock.monotonic()
        if held is not None and held.usable(now) and held.current(now):
            return held
        try:
            return await self._log_in(lane)
        except VsoError:
            now = self._clock.monotonic()
            if held is None or held is not self._held or not held.usable(now):
                raise
            held.look_at = now + self.login.way.LOOK_AGAIN
            if now >= held.renew_at:
                held.renew_at = now + max(1.0, (held.expires_at - now) / 4)
            return held

    async def _send(self, held: Held, request: VaultRequest) -> VaultAnswer:
        held.uses_left -= 1
        async with self._using(held):
            answer = await self._client.send(request.under(held.token.token, held.expires_at))
            answer = await opened(self._client, self._clock, request, answer)
            lease_id = "" if request.repeatable else str(answer.body.get("lease_id") or "")
            if lease_id:  # before the token counts as unused: a replaced one is revoked then, and the lease with it
                self.hang(lease_id, held)
            return answer

    @asynccontextmanager
    async def _subscription(self, held: Held, request: VaultRequest) -> AsyncIterator[Subscription]:
        held.uses_left -= 1
        async with self._using(held):
            channel = await self._client.connect(request.under(held.token.token, held.expires_at))
            try:
                yield Subscription(channel, lambda: self.holds(held))
            finally:
                await channel.close()

    async def _after_invalid(self, held: Held, lane: Lane, error: InvalidTokenError) -> Held:
        spent = isinstance(error, TokenSpentError)
        if self._held is held:
            self._held = None
            if not spent:
                self._relogins.lost(error)
        if not spent:  # whoever holds its leases hears of it at once, whenever the next login may be
            self._parents.died(held)
        return await self._token(lane)

    async def _after_denied(self, held: Held, lane: Lane, error: PermissionDeniedError) -> Held:
        """Return a token with the role's policies of now, when the one at hand may have older ones."""
        denied = error.named(self._who)
        now = self._clock.monotonic()
        if self._held is not None and self._held is not held and self._held.usable(now):
            return self._held
        if now - held.obtained_at < _NEW:
            raise denied from None
        if not self._flights.statistics().flights:
            self._relogins.ask(denied)
        try:
            fresh = await self._log_in(lane)
        except VsoError:
            raise denied from None
        if fresh is not held:
            await self._retire(held)
        return fresh

    async def _renew(self, held: Held) -> VaultAnswer:
        """Renew a token under itself, or by its accessor under the session's; InvalidTokenError when it is no more."""
        path = "auth/token/renew-accessor" if held.by_accessor else "auth/token/renew-self"
        request = VaultRequest("PUT", path, namespace=self.login.namespace, lane=Lane.URGENT)
        if not held.by_accessor:
            return await self._send(held, request)
        try:
            return (await self.send(replace(request, body={"accessor": held.token.accessor})))[0]
        except InvalidTokenError as error:
            refusal: VsoError = TransientError(error.reason, error.message)  # it speaks of the session's own
        except VsoError as error:
            gone = error.reason is Reason.VAULT_REQUEST_INVALID and "invalid accessor" in error.message
            refusal = InvalidTokenError() if gone else error
        raise refusal

    async def _log_in(self, lane: Lane) -> Held:
        if not self._flights.statistics().flights:
            try:
                self._relogins.check()
                self._logins.check(lane)
            finally:  # a token that has ended since the last try may leave nothing to ask with
                self._tell_standing()
        return await self._flights.run(self.key, self._fetch)

    async def _fetch(self) -> Held:
        before = self._held
        try:
            fetched = await self._logins.fetch(self._client)
            held = self._held = self._latest = self._parents.known(fetched, self._latest)
        finally:
            self._tell_standing()
        if before is not None and before is not held and await self._is_gone(before):
            self._parents.died(before)
        return held

    @asynccontextmanager
    async def _using(self, held: Held) -> AsyncIterator[None]:
        held.users += 1
        try:
            yield
        finally:
            held.users -= 1
            self._used_at = self._clock.monotonic()
            if held.retired and held.users == 0:
                await self._discard(held)

    async def _retire(self, held: Held) -> None:
        """Revoke a replaced token as soon as nobody uses it: logins forced by 403s must not pile up."""
        held.retired = True
        if held.users == 0:
            await self._discard(held)

    async def _discard(self, held: Held) -> None:
        await give_back(self._client, held, self.login.namespace, self._clock.monotonic())

    def _tell_standing(self) -> None:
        if self.standing != self._told:
            self._noticed(self.login, self._told, self.standing, self._clock.monotonic() - self._made_at)
            self._told = self.standing

    async def _is_gone(self, held: Held) -> bool:
        return await is_gone(self._client, held, self.login.namespace, self._clock.monotonic())


def _way_to(config: ConnectionConfig) -> tuple[object, ...]:
    return config.uid, config.variant, config.base, config.namespace, config.headers
