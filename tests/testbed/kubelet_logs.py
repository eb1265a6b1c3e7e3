"""What `kubectl logs` asks a node for: the API server hands the question on to kubelet's own server.

Invariant: it shows the logs of containers and nothing else. It speaks TLS, as the API server insists, and asks nobody
who they are: it listens on the loopback alone.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.testbed.pki import KeyPair

LogText = Callable[[str, str, str], str]
"""Namespace, pod, container -> what it has written."""


class LogServer:
    """Serves /containerLogs/NAMESPACE/POD/CONTAINER."""

    def __init__(self, pair: KeyPair, text: LogText) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(text))
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        # Each connection's handshake in its own thread: one that never speaks keeps nobody waiting.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, name="kubelet-logs", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def _handler(text: LogText) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            match urlsplit(self.path).path.split("/"):
                case ["", "containerLogs", namespace, pod, container]:
                    self._answer(200, text(namespace, pod, container))
                case _:
                    self._answer(404, "there is nothing here but logs\n")

        def _answer(self, status: int, said: str) -> None:
            body = said.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
