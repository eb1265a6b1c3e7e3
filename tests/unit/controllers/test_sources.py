from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.fakes.clock import T0, FakeClock, settle
from tests.fakes.vault_parts import LOGIN, Credentials, Observed, Tokens, client_to, until
from tests.fakes.vault_server import Hang, Reply, VaultServer, errors
from vso.controllers.sources import Source, SourceReader
from vso.core.errors import ConfigError, Reason, TransientError
from vso.runtime.workqueue import Lane
from vso.vault.auth.kubernetes import KubernetesWay
from vso.vault.engines import KvRequest
from vso.vault.errors import HeldError
from vso.vault.login_limits import Ledger
from vso.vault.logins import LoginParts
from vso.vault.session import Session
from vso.vault.way import Identity

PATH = "kv/data/app"
KEY = b"k" * 16


@dataclass
class Shelf:
    clock: FakeClock
    vault: VaultServer
    reader: SourceReader
    session_for: Callable[[str], Session]
    credentials: Credentials

    def holds(self, data: dict[str, Any], version: int = 1) -> None:
        self.vault.on("GET", PATH, Reply(200, {"data": {"data": data, "metadata": {"version": version}}}))

    def source(self, namespace: str = "team-a", version: int | None = None) -> Source:
        session = self.session_for(namespace)
        return Source(session.key, "", KvRequest("kv", "app", "kv-v2", version), session)

    @property
    def reads(self) -> int:
        return len(self.vault.asked(PATH))


@pytest.fixture
async def shelf(clock: FakeClock) -> AsyncIterator[Shelf]:
    async with VaultServer() as vault, client_to(vault.url, clock) as client:
        Tokens(vault, clock)
        credentials = Credentials()
        parts = LoginParts(clock, credentials, Observed(), Ledger(clock))

        def session_for(namespace: str) -> Session:
            login = replace(LOGIN, consumer=namespace, way=KubernetesWay("app", Identity(namespace, "app")))
            return Session(client, login, parts)

        made = Shelf(clock, vault, SourceReader(clock, KEY), session_for, credentials)
        made.holds({"password": "canary-1"})
        yield made


async def test_reads_in_flight_together_are_one_request(shelf: Shelf) -> None:
    source = shelf.source()
    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(shelf.reader.read(source, Lane.REFRESH)) for _ in range(10)]
    assert {answer.result().data["password"] for answer in answers} == {"canary-1"}
    assert shelf.reads == 1


