"""The line in which namespaces take turns, against a model with lists."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vso.runtime.fair_line import FairLine

KEYS = st.sampled_from([f"{share}/{number}" for share in "abc" for number in range(3)])


def share_of(key: str) -> str:
    return key[0]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.line: FairLine[str] = FairLine(share_of)
        self.turns: list[str] = []
        self.waiting: list[str] = []

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.line.add(key)
        if key not in self.waiting:
            self.waiting.append(key)
        if share_of(key) not in self.turns:
            self.turns.append(share_of(key))

    @rule(key=KEYS)
    def add_first(self, key: str) -> None:
        self.line.add_first(key)
        share = share_of(key)
        self.waiting = [key, *(other for other in self.waiting if other != key)]
        self.turns = [share, *(other for other in self.turns if other != share)]

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        self.line.discard(key)
        self._leave(key)

    @rule()
    def pop_first(self) -> None:
        if not self.waiting:
            with pytest.raises(KeyError):
                self.line.pop_first()
            return
        share = self.turns[0]
        first = next(key for key in self.waiting if share_of(key) == share)
        assert self.line.pop_first() == first
        self.turns = [*self.turns[1:], share]
        self._leave(first)

    @rule()
    def clear(self) -> None:
        self.line.clear()
        self.waiting, self.turns = [], []

    @invariant()
    def it_holds_who_waits(self) -> None:
        assert len(self.line) == len(self.waiting)
        for share in "abc":
            assert self.line.waiting(share) == sum(share_of(other) == share for other in self.waiting)
            for number in range(3):
                key = f"{share}/{number}"
                assert (key in self.line) == (key in self.waiting)

    def _leave(self, key: str) -> None:
        self.waiting = [other for other in self.waiting if other != key]
        left = {share_of(other) for other in self.waiting}
        self.turns = [share for share in self.turns if share in left]


TestFairLine = Machine.TestCase
TestFairLine.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
