from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.cluster import FakeCluster, key
from tests.fakes.house import STATIC
from vso.api.secrets import VaultStaticSecretStatus
from vso.controllers.memory import Memories, version_number

RECORD = FakeCluster().put(STATIC, "db", {})


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("12345678901234567890", 12345678901234567890), ("", 0), ("abc", 0), ("-1", 0)]
)
def test_version_number(text: str, number: int) -> None:
    assert version_number(text) == number


def test_notes_stay_with_the_object_and_go_with_its_uid() -> None:
    memories: Memories[VaultStaticSecretStatus] = Memories()
    notes = memories.of(RECORD)
    assert memories.of(replace(RECORD, resource_version="9", look=5)) is notes
    made_anew = memories.of(replace(RECORD, uid="other"))
    assert made_anew is not notes
    assert memories.find(key("db")) is made_anew


def test_what_is_there_when_the_process_begins_was_looked_at_before() -> None:
    assert Memories[VaultStaticSecretStatus]().of(replace(RECORD, look=5)).look == 5


def test_notes_are_forgotten() -> None:
    memories: Memories[VaultStaticSecretStatus] = Memories()
    memories.of(RECORD)
    memories.forget(key("db"))
    memories.forget(key("db"))
    assert memories.find(key("db")) is None
    assert len(memories) == 0


def test_who_failed_on_a_connection() -> None:
    memories: Memories[VaultStaticSecretStatus] = Memories()
    memories.of(RECORD).failing_on = "app/vault"
    memories.of(replace(RECORD, key=key("other"))).failing_on = "app/other"
    memories.of(replace(RECORD, key=key("well")))
    assert memories.failing_on("app/vault") == [key("db")]


@pytest.mark.parametrize(
    ("version", "passing", "remembered"),
    [("6", False, True), ("7", False, False), ("8", False, False), ("8", True, True)],
    ids=["an older object", "its echo", "a newer one", "during a pass"],
)
def test_a_status_is_remembered_until_the_watch_shows_it_outside_a_pass(
    version: str, passing: bool, remembered: bool
) -> None:
    memories: Memories[VaultStaticSecretStatus] = Memories()
    notes = memories.of(RECORD)
    notes.status, notes.status_version, notes.passing = VaultStaticSecretStatus(), 7, passing
    shown = replace(RECORD, resource_version=version)
    memories.seen(RECORD, shown)
    memories.seen(RECORD, replace(shown, uid="made anew"))
    memories.seen(RECORD, None)
    assert (notes.status is not None) is remembered


def test_what_the_watch_has_shown_during_a_pass_is_dropped_at_its_end() -> None:
    memories: Memories[VaultStaticSecretStatus] = Memories()
    notes = memories.of(RECORD)
    notes.status, notes.status_version, notes.passing = VaultStaticSecretStatus(), 7, True
    memories.passed(key("db"), replace(RECORD, resource_version="7"))
    memories.passed(key("other"), None)
    assert (notes.status is None) is not notes.passing
