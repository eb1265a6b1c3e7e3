"""The two plain values of the ground floor: number texts and watch records."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from vso.core.keys import ObjectKey
from vso.core.numbers import JsonNumber
from vso.core.records import Record


@pytest.mark.parametrize("text", ["1.0", "12345678901234567890", "1e3", "-0"])
def test_a_number_keeps_its_text(text: str) -> None:
    number = JsonNumber(text)
    assert number == text
    assert isinstance(number, str)


def test_a_record_cannot_be_changed() -> None:
    record = Record(ObjectKey("app", "db"), "uid", "7", 1, 0, deleting=False, packed=b"")
    assert record.owner_uid == ""
    with pytest.raises(FrozenInstanceError):
        record.uid = "other"  # type: ignore[misc]  # what the test is about
