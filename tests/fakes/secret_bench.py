"""The write protocol at the far end of a socket, with and without the right to delete.

Invariant: what was sent is told in order, one short line for each request.
"""

from __future__ import annotations

import base64

from tests.fakes.kube_transport import FakeApiServer, FakeSecrets, Request
from vso.core.keys import OwnerRef
from vso.core.sensitive import Sensitive
from vso.kube.secrets import SecretPlan, SecretWriter

PLAN = SecretPlan(
    namespace="app",
    name="creds",
    type="Opaque",
    data={"password": Sensitive.of("hunter2-long")},
    labels={"team": "a"},
    annotations={},
    owner=OwnerRef("VaultStaticSecret", "db", "cr-1"),
    owner_uid="cr-1",
    own=True,
    overwrite=False,
)
CODED = base64.b64encode(b"hunter2-long").decode()


class Bench:
    def __init__(
        self, server: FakeApiServer, secrets: FakeSecrets, writer: SecretWriter, deleting: SecretWriter
    ) -> None:
        self.server = server
        self.secrets = secrets
        self.writer = writer
        self.deleting = deleting

    @property
    def sent(self) -> list[str]:
        return [_short(request) for request in self.server.requests]


def _short(request: Request) -> str:
    kind = request.headers.get("Content-Type", "").removeprefix("application/").removesuffix("-patch+json")
    return f"{request.method} {kind}{' dry' if 'dryRun' in request.query else ''}"
