"""One dynamic secret through its life: issued, renewed, replaced, rested, and seen off."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.lease_vault import CREDS, Fault
from tests.fakes.vault_server import Reply, errors
from vso.controllers.lease_times import LeaseStatistics
from vso.core.errors import Reason, TransientError, VsoError

WEB = "/apis/apps/v1/namespaces/app/deployments"


@pytest.fixture
async def house() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        yield opened


def asked(house: DynamicHouse, path: str) -> int:
    return len(house.home.vault.asked(path))


async def lives_for(house: DynamicHouse, seconds: float) -> None:
    """Look whenever that is due: the Secret's credentials work all the time."""
    for _ in range(400):
        await house.until_due()
        assert house.lease in house.vault.live
        if house.home.clock.monotonic() >= seconds:
            return
    raise AssertionError(f"400 passes, and only {house.home.clock.monotonic()}s went by")


async def refused(house: DynamicHouse) -> VsoError:
    with pytest.raises(VsoError) as caught:
        await house.pass_over()
    return caught.value


async def test_credentials_are_issued_named_and_written(house: DynamicHouse) -> None:
    await house.pass_over()
    assert house.home.cluster.secret_data("db") == {"username": "user-1", "password": "canary-1"}
    assert house.lease == f"{CREDS}/1"
    assert house.mark == house.digest(house.lease)
    assert house.home.writes() == [
        "PATCH vaultdynamicsecrets/db",
        "PATCH vaultdynamicsecrets/db/status",
        "POST secrets",
        "PATCH vaultdynamicsecrets/db/status",
    ]
    assert "canary" not in str(house.status)


async def test_nothing_is_asked_before_it_is_due(house: DynamicHouse) -> None:
    await house.pass_over()
    seen, writes = len(house.home.vault.seen), len(house.home.writes())
    await house.home.clock.advance(10)
    await house.pass_over()
    assert (len(house.home.vault.seen), len(house.home.writes())) == (seen, writes)


async def test_a_renewal_costs_one_request_and_one_status_write(house: DynamicHouse) -> None:
    await house.pass_over()
    writes, seen = len(house.home.writes()), len(house.home.vault.seen)
    for _ in range(5):
        await house.until_due()
    assert house.home.writes()[writes:] == ["PATCH vaultdynamicsecrets/db/status"] * 5
    assert len(house.home.vault.seen) - seen == 5
    assert house.vault.live == [f"{CREDS}/1"]
    assert house.status["secretLease"]["duration"] == 600


async def test_it_lives_for_days_without_a_moment_of_dead_credentials(house: DynamicHouse) -> None:
    await house.pass_over()
    await lives_for(house, 86_400)
    assert asked(house, CREDS) == 1


