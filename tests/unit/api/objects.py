"""Objects as the API server sends them, for the tests of this folder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

NOON = datetime(2026, 5, 1, 12, 0, 0, 987654, tzinfo=UTC)
SPEC: dict[str, Any] = {"mount": "kv", "path": "app/config", "type": "kv-v2", "destination": {"name": "app"}}


def body(spec: object, **more: object) -> bytes:
    return orjson.dumps({"metadata": {"name": "app", "namespace": "team"}, "spec": spec, **more})
