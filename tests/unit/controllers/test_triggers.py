from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, key
from tests.fakes.house import STATIC
from vso.api.secrets import VaultStaticSecretStatus
from vso.controllers.memory import Memory
from vso.controllers.triggers import (
    DepartureTrigger,
    ReferredTrigger,
    ReferrerTrigger,
    SecretTrigger,
    SelfTrigger,
    concerns_us,
    defaulted_by,
    global_index,
    reference_index,
    target_index,
    uid_index,
)
from vso.core.backoff import Backoff
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.kube.list_watch import decode_secret_metadata
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import WorkQueue


@pytest.fixture
def queue(clock: FakeClock) -> WorkQueue[ObjectKey]:
    return WorkQueue(clock, RateLimiter(Backoff(), random.Random(1)))


def record(**changes: Any) -> Record:
    made = FakeCluster().put(STATIC, "db", {"vaultAuthRef": "vault"})
    return replace(made, **changes)


OLD = record()
CHANGES = [
    pytest.param(None, OLD, True, id="new"),
    pytest.param(OLD, None, True, id="gone"),
    pytest.param(OLD, record(resource_version="9", packed=b""), False, id="echo-of-a-status"),
    pytest.param(OLD, record(generation=2), True, id="spec"),
    pytest.param(OLD, record(look=1), True, id="annotation-or-label"),
    pytest.param(OLD, record(deleting=True), True, id="deletion"),
    pytest.param(OLD, record(uid="other"), True, id="made-anew"),
]


@pytest.mark.parametrize(
    ("spec", "filed"),
    [
        ({"vaultAuthRef": 7}, []),
        ({"vaultAuthRef": "a/b/c"}, []),
        ({}, ["vso-system/default"]),
        (None, ["vso-system/default"]),
        ([], ["vso-system/default"]),
    ],
)
def test_a_spec_that_cannot_be_understood_does_not_stop_the_watch(spec: Any, filed: list[str]) -> None:
    record = FakeCluster().put(STATIC, "db", spec)
    assert list(reference_index("vso-system")(record)) == filed


@pytest.mark.parametrize(("old", "new", "wakes"), CHANGES)
def test_an_echo_of_the_status_wakes_nobody(
    queue: WorkQueue[ObjectKey], old: Record | None, new: Record | None, wakes: bool
) -> None:
    assert concerns_us(old, new) is wakes
    SelfTrigger(queue, lambda: True)(old, new)
    assert (queue.get_nowait() == key("db")) is wakes


@pytest.mark.parametrize(("synced", "urgent", "refresh"), [(True, 1, 0), (False, 0, 1)])
def test_what_was_there_at_the_start_stands_behind_what_is_new(
    queue: WorkQueue[ObjectKey], synced: bool, urgent: int, refresh: int
) -> None:
    SelfTrigger(queue, lambda: synced)(None, OLD)
    statistics = queue.statistics()
    assert (statistics.ready_urgent, statistics.ready_refresh) == (urgent, refresh)


@pytest.mark.parametrize(("old", "new", "wakes"), CHANGES)
def test_a_change_wakes_those_who_refer_to_it(
    queue: WorkQueue[ObjectKey], old: Record | None, new: Record | None, wakes: bool
) -> None:
    asked: list[str] = []

    def referrers(name: str) -> list[ObjectKey]:
        asked.append(name)
        return [key("one"), key("two")]

    ReferrerTrigger(queue, referrers)(old, new)
    assert len(queue) == (2 if wakes else 0)
    assert asked == (["app/db"] if wakes else [])


OWNER = "uid-of-db"


def secret(version: str = "7", uid: str = "secret-1", owner: str = OWNER, namespace: str = "app") -> Record:
    labels = {"secrets.hashicorp.com/vso-ownerRefUID": owner}
    meta = {"name": "db", "namespace": namespace, "uid": uid, "resourceVersion": version, "labels": labels}
    return decode_secret_metadata({"metadata": meta})


class Owners:
    """One object that was looked at already."""

    def __init__(self, queue: WorkQueue[ObjectKey], written: int = 0) -> None:
        self.notes: Memory[VaultStaticSecretStatus] = Memory(OWNER, 0, written_version=written)
        self.trigger = SecretTrigger(
            queue,
            lambda uid: {OWNER: [key("db")], "new": [key("new")]}.get(uid, []),
            lambda name: self.notes if name == key("db") else None,
        )


def test_our_own_write_wakes_nobody(queue: WorkQueue[ObjectKey]) -> None:
    owners = Owners(queue, written=7)
    owners.trigger(None, secret("7"))
    owners.trigger(secret("5"), secret("6"))
    assert len(queue) == 0


def test_a_label_in_another_namespace_names_nobody(queue: WorkQueue[ObjectKey]) -> None:
    owners, forged = Owners(queue, written=7), secret("8", uid="forged", namespace="elsewhere")
    owners.trigger(None, forged)
    owners.trigger(forged, None)
    assert len(queue) == 0
    assert owners.notes.deleted_uid == ""


def test_a_foreign_write_wakes_the_owner(queue: WorkQueue[ObjectKey]) -> None:
    Owners(queue, written=7).trigger(secret("7"), secret("8"))
    assert queue.statistics().ready_urgent == 1
    assert queue.get_nowait() == key("db")


def test_a_deletion_wakes_the_owner_and_is_noted(queue: WorkQueue[ObjectKey]) -> None:
    owners = Owners(queue, written=7)
    owners.trigger(secret("7"), None)
    assert owners.notes.deleted_uid == "secret-1"
    assert queue.get_nowait() == key("db")


