"""What streams of Vault's events tell to whom, against a server that speaks as the Enterprise edition does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.clock import settle
from tests.fakes.event_bench import PLACE, Bench, bench_on
from tests.fakes.vault_events import SUBSCRIBE, written
from tests.fakes.vault_parts import login_of, until


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with bench_on() as made:
        yield made


async def test_a_write_to_a_followed_place_is_heard_once_and_another_is_not(bench: Bench) -> None:
    bench.follow()
    await bench.open()
    await bench.says(written("kv/data/other"))
    await bench.says(written("kv/data/app", modified="false"))
    assert bench.changed == []
    await bench.says(written("kv/data/app"))
    assert bench.changed == [PLACE]
    statistics = bench.streams.statistics()
    assert (statistics.received, statistics.matched) == (3, 1)


async def test_the_handshake_carries_token_namespace_and_the_headers_of_the_connection() -> None:
    async with bench_on(headers=(("X-Route", "blue"),)) as bench:
        bench.follow(namespace="/ns/team/")
        await bench.open()
        seen = bench.desk.handshakes[0]
    assert (seen.path, seen.query) == (SUBSCRIBE, "json=true")
    assert seen.headers["X-Vault-Namespace"] == "ns/team"
    assert seen.token == "hvs.canary-1"
    assert (seen.headers["X-Route"], seen.headers["X-Vault-Request"]) == ("blue", "true")
    assert seen.headers["User-Agent"] == "vso-test"


@pytest.mark.parametrize(
    ("followed", "told", "heard"),
    [
        ("", "", True),
        ("ns/team", "ns/team/", True),
        ("/ns/team/", "ns/team", True),
        ("ns/team", "team/", False),
        ("ns/team", "", False),
        ("", "ns/", False),
    ],
)
async def test_only_the_own_vault_namespace_is_heard(bench: Bench, followed: str, told: str, heard: bool) -> None:
    bench.follow(namespace=followed)
    await bench.open()
    await bench.says(written("kv/data/app", namespace=told))
    assert bench.changed == [PLACE] * heard


async def test_nonsense_is_counted_and_survived(bench: Bench) -> None:
    bench.follow()
    await bench.open()
    for message in ("", "<html>", "[]", "null", '{"data": 1}'):
        await bench.says(message)
    await bench.says(written("kv/data/app"))
    assert bench.changed == [PLACE]
    assert bench.attempts == 1


async def test_a_hundred_followers_of_an_identity_share_one_websocket_and_one_login(bench: Bench) -> None:
    for number in range(100):
        bench.follow(f"x{number}", f"kv/data/{number % 10}")
    await bench.open()
    await bench.says(written("kv/data/3"))
    assert bench.changed == ["kv/data/3"]
    assert (bench.attempts, bench.tokens.logins) == (1, 1)


async def test_identities_and_namespaces_have_streams_of_their_own(bench: Bench) -> None:
    other = login_of("team-b")
    bench.follow("x")
    bench.follow("y", namespace="ns")
    bench.follow("z", login=other)
    await bench.open(3)
    assert bench.tokens.logins == 2


async def test_what_nobody_heard_is_looked_for_whenever_a_stream_is_opened(bench: Bench) -> None:
    bench.follow("x")
    bench.follow("y", "kv/data/other")
    await bench.open()
    assert sorted(bench.missed) == ["kv/data/app", "kv/data/other"]
    bench.missed.clear()
    await bench.desk.hang_up()
    await bench.tries(2)
    await bench.open()
    assert sorted(bench.missed) == ["kv/data/app", "kv/data/other"]


async def test_a_place_that_joins_an_open_stream_is_looked_for_too(bench: Bench) -> None:
    bench.follow("x")
    await bench.open()
    bench.follow("y")
    bench.follow("z", "kv/data/other")
    assert bench.missed == ["kv/data/app", "kv/data/other"]


async def test_the_last_follower_who_leaves_closes_the_websocket(bench: Bench) -> None:
    bench.follow("x")
    bench.follow("y")
    await bench.open()
    bench.streams.unfollow("x")
    await settle()
    assert bench.desk.open == 1
    bench.streams.unfollow("y")
    await until(lambda: bench.desk.ended == 1)
    assert bench.streams.statistics().streams == 0
    assert not bench.streams.follows("y")
    await bench.clock.advance(600)
    assert bench.attempts == 1


async def test_who_follows_other_places_is_told_of_those_alone(bench: Bench) -> None:
    bench.follow("x")
    await bench.open()
    bench.follow("x", "kv/data/other")
    await bench.says(written("kv/data/app"))
    await bench.says(written("kv/data/other"))
    assert bench.changed == ["kv/data/other"]
    assert bench.attempts == 1


async def test_who_moves_to_another_namespace_takes_the_stream_along(bench: Bench) -> None:
    bench.follow("x")
    await bench.open()
    bench.follow("x", namespace="ns")
    await until(lambda: bench.desk.ended == 1)
    await bench.open()
    assert bench.desk.handshakes[-1].headers["X-Vault-Namespace"] == "ns"
