"""Vault's event notifications as the Enterprise edition gives them: websockets, and messages when a test says so."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from tests.fakes.vault_server import Seen, Upgrade

Json = dict[str, Any]
SUBSCRIBE = "sys/events/subscribe/kv%2A"


class EventDesk(Upgrade):
    """The open websockets, and the handshakes that led to them."""

    def __init__(self) -> None:
        self.handshakes: list[Seen] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.ended = 0

    @property
    def open(self) -> int:
        return len(self.sockets)

    async def send(self, message: Json | str) -> None:
        """Tell everybody."""
        for socket in list(self.sockets):
            await socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def hang_up(self) -> None:
        """Close every websocket."""
        for socket in list(self.sockets):
            await socket.close()

    async def hold(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        self.handshakes.append(seen)
        self.sockets.append(socket)
        try:
            async for _ in socket:
                pass
        except asyncio.CancelledError:
            await socket.close()
            raise
        finally:
            self.sockets.remove(socket)
            self.ended += 1
        return socket


def written(
    path: str, *, namespace: str = "", modified: str | bool = "true", data_path: str | None = None, **more: Any
) -> Json:
    """Return the message that a write makes."""
    metadata: Json = {"current_version": "2", "modified": modified, "operation": "data-write", "path": path, **more}
    if data_path is not None:
        metadata["data_path"] = data_path
    return {
        "id": "901f2388-aabb-a385-7bc0-0b09d5fa060b",
        "source": "https://vault.example/",
        "specversion": "1.0",
        "type": "*",
        "data": {
            "event": {"id": "901f2388-aabb-a385-7bc0-0b09d5fa060b", "metadata": metadata},
            "event_type": "kv-v2/data-write",
            "namespace": namespace,
            "plugin_info": {"mount_class": "secret", "mount_path": "kv/", "plugin": "kv"},
        },
        "datacontentype": "application/cloudevents",
        "time": "2026-01-01T12:00:00.341-08:00",
    }
