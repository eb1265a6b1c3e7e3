"""Who shares what, by the watch caches."""

from __future__ import annotations

from tests.fakes.cluster import FakeCluster
from tests.fakes.house import OPERATOR
from vso.controllers.cache import ALL_NAMESPACES, Caches, ObjectCache
from vso.controllers.relations import Relations
from vso.controllers.triggers import BY_TARGET, target_index
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.kube.workloads import Workload
from vso.runtime.store import StoreWriter


def test_a_workload_is_shared_when_objects_of_whatever_kind_restart_it() -> None:
    writers: dict[Kind, StoreWriter[ObjectKey, Record]] = {
        kind: StoreWriter({BY_TARGET: target_index}) for kind in (Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET)
    }
    caches = Caches({kind: ObjectCache({ALL_NAMESPACES: writer.store}) for kind, writer in writers.items()}, None)
    relations, cluster = Relations(caches, OPERATOR), FakeCluster()

    def restarts(kind: Kind, name: str, *workloads: str) -> None:
        targets = [{"kind": "Deployment", "name": workload} for workload in workloads]
        writers[kind].apply(cluster.put(kind, name, {"rolloutRestartTargets": targets}))

    restarts(Kind.VAULT_STATIC_SECRET, "one", "web", "api")
    assert not relations.is_shared(Workload("app", "Deployment", "web"))
    restarts(Kind.VAULT_DYNAMIC_SECRET, "one", "web")
    restarts(Kind.VAULT_STATIC_SECRET, "two", "api")
    assert relations.is_shared(Workload("app", "Deployment", "web"))
    assert relations.is_shared(Workload("app", "Deployment", "api"))
    assert not relations.is_shared(Workload("other", "Deployment", "web"))
    assert not relations.is_shared(Workload("app", "StatefulSet", "web"))
    restarts(Kind.VAULT_DYNAMIC_SECRET, "one")
    assert not relations.is_shared(Workload("app", "Deployment", "web"))
