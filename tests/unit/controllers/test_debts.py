"""Restarts that are asked for: once per value of the annotation, and acknowledged when every target took it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.fakes.dynamic_house import DynamicHouse, dynamic_house
from tests.fakes.house import STATIC, House
from tests.fakes.kube_transport import Reply, Request, status
from vso.core.errors import Reason, TransientError

DEPLOYMENTS = "/apis/apps/v1/namespaces/app/deployments"
STATIC_DB = "/apis/secrets.hashicorp.com/v1beta1/namespaces/app/vaultstaticsecrets/db"
DIGEST = "vso.hashicorp.com/secret-digest"
RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
RESTART = "vso.hashicorp.com/restart"


def patches(home: House, name: str = "web") -> list[Any]:
    """The restarts that were asked of the API server; a dry run is none."""
    return [seen.json for seen in home.requests("PATCH", f"deployments/{name}") if "dryRun" not in seen.query]


def ask(home: House, value: str | None, *targets: str, **changes: Any) -> None:
    annotations = {} if value is None else {RESTART: value}
    wanted = [{"kind": "Deployment", "name": name} for name in targets]
    home.static(rolloutRestartTargets=wanted, metadata={"annotations": annotations}, **changes)


def lost_status() -> Callable[[Request], Reply | None]:
    """Refuse the first write of a status, as if the process had died before it."""
    answers = iter([status(500, "InternalError")])
    return lambda seen: next(answers, None) if seen.path.endswith("/status") else None


def marks(home: House, name: str = "web") -> list[tuple[str, ...]]:
    """What each restart named, the owner's hash left out."""
    return [
        tuple(sorted(mark.rpartition("-")[0] or mark for mark in patch["spec"]["template"]["metadata"]["annotations"]))
        for patch in patches(home, name)
    ]


async def test_a_restart_is_made_once_per_value_that_asks_for_it(home: House) -> None:
    home.cluster.workload(DEPLOYMENTS, "web")
    ask(home, "from-git", "web")
    await home.pass_over()
    assert (patches(home), home.status()["lastHandledRestart"]) == ([], "from-git")
    synced = home.status()
    for value, count in (("one", 1), ("one", 1), (None, 1), ("one", 1), ("two", 2), ("one", 3)):
        await home.clock.advance(60)
        ask(home, value, "web")
        await home.pass_over()
        await home.pass_over()
        assert len(patches(home)) == count
        assert home.status()["lastHandledRestart"] == (value or "one")
    assert marks(home) == [(RESTART,)] * 3
    assert len({str(patch) for patch in patches(home)}) == 3
    for untouched in ("history", "lastSyncTime", "secretMAC", "rolledOutDigest"):
        assert home.status()[untouched] == synced[untouched]
    assert await home.told() == ["SecretSynced", "RolloutRestartTriggered"]


async def test_a_restart_that_is_asked_for_and_could_not_be_told_says_the_same_again(home: House) -> None:
    home.cluster.workload(DEPLOYMENTS, "web")
    ask(home, None, "web")
    await home.pass_over()
    ask(home, "one", "web")
    home.cluster.refuse = lost_status()
    with pytest.raises(TransientError):
        await home.pass_over()
    restarted = home.cluster.workload(DEPLOYMENTS, "web")
    home.restarted()
    await home.clock.advance(10)
    await home.pass_over()
    assert home.cluster.workload(DEPLOYMENTS, "web") == restarted
    assert len({str(patch) for patch in patches(home)}) == 1
    assert home.status()["lastHandledRestart"] == "one"


async def test_a_restart_that_is_asked_for_is_acknowledged_when_every_target_took_it(home: House) -> None:
    home.cluster.workload(DEPLOYMENTS, "web")
    ask(home, None, "web", "late")
    await home.pass_over()
    ask(home, "one", "web", "late")
    for _ in range(2):
        with pytest.raises(TransientError) as caught:
            await home.pass_over()
        assert caught.value.reason is Reason.ROLLOUT_RESTART_FAILED
        await home.clock.advance(10)
    assert "late does not exist" in home.condition("RolloutRestart")["message"]
    assert "lastHandledRestart" not in home.status()
    home.cluster.workload(DEPLOYMENTS, "late")
    await home.pass_over()
    assert home.status()["lastHandledRestart"] == "one"
    assert len(patches(home)) == 1
    assert await home.told() == ["SecretSynced", "RolloutRestartTriggeredFailed", "RolloutRestartTriggered"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({}, ("vso.hashicorp.com/restart", DIGEST, RESTARTED_AT), id="with-new-data"),
        pytest.param({"hmacSecretData": False}, ("vso.hashicorp.com/restart",), id="data-is-not-compared"),
    ],
)
async def test_one_restart_pays_for_new_data_and_for_being_asked(
    home: House, changes: dict[str, Any], named: tuple[str, ...]
) -> None:
    home.cluster.workload(DEPLOYMENTS, "web")
    ask(home, None, "web", **changes)
    await home.pass_over()
    home.holds({"password": "s3cret-2"}, version=2)
    home.notes().source_changed = True
    ask(home, "one", "web", **changes)
    await home.pass_over()
    assert [sorted(names) for names in marks(home)] == [sorted(named)]
    assert home.status()["lastHandledRestart"] == "one"
    assert home.cluster.secret_data("db")["password"] == "s3cret-2"


