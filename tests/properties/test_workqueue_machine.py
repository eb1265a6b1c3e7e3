"""The queue against a model of twenty lines."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.fakes.clock import FakeClock
from vso.core.backoff import Backoff
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.workqueue import URGENT_IN_A_ROW, Lane, WorkQueue

KEYS = st.sampled_from("abcdef")
LANES = st.sampled_from(Lane)
PLAIN = Backoff(initial=1.0, maximum=8.0, multiplier=2.0, randomization=0.0)


class Model:
    """What the promises say, with lists and no cleverness."""

    def __init__(self) -> None:
        self.ready: list[tuple[str, Lane]] = []
        self.later: dict[str, tuple[float, int, Lane]] = {}
        self.held: set[str] = set()
        self.again: dict[str, Lane] = {}
        self.asked = 0

    def add(self, key: str, lane: Lane) -> None:
        if key in self.held:
            self.again[key] = min(lane, self.again.get(key, lane))
        elif (key, Lane.URGENT) not in self.ready and (key, lane) not in self.ready:
            self.ready = [entry for entry in self.ready if entry[0] != key] + [(key, lane)]

    def add_after(self, key: str, due: float, lane: Lane) -> None:
        self.asked += 1
        if key not in self.later or due < self.later[key][0]:
            self.later[key] = (due, self.asked, lane)

    def wake(self, now: float) -> None:
        for (due, _, lane), key in sorted((entry, key) for key, entry in self.later.items()):
            if due <= now:
                del self.later[key]
                self.add(key, lane)

    def first(self, lane: Lane) -> str | None:
        return next((key for key, its in self.ready if its is lane), None)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(self.clock, RateLimiter(PLAIN, random.Random(1)))
        self.model = Model()
        self.failures: dict[str, int] = {}
        self.urgent_in_a_row = 0
        self.was_full = False

    @rule(key=KEYS, lane=LANES)
    def add(self, key: str, lane: Lane) -> None:
        self.queue.add(key, lane)
        self.model.add(key, lane)

    @rule(key=KEYS, seconds=st.integers(1, 20), lane=LANES)
    def add_after(self, key: str, seconds: int, lane: Lane) -> None:
        self.queue.add_after(key, seconds, lane)
        self.model.add_after(key, self.clock.monotonic() + seconds, lane)

    @rule(key=KEYS, at_least=st.sampled_from([0.0, 5.0]))
    def add_rate_limited(self, key: str, at_least: float) -> None:
        self.queue.add_rate_limited(key, at_least)
        self.failures[key] = self.failures.get(key, 0) + 1
        seconds = max(at_least, min(8.0, 2.0 ** (self.failures[key] - 1)))
        self.model.add_after(key, self.clock.monotonic() + seconds, Lane.REFRESH)

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.queue.forget(key)
        self.failures.pop(key, None)

    @rule(key=KEYS)
    def drop(self, key: str) -> None:
        self.queue.drop(key)
        self.failures.pop(key, None)
        self.model.later.pop(key, None)
        self.model.again.pop(key, None)
        self.model.ready = [entry for entry in self.model.ready if entry[0] != key]

    @rule(seconds=st.integers(1, 10))
    def advance(self, seconds: int) -> None:
        self.clock.jump(seconds)

    @rule()
    def get(self) -> None:
        self.model.wake(self.clock.monotonic())
        urgent, refresh = self.model.first(Lane.URGENT), self.model.first(Lane.REFRESH)
        key = self.queue.get_nowait()
        if key is None:
            assert urgent is None
            assert refresh is None
            return
        assert key in (urgent, refresh)
        assert key not in self.model.held, "two workers hold one key"
        if urgent is not None and refresh is not None:
            self.urgent_in_a_row = self.urgent_in_a_row + 1 if key == urgent else 0
            assert self.urgent_in_a_row <= URGENT_IN_A_ROW, "the refresh lane starves"
            assert key == urgent or self.was_full, "a refresh overtook an urgent key too soon"
        else:
            self.urgent_in_a_row = 0
        self.was_full = self.urgent_in_a_row == URGENT_IN_A_ROW
        self.model.ready = [entry for entry in self.model.ready if entry[0] != key]
        self.model.held.add(key)
        self.model.later.pop(key, None)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.held)))
        self.queue.done(key)
        self.model.held.discard(key)
        if key in self.model.again:
            self.model.add(key, self.model.again.pop(key))

    @invariant()
    def counts_agree(self) -> None:
        stats = self.queue.statistics()
        assert stats.processing == len(self.model.held)
        assert stats.failures == len(self.failures)
        # What is due moves over only when somebody asks: compared together.
        known = {key for key, _ in self.model.ready} | self.model.later.keys() | self.model.again.keys()
        assert stats.ready_urgent + stats.ready_refresh + stats.delayed >= len(known - self.model.held)
        assert len(self.queue) == len(self.model.ready)


TestWorkQueue = Machine.TestCase
TestWorkQueue.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


@settings(max_examples=150, deadline=None)
@given(
    keys=st.lists(st.tuples(st.integers(0, 15), LANES), max_size=60),
    limit=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_groups_keep_their_limits_and_every_key_has_its_turn(
    keys: list[tuple[int, Lane]], limit: int, seed: int
) -> None:
    rng = random.Random(seed)
    groups = {key: rng.choice(["a", "b", None]) for key in range(16)}
    queue: WorkQueue[int] = WorkQueue(
        FakeClock(), RateLimiter(PLAIN, rng), group=lambda key: groups[key], group_limit=limit
    )
    held: dict[int, str | None] = {}
    wanted: set[int] = set()

    def step() -> None:
        key = queue.get_nowait()
        if key is not None:
            assert key not in held
            held[key] = groups[key]
            wanted.discard(key)
            crowd = Counter(held.values())
            assert max(crowd["a"], crowd["b"]) <= limit
        if held and (key is None or rng.random() < 0.4):
            done = rng.choice(sorted(held))
            queue.done(done)
            del held[done]
        if rng.random() < 0.1:
            groups[rng.randrange(16)] = rng.choice(["a", "b", None])
        if rng.random() < 0.1:
            dropped = rng.randrange(16)
            queue.drop(dropped)
            wanted.discard(dropped)

    for key, lane in keys:
        queue.add(key, lane)
        wanted.add(key)
        step()
    while held or len(queue):
        step()
    assert not wanted
    assert queue.statistics().set_aside == 0
    assert queue._crowds == {}
    assert queue._invited == {}
