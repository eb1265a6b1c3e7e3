"""As much of HTTP/1.1 as a proxy needs: read a head, and tell where the body ends. Bytes stay as they are.

Invariant: what `read_head` and `body_of` yield, joined, is what came over the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

_PIECE = 1 << 16


@dataclass(frozen=True)
class Head:
    """The first line and the headers of a request or an answer."""

    first: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.first.split(" ")[0]

    @property
    def target(self) -> str:
        """The path and query of a request."""
        return self.first.split(" ")[1]

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.first.split(" ")[1])

    def with_header(self, name: str, value: str) -> Head:
        """The same with one more header, before all others."""
        first, _, rest = self.raw.partition(b"\r\n")
        raw = first + f"\r\n{name}: {value}\r\n".encode() + rest
        return Head(self.first, ((name, value), *self.headers), raw)

    def header(self, name: str) -> str:
        """A header's value in lower case, or nothing."""
        return next((value.lower() for key, value in self.headers if key.lower() == name), "")

    @property
    def last(self) -> bool:
        """Whether the connection ends after this message."""
        return self.header("connection") == "close" or "HTTP/1.0" in self.first


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read a head; None when the peer has nothing more to say."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = (line.partition(":") for line in lines)
    return Head(first, tuple((name.strip(), value.strip()) for name, _, value in headers), raw)


def request_body(head: Head, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The pieces of a request's body."""
    return _framed(head, reader, otherwise=_exactly(reader, 0))


def response_body(head: Head, reader: asyncio.StreamReader, *, method: str) -> AsyncIterator[bytes]:
    """The pieces of an answer's body."""
    if method == "HEAD" or head.status in {204, 304} or head.status < 200:
        return _exactly(reader, 0)
    return _framed(head, reader, otherwise=until_end(reader))


def ends_with_connection(head: Head) -> bool:
    """Whether an answer says nothing of its length, so that only the end of the connection ends it."""
    return not head.header("content-length") and not head.header("transfer-encoding") and head.status not in {204, 304}


async def until_end(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Everything that comes until the peer closes."""
    while piece := await reader.read(_PIECE):
        yield piece


def _framed(head: Head, reader: asyncio.StreamReader, *, otherwise: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if "chunked" in head.header("transfer-encoding"):
        return _chunks(reader)
    if length := head.header("content-length"):
        return _exactly(reader, int(length))
    return otherwise


async def _exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length:
        piece = await reader.read(min(length, _PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", length)
        length -= len(piece)
        yield piece


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = await reader.readuntil(b"\r\n")
        yield size
        if (length := int(size.split(b";")[0], 16)) == 0:
            break
        async for piece in _exactly(reader, length + 2):
            yield piece
    while (trailer := await reader.readuntil(b"\r\n")) != b"\r\n":
        yield trailer
    yield trailer
