"""A scripted HTTP endpoint in a thread of its own, and the hosts that can be reached through it as a proxy.

Invariant: it answers what it was told to answer and 404 otherwise; everything that was asked is on record.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.testbed.pki import KeyPair


@dataclass(frozen=True)
class Asked:
    """One request; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of the body, of a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def json(self) -> Any:
        """The body, of JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    """One answer; a dict goes out as JSON."""

    status: int = 200
    body: str | bytes | Mapping[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


Answer = Said | Callable[[Asked], Said]


class Endpoint:
    """Listens on a port of the loopback while it is entered."""

    def __init__(self, tls: KeyPair | None = None) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[tuple[str, str], Answer] = {}
        self._tls: ssl.SSLContext | None = None
        if tls is not None:  # what it shows where it is asked as a proxy
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls.certificate, tls.key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def host(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Where it is found."""
        return f"http://{self.host}"

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How it serves the hosts behind it."""
        return self._tls

    def on(self, method: str, path: str, answer: Answer) -> None:
        """Say what a path answers from now on."""
        self._answers[(method, path)] = answer

    def answer_of(self, method: str, path: str) -> Answer:
        """What a path answers now."""
        return self._answers[(method, path)]

    def asked_of(self, path: str) -> list[Asked]:
        """What was asked of a path, or of all that begin with it where it ends with a slash."""
        return [
            asked for asked in self.asked if asked.path == path or (path[-1] == "/" and asked.path.startswith(path))
        ]

    def answer(self, asked: Asked) -> Said:
        """What is said to a request."""
        self.asked.append(asked)
        answer = self._answers.get((asked.method, asked.path), Said(404))
        return answer if isinstance(answer, Said) else answer(asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            said = endpoint.answer(Asked(self.command, unquote(parts.path), query, headers, body))
            self.send_response(said.status)
            for name, value in {
                "Content-Length": str(len(said.content)),
                "Connection": "close",
                **said.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.content)
            self.close_connection = True

        do_GET = do_POST = do_PUT = _serve  # noqa: N815  the names that the library calls

        def do_CONNECT(self) -> None:
            """Be the host that was asked for."""
            self.send_response(200)
            self.end_headers()
            assert endpoint.tls is not None
            with endpoint.tls.wrap_socket(self.connection, server_side=True) as secured:
                self.rfile, self.wfile = secured.makefile("rb"), secured.makefile("wb")
                self.raw_requestline = self.rfile.readline(65537)
                if self.parse_request():
                    self._serve()
                    self.wfile.flush()
                self.rfile.close()
                self.wfile.close()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing: `asked` holds it."""

    return Handler
