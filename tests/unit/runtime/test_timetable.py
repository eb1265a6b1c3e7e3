"""The heap of deadlines: one per key, stale entries invisible and swept out."""

from __future__ import annotations

from vso.runtime.timetable import Timetable


def test_keys_come_due_in_order_of_their_deadlines() -> None:
    table: Timetable[str] = Timetable()
    table.set("c", 3.0)
    table.set("a", 1.0)
    table.set("b", 2.0)
    assert table.first() == 1.0
    assert table.pop_due(2.0) == ["a", "b"]
    assert table.get("c") == 3.0
    assert len(table) == 1


def test_equal_deadlines_go_first_set_first_due() -> None:
    table: Timetable[object] = Timetable()
    keys = [object(), object(), object()]  # not comparable
    for key in keys:
        table.set(key, 1.0)
    assert table.pop_due(1.0) == keys


def test_a_new_deadline_takes_the_place_of_the_old() -> None:
    table: Timetable[str] = Timetable()
    table.set("a", 1.0)
    table.set("a", 5.0)
    assert table.pop_due(4.0) == []
    table.set("a", 2.0)
    assert table.pop_due(4.0) == ["a"]
    assert table.pop_due(9.0) == []


def test_a_cancelled_key_is_not_due_and_may_be_set_again() -> None:
    table: Timetable[str] = Timetable()
    table.set("a", 1.0)
    table.cancel("a")
    assert table.first() is None
    table.set("a", 1.0)
    assert table.pop_due(1.0) == ["a"]


def test_the_heap_does_not_grow_with_rewrites() -> None:
    table: Timetable[int] = Timetable()
    for round_number in range(1000):
        for key in range(10):
            table.set(key, float(round_number + key))
    assert len(table._heap) <= 2 * 10 + 64
    assert len(table) == 10


def test_clear_leaves_nothing() -> None:
    table: Timetable[str] = Timetable()
    table.set("a", 1.0)
    table.clear()
    assert table.first() is None
    assert len(table) == 0
