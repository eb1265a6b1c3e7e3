"""One request on its way through the fault proxy, and the client that waits for it.

Invariant: whoever waits for a client hears at once when it has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

from tests.testbed.faults import Fault
from tests.testbed.http_wire import Head

_FAREWELL = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds: closing sends RST


class DroppedError(Exception):
    """The connection to the client ends here."""


class Client(asyncio.StreamReader):
    """A client's stream that tells at once when the client has gone, even while nobody reads."""

    def __init__(self) -> None:
        super().__init__(limit=1 << 20)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        """The client has closed."""
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: BaseException) -> None:
        """The connection broke."""
        super().set_exception(exc)  # type: ignore[arg-type]  # typeshed wants a class; asyncio hands an instance
        self.gone.set()


@dataclass(eq=False)
class Exchange:
    """A request on its way, and how much of the answer has reached the client."""

    head: Head
    reader: Client
    writer: asyncio.StreamWriter
    sent: int = 0

    def meets(self, fault: Fault) -> bool:
        return fault.match(self.head.method, self.head.target)

    def reset(self) -> None:
        """Break the client's connection."""
        with contextlib.suppress(OSError):
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FAREWELL)
        self.writer.transport.abort()
