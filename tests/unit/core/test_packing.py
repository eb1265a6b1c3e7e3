"""Packed bodies come back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vso.core.keys import ObjectKey
from vso.core.packing import pack, unpack
from vso.core.records import Record

SYNCED = (
    b'{"apiVersion":"secrets.hashicorp.com/v1beta1","kind":"VaultStaticSecret","metadata":{"generation":1,"name":"app"},'
    b'"spec":{"destination":{"create":true,"name":"app"},"mount":"kv","path":"app/config","type":"kv-v2"},'
    b'"status":{"conditions":[{"message":"the Secret holds what Vault holds","status":"True","type":"Ready"}]}}'
)


@given(st.binary(max_size=20_000))
def test_what_is_unpacked_is_what_was_packed(body: bytes) -> None:
    assert unpack(pack(body)) == body


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 1_000_000], ids=["none", "tiny", "large"])
def test_no_size_is_special(body: bytes) -> None:
    assert unpack(pack(body)) == body


def test_an_object_of_ours_shrinks_to_a_third() -> None:
    assert len(pack(SYNCED)) < len(SYNCED) / 3


def test_a_record_shows_its_body_unpacked_and_prints_neither() -> None:
    record = Record(ObjectKey("team", "app"), "uid", "7", 1, 0, deleting=False, packed=pack(SYNCED))
    assert record.body == SYNCED
    assert "packed" not in repr(record)
