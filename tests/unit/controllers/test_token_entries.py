"""Entries of kept tokens: what is written, and what is refused when it is read."""

from __future__ import annotations

import re

import orjson
import pytest

from vso.app import rbac
from vso.controllers.token_entries import SECRETS, Entry, Model, decode, encode, secret_of
from vso.vault.keeping import client_id

KEY, OTHER_KEY = b"0123456789abcdef", b"fedcba9876543210"
ENTRY = Entry("session", "sa", 300.0, "canary-accessor", token="hvs.canary", sealed="vault:v1:canary")
PLACE = (secret_of(ENTRY.id), ENTRY.id)


def test_what_is_written_is_read_again() -> None:
    assert decode(PLACE, encode(ENTRY, KEY), KEY) == ENTRY


def test_an_entry_shows_nothing_of_its_token() -> None:
    assert "canary" not in repr(ENTRY)
    assert re.fullmatch(r"[0-9a-f]{64}", ENTRY.id)


def changed(**fields: object) -> bytes:
    return orjson.dumps({**orjson.loads(encode(ENTRY, KEY)), **fields})


@pytest.mark.parametrize(
    ("place", "raw"),
    [
        pytest.param(PLACE, changed(token="hvs.other"), id="another-token"),
        pytest.param(PLACE, changed(session="another"), id="another-session"),
        pytest.param(PLACE, changed(ttl=9e9), id="another-life"),
        pytest.param(PLACE, changed(more=1), id="a-field-more"),
        pytest.param(PLACE, changed(mac=""), id="an-empty-mac"),
        pytest.param(PLACE, changed(mac=None), id="no-mac"),
        pytest.param(PLACE, encode(ENTRY, OTHER_KEY), id="another-key"),
        pytest.param((PLACE[0], client_id("other")), encode(ENTRY, KEY), id="another-name"),
        pytest.param((SECRETS[SECRETS.index(PLACE[0]) - 1], ENTRY.id), encode(ENTRY, KEY), id="another-secret"),
        pytest.param(PLACE, b"[]", id="a-list"),
        pytest.param(PLACE, b"", id="nothing"),
    ],
)
def test_what_this_operator_has_not_put_there_is_refused(place: tuple[str, str], raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (orjson's is one too)
        decode(place, raw, KEY)


@pytest.mark.parametrize(
    ("model", "token", "sealed"),
    [
        (Model.ACCESSOR, "", ""),
        (Model.CLEAR, "hvs.canary", ""),
        (Model.ENCRYPTED, "", "vault:v1:canary"),
    ],
)
def test_a_model_keeps_no_more_than_it_says(model: Model, token: str, sealed: str) -> None:
    kept = ENTRY.under(model)
    assert (kept.token, kept.sealed, kept.accessor) == (token, sealed, ENTRY.accessor)
    assert kept.whole(model)
    assert Entry("session", "sa", 300.0, "accessor").whole(model) is (model is Model.ACCESSOR)


def test_entries_are_spread_over_the_secrets_that_an_install_makes() -> None:
    assert {secret_of(client_id(str(number))) for number in range(100)} == set(SECRETS)
    assert rbac.CLIENT_CACHE == SECRETS
