"""What is read from Vault, shared by everyone who wants the same thing under the same identity.

A source is (session, Vault namespace, mount, path, version): never the path alone, since two
identities may see different things there. Invariant: reads of one source that are in flight
together are one request; a result is shared for a few seconds and then forgotten, so that no
secret value stays in memory between polls. A version is never followed by an older one of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from vso.controllers.newest import NewestVersions
from vso.core.clock import Clock
from vso.core.errors import Reason, TransientError, VsoError
from vso.core.sensitive import keyed_digest
from vso.decide.gojson import go_json
from vso.runtime.single_flight import SingleFlight
from vso.runtime.workqueue import Lane
from vso.vault.auth.refusal import LoginHeldBackError
from vso.vault.config import SessionKey
from vso.vault.engines import KvRequest, KvSecret, read_kv
from vso.vault.errors import BehindError, BreakerOpenError, HeldError
from vso.vault.session import Session

Fingerprint = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One place in Vault as one identity sees it; hashable, compared without the live session."""

    session_key: SessionKey
    namespace: str
    request: KvRequest
    session: Session = field(compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Hash once: a source is a key in half a dozen tables, and each poll looks it up in most of them."""
        object.__setattr__(self, "_hash", hash((self.session_key, self.namespace, self.request)))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return f"{self.session.connection_name} {self.namespace} {self.request.url_path()}"


@dataclass(frozen=True, slots=True)
class _Answer:
    began: float
    result: KvSecret | VsoError


class _OlderError(BehindError):
    """A node of Vault answers with an older version than another one before."""

    def __init__(self, message: str, newest: Fingerprint) -> None:
        super().__init__(Reason.VAULT_UNAVAILABLE, message)
        self.newest = newest


class SourceReader:
    """Reads sources once for all who ask within `shared_for` seconds."""

    def __init__(self, clock: Clock, digest_key: bytes, *, shared_for: float = 5.0) -> None:
        self._clock = clock
        self._digest_key = digest_key
        self._shared_for = shared_for
        self._flights: SingleFlight[Source, _Answer] = SingleFlight()
        self._answers: dict[Source, _Answer] = {}
        self._order: deque[tuple[float, Source]] = deque()
        self._newest: NewestVersions[Source, Fingerprint] = NewestVersions(clock)

    async def read(self, source: Source, lane: Lane, *, fresh: bool = False) -> KvSecret:
        """Return what Vault holds; raises the VsoError that the read met.

        `fresh` asks for a read that begins now, at the latest joined to one in flight.
        """
        self._forget_old()
        answer = None if fresh else self._answers.get(source)
        # A slow read lands behind quicker ones that began later, hence the second look at its age.
        if answer is None or answer.began + self._shared_for <= self._clock.monotonic():
            answer = await self._flights.run(source, lambda: self._fetch(source, lane))
        if isinstance(answer.result, VsoError):
            raise answer.result
        return answer.result

    async def look(self, source: Source) -> Fingerprint:
        """Poll the source: a value that differs whenever the content or the failure does.

        Raises only a HeldError: nothing was asked, so that nothing is told of the source.
        """
        try:
            return self.fingerprint(await self._read_anew(source))
        except _OlderError as older:
            return older.newest
        except HeldError:
            raise
        except VsoError as error:
            return failed_fingerprint(error)
        except Exception as error:  # noqa: BLE001  what one team's secret trips must not end the polls of all others
            # The subscribers are woken, meet the same bug in passes of their own, and those report it.
            return ("bug", type(error).__name__)

    def fingerprint(self, secret: KvSecret) -> Fingerprint:
        """Return a keyed digest of what was read, with its version."""
        return ("read", secret.version, keyed_digest(self._digest_key, go_json(secret.raw)))

    async def _read_anew(self, source: Source) -> KvSecret:
        """Return what a read finds that begins from now on: one in flight may have begun before a change."""
        asked = self._clock.monotonic()
        answer = await self._flights.run(source, lambda: self._fetch(source, Lane.REFRESH))
        if answer.began < asked:
            answer = await self._flights.run(source, lambda: self._fetch(source, Lane.REFRESH))
        if isinstance(answer.result, VsoError):
            raise answer.result
        return answer.result

    def _checked(self, source: Source, secret: KvSecret) -> KvSecret:
        """Return the secret, unless a newer version of it was seen a moment ago."""
        if source.request.type == "kv-v2" and source.request.version is None:
            newest = self._newest.newer(source, secret)
            if newest is not None:
                text = f"Vault answers with version {secret.version} of {source.request}, and had a newer one before"
                raise _OlderError(text, newest)
            self._newest.note(source, secret, self.fingerprint)
        return secret

    async def _fetch(self, source: Source, lane: Lane) -> _Answer:
        began = self._clock.monotonic()
        result: KvSecret | VsoError
        try:
            secret = await read_kv(source.session, source.request, namespace=source.namespace, lane=lane)
            result = self._checked(source, secret)
        except VsoError as error:
            result = error
        answer = _Answer(began, result)
        # What fails for want of a login is told again by the session, without a request and to the end of its pause.
        if _worth_sharing(result) and not source.session.standing.failing:
            self._answers[source] = answer
            self._order.append((began + self._shared_for, source))
        return answer

    async def run(self) -> None:
        """Forget what is old, until cancelled: no value stays in memory for want of a next read."""
        while True:
            await self._clock.sleep(self._shared_for)
            self._forget_old()
            self._newest.forget_old()

    def forget_failures(self, *, connection: str = "", auth: str = "") -> None:
        """The connection, or what logs in by the VaultAuth, is another now: its failures are not told from memory."""
        for source, answer in list(self._answers.items()):
            known = source.session.connection_name == connection or source.session.login.name == auth
            if known and isinstance(answer.result, VsoError):
                del self._answers[source]

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        while self._order and self._order[0][0] <= now:
            _, source = self._order.popleft()
            answer = self._answers.get(source)
            if answer is not None and answer.began + self._shared_for <= now:
                del self._answers[source]


def _worth_sharing(result: KvSecret | VsoError) -> bool:
    """Tell whether the result may stand for a later one: not where nothing was asked, nor past the time asked for."""
    if isinstance(result, BreakerOpenError | LoginHeldBackError | _OlderError):
        return False
    return not isinstance(result, TransientError) or result.retry_after is None


def failed_fingerprint(error: VsoError) -> Fingerprint:
    """Return what stands for a failed read."""
    return ("failed", error.reason, error.message)
