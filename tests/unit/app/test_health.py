"""When the process is alive, and when it is ready."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.fakes.clock import FakeClock, settle
from vso.app.health import Health
from vso.core.errors import Reason, TransientError, VsoError

AWAY = TransientError(Reason.KUBERNETES_UNAVAILABLE, "connection refused")


@dataclass
class Feed:
    name: str = "vaultauths"
    synced: bool = True
    heard: float = 0.0
    last_error: VsoError | None = None

    def last_contact(self) -> float:
        return self.heard


class Jumping(FakeClock):
    """A clock on which a sleep can last longer than asked for, as on a blocked loop."""

    def __init__(self) -> None:
        super().__init__()
        self.behind = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.behind


async def test_a_beating_heart_is_alive() -> None:
    clock = FakeClock()
    health = Health(clock, [Feed(heard=1000.0)])
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(health.run())
        await clock.advance(100)
        assert health.ill() == ()
        beating.cancel()


async def test_a_loop_that_stood_still_is_ill_until_it_beats_again() -> None:
    clock = Jumping()
    health = Health(clock, [])
    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(health.run())
        await settle()
        clock.behind = 40.0
        assert health.ill() == ("the event loop stood still for 39 s",)
        await clock.advance(1)
        assert health.ill() == ("the event loop stood still for 40 s",)
        await clock.advance(1)
        assert health.ill() == ()
        beating.cancel()


@pytest.mark.parametrize(
    ("feed", "expected"),
    [
        pytest.param(Feed(heard=650.0), (), id="heard-lately"),
        pytest.param(Feed(heard=0.0), ("vaultauths has heard nothing for 700 s",), id="silent-for-too-long"),
        pytest.param(Feed(heard=0.0, last_error=AWAY), (), id="failing-is-not-dead"),
    ],
)
async def test_a_silent_watch_is_ill(feed: Feed, expected: tuple[str, ...]) -> None:
    clock = FakeClock()
    health = Health(clock, [feed], silence_limit=600.0, lag_limit=10_000.0)
    await clock.advance(700)
    assert health.ill() == expected


@pytest.mark.parametrize(
    ("feeds", "expected"),
    [
        pytest.param([Feed(), Feed("secrets")], (), id="all-listed"),
        pytest.param([Feed(synced=False), Feed("secrets")], ("vaultauths is not listed yet",), id="one-missing"),
        pytest.param(
            [Feed(synced=False, last_error=AWAY)],
            ("vaultauths is not listed yet: KubernetesUnavailable: connection refused",),
            id="with-the-cause",
        ),
    ],
)
def test_ready_means_listed(feeds: list[Feed], expected: tuple[str, ...]) -> None:
    assert Health(FakeClock(), feeds).unready() == expected
