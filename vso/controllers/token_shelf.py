"""The tokens that leases hang on, kept over a restart in a fixed set of Secrets of the operator's namespace.

Invariant: the Secrets are read and patched by name, never made, listed or deleted; without them, or without
the right to them, everything works as with nothing kept. No failure here reaches an issue, and nobody
waits longer than a few seconds. What an earlier process kept is dropped an hour after the start unless an
object has asked for it by then; until then nobody here knows all the leases that hang on it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from vso.controllers.token_entries import SECRETS, Entry, Model, decode, encode, secret_of
from vso.core.clock import Clock
from vso.core.errors import VsoError
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import ForbiddenError, NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.paths import secret_path
from vso.runtime.deadline import within
from vso.vault.keeping import KeptToken

_PATIENCE = 5.0
_LOAD_AGAIN = 10.0
_CLAIM_WITHIN = 3600.0
_KEEPS_NOTHING = (Model.UNSAID, Model.NONE)
_REMEDY = "apply manifests/rbac/client-cache, or leave --client-cache-persistence-model out"

_log = structlog.get_logger("vso.tokens")


class Cipher(Protocol):
    """Encrypts tokens; a VsoError says why not."""

    async def seal(self, plain: Sensitive) -> str:
        """Return the ciphertext of a token."""
        ...

    async def open(self, sealed: str) -> Sensitive:
        """Return the token of a ciphertext."""
        ...


@dataclass(frozen=True)
class ShelfConfig:
    """Where tokens are kept, how much of them, and the key that tells our entries from others."""

    namespace: str
    model: Model
    mac_key: Sensitive


class TokenShelf:
    """A `vso.vault.keeping.Shelf` of Secrets."""

    def __init__(self, kube: KubeClient, clock: Clock, config: ShelfConfig, cipher: Cipher) -> None:
        self._kube = kube
        self._clock = clock
        self._config = config
        self._cipher = cipher
        self._entries: dict[str, Entry] = {}
        self._theirs: frozenset[str] = frozenset()
        """What an earlier process kept, for as long as objects may come and ask for it."""
        self._unclaimed: set[str] = set()
        self._open = False
        """Whether the Secrets are there and ours to use."""
        self._loaded = config.model in _KEEPS_NOTHING
        self._told: set[str] = set()

    # The life of a leader.

    async def load(self) -> None:
        """Read what an earlier leader has kept; with nothing to keep, clear what an earlier model has left."""
        if self._config.model in _KEEPS_NOTHING:
            if self._config.model is Model.NONE:
                await self._clear()
            return
        self._loaded = self._open = False
        try:
            found = await within(self._clock, _PATIENCE, self._read())
        except (NotFoundError, ForbiddenError) as error:
            self._loaded = True
            where = ", ".join(SECRETS)
            self._warn("no Vault token is kept over a restart", error, secrets=where, remedy=_REMEDY)
            return
        except (VsoError, TimeoutError) as error:
            self._warn("kept Vault tokens cannot be read yet", error)
            return
        self._loaded = self._open = True
        self._entries = {}
        for name, secret in zip(SECRETS, found, strict=True):
            await self._take(name, child(secret, "data"))
        self._theirs, self._unclaimed = frozenset(self._entries), set(self._entries)
        _log.info("kept Vault tokens", model=self._config.model.value, tokens=len(self._entries))

    async def run(self) -> None:
        """Load until it succeeds; after an hour drop what nobody has asked for."""
        while not self._loaded:
            await self._clock.sleep(_LOAD_AGAIN)
            await self.load()
        while True:
            await self._clock.sleep(_CLAIM_WITHIN)
            await self.sweep()

    async def sweep(self) -> None:
        """Drop the entries that nobody has asked for; their tokens run out by themselves."""
        names, self._unclaimed, self._theirs = self._unclaimed, set(), frozenset()
        for secret in SECRETS:
            gone: dict[str, Entry | None] = {name: None for name in names if secret_of(name) == secret}
            await self._write(secret, gone)

    # The shelf.

    async def put(self, kept: KeptToken) -> bool:
        """Keep the token; False asks for another try later."""
        if not self._open:
            return self._loaded
        known = self._entries.get(kept.id)
        if known is not None and (kept.token is None or known.whole(self._config.model)):
            self._unclaimed.discard(kept.id)
            return True
        entry = Entry(kept.session, kept.provider_uid, kept.ttl, kept.accessor)
        if kept.token is not None:
            entry = await self._with_token(entry, kept.token)
        self._unclaimed.discard(kept.id)
        written = await self._write(secret_of(kept.id), {kept.id: entry})
        return written and entry.whole(self._config.model)

    async def find(self, name: str, session: str) -> KeptToken | None:
        """Return the token of that session that a status calls so."""
        entry = self._entries.get(name)
        if entry is None or entry.session != session:
            return None
        kept = KeptToken(entry.session, entry.provider_uid, entry.ttl, accessor=entry.accessor)
        if entry.token:
            return replace(kept, token=Sensitive.of(entry.token))
        if entry.sealed:
            return replace(kept, token=await self._opened(entry.sealed))
        return kept

    async def drop(self, name: str, *, ended: bool) -> None:
        """Nothing of this process hangs on the token any more, or it has ended."""
        if name not in self._entries:
            return
        if name in self._theirs and not ended:
            self._unclaimed.add(name)  # other objects may ask for it yet
            return
        self._unclaimed.discard(name)
        await self._write(secret_of(name), {name: None})

    def not_restored(self, session: str, error: VsoError) -> None:
        """Tell once for each session why its tokens are of no use."""
        self._warn("a kept Vault token is not restored", error, session=session)

    # Behind it.

    async def _read(self) -> list[JsonObject]:
        return [await self._kube.get(secret_path(self._config.namespace, name)) for name in SECRETS]

    async def _with_token(self, entry: Entry, token: Sensitive) -> Entry:
        """Return the entry with as much of the token as the model keeps, and as can be had."""
        if self._config.model is Model.CLEAR:
            return replace(entry, token=token.reveal_text())
        if self._config.model is not Model.ENCRYPTED:
            return entry
        try:
            return replace(entry, sealed=await within(self._clock, _PATIENCE, self._cipher.seal(token)))
        except (VsoError, TimeoutError) as error:
            self._warn("a Vault token is kept by its accessor alone: it was not encrypted", error)
            return entry

    async def _opened(self, sealed: str) -> Sensitive | None:
        try:
            return await within(self._clock, _PATIENCE, self._cipher.open(sealed))
        except (VsoError, TimeoutError) as error:
            self._warn("a kept Vault token was not decrypted: its accessor has to do", error)
            return None

    async def _take(self, secret: str, data: JsonObject) -> None:
        """Take the entries of a Secret; what is not ours goes, and so does what the model does not keep."""
        mend: dict[str, Entry | None] = {}
        key = self._config.mac_key.reveal()
        for name, value in data.items():
            try:
                entry = decode((secret, name), base64.b64decode(str(value), validate=True), key)
            except (ValueError, KeyError, TypeError, binascii.Error):
                mend[name] = None
                _log.warning("an entry is refused: this operator has not written it so", secret=secret, entry=name)
                continue
            self._entries[name] = kept = entry.under(self._config.model)
            if kept != entry:
                mend[name] = kept
        await self._write(secret, mend)

    async def _write(self, secret: str, changes: Mapping[str, Entry | None]) -> bool:
        """Change entries of one Secret, None for those that go; what was not written is not remembered either."""
        if not changes:
            return True
        key = self._config.mac_key.reveal()
        data = {
            name: None if entry is None else base64.b64encode(encode(entry, key)).decode()
            for name, entry in changes.items()
        }
        try:
            await within(self._clock, _PATIENCE, self._patch(secret, data))
        except (VsoError, TimeoutError) as error:
            self._warn("kept Vault tokens could not be written", error, secret=secret)
            return False
        for name, entry in changes.items():
            if entry is None:
                self._entries.pop(name, None)
            else:
                self._entries[name] = entry
        return True

    async def _clear(self) -> None:
        for secret in SECRETS:
            try:
                await within(self._clock, _PATIENCE, self._patch(secret, None))
            except (VsoError, TimeoutError):
                return  # not installed, as is usual with nothing to keep; or not to be reached, and inert

    async def _patch(self, secret: str, data: JsonObject | None) -> None:
        path = secret_path(self._config.namespace, secret)
        await self._kube.patch(path, {"data": data}, content_type=PatchType.MERGE, metadata_only=True)

    def _warn(self, event: str, error: Exception, **about: str) -> None:
        """Tell a trouble once, and not again while nothing about it changes."""
        reason, text = (error.reason.value, error.message) if isinstance(error, VsoError) else ("Timeout", "too slow")
        told = f"{event} {about} {text}"
        if told not in self._told:
            self._told.add(told)
            _log.warning(event, reason=reason, error=text, **about)
