"""The store: indexes, diffs, and readers that cannot write."""

from __future__ import annotations

import pytest

from tests.fakes.runtime import Thing
from vso.runtime.store import Store, StoreWriter


def by_colour(thing: Thing) -> tuple[str, ...]:
    return (thing.colour,)


@pytest.fixture
def writer() -> StoreWriter[str, Thing]:
    return StoreWriter({"colour": by_colour})


def test_apply_returns_the_old_record(writer: StoreWriter[str, Thing]) -> None:
    assert writer.apply(Thing("a")) is None
    assert writer.apply(Thing("a", "2")) == Thing("a")
    assert writer.store.get("a") == Thing("a", "2")


def test_delete_returns_the_last_look_and_nothing_for_a_stranger(writer: StoreWriter[str, Thing]) -> None:
    writer.apply(Thing("a"))
    assert writer.delete("a") == Thing("a")
    assert writer.delete("a") is None
    assert "a" not in writer.store


def test_the_index_follows_a_changed_value(writer: StoreWriter[str, Thing]) -> None:
    writer.apply(Thing("a", colour="red"))
    writer.apply(Thing("b", colour="red"))
    writer.apply(Thing("a", "2", colour="blue"))
    assert writer.store.by_index("colour", "red") == {"b"}
    assert writer.store.by_index("colour", "blue") == {"a"}


def test_an_unknown_value_files_nothing_and_an_unknown_index_is_a_mistake(writer: StoreWriter[str, Thing]) -> None:
    assert writer.store.by_index("colour", "green") == frozenset()
    with pytest.raises(KeyError):
        writer.store.by_index("size", "big")


def test_replace_says_what_was_added_changed_and_deleted(writer: StoreWriter[str, Thing]) -> None:
    for thing in (Thing("same"), Thing("old"), Thing("gone")):
        writer.apply(thing)
    diff = writer.replace([Thing("same"), Thing("old", "2"), Thing("new")])
    assert diff.added == (Thing("new"),)
    assert diff.changed == ((Thing("old"), Thing("old", "2")),)
    assert diff.deleted == (Thing("gone"),)


def test_an_index_keeps_no_empty_drawers(writer: StoreWriter[str, Thing]) -> None:
    writer.apply(Thing("a", colour="red"))
    writer.replace([])
    assert writer._indexes == {"colour": {}}


def test_a_reader_has_no_verb_to_write_and_an_empty_store_is_true(writer: StoreWriter[str, Thing]) -> None:
    store: Store[str, Thing] = writer.store
    assert not {"apply", "delete", "replace"} & set(dir(store))
    assert store
    assert len(store) == 0


def test_keys_and_values_are_of_one_moment(writer: StoreWriter[str, Thing]) -> None:
    writer.apply(Thing("a"))
    keys, values = writer.store.keys(), writer.store.values()
    writer.apply(Thing("b"))
    assert keys == ("a",)
    assert values == (Thing("a"),)