@pytest.mark.parametrize(
    ("targets", "changes", "acknowledged"),
    [
        pytest.param((), {}, "one", id="no-targets"),
        pytest.param(("web",), {"suspend": True}, None, id="suspended"),
    ],
)
async def test_a_restart_that_nobody_can_make_now(
    home: House, targets: tuple[str, ...], changes: dict[str, Any], acknowledged: str | None
) -> None:
    home.cluster.workload(DEPLOYMENTS, "web")
    ask(home, None, *targets)
    await home.pass_over()
    ask(home, "one", *targets, **changes)
    await home.pass_over()
    ask(home, "one", "web", **changes)
    await home.pass_over()
    assert patches(home) == []
    assert home.status().get("lastHandledRestart") == acknowledged


async def test_an_object_of_the_same_name_that_is_asked_the_same_is_asked_anew(home: House) -> None:
    home.cluster.workload(DEPLOYMENTS, "web")
    ask(home, None, "web")
    await home.pass_over()
    for uid in ("first", "second"):
        ask(home, None, "web")
        home.cluster.secrets.stored.clear()
        home.cluster.put(STATIC, "db", home.cluster.objects[STATIC_DB]["spec"], uid=uid)
        home.cluster.objects[STATIC_DB]["status"] = {"observedGeneration": -1}
        home.restarted()
        await home.pass_over()
        ask(home, "one", "web")
        await home.pass_over()
    assert len({str(patch) for patch in patches(home)}) == 2


# The same for credentials with a lease.


@pytest.fixture
async def lent() -> AsyncIterator[DynamicHouse]:
    async with dynamic_house() as opened:
        opened.home.cluster.workload(DEPLOYMENTS, "web")
        opened.wants(rolloutRestartTargets=[{"kind": "Deployment", "name": "web"}])
        yield opened


async def test_credentials_stay_when_a_restart_is_asked_for(lent: DynamicHouse) -> None:
    lent.wants(metadata={"annotations": {RESTART: "from-git"}})
    await lent.pass_over()
    assert (patches(lent.home), lent.status["lastHandledRestart"]) == ([], "from-git")
    for value, count in (("one", 1), ("one", 1), ("two", 2)):
        lent.wants(metadata={"annotations": {RESTART: value}})
        await lent.pass_over()
        lent.restart()
        await lent.pass_over()
        assert (len(patches(lent.home)), lent.status["lastHandledRestart"]) == (count, value)
    assert marks(lent.home) == [(RESTART,)] * 2
    assert len(lent.vault.live) == 1
    assert len(lent.status["history"]) == 1


async def test_new_credentials_and_a_restart_that_is_asked_for_are_one_restart(lent: DynamicHouse) -> None:
    await lent.pass_over()
    lent.wants(metadata={"annotations": {RESTART: "one", "vso.hashicorp.com/resync": "one"}})
    await lent.pass_over()
    assert [sorted(names) for names in marks(lent.home)] == [sorted((RESTART, DIGEST, RESTARTED_AT))]
    assert lent.status["lastHandledRestart"] == lent.status["lastHandledResync"] == "one"


async def test_a_restart_that_is_asked_for_when_the_lease_is_due_waits_for_no_other_pass(lent: DynamicHouse) -> None:
    await lent.pass_over()
    lent.wants(metadata={"annotations": {RESTART: "one"}})
    await lent.until_due()
    assert len(lent.home.vault.asked("sys/leases/renew")) == 1
    assert (len(patches(lent.home)), lent.status["lastHandledRestart"]) == (1, "one")


async def test_a_suspended_lease_restarts_nobody(lent: DynamicHouse) -> None:
    await lent.pass_over()
    lent.wants(metadata={"annotations": {RESTART: "one"}}, suspend=True)
    await lent.until_due()
    assert patches(lent.home) == []
    assert "lastHandledRestart" not in lent.status
