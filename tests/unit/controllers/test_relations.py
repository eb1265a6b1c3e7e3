"""Who shares what, by the watch caches."""

from __future__ import annotations

from typing import Any

from tests.fakes.cluster import FakeCluster
from tests.fakes.house import OPERATOR, STATIC, Watches
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


class Edges:
    """VaultAuths and VaultAuthGlobals as the watches show them, and a static secret behind each VaultAuth."""

    def __init__(self) -> None:
        self.cluster, self.watches = FakeCluster(), Watches()
        self.relations = Relations(self.watches.caches(), OPERATOR)

    def auth(self, path: str, **spec: Any) -> None:
        namespace, _, name = path.partition("/")
        self.watches.show(Kind.VAULT_AUTH, self.cluster.put(Kind.VAULT_AUTH, name, spec, namespace))
        self.watches.show(STATIC, self.cluster.put(STATIC, f"behind-{name}", {"vaultAuthRef": name}, namespace))

    def defaults(self, path: str, **spec: Any) -> None:
        namespace, _, name = path.partition("/")
        kind = Kind.VAULT_AUTH_GLOBAL
        self.watches.show(kind, self.cluster.put(kind, name, spec, namespace))

    def woken(self, path: str) -> list[str]:
        """Who is woken by a change of a VaultAuthGlobal."""
        return sorted(map(str, self.relations.auths_by_global(path)))

    def referrers(self, path: str) -> int:
        return self.relations.referrers(ObjectKey(*path.split("/")))

    def behind(self, connection: str) -> list[str]:
        """Who is woken by a change of a VaultConnection."""
        return sorted(map(str, self.relations.by_connection(STATIC, connection)))

    def consumers(self, path: str) -> frozenset[str]:
        return self.relations.consumers(ObjectKey.of(path))

    def vault_of(self, path: str) -> str:
        return str(self.relations.vault_of(STATIC, ObjectKey(*path.split("/"))))


def test_a_global_has_referrers_before_it_is_there() -> None:
    edges = Edges()
    edges.auth("app/named", vaultAuthGlobalRef={"name": "g", "namespace": "shared"})
    edges.auth("app/any", vaultAuthGlobalRef={"allowDefault": True})
    edges.auth("app/plain")
    assert edges.woken("shared/g") == ["app/named"]
    assert edges.woken("app/default") == edges.woken(f"{OPERATOR}/default") == ["app/any"]
    assert edges.referrers("shared/g") == 0
    edges.defaults("shared/g")
    assert edges.referrers("shared/g") == 1
    assert [str(key) for key in edges.relations.by_global(STATIC, "shared/g")] == ["app/behind-named"]


def test_a_default_nearer_by_takes_the_referrers_of_the_one_behind_it() -> None:
    edges = Edges()
    edges.auth("app/any", vaultAuthGlobalRef={"allowDefault": True})
    edges.auth("team-b/any", vaultAuthGlobalRef={"allowDefault": True})
    edges.defaults(f"{OPERATOR}/default")
    assert edges.referrers(f"{OPERATOR}/default") == 2
    edges.defaults("app/default")
    assert (edges.referrers(f"{OPERATOR}/default"), edges.referrers("app/default")) == (1, 1)
    assert [str(key) for key in edges.relations.rivals("app/default")] == [f"{OPERATOR}/default"]
    assert sorted(map(str, edges.relations.rivals(f"{OPERATOR}/default"))) == ["app/default", "team-b/default"]


def test_a_connection_is_referred_to_by_way_of_a_global() -> None:
    edges = Edges()
    ref = {"vaultAuthGlobalRef": {"name": "g", "namespace": "shared"}}
    edges.auth("app/va", **ref)
    edges.auth("team-b/va", **ref)
    edges.auth("app/own", vaultConnectionRef="own", **ref)
    edges.defaults("shared/g", vaultConnectionRef="vault")
    assert edges.behind("app/vault") == ["app/behind-va"]
    assert edges.behind("team-b/vault") == ["team-b/behind-va"]
    assert edges.behind("app/own") == ["app/behind-own"]
    assert edges.behind("shared/vault") == []
    assert edges.vault_of("app/behind-va") == "app/vault"
    assert edges.vault_of("app/behind-own") == "app/own"
    edges.defaults("shared/g", vaultConnectionRef="shared/vault")
    assert edges.behind("shared/vault") == ["app/behind-va", "team-b/behind-va"]
    assert edges.vault_of("team-b/behind-va") == "shared/vault"
    edges.defaults("shared/g")
    assert edges.vault_of("team-b/behind-va") == f"{OPERATOR}/default"
    assert {"app/behind-va", "team-b/behind-va"} <= set(edges.behind(f"{OPERATOR}/default"))


def test_the_consumers_of_an_auth_are_the_namespaces_of_the_secrets_that_refer_to_it() -> None:
    edges = Edges()
    edges.auth("shared/vault")
    for namespace, name in (("app", "one"), ("app", "two"), ("other", "one")):
        for kind in (STATIC, Kind.VAULT_DYNAMIC_SECRET):
            edges.watches.show(kind, edges.cluster.put(kind, name, {"vaultAuthRef": "shared/vault"}, namespace))
    assert edges.consumers("shared/vault") == {"shared", "app", "other"}
    assert edges.consumers("shared/elsewhere") == frozenset()
