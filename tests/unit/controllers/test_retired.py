"""A replaced lease lives on while consumers change over, and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from tests.fakes.clock import T0
from tests.fakes.cluster import Json
from tests.fakes.dynamic_house import DYNAMIC, DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS
from tests.fakes.vault_server import Reply, Seen, Step, errors
from vso.controllers.dynamic_status import MOST_RETIRED
from vso.core.errors import Reason

REVOKE = "sys/leases/revoke"
WEB = "/apis/apps/v1/namespaces/app/deployments"
OLD, NEW, THIRD = f"{CREDS}/1", f"{CREDS}/2", f"{CREDS}/3"


@pytest.fixture
async def house() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        yield opened


async def rotated(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(params={"ttl": "5m"})
    await house.pass_over()


def consumer(house: DynamicHouse, **status: int) -> Json:
    house.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
    house.home.cluster.workload(WEB, "web")["status"] = status
    return house.home.cluster.workloads[f"{WEB}/web"]


async def test_without_consumers_it_lives_as_long_as_is_set(house: DynamicHouse) -> None:
    await rotated(house)
    assert (house.vault.live, house.due_in()) == ([OLD, NEW], 30)
    await house.home.clock.advance(29)
    await house.pass_over()
    assert house.vault.live == [OLD, NEW]
    await house.until_due()
    assert (house.vault.live, house.named) == ([NEW], {NEW})


async def test_it_goes_as_soon_as_the_consumers_have_changed_over(house: DynamicHouse) -> None:
    consumer(house, updatedReplicas=0)
    await rotated(house)
    assert house.due_in() == 2
    await house.until_due()
    assert house.vault.live == [OLD, NEW]
    done = {"updatedReplicas": 1, "availableReplicas": 1, "replicas": 1}
    house.home.cluster.workloads[f"{WEB}/web"]["status"] = done
    await house.until_due()
    assert (house.vault.live, house.named) == ([NEW], {NEW})


async def test_consumers_that_never_change_over_do_not_keep_it(house: DynamicHouse) -> None:
    consumer(house, updatedReplicas=0)
    await rotated(house)
    for _ in range(16):
        await house.until_due()
    assert house.vault.live == [NEW]


async def test_it_is_given_back_later_while_vault_cannot(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, errors(500, "internal error"))
    await house.until_due()
    assert house.named == {OLD, NEW}
    assert house.due_in() == pytest.approx(10)
    house.home.vault.on("PUT", REVOKE, house.vault.revoke)
    await house.until_due()
    assert (house.vault.live, house.named) == ([NEW], {NEW})


async def test_what_the_policy_forbids_is_left_to_its_end(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, errors(403, "permission denied"))
    await house.until_due()
    assert house.named == {NEW}
    [text] = await house.told(Reason.REVOKE_FORBIDDEN)
    assert 'add path "sys/leases/revoke" { capabilities = ["update"] } to the Vault policy' in text
    await house.home.clock.advance(1)
    await house.pass_over()
    assert len(await house.told(Reason.REVOKE_FORBIDDEN)) == 1


async def test_that_the_policy_forbids_it_is_told_too_where_it_has_to_make_room(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, errors(403, "permission denied"))
    house.wants(params={"ttl": "6m"})
    await house.pass_over()
    assert (house.lease, house.named) == (THIRD, {NEW, THIRD})
    assert len(await house.told(Reason.REVOKE_FORBIDDEN)) == 1
    assert await house.told(Reason.LEASE_LEAKED) == []


async def test_what_a_renewal_that_was_cut_short_has_granted_is_its_to_live(house: DynamicHouse) -> None:
    house.wants(overlap="1h")
    house.vault.max_ttl = house.vault.ttl + 5
    await house.pass_over()
    while house.lease == OLD:
        await house.until_due()
    [ref] = house.status["retiredLeases"]
    granted = T0 + timedelta(seconds=house.vault.max_ttl)
    assert timedelta(0) <= granted - datetime.fromisoformat(ref["notAfter"]) <= timedelta(seconds=1)
    while OLD in house.named:
        assert OLD in house.vault.live
        await house.until_due()


# A third lease waits until the first is given back, as long as there are credentials that live.

FORSAKEN = errors(400, "failed to revoke entry: role owns objects")


@pytest.mark.parametrize("answer", [errors(500, "internal error"), FORSAKEN], ids=["broken", "refused"])
async def test_a_third_lease_waits_until_the_first_has_had_its_time(house: DynamicHouse, answer: Reply) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, answer)
    house.wants(params={"ttl": "6m"})
    assert not await house.attempt()
    assert (house.vault.most_live, house.lease) == (2, NEW)
    assert await house.told(Reason.LEASE_LEAKED) == []
    await house.home.clock.advance(31)
    await house.pass_over()
    assert (house.lease, house.named) == (THIRD, {OLD, NEW, THIRD})
    [text] = await house.told(Reason.LEASE_LEAKED)
    assert "replaced leases are not given back (1)" in text
    assert "revoke the lease in Vault" in text
    house.home.vault.on("PUT", REVOKE, house.vault.revoke)
    await house.home.clock.advance(31)
    await house.pass_over()
    assert (house.vault.live, house.named) == ([THIRD], {THIRD})


async def test_a_third_lease_is_not_waited_with_near_the_end_of_the_second(house: DynamicHouse) -> None:
    house.vault.renewable = False
    house.wants(overlap="1h")
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    attempts = 0
    while house.lease == NEW:
        await house.home.clock.advance((house.due_in() or 0) + 0.001)
        attempts += not await house.attempt()
        assert house.lease in house.vault.live, "the Secret holds what has ended"
    assert attempts > 2
    assert house.lease == THIRD
    assert NEW in house.vault.live


async def test_a_third_lease_is_not_waited_with_when_the_second_is_gone(house: DynamicHouse) -> None:
    house.wants(overlap="1h")
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    house.vault.take_back(NEW)
    await house.until_due()
    assert (house.lease, house.vault.live) == (THIRD, [OLD, THIRD])


async def test_leases_that_are_never_given_back_do_not_fill_the_status(house: DynamicHouse) -> None:
    await rotated(house)
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    for number in range(2 * MOST_RETIRED):
        await house.home.clock.advance(31)
        house.wants(params={"ttl": f"{number + 10}m"})
        await house.pass_over()
    assert len(house.named) == MOST_RETIRED + 1
    assert f"{CREDS}/{2 * MOST_RETIRED + 1}" in house.named, "the newest ones stay"


# While its consumers change over it is kept alive, and at most for its overlap.


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


# Static credentials take the place of a lease by the same rules.

STATIC = "database/static-creds/app"


def static(house: DynamicHouse, number: int) -> None:
    data = {"username": "app", "password": f"canary-{number}"}
    house.home.vault.on("GET", STATIC, Reply(200, {"request_id": "r", "data": data, "lease_id": ""}))
    house.wants(path="static-creds/app", allowStaticCreds=True, refreshAfter="1h")


async def test_a_lease_that_static_credentials_replace_lives_on_and_is_given_back(house: DynamicHouse) -> None:
    await house.pass_over()
    static(house, 1)
    await house.pass_over()
    assert (house.lease, house.named, house.vault.live) == ("", {OLD}, [OLD])
    await house.until_due()
    assert (house.named, house.vault.live) == (set(), [])


async def test_leases_and_static_credentials_by_turns_do_not_fill_the_status(house: DynamicHouse) -> None:
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    for number in range(2 * MOST_RETIRED):
        house.wants(path="creds/app", allowStaticCreds=True, refreshAfter="1h")
        await house.pass_over()
        static(house, number)
        await house.home.clock.advance(31)
        await house.pass_over()
        assert len(house.named) <= MOST_RETIRED
    assert f"{CREDS}/{2 * MOST_RETIRED}" in house.named, "the newest ones stay"
    assert await house.told(Reason.LEASE_LEAKED)


async def test_where_static_credentials_were_allowed_a_third_lease_waits_too(house: DynamicHouse) -> None:
    house.wants(allowStaticCreds=True)
    await rotated(house)
    assert (house.lease, house.vault.live) == (NEW, [OLD, NEW])
    house.home.vault.on("PUT", REVOKE, FORSAKEN)
    house.wants(params={"ttl": "6m"})
    assert not await house.attempt()
    assert (house.vault.most_live, house.lease) == (2, NEW)
    house.home.vault.on("PUT", REVOKE, house.vault.revoke)
    await house.home.clock.advance(31)
    await house.pass_over()
    assert (house.lease, house.vault.most_live) == (THIRD, 2)
