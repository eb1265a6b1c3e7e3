"""A websocket to Vault after its handshake: messages in, nothing out.

Invariant: no foreign exception leaves this module; whatever ends the websocket is one error that
passes. Closing is bounded, also when the other side has gone.
"""

from __future__ import annotations

import contextlib

import aiohttp

from vso.core.errors import Reason
from vso.vault.errors import DroppedError

HEARTBEAT = 30.0
"""Seconds between pings; a peer that lets one pass is gone."""
MAX_MESSAGE = 1 << 20
TIMEOUTS = aiohttp.ClientWSTimeout(ws_receive=None, ws_close=0.5)


class Channel:
    """One open websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, where: str) -> None:
        self._socket = socket
        self._where = where

    async def receive(self) -> bytes:
        """Return the next message; raises DroppedError when there will be none."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                return str(message.data).encode()
            if message.type is aiohttp.WSMsgType.BINARY:
                return bytes(message.data)
        raise DroppedError(Reason.VAULT_UNAVAILABLE, f"{self._where}: the stream of events has ended")

    async def close(self) -> None:
        """Say goodbye, and do not wait long for an answer."""
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await self._socket.close()
