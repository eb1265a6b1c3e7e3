"""The store against a plain dict: diffs tell the whole story, indexes never disagree."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.fakes.runtime import Thing
from vso.runtime.store import StoreWriter

THINGS = st.builds(
    Thing,
    key=st.sampled_from("abcde"),
    resource_version=st.sampled_from("123"),
    colour=st.sampled_from(["red", "green", "blue"]),
)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.writer: StoreWriter[str, Thing] = StoreWriter({"colour": lambda thing: (thing.colour,)})
        self.model: dict[str, Thing] = {}

    @rule(thing=THINGS)
    def apply(self, thing: Thing) -> None:
        assert self.writer.apply(thing) == self.model.get(thing.key)
        self.model[thing.key] = thing

    @rule(key=st.sampled_from("abcde"))
    def delete(self, key: str) -> None:
        assert self.writer.delete(key) == self.model.pop(key, None)

    @rule(things=st.lists(THINGS, max_size=8))
    def replace(self, things: list[Thing]) -> None:
        diff = self.writer.replace(things)
        told = dict(self.model)
        for old in diff.deleted:
            assert told.pop(old.key) == old
        for old, new in diff.changed:
            assert old.key == new.key
            assert old.resource_version != new.resource_version
            assert told[old.key] == old
            told[new.key] = new
        for new in diff.added:
            assert new.key not in told
            told[new.key] = new
        # Whoever follows the diff alone ends with what was listed; equal versions are equal objects.
        listed = {thing.key: thing for thing in things}
        assert {key: thing.resource_version for key, thing in told.items()} == {
            key: thing.resource_version for key, thing in listed.items()
        }
        self.model = told

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        store = self.writer.store
        assert dict(zip(store.keys(), store.values(), strict=True)) == self.model
        assert len(store) == len(self.model)

    @invariant()
    def the_index_files_each_record_once(self) -> None:
        for colour in ("red", "green", "blue"):
            expected = {key for key, thing in self.model.items() if thing.colour == colour}
            assert self.writer.store.by_index("colour", colour) == expected


TestStore = Machine.TestCase
TestStore.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
