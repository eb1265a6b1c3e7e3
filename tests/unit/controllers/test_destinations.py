"""What is written where: renames, removals, other people's Secrets, and the Secret that is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.fakes.cluster import Json
from tests.fakes.destination_desk import ONE, Desk, desk
from tests.fakes.house import STATIC
from vso.controllers.destinations import secret_plan
from vso.core.errors import ConfigError, Reason
from vso.decide.sync import Compared, SyncPlan, Why, plan_sync
from vso.kube.labels import owner_labels


@pytest.fixture
async def full() -> AsyncIterator[Desk]:
    async with desk(full=True) as made:
        yield made


@pytest.fixture
async def narrow() -> AsyncIterator[Desk]:
    async with desk(full=False) as made:
        yield made


# Renames and removals.


async def test_a_rename_with_the_right_to_delete_takes_the_old_secret_away(full: Desk) -> None:
    await full.write()
    full.asks(name="new")
    landed = await full.write(why=Why.SPEC_CHANGED)
    assert set(full.cluster.secrets.stored) == {"new"}
    assert (landed.orphan, landed.drifted) == ("", False)


async def test_a_rename_without_it_empties_the_old_secret_and_names_it(narrow: Desk) -> None:
    await narrow.write()
    narrow.asks(name="new")
    landed = await narrow.write(why=Why.SPEC_CHANGED)
    assert (landed.orphan, landed.emptied) == ("db", True)
    assert narrow.cluster.secret_data("db") == {}
    assert narrow.cluster.secret_data("new") == {"password": "one"}


@pytest.mark.parametrize("mode", [True, False], ids=["full", "write-only"])
async def test_of_a_rename_only_our_own_old_secret_is_touched(mode: bool) -> None:
    async with desk(full=mode) as made:
        await made.write()
        made.cluster.secrets.put("db", uid="somebody-elses", data={"x": "eQ=="})
        made.asks(name="new")
        await made.write(why=Why.SPEC_CHANGED)
        assert made.cluster.secret_data("db") == {"x": "y"}


@pytest.mark.parametrize("mode", [True, False], ids=["full", "write-only"])
async def test_of_a_rename_a_secret_that_was_never_ours_by_name_is_left_and_named(mode: bool) -> None:
    async with desk(full=mode) as made:
        made.cluster.secrets.put("db")
        made.asks(create=False)
        await made.write()
        made.asks(name="new")
        landed = await made.write(why=Why.SPEC_CHANGED)
        assert (landed.orphan, landed.emptied) == ("db", False)
        assert made.cluster.secret_data("db") == {"password": "one"}


async def test_of_a_rename_the_secret_that_another_object_took_over_is_no_orphan(narrow: Desk) -> None:
    await narrow.write()
    narrow.cluster.secrets.stored["db"]["metadata"] |= {"labels": owner_labels("of-another"), "ownerReferences": []}
    narrow.asks(name="new")
    assert (await narrow.write(why=Why.SPEC_CHANGED)).orphan == ""
    assert narrow.cluster.secret_data("db") == {"password": "one"}


async def test_a_secret_that_is_not_ours_is_never_deleted(full: Desk) -> None:
    full.cluster.secrets.put("db")
    full.asks(create=False)
    await full.write()
    await full.destinations.remove(full.look)
    assert full.cluster.secret_data("db") == {}


@pytest.mark.parametrize(("mode", "left"), [(True, set()), (False, {"db"})], ids=["full", "write-only"])
async def test_removing_deletes_or_empties(mode: bool, left: set[str]) -> None:
    async with desk(full=mode) as made:
        await made.destinations.remove(made.look)
        assert made.api.requests == []
        await made.write()
        for _ in range(2):
            await made.destinations.remove(made.look)
        assert set(made.cluster.secrets.stored) == left
        assert all(made.cluster.secret_data(name) == {} for name in left)


async def test_a_secret_of_somebody_else_is_not_written(full: Desk) -> None:
    full.cluster.secrets.put("db", data={"x": "eQ=="})
    with pytest.raises(ConfigError) as caught:
        await full.write()
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert full.cluster.secret_data("db") == {"x": "y"}


# The Secret that is asked for.


@pytest.mark.parametrize(("on_delete", "owned"), [("Delete", True), ("Retain", False)])
async def test_a_retained_secret_has_no_owner(full: Desk, on_delete: str, owned: bool) -> None:
    full.asks(onDelete=on_delete, type="kubernetes.io/basic-auth", labels={"a": "b"})
    plan = secret_plan(STATIC, full.look, ONE)
    assert (plan.owner is not None) is owned
    assert plan.owner_uid == "uid-of-db"
    assert (plan.type, dict(plan.labels), plan.own) == ("kubernetes.io/basic-auth", {"a": "b"}, True)


async def test_a_secret_is_opaque_unless_said_otherwise(full: Desk) -> None:
    assert secret_plan(STATIC, full.look, ONE).type == "Opaque"


async def test_a_plan_for_the_labels_alone_leaves_the_data(full: Desk) -> None:
    await full.write()
    full.asks(labels={"team": "a"})
    landed = await full.write(why=Why.SPEC_CHANGED, changed=False)
    meta: Json = full.cluster.secrets.stored["db"]["metadata"]
    assert meta["labels"]["team"] == "a"
    assert landed.drifted is False
    assert isinstance(plan_sync(Why.SPEC_CHANGED, Compared("db", "db", "d", "d")), SyncPlan)
