from __future__ import annotations

from tests.fakes.cluster import FakeCluster, key
from vso.controllers.cache import ALL_NAMESPACES, Caches, ObjectCache
from vso.core.keys import Kind, ObjectKey
from vso.core.records import Record
from vso.runtime.store import StoreWriter

KIND = Kind.VAULT_AUTH
CLUSTER = FakeCluster()
INDEXERS = {"uid": lambda record: (record.uid,)}


def writer(*records: Record) -> StoreWriter[ObjectKey, Record]:
    made: StoreWriter[ObjectKey, Record] = StoreWriter(INDEXERS)
    made.replace(records)
    return made


A = CLUSTER.put(KIND, "vault", {}, namespace="a", uid="one")
B = CLUSTER.put(KIND, "vault", {}, namespace="b", uid="two")
C = CLUSTER.put(KIND, "another", {}, namespace="a", uid="one")


def test_a_cluster_wide_watch_sees_every_namespace() -> None:
    cache = ObjectCache({ALL_NAMESPACES: writer(A, B).store})
    assert cache.watches("a")
    assert cache.watches("anywhere")
    assert cache.get(key("vault", "b")) is B
    assert cache.get(key("vault", "c")) is None


def test_a_namespaced_watch_sees_its_own_and_says_so() -> None:
    cache = ObjectCache({"a": writer(A).store, "b": writer().store})
    assert [cache.watches(namespace) for namespace in "abc"] == [True, True, False]
    assert cache.get(key("vault", "a")) is A
    assert cache.get(key("vault", "b")) is None
    assert cache.get(key("vault", "c")) is None


def test_an_index_reaches_over_all_namespaces() -> None:
    cache = ObjectCache({"a": writer(A, C).store, "b": writer(B).store})
    assert cache.by_index("uid", "one") == {A.key, C.key}
    assert cache.by_index("uid", "two") == {B.key}
    assert cache.by_index("uid", "three") == frozenset()


def test_names_are_sorted_and_of_one_namespace() -> None:
    cache = ObjectCache({ALL_NAMESPACES: writer(A, B, C).store})
    assert cache.names("a") == ("another", "vault")
    assert set(cache) == {A.key, B.key, C.key}
    assert len(cache) == 3


def test_the_view_follows_the_watch() -> None:
    made = writer()
    cache = ObjectCache({"a": made.store})
    made.apply(A)
    assert cache.get(A.key) is A
    made.delete(A.key)
    assert cache.get(A.key) is None


def test_caches_are_found_by_kind() -> None:
    cache = ObjectCache({})
    assert Caches({KIND: cache}, None)[KIND] is cache
