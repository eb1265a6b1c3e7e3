"""While its consumers change over, a replaced lease is kept alive, and at most for its overlap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from tests.fakes.clock import T0
from tests.fakes.cluster import Json
from tests.fakes.dynamic_house import DYNAMIC, NEW, OLD, REVOKE, WEB, DynamicHouse, consumer, dynamic_house, rotated
from tests.fakes.vault_server import Seen, Step, errors


@pytest.fixture
async def house() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        yield opened


def ends(house: DynamicHouse) -> float:
    """When the replaced lease is over as the status tells, in seconds from the beginning."""
    [ref] = house.status["retiredLeases"]
    return (datetime.fromisoformat(ref["notAfter"]) - T0).total_seconds()


def written(house: DynamicHouse) -> int:
    return house.home.writes().count(f"PATCH {DYNAMIC.plural}/db/status")


def renewed(house: DynamicHouse) -> list[float]:
    """What was asked for of the replaced lease, time by time."""
    asked = house.home.vault.asked("sys/leases/renew")
    return [seen.body["increment"] for seen in asked if seen.body["lease_id"] == OLD]


async def rolling(house: DynamicHouse, overlap: str = "20m") -> None:
    """Replace a lease of ten minutes whose consumers never change over."""
    consumer(house, updatedReplicas=0)
    house.wants(overlap=overlap)
    await rotated(house)
    assert ends(house) == house.vault.ttl


async def until_over(house: DynamicHouse) -> float:
    """Look whenever that is due until the replaced lease is gone; return when that was."""
    while OLD in house.named:
        assert OLD in house.vault.live, "the consumers are refused"
        await house.until_due()
    assert house.vault.live == [NEW]
    return house.home.clock.monotonic()


async def test_it_is_kept_alive_while_its_consumers_change_over_and_as_long_as_is_set(house: DynamicHouse) -> None:
    await rolling(house)
    assert await until_over(house) == pytest.approx(1200, abs=3)
    first, second = renewed(house)
    assert first == house.vault.ttl > second


async def test_each_of_its_renewals_costs_one_status_write_and_the_end_that_is_told_is_true(
    house: DynamicHouse,
) -> None:
    await rolling(house)
    asked, writes = len(house.home.vault.asked("sys/leases/renew")), written(house)
    while len(renewed(house)) < 2:
        await house.until_due()
        assert 0 <= house.vault.lent[OLD].ends - ends(house) <= 1, "what is told is true"
        both = len(house.home.vault.asked("sys/leases/renew")) - asked
        assert written(house) == writes + both, "one for each renewal of either lease"


async def test_it_is_kept_no_longer_than_its_consumers_need_it(house: DynamicHouse) -> None:
    await rolling(house)
    while ends(house) == house.vault.ttl:
        await house.until_due()
    done = {"updatedReplicas": 1, "availableReplicas": 1, "replicas": 1}
    house.home.cluster.workloads[f"{WEB}/web"]["status"] = done
    await house.until_due()
    assert (house.vault.live, house.named) == ([NEW], {NEW})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"rolloutRestartTargets": None}, 600, id="nobody-can-tell-who-uses-it"),
        pytest.param({"overlap": "5m"}, 300, id="it-lives-longer-than-its-overlap"),
    ],
)
async def test_it_is_not_renewed_without_need(house: DynamicHouse, changes: Json, expected: float) -> None:
    consumer(house, updatedReplicas=0)
    house.wants(**{"overlap": "20m", **changes})
    await rotated(house)
    assert await until_over(house) == pytest.approx(expected, abs=1)
    assert renewed(house) == []


def aged(house: DynamicHouse, longest: float) -> None:
    """Have no renewal move the end of the first lease past that."""
    house.vault.max_ttl = 100_000
    house.vault.lent[OLD].issued = longest - house.vault.max_ttl


async def test_a_renewal_that_is_cut_short_is_its_last(house: DynamicHouse) -> None:
    await rolling(house)
    aged(house, 800)
    assert await until_over(house) == pytest.approx(800, abs=1)
    assert len(renewed(house)) == 1


async def test_one_that_was_replaced_since_it_could_not_live_longer_is_not_asked_for(house: DynamicHouse) -> None:
    consumer(house, updatedReplicas=0)
    house.wants(overlap="1h")
    await house.pass_over()
    aged(house, 605)
    while house.lease == OLD:
        await house.until_due()
    asked = len(renewed(house))
    assert await until_over(house) == pytest.approx(605, abs=1)
    assert len(renewed(house)) == asked


async def test_one_that_vault_does_not_know_any_more_is_not_asked_for_again(house: DynamicHouse) -> None:
    await rolling(house)
    house.vault.take_back(OLD)
    while OLD in house.named:
        await house.until_due()
    assert house.home.clock.monotonic() < house.vault.ttl
    assert (house.lease, house.vault.live) == (NEW, [NEW])
    assert not any(OLD in str(seen.body) for seen in house.home.vault.asked(REVOKE))


async def test_one_that_may_not_be_renewed_lives_to_its_end(house: DynamicHouse) -> None:
    await rolling(house)

    def renew(seen: Seen) -> Step:
        return errors(403, "permission denied") if seen.body["lease_id"] == OLD else house.vault.renew(seen)

    house.home.vault.on("PUT", "sys/leases/renew", renew)
    due = house.home.clock.monotonic()
    while OLD in house.named:
        await house.home.clock.advance(2)
        await house.attempt()
    assert house.home.clock.monotonic() - due <= house.vault.ttl + 3
    assert len(renewed(house)) == 2, "once under each token: a login anew might have helped"


async def test_a_renewal_that_fails_on_the_way_is_tried_again(house: DynamicHouse) -> None:
    await rolling(house)
    failing = iter([errors(500, "internal error")] * 2)

    def renew(seen: Seen) -> Step:
        return (seen.body["lease_id"] == OLD and next(failing, None)) or house.vault.renew(seen)

    house.home.vault.on("PUT", "sys/leases/renew", renew)
    while ends(house) == house.vault.ttl:
        await house.home.clock.advance(2)
        await house.attempt()
        assert OLD in house.vault.live


async def test_its_token_is_kept_for_it_and_bounds_what_is_told(house: DynamicHouse) -> None:
    house.vault.token_max_ttl = 3600
    house.home.tokens.ttl = 3600
    await rolling(house, overlap="2h")
    while OLD in house.named:
        assert OLD in house.vault.live, "the consumers are refused"
        assert ends(house) <= 3600
        await house.until_due()


async def test_one_whose_token_ends_before_it_is_not_renewed_in_vain() -> None:
    async with dynamic_house(token_ttl=500) as house:
        house.vault.token_max_ttl = 500
        consumer(house, updatedReplicas=0)
        house.wants(overlap="20m")
        await rotated(house)
        while OLD in house.named:
            await house.until_due()
        assert house.home.clock.monotonic() <= 500
        assert renewed(house) == []


async def test_a_process_that_does_not_have_its_token_leaves_it_to_its_end(house: DynamicHouse) -> None:
    await rolling(house)
    house.restart()
    await house.pass_over()
    while OLD in house.named:
        await house.until_due()
    assert house.home.clock.monotonic() == pytest.approx(house.vault.ttl, abs=1)