async def test_a_failed_renewal_is_tried_again_while_life_remains(house: DynamicHouse) -> None:
    await house.pass_over()
    house.home.vault.on("PUT", "sys/leases/renew", errors(500, "internal error"))
    await house.home.clock.advance(house.due_in() or 0)
    assert isinstance(await refused(house), TransientError)
    assert house.due_in() == 30
    assert house.home.cluster.secret_data("db")["password"] == "canary-1"
    ready = next(c for c in house.status["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True"
    assert asked(house, CREDS) == 1


async def test_a_lease_that_has_ended_is_told_until_there_is_another(house: DynamicHouse) -> None:
    await house.pass_over()
    house.home.vault.on("PUT", "sys/leases/renew", errors(500, "internal error"))
    house.home.vault.on("GET", CREDS, errors(500, "internal error"))
    for seconds, left in ((590, 10), (20, -10), (600, -610)):
        await house.home.clock.advance(seconds)
        await refused(house)
        assert house.running.times.statistics() == LeaseStatistics(failing=1, first_end=left)
    assert house.due_in() is None, "the back-off alone says when it is tried again"
    house.restart()
    await refused(house)
    assert house.running.times.statistics() == LeaseStatistics(failing=1, first_end=-610)


@pytest.mark.parametrize("create", [True, False], ids=["somebody-elses", "not-there"])
async def test_while_the_secret_cannot_be_written_no_further_credentials_are_issued(
    house: DynamicHouse, *, create: bool
) -> None:
    stored = house.home.cluster.secrets
    if create:
        stored.put("db", uid="foreign", data={"x": "eQ=="})
    house.wants(destination={**house.spec["destination"], "create": create})
    reasons = [(await refused(house)).reason for _ in range(4)]
    assert reasons == [Reason.DESTINATION_CONFLICT if create else Reason.DESTINATION_MISSING] * 4
    assert asked(house, CREDS) == 1
    assert house.vault.live == []
    if create:
        del stored.stored["db"]
    else:
        stored.put("db", uid="foreign")
    await house.pass_over()
    assert house.lease == f"{CREDS}/2"
    assert house.vault.live == [house.lease]


async def test_the_old_secret_of_a_rename_that_is_not_deleted_is_named() -> None:
    async with dynamic_house(full=False) as house:
        await house.pass_over()
        house.wants(destination={**house.spec["destination"], "name": "renamed"})
        await house.pass_over()
        assert house.home.cluster.secret_data("db") == {}
        assert await house.told(Reason.ORPHANED_SECRET) == [
            "Secret db was emptied after the rename to renamed; delete it"
        ]


async def test_a_lease_that_is_gone_is_replaced_in_the_same_pass(house: DynamicHouse) -> None:
    await house.pass_over()
    house.vault.take_back(house.lease)
    await house.until_due()
    assert house.lease == f"{CREDS}/2"
    assert house.mark == house.digest(house.lease)
    assert house.status["history"][0]["reason"] == "LeaseNotFound"


@pytest.mark.parametrize(
    ("changes", "reissued"),
    [
        pytest.param({"renewalPercent": 50}, False, id="share-of-renewal"),
        pytest.param({"overlap": "1m"}, False, id="overlap"),
        pytest.param({"params": {"ttl": "5m"}}, True, id="parameters"),
        pytest.param({"requestHTTPMethod": "PUT"}, True, id="method"),
        pytest.param(
            {"rolloutRestartTargets": [{"kind": "Deployment", "name": "web"}]}, False, id="targets-are-not-restarted"
        ),
    ],
)
async def test_only_what_shapes_the_request_issues_anew(
    house: DynamicHouse, changes: dict[str, object], reissued: bool
) -> None:
    house.home.cluster.workload(WEB, "web")
    await house.pass_over()
    house.wants(**changes)
    await house.pass_over()
    assert asked(house, CREDS) == 1 + reissued
    assert house.status["lastGeneration"] == 2
    assert not house.home.requests("PATCH", "deployments")


async def test_labels_follow_without_new_credentials(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(destination={**house.spec["destination"], "labels": {"team": "a"}})
    await house.pass_over()
    meta = house.home.cluster.secrets.stored["db"]["metadata"]
    assert meta["labels"]["team"] == "a"
    assert house.status["destination"]["resourceVersion"] == meta["resourceVersion"]
    assert (asked(house, CREDS), house.mark) == (1, house.digest(house.lease))


async def test_a_resync_is_handled_once(house: DynamicHouse) -> None:
    await house.pass_over()
    house.wants(metadata={"annotations": {"vso.hashicorp.com/resync": "now"}})
    await house.pass_over()
    await house.pass_over()
    assert asked(house, CREDS) == 2
    assert house.status["lastHandledResync"] == "now"


async def test_data_that_somebody_else_wrote_is_replaced(house: DynamicHouse) -> None:
    await house.pass_over()
    house.home.cluster.edit_secret("db", password="foreign")
    annotations = house.home.cluster.secrets.stored["db"]["metadata"]["annotations"]
    house.home.cluster.secrets.stored["db"]["metadata"]["annotations"] = dict.fromkeys(annotations, "foreign")
    await house.pass_over()
    assert house.home.cluster.secret_data("db")["password"] == "canary-2"
    assert house.status["history"][0]["reason"] == "SecretDataDrift"


async def test_a_foreign_label_is_no_reason_for_new_credentials(house: DynamicHouse) -> None:
    await house.pass_over()
    meta = house.home.cluster.secrets.stored["db"]["metadata"]
    meta["labels"]["foreign"] = "yes"
    meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 5000)
    await house.pass_over()
    assert asked(house, CREDS) == 1
    await house.pass_over()
    assert len(house.home.requests("PATCH", "app/secrets/db")) == 1


@pytest.mark.parametrize("restarted", [False, True])
async def test_data_that_somebody_wrote_before_a_change_of_labels_is_replaced(restarted: bool) -> None:
    async with dynamic_house(full=False, ttl=100_000, token_ttl=1_000_000) as house:
        await house.pass_over()
        meta = house.home.cluster.secrets.stored["db"]["metadata"]
        stranger = {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {"f:password": {}}}}
        meta["managedFields"].append({**stranger, "time": "2099-01-01T00:00:00Z"})
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 5000)
        house.wants(destination={**house.spec["destination"], "labels": {"team": "a"}})
        await house.pass_over()
        assert house.home.cluster.secrets.stored["db"]["metadata"]["labels"]["team"] == "a"
        # The fake keeps one entry alone: the server keeps them all.
        house.home.cluster.secrets.stored["db"]["metadata"]["managedFields"].append(
            {**stranger, "time": "2099-01-01T00:00:00Z"}
        )
        if restarted:
            house.restart()
        await house.pass_over()
        await house.home.clock.advance(700)
        await house.pass_over()
        assert house.status["history"][0]["reason"] == "SecretDataDrift"


