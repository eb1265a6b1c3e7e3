"""However a Sensitive is printed, logged, formatted or serialised, its content stays inside."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vso.core.sensitive import Sensitive, keyed_digest

CANARY = "canary-value"
SECRET = Sensitive.of(CANARY)


@dataclass(frozen=True)
class Holder:
    value: Sensitive


def _logged(secret: Sensitive) -> str:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s %r", (secret, secret), None)
    return logging.Formatter().format(record)


def _traceback(secret: Sensitive) -> str:
    def fail(argument: Sensitive) -> None:
        raise ValueError(argument)

    with pytest.raises(ValueError, match="Sensitive") as caught:
        fail(secret)
    return "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(str, id="str"),
        pytest.param(repr, id="repr"),
        pytest.param(ascii, id="ascii"),
        pytest.param(lambda s: f"{s} {s!r} {s!s:>40} {s:>40}", id="format"),
        pytest.param(lambda s: "%s %r" % (s, s), id="percent"),  # noqa: UP031
        pytest.param(lambda s: f"{[s]} { ({'k': s}) } {Holder(s)}", id="inside-others"),
        pytest.param(lambda s: json.dumps({"k": s}, default=repr), id="json-with-a-default"),
        pytest.param(_logged, id="log-record"),
        pytest.param(_traceback, id="traceback-with-locals"),
    ],
)
def test_it_never_prints(shown: Callable[[Sensitive], str]) -> None:
    text = shown(SECRET)
    assert "Sensitive(***)" in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(pickle.dumps, id="pickle"),
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(json.dumps, id="json"),
        pytest.param(orjson.dumps, id="orjson"),
        pytest.param(bytes, id="bytes"),
        pytest.param(list, id="iteration"),
        pytest.param(vars, id="vars"),
    ],
)
def test_it_refuses_to_be_taken_apart(leak: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        leak(SECRET)
    assert CANARY not in str(caught.value)


def test_it_shows_itself_to_reveal() -> None:
    assert SECRET.reveal() == CANARY.encode()
    assert SECRET.reveal_text() == CANARY
    assert len(SECRET) == len(CANARY)
    assert not Sensitive(b"")


@given(st.binary(), st.binary())
def test_equal_is_what_has_equal_content(one: bytes, two: bytes) -> None:
    assert (Sensitive(one) == Sensitive(two)) == (one == two)
    assert hash(Sensitive(one)) == hash(Sensitive(bytes(one)))


def test_it_does_not_equal_its_own_bytes() -> None:
    for content in (CANARY.encode(), CANARY):
        assert content != SECRET


def test_a_digest_depends_on_key_and_content_and_shows_neither() -> None:
    digest = SECRET.digest(b"key")
    assert digest == keyed_digest(b"key", CANARY.encode())
    assert len({digest, SECRET.digest(b"other"), Sensitive(b"x").digest(b"key"), SECRET.digest(b"")}) == 4
    assert len(bytes.fromhex(digest)) == 16


def test_a_key_may_be_longer_than_the_algorithm_takes() -> None:
    assert keyed_digest(b"k" * 100, b"v") == keyed_digest(b"k" * 64, b"v")
