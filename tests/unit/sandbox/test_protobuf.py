from __future__ import annotations

from typing import Any

import pytest

from vso.sandbox.protobuf import decode


def text(number: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(raw)]) + raw


def envelope(kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + text(1, text(1, "v1") + text(2, kind)) + text(2, raw)


META = text(1, text(1, "n") + text(11, text(1, "a") + text(2, "b")))
RULE = text(2, text(1, "get") + text(1, "list") + text(2, "") + text(3, "secrets"))


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("Namespace", META, {"metadata": {"name": "n", "labels": {"a": "b"}}}),
        ("Secret", text(2, text(1, "k") + text(2, b"\xff\x00")), {"data": {"k": "/wA="}}),
        ("Role", RULE, {"rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["secrets"]}]}),
        (
            "TokenRequest",
            text(2, text(1, "vault") + b"\x20\xb0\x09"),
            {"spec": {"audiences": ["vault"], "expirationSeconds": 1200}},
        ),
        ("DeleteOptions", b"\x18\x01" + text(4, "Orphan"), {"orphanDependents": True, "propagationPolicy": "Orphan"}),
    ],
)
def test_decode(kind: str, raw: bytes, expected: dict[str, Any]) -> None:
    assert decode(envelope(kind, raw)) == {"apiVersion": "v1", "kind": kind} | expected


@pytest.mark.parametrize(
    "raw",
    [b"", b"k8s\x00", b'{"kind":"Secret"}', envelope("Pod", b""), envelope("Secret", b"\x12\x7f"), b"k8s\x00\xff"],
)
def test_what_is_not_understood_is_no_object(raw: bytes) -> None:
    assert decode(raw) in (None, {"apiVersion": "v1", "kind": "Secret"})
