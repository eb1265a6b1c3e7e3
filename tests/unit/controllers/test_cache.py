from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.cluster import FakeCluster, key
from vso.api.access import VaultAuth
from vso.controllers.cache import ALL_NAMESPACES, Caches, ObjectCache, Parsed, Reference
from vso.core.errors import ConfigError
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


def test_what_is_left_to_another_operator_is_not_there_but_is_known() -> None:
    theirs = replace(A, foreign=True)
    cache = ObjectCache({ALL_NAMESPACES: writer(theirs, B).store})
    assert cache.get(theirs.key) is None
    assert [cache.is_foreign(key) for key in (theirs.key, B.key, C.key)] == [True, False, False]
    assert cache.by_index("uid", "one") == {theirs.key}
    assert cache.names("a") == ()
    reference = Reference(theirs.key, "the object in namespace a", "vaultAuthRef", frozenset("a"))
    told = Caches({KIND: cache}, None).missing(KIND, reference)
    assert told.message == (
        "vaultAuthRef of the object in namespace a names VaultAuth a/vault, whose labels leave it to another operator"
        " (--operator-class, --watch-label-selector)"
    )


@pytest.mark.parametrize("theirs", [A, None], ids=["left to another operator", "not there"])
@pytest.mark.parametrize("namespaces", ["b", "ab"], ids=["read elsewhere", "referred to at home and read elsewhere"])
def test_nothing_is_told_of_another_namespace(theirs: Record | None, namespaces: str) -> None:
    seen = [CLUSTER.put(KIND, "prod-vault", {}, namespace="a"), *([replace(theirs, foreign=True)] if theirs else [])]
    cache = ObjectCache({ALL_NAMESPACES: writer(*seen).store})
    reference = Reference(A.key, "the object in namespace b", "vaultAuthRef", frozenset(namespaces))
    assert Caches({KIND: cache}, None).missing(KIND, reference).message == (
        "vaultAuthRef of the object in namespace b names VaultAuth a/vault, which does not exist,"
        " or its labels leave it to another operator"
    )


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


class Auths:
    """A cache of one VaultAuth, and what is parsed of it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.writer: StoreWriter[ObjectKey, Record] = StoreWriter()
        self.parsed = Parsed(ObjectCache({ALL_NAMESPACES: self.writer.store}), VaultAuth, limit=2)

    def shows(self, name: str, **spec: object) -> None:
        self.writer.apply(self.cluster.put(Kind.VAULT_AUTH, name, spec))


def test_an_object_is_parsed_once_for_each_version() -> None:
    auths = Auths()
    auths.shows("vault", mount="one")
    first = auths.parsed.get(key("vault"))
    assert first is not None
    assert auths.parsed.get(key("vault")) is first
    auths.shows("vault", mount="two")
    second = auths.parsed.get(key("vault"))
    assert second is not None
    assert second.spec.mount == "two"


def test_what_is_gone_or_cannot_be_understood_is_not_kept() -> None:
    auths = Auths()
    auths.shows("vault", mount="one")
    auths.parsed.get(key("vault"))
    auths.shows("vault", mount=1)
    with pytest.raises(ConfigError):
        auths.parsed.get(key("vault"))
    auths.writer.delete(key("vault"))
    assert auths.parsed.get(key("vault")) is None


def test_only_so_many_are_kept() -> None:
    auths = Auths()
    for name in ("a", "b", "c"):
        auths.shows(name, mount=name)
    first = auths.parsed.get(key("a"))
    auths.parsed.get(key("b"))
    auths.parsed.get(key("c"))
    again = auths.parsed.get(key("a"))
    assert again == first
    assert again is not first
