"""A status that somebody else writes: told once in a while, and never our own taken for theirs."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import key
from vso.api.secrets import VaultStaticSecretStatus
from vso.controllers.foreign import PAUSE, ForeignWriterTrigger
from vso.controllers.memory import Memories, Memory
from vso.core.backoff import Backoff
from vso.core.keys import ObjectKey
from vso.core.records import Record
from vso.kube.list_watch import decode_record
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import WorkQueue

UID = "u-1"


def record(version: int, status: str = "ours", uid: str = UID, label: str = "") -> Record:
    meta = {"name": "db", "namespace": "app", "uid": uid, "resourceVersion": str(version), "labels": {"l": label}}
    return decode_record({"metadata": meta, "status": {"sourceVersion": status}})


@dataclass
class Post:
    """The trigger with its ears; our last status write made version 10."""

    clock: FakeClock
    queue: WorkQueue[ObjectKey]
    memories: Memories[VaultStaticSecretStatus] = field(default_factory=Memories)
    told: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.trigger = ForeignWriterTrigger(self.queue, self.memories, self.clock, self.told.append)
        self.memories.of(record(9)).status_version = 10

    @property
    def notes(self) -> Memory[VaultStaticSecretStatus]:
        return self.memories.of(record(9))

    def woken(self) -> bool:
        found = self.queue.get_nowait()
        if found is not None:
            self.queue.done(found)
        return found == key("db")


@pytest.fixture
def post(clock: FakeClock) -> Post:
    return Post(clock, WorkQueue(clock, RateLimiter(Backoff(), random.Random(1))))


OURS = [
    pytest.param(None, record(11, "theirs"), id="new"),
    pytest.param(record(10), None, id="gone"),
    pytest.param(record(10), record(11, "theirs", uid="u-2"), id="made-anew"),
    pytest.param(record(8, "older"), record(10), id="our-latest-write"),
    pytest.param(record(7, "oldest"), record(8, "older"), id="an-earlier-write-of-ours"),
    pytest.param(record(10), record(11, label="new"), id="a-label"),
    pytest.param(record(8, "older"), record(12, label="new"), id="a-gap-that-spans-our-write"),
]


@pytest.mark.parametrize(("old", "new"), OURS)
def test_what_we_can_explain_is_no_strangers(post: Post, old: Record | None, new: Record | None) -> None:
    post.trigger(old, new)
    assert post.told == []
    assert not post.woken()
    assert not post.notes.unsaid


def test_a_strangers_write_is_told_and_the_object_looked_at(post: Post) -> None:
    post.trigger(record(10), record(11, "theirs"))
    assert [told.resource_version for told in post.told] == ["11"]
    assert post.notes.unsaid
    assert post.woken()


def test_an_object_that_was_not_looked_at_yet_is_left_alone(post: Post) -> None:
    post.memories.clear()
    post.trigger(record(10), record(11, "theirs"))
    assert post.told == []
    assert not post.woken()


def test_a_write_whose_answer_is_still_on_the_way_is_ours(post: Post) -> None:
    post.notes.status_in_doubt = True
    post.trigger(record(10), record(11, "ours-too"))
    assert post.told == []
    post.trigger(record(11, "ours-too"), record(12, "theirs"))
    assert [told.resource_version for told in post.told] == ["12"]


async def test_a_stranger_that_goes_on_is_told_once_in_a_while_and_not_fought(post: Post) -> None:
    post.trigger(record(10), record(11, "theirs"))
    assert post.woken()
    for version in range(12, 20):
        post.trigger(record(version - 1, f"theirs-{version - 1}"), record(version, f"theirs-{version}"))
        assert not post.woken()
    assert len(post.told) == 1
    await post.clock.advance(PAUSE)
    assert post.woken()  # once more, so that the status does not stay wrong
    post.trigger(record(19, "theirs-19"), record(20, "theirs-20"))
    assert len(post.told) == 2
