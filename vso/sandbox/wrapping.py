"""Response wrapping: an answer is put aside, and a token that opens it once is handed out in its place.

Invariant: what is in a wrapping has happened already (a lease runs); with the token's life its content is gone.
"""

from __future__ import annotations

from vso.core.clock import Clock
from vso.sandbox.objects import timestamp
from vso.sandbox.policies import WRAPPING
from vso.sandbox.vault_tokens import Grant, TokenStore
from vso.sandbox.vault_types import Answer, InvalidRequestError, VaultRequest


class Wrappings:
    """All wrappings that nobody has opened."""

    def __init__(self, clock: Clock, tokens: TokenStore) -> None:
        self._clock = clock
        self._tokens = tokens
        self._held: dict[str, Answer] = {}

    def wrap(self, request: VaultRequest, answer: Answer) -> Answer:
        """Return the answer, or a token for it where the request asks for that and there is something to wrap."""
        if not request.wrap_ttl or answer == Answer():
            return answer
        grant = Grant((WRAPPING,), "", request.path, ttl=request.wrap_ttl, num_uses=1, renewable=False)
        token = self._tokens.issue(grant)
        self._held[token.id] = answer
        self._held = {name: held for name, held in self._held.items() if self._tokens.find(name) is not None}
        info = {
            "token": token.id,
            "accessor": token.accessor,
            "ttl": int(request.wrap_ttl),
            "creation_time": timestamp(self._clock.now(), micro=True),
            "creation_path": request.path,
        }
        return Answer(wrap_info=info)

    def open(self, request: VaultRequest) -> Answer:
        """Return what a token wraps: the request's own, or the one that it names."""
        name = str(request.body.get("token") or request.token)
        held = self._held.pop(name, None)
        if held is None or (name != request.token and self._tokens.find(name) is None):
            raise InvalidRequestError("wrapping token is not valid or does not exist")
        self._tokens.revoke(name)
        return held