async def test_after_a_restart_a_living_lease_is_adopted(house: DynamicHouse) -> None:
    await house.pass_over()
    await house.home.clock.advance(60)
    house.restart()
    await house.pass_over()
    assert (asked(house, CREDS), house.vault.live) == (1, [f"{CREDS}/1"])
    assert not house.home.requests("PATCH", "deployments")


async def test_an_adopted_lease_is_replaced_before_its_token_ends(house: DynamicHouse) -> None:
    await house.pass_over()
    house.restart()
    await house.pass_over()
    await lives_for(house, 7200)
    assert asked(house, CREDS) == 2


async def test_with_short_tokens_the_parent_is_kept_by_renew_self() -> None:
    async with dynamic_house(token_ttl=120) as house:
        await house.pass_over()
        await lives_for(house, 7200)
        assert (asked(house, CREDS), house.home.tokens.logins) == (1, 1)


async def test_at_the_end_of_its_token_a_lease_is_replaced_before() -> None:
    async with dynamic_house(token_ttl=600) as house:
        house.vault.token_max_ttl = 2000
        await house.pass_over()
        await lives_for(house, 7200)
        assert 3 <= asked(house, CREDS) <= 8
        assert house.vault.most_live <= 2


async def test_while_suspended_the_lease_and_its_token_are_kept_and_nothing_else() -> None:
    async with dynamic_house(token_ttl=120) as house:
        await house.pass_over()
        house.wants(suspend=True)
        await house.pass_over()
        await lives_for(house, 7200)
        assert asked(house, CREDS) == 1
        house.wants(params={"ttl": "5m"})
        await house.pass_over()
        assert asked(house, CREDS) == 1


async def test_a_suspended_object_that_was_never_synced_asks_for_nothing(house: DynamicHouse) -> None:
    house.wants(suspend=True)
    await house.pass_over()
    assert (asked(house, CREDS), house.due_in()) == (0, None)


async def test_a_lease_that_no_status_could_name_is_given_back(house: DynamicHouse) -> None:
    house.fate.strike(3, Fault.BROKEN)  # the status that would name it
    assert not await house.attempt()
    assert house.fate.struck.endswith("/status")
    assert house.vault.live == []
    assert house.named == set()


async def test_a_lease_that_ended_while_nobody_looked_is_replaced_whatever_the_secret_holds() -> None:
    async with dynamic_house(full=False) as house:
        await house.pass_over()
        house.wants(params={"ttl": "5m"})
        house.fate.strike(3, Fault.CRASH_AFTER)  # the Secret is written, and the status does not say so
        assert not await house.attempt()
        house.restart()
        assert house.fate.struck.startswith("PATCH secrets/db")
        house.vault.take_back(f"{CREDS}/2")
        await house.pass_over()
        assert house.mark == house.digest(house.lease)
        assert house.lease in house.vault.live


async def test_answers_without_a_lease_are_asked_for_again_after_refresh_after(house: DynamicHouse) -> None:
    house.home.vault.on("GET", CREDS, Reply(200, {"request_id": "r", "data": {"token": "canary"}}))
    house.wants(refreshAfter="1m", renewalPercent=50)
    await house.pass_over()
    assert house.due_in() == 30
    await house.until_due()
    assert asked(house, CREDS) == 2
    assert house.mark == ""