async def test_a_bug_that_one_source_trips_ends_no_poll_of_another(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.credentials.failure = KeyError("canary-1")
    assert await shelf.reader.look(source) == ("bug", "KeyError")


async def test_two_sessions_of_equal_keys_are_one_source_and_two_identities_are_two(shelf: Shelf) -> None:
    await shelf.reader.read(shelf.source(), Lane.REFRESH)
    await shelf.reader.read(shelf.source(), Lane.REFRESH)
    assert shelf.reads == 1
    await shelf.reader.read(shelf.source("team-b"), Lane.REFRESH)
    assert shelf.reads == 2
    assert len({shelf.source(), shelf.source(), shelf.source("team-b"), shelf.source(version=3)}) == 3


async def test_an_answer_is_shared_for_a_few_seconds_and_then_asked_anew(shelf: Shelf) -> None:
    source = shelf.source()
    for seconds, reads in ((0, 1), (4.9, 1), (0.1, 2), (5, 3)):
        await shelf.clock.advance(seconds)
        await shelf.reader.read(source, Lane.REFRESH)
        assert shelf.reads == reads


async def test_an_answer_is_as_old_as_the_question(shelf: Shelf) -> None:
    slow, quick = shelf.source(), shelf.source("team-b")
    shelf.vault.on("GET", PATH, Hang(), Reply(200, {"data": {"data": {"a": "b"}, "metadata": {"version": 1}}}))
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(shelf.reader.read(slow, Lane.REFRESH))
        await until(lambda: shelf.vault.hanging == 1)
        await shelf.clock.advance(10)
        await shelf.reader.read(quick, Lane.REFRESH)
        shelf.vault.release()  # the connection breaks, and the client asks again
        await until(lambda: waiting.done() or shelf.clock.sleeping > 0)
        await shelf.clock.advance(1)
        await waiting
    before = shelf.reads
    await shelf.reader.read(slow, Lane.REFRESH)
    assert shelf.reads == before + 1


async def test_a_fresh_read_does_not_take_an_older_answer(shelf: Shelf) -> None:
    source = shelf.source()
    await shelf.reader.read(source, Lane.REFRESH)
    shelf.holds({"password": "canary-2"})
    assert (await shelf.reader.read(source, Lane.REFRESH)).data["password"] == "canary-1"
    assert (await shelf.reader.read(source, Lane.REFRESH, fresh=True)).data["password"] == "canary-2"
    assert (await shelf.reader.read(source, Lane.REFRESH)).data["password"] == "canary-2"
    assert shelf.reads == 2


async def test_failures_are_shared_as_answers_are(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.vault.on("GET", PATH, errors(500, "internal error"))
    for _ in range(3):
        with pytest.raises(TransientError):
            await shelf.reader.read(source, Lane.REFRESH)
    assert shelf.reads == 1
    await shelf.clock.advance(5)
    shelf.holds({"password": "canary-1"})
    assert (await shelf.reader.read(source, Lane.REFRESH)).version == "1"


async def test_polls_that_are_held_back_keep_no_urgent_read_from_trying_the_login_again(shelf: Shelf) -> None:
    source, refused = shelf.source(), errors(400, "invalid role name")
    shelf.vault.on("PUT", "auth/kubernetes/login", refused)
    with pytest.raises(ConfigError):
        await shelf.reader.read(source, Lane.URGENT)
    Tokens(shelf.vault, shelf.clock)  # repaired
    for _ in range(6):
        await shelf.clock.advance(1)
        assert (await shelf.reader.look(source))[0] == "failed"
    assert (await shelf.reader.read(source, Lane.URGENT)).data["password"] == "canary-1"


async def test_a_reader_that_leaves_does_not_take_the_answer_away_from_others(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.vault.on("GET", PATH, Hang())
    async with asyncio.TaskGroup() as tasks:
        leaving, staying = (tasks.create_task(shelf.reader.read(source, Lane.REFRESH)) for _ in range(2))
        await until(lambda: shelf.vault.hanging == 1)
        leaving.cancel()
        await shelf.clock.advance(0)
        assert not staying.done()
        staying.cancel()


async def test_a_fingerprint_tells_content_and_version_apart(shelf: Shelf) -> None:
    prints = set()
    for data, version in (({"a": "1"}, 1), ({"a": "2"}, 1), ({"a": "1"}, 2), ({"b": "1"}, 1), ({"a": "1"}, 1)):
        shelf.holds(data, version)
        prints.add(await shelf.reader.look(shelf.source()))
    assert len(prints) == 4


async def test_a_fingerprint_depends_on_the_key_and_never_holds_a_value(shelf: Shelf) -> None:
    secret = await shelf.reader.read(shelf.source(), Lane.REFRESH)
    one, two = shelf.reader.fingerprint(secret), SourceReader(shelf.clock, b"other").fingerprint(secret)
    assert one != two
    assert "canary" not in f"{one} {secret!r} {shelf.source()!r}"


async def test_a_look_tells_failures_apart(shelf: Shelf) -> None:
    shelf.vault.on("GET", PATH, errors(500, "internal error"))
    failed = await shelf.reader.look(shelf.source())
    assert failed[:2] == ("failed", Reason.VAULT_UNAVAILABLE)
    shelf.vault.on("GET", PATH, errors(404))
    assert (await shelf.reader.look(shelf.source()))[:2] == ("failed", Reason.SOURCE_NOT_FOUND)


async def test_a_look_that_vault_throttles_is_a_failure_and_one_that_is_held_back_tells_nothing(shelf: Shelf) -> None:
    shelf.vault.on("GET", PATH, errors(429, "slow down", retry_after="7"))
    assert (await shelf.reader.look(shelf.source()))[:2] == ("failed", Reason.VAULT_THROTTLED)
    for source in (shelf.source(), shelf.source("team-b")):
        with pytest.raises(HeldError) as caught:
            await shelf.reader.look(source)
        assert caught.value.retry_after == 7.0
    assert shelf.reads == 1


async def test_a_failure_is_not_shared_past_the_time_that_vault_asked_for(shelf: Shelf) -> None:
    shelf.vault.on("GET", PATH, errors(429, "slow down", retry_after="1"))
    source = shelf.source()
    for _ in range(3):
        with pytest.raises(TransientError):
            await shelf.reader.read(source, Lane.REFRESH)
    assert shelf.reads == 1
    shelf.holds({"password": "canary-1"})
    await shelf.clock.advance(1)
    assert (await shelf.reader.read(source, Lane.REFRESH)).version == "1"


async def test_a_source_is_named_by_connection_and_path(shelf: Shelf) -> None:
    assert str(shelf.source()) == f"team-a/vault  {PATH}"


async def test_failures_of_a_connection_that_is_another_now_are_forgotten(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.vault.on("GET", PATH, errors(500, "broken"))
    with pytest.raises(TransientError):
        await shelf.reader.read(source, Lane.REFRESH)
    shelf.holds({"password": "canary-2"})
    shelf.reader.forget_failures(connection="somebody/else", auth="somebody/else")
    with pytest.raises(TransientError):
        await shelf.reader.read(source, Lane.REFRESH)
    shelf.reader.forget_failures(connection=source.session.connection_name)
    assert (await shelf.reader.read(source, Lane.REFRESH)).version == "1"
    reads = shelf.reads
    shelf.reader.forget_failures(connection=source.session.connection_name)
    await shelf.reader.read(source, Lane.REFRESH)
    assert shelf.reads == reads  # what was read well is still shared


async def test_a_failed_login_is_told_by_the_session_and_not_from_memory(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.credentials.failure = ConfigError(Reason.SERVICE_ACCOUNT_NOT_FOUND, "no ServiceAccount")
    for _ in range(3):
        with pytest.raises(ConfigError):
            await shelf.reader.read(source, Lane.REFRESH)
    assert shelf.credentials.minted == 1
    shelf.credentials.failure = None
    await shelf.clock.advance(0.5)
    assert (await shelf.reader.read(source, Lane.REFRESH)).version == "1"


def dated(version: int, seconds: float = 0.0) -> Reply:
    """Return a kv-v2 answer whose version was written so many seconds after the clock's start."""
    created = (T0 + timedelta(seconds=seconds)).isoformat().replace("+00:00", ".123456789Z")
    metadata = {"version": version, "created_time": created}
    return Reply(200, {"data": {"data": {"password": f"canary-{version}"}, "metadata": metadata}})


async def test_a_poll_that_finds_a_read_in_flight_reads_once_more(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.vault.on("GET", PATH, Hang(), dated(2))
    early = asyncio.ensure_future(shelf.reader.read(source, Lane.REFRESH))
    await until(lambda: shelf.vault.hanging == 1)
    await shelf.clock.advance(1)
    look = asyncio.ensure_future(shelf.reader.look(source))
    await settle()
    shelf.vault.release()
    while not (look.done() and early.done()):
        await shelf.clock.advance(1)  # the dropped read is tried again after a pause
    assert look.result()[:2] == ("read", "2")
    early.exception()


async def test_an_older_version_does_not_follow_a_newer_one(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.vault.on("GET", PATH, dated(2), dated(1, -5), dated(1, -5), dated(2))
    newest = await shelf.reader.look(source)
    await shelf.clock.advance(6)
    assert await shelf.reader.look(source) == newest, "to the poller nothing has changed"
    with pytest.raises(TransientError) as caught:
        await shelf.reader.read(source, Lane.REFRESH)
    assert "version 1 of kv/app" in caught.value.message
    assert (await shelf.reader.read(source, Lane.REFRESH)).version == "2"


async def test_what_is_shared_stays_the_newest(shelf: Shelf) -> None:
    source = shelf.source()
    shelf.vault.on("GET", PATH, dated(2), dated(1, -5))
    await shelf.reader.look(source)
    await shelf.clock.advance(1)
    await shelf.reader.look(source)
    assert (await shelf.reader.read(source, Lane.REFRESH)).version == "2"


@pytest.mark.parametrize(
    ("later", "seconds"),
    [
        pytest.param(dated(1, 3), 6, id="written-anew-from-1"),
        pytest.param(dated(1, -5), 61, id="every-node-has-it-by-now"),
        pytest.param(dated(3, 5), 6, id="newer-still"),
    ],
)
async def test_what_vault_holds_is_taken(shelf: Shelf, later: Reply, seconds: float) -> None:
    source = shelf.source()
    shelf.vault.on("GET", PATH, dated(2), later)
    first = await shelf.reader.look(source)
    await shelf.clock.advance(seconds)
    assert await shelf.reader.look(source) != first


async def test_another_version_that_was_asked_for_is_no_older_one(shelf: Shelf) -> None:
    shelf.vault.on("GET", PATH, dated(2), dated(1, -5))
    await shelf.reader.look(shelf.source())
    assert (await shelf.reader.look(shelf.source(version=1)))[:2] == ("read", "1")


async def test_what_every_node_has_is_forgotten(shelf: Shelf) -> None:
    shelf.vault.on("GET", PATH, dated(2))
    running = asyncio.ensure_future(shelf.reader.run())
    await shelf.reader.look(shelf.source())
    assert len(shelf.reader._newest) == 1
    await shelf.clock.advance(70)
    assert len(shelf.reader._newest) == 0
    running.cancel()
    await asyncio.wait((running,))
