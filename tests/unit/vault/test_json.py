from __future__ import annotations

import pytest

from vso.core.numbers import JsonNumber
from vso.vault.json import NotJsonError, parse


@pytest.mark.parametrize("literal", ["1.0", "12345678901234567890", "1e5", "-0", "0.10"])
def test_a_number_keeps_its_text(literal: str) -> None:
    found = parse(b'{"n": %s, "l": [%s]}' % (literal.encode(), literal.encode()))
    assert found == {"n": literal, "l": [literal]}
    assert type(found["n"]) is JsonNumber


def test_a_text_that_looks_like_a_number_stays_a_text() -> None:
    assert type(parse(b'{"n": "1.0"}')["n"]) is str


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert parse(rb'{"a\ud800": ["x\uDC00y", 1, "\ud83d\ude00"]}') == {"a�": ["x�y", "1", "😀"]}


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>canary</html>", b"[1]", b"null", b'{"a": NaN}', b'{"a": canary', b"[" * 200_000, b'{"a":' * 200_000],
)
def test_what_is_no_object_is_refused_without_being_quoted(body: bytes) -> None:
    with pytest.raises(NotJsonError) as caught:
        parse(body)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