def test_owners_that_are_unknown_or_not_looked_at_yet_are_left_alone(queue: WorkQueue[ObjectKey]) -> None:
    trigger = Owners(queue).trigger
    trigger(None, secret("8", owner="stranger"))
    trigger(None, secret("8", owner="new"))
    assert len(queue) == 0


@pytest.mark.parametrize(
    ("spec", "filed"),
    [
        ({"vaultAuthRef": "vault"}, ("app/vault",)),
        ({"vaultAuthRef": "other/vault"}, ("other/vault",)),
        ({}, ("vso-system/default",)),
        ({"vaultAuthRef": "a/b/c"}, ()),
    ],
)
def test_an_object_is_filed_under_what_it_refers_to(spec: dict[str, Any], filed: tuple[str, ...]) -> None:
    index = reference_index("vso-system")
    assert tuple(index(FakeCluster().put(Kind.VAULT_STATIC_SECRET, "db", spec))) == filed


@pytest.mark.parametrize(
    ("targets", "filed"),
    [
        (
            [{"kind": "Deployment", "name": "web"}, {"kind": "DaemonSet", "name": "log"}],
            ("app/Deployment/web", "app/DaemonSet/log"),
        ),
        (["web"], ()),
        ("web", ()),
        (None, ()),
    ],
)
def test_a_secret_is_filed_under_the_workloads_that_it_restarts(targets: Any, filed: tuple[str, ...]) -> None:
    record = FakeCluster().put(STATIC, "db", {"rolloutRestartTargets": targets})
    assert tuple(target_index(record)) == filed


def test_an_object_is_filed_under_its_uid() -> None:
    assert uid_index(OLD) == (OWNER,)


def test_while_a_write_is_on_its_way_its_echo_wakes_nobody_and_a_deletion_is_noted(
    queue: WorkQueue[ObjectKey],
) -> None:
    owners = Owners(queue, written=7)
    owners.notes.writing = True
    owners.trigger(secret("7"), secret("8"))
    owners.trigger(secret("8"), None)
    assert len(queue) == 0
    assert owners.notes.deleted_uid == "secret-1"


@pytest.mark.parametrize(
    ("ref", "filed"),
    [
        pytest.param({"name": "g"}, ("app/g",), id="name"),
        pytest.param({"name": "g", "namespace": "shared"}, ("shared/g",), id="namespace-and-name"),
        pytest.param({"allowDefault": True}, ("app/default", "vso-system/default"), id="either-default"),
        pytest.param({"allowDefault": False}, (), id="no-default"),
        pytest.param({"name": "a/b/c"}, (), id="not-to-be-understood"),
        pytest.param("g", (), id="no-object"),
        pytest.param(None, (), id="none"),
    ],
)
def test_an_auth_is_filed_under_every_global_that_it_could_mean(ref: Any, filed: tuple[str, ...]) -> None:
    record = FakeCluster().put(Kind.VAULT_AUTH, "vault", {"vaultAuthGlobalRef": ref})
    assert tuple(global_index("vso-system")(record)) == filed


def test_an_auth_of_the_operators_namespace_could_mean_one_default_alone() -> None:
    record = FakeCluster().put(
        Kind.VAULT_AUTH, "vault", {"vaultAuthGlobalRef": {"allowDefault": True}}, namespace="vso-system"
    )
    assert defaulted_by(record, "vso-system") == (ObjectKey("vso-system", "default"),)


def referring(name: str, **changes: Any) -> Record:
    made = FakeCluster().put(Kind.VAULT_AUTH, "vault", {"vaultAuthGlobalRef": {"name": name}})
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("old", "new", "woken"),
    [
        pytest.param(None, referring("a"), {"a"}, id="begins"),
        pytest.param(referring("a"), None, {"a"}, id="ends"),
        pytest.param(referring("a"), referring("b"), {"a", "b"}, id="turns-to-another"),
        pytest.param(referring("a"), referring("a", generation=2), set(), id="another-edit"),
        pytest.param(referring("a"), referring("a", resource_version="9"), set(), id="echo-of-a-status"),
    ],
)
def test_who_begins_or_ends_to_refer_wakes_what_it_refers_to(
    queue: WorkQueue[ObjectKey], old: Record | None, new: Record | None, woken: set[str]
) -> None:
    ReferredTrigger(queue, lambda record: defaulted_by(record, "vso-system"))(old, new)
    assert {str(queue.get_nowait()) for _ in range(len(queue))} == {f"app/{name}" for name in woken}


@pytest.mark.parametrize(
    ("old", "new", "woken"),
    [
        pytest.param(None, OLD, [], id="comes"),
        pytest.param(OLD, record(generation=2), [], id="stays"),
        pytest.param(OLD, None, ["app/vault"], id="goes"),
        pytest.param(OLD, record(reference="other/vault"), ["app/vault"], id="turns to another"),
        pytest.param(record(reference="a/b/c"), None, [], id="referred to nothing"),
    ],
)
async def test_who_refers_to_an_object_no_more_wakes_it_after_a_while(
    queue: WorkQueue[ObjectKey], clock: FakeClock, old: Record | None, new: Record | None, woken: list[str]
) -> None:
    for _ in range(3):
        DepartureTrigger(queue, "vso-system", 2.0)(old, new)
    assert queue.get_nowait() is None
    await clock.advance(2.0)
    assert [str(name) for name in iter(queue.get_nowait, None)] == woken
