"""What can be done to a request on its way: the vocabulary of the fault-injecting proxy.

Invariant: an action is a value; the proxy alone knows how to carry it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import orjson

Match = Callable[[str, str], bool]


@dataclass(frozen=True)
class Status:
    """Answer in the server's place; the request never arrives there."""

    code: int
    body: bytes | str | Mapping[str, object] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        """The answer as bytes."""
        body = (
            self.body
            if isinstance(self.body, bytes)
            else self.body.encode()
            if isinstance(self.body, str)
            else orjson.dumps(dict(self.body))
        )
        kind = "text/plain" if isinstance(self.body, str) else "application/json"
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.code} Injected\r\n{lines}\r\n".encode() + body


@dataclass(frozen=True)
class Delay:
    """Hold the request for so many seconds, then hand it on."""

    seconds: float


@dataclass(frozen=True)
class BlackHole:
    """Accept the request and never answer; clearing the fault does not save it."""


@dataclass(frozen=True)
class Reset:
    """Break the connection (TCP RST) instead of handing the request on."""


@dataclass(frozen=True)
class Cut:
    """Hand the request on, and break the connection after so many bytes of the answer's body.

    None at all: the server did what was asked and the client never learns. Streams that are open when
    the fault is set and have had as much already are cut at once.
    """

    after_bytes: int = 0


@dataclass(frozen=True)
class Freeze:
    """Hand the request on, but no byte of an answer, on new streams and on open ones, until the fault is gone."""


@dataclass(frozen=True)
class Header:
    """Hand the request on with one more header, as a proxy may."""

    name: str
    value: str


Action = Header | Status | Delay | BlackHole | Reset | Cut | Freeze


@dataclass
class Fault:
    """An action in force on the requests that match, and how many it has met."""

    match: Match
    action: Action
    times: int | None = None
    hits: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has met as many requests as it was made for."""
        return self.times is not None and self.hits >= self.times


def anything(_method: str, _path: str) -> bool:
    """Match every request."""
    return True


def path_has(*parts: str, method: str | None = None) -> Match:
    """Match requests whose path contains one of the parts."""

    def matches(asked: str, path: str) -> bool:
        return method in (None, asked) and any(part in path for part in parts)

    return matches
