from __future__ import annotations

import pytest

from tests.fakes.clock import FakeClock
from vso.vault.login_limits import Ledger, Refusals


def history(*entries: tuple[float, str]) -> Refusals:
    made = Refusals()
    for now, source in entries:
        made = made.refused(now, source)
    return made


@pytest.mark.parametrize(
    ("entries", "now", "source", "expected"),
    [
        pytest.param([], 0, "a", False, id="none"),
        pytest.param([(0, "a"), (10, "a")], 20, "a", False, id="two"),
        pytest.param([(0, "a"), (10, "a"), (20, "a")], 30, "a", True, id="three-of-one-source"),
        pytest.param([(0, "a"), (10, "a"), (20, "a")], 30, "b", False, id="the-fourth-is-for-another-source"),
        pytest.param([(0, "a"), (10, "a"), (20, "a"), (30, "b")], 40, "c", True, id="four-in-all"),
        pytest.param([(0, "a"), (10, "a"), (20, "a")], 901, "a", False, id="the-window-has-passed"),
    ],
)
def test_exhausted(entries: list[tuple[float, str]], now: float, source: str, expected: bool) -> None:
    assert history(*entries).exhausted(now, source) is expected


def test_what_has_left_the_window_is_forgotten() -> None:
    assert len(history((0, "a"), (1, "a"), (1000, "a")).entries) == 1


async def test_an_account_is_forgotten_when_its_window_has_passed(clock: FakeClock) -> None:
    ledger = Ledger(clock)
    for account in range(5):
        async with ledger.turn((str(account),)):
            ledger.refused((str(account),), "a")
    async with ledger.turn(("accepted",)):
        ledger.accepted(("accepted",))
    assert len(ledger) == 5
    await clock.advance(901)
    async with ledger.turn(("other",)):
        pass
    assert len(ledger) == 0
