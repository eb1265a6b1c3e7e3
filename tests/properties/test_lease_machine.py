"""A lease through whatever may happen to it: the credentials in the Secret work all the time that Vault answers."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.fakes.clock import FakeClock, settle
from tests.fakes.lease_keeper import PATIENCE, PROBE, Keeper
from tests.fakes.model_vault import ModelVault, Terms

ENDLESS = st.just(math.inf)
TERMS = st.builds(
    Terms,
    lease=st.integers(15, 3600),
    renewable=st.booleans(),
    token=st.integers(120, 3600),
    token_longest=ENDLESS | st.integers(120, 7200).map(float),
    token_renewable=st.booleans(),
    percent=st.integers(0, 90),
    phase=st.floats(0, 1, exclude_max=True),
    overlap=st.integers(0, 60),
)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.trouble = -math.inf
        """When Vault failed last."""
        self.lost = -math.inf
        """When a lease or a token was last taken behind the operator's back."""
        self.blind = ""
        """The lease whose token's end nobody knows."""
        self.started = 0.0

    @initialize(terms=TERMS)
    def open(self, terms: Terms) -> None:
        self.vault = ModelVault(self.clock, terms)
        self.keeper = Keeper(self.clock, self.vault, self.holds)
        self.runner.run(self.keeper.start())

    def teardown(self) -> None:
        if hasattr(self, "keeper"):
            self.runner.run(self.keeper.stop())
        self.runner.close()

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    @property
    def current(self) -> str:
        return self.keeper.status.secret_lease.id

    @property
    def troubled(self) -> bool:
        return self.vault.away or self.vault.renews_nothing

    # What happens.

    @rule(lives=st.floats(0.01, 2))
    def time_passes(self, lives: float) -> None:
        if self.troubled:
            self.trouble = self.now + lives * self.vault.terms.lease
        self.runner.run(self.clock.advance(lives * self.vault.terms.lease))

    @rule(away=st.booleans(), renews_nothing=st.booleans())
    def vault_fails_or_answers(self, away: bool, renews_nothing: bool) -> None:
        if self.troubled:
            self.trouble = self.now
        self.vault.away, self.vault.renews_nothing = away, renews_nothing

    @rule(share=st.floats(0.2, 2))
    def the_longest_life_is_bounded(self, share: float) -> None:
        """Leases near an end that nothing moves: their next renewals are cut short."""
        self.change(longest=max(15.0, share * self.vault.terms.lease))

    @rule(renewable=st.booleans())
    def the_role_is_changed(self, renewable: bool) -> None:
        self.change(longest=math.inf, renewable=renewable)

    @rule()
    def somebody_revokes_the_lease(self) -> None:
        if self.current:
            self.vault.take_back(self.current)
            self.lost = self.now

    @rule()
    def somebody_revokes_the_tokens(self) -> None:
        for name in self.vault.tokens:
            self.vault.end_token(name)
        self.lost = self.now

    @rule(seconds=st.floats(0, 600), told=st.booleans())
    def the_process_is_restarted(self, seconds: float, told: bool) -> None:
        """The tokens are lost with it; without `told` the status does not say when they end."""
        self.runner.run(self.keeper.stop())
        self.clock.jump(seconds)
        if not told:
            lease = self.keeper.status.secret_lease.model_copy(update={"token_expire_time": None})
            self.keeper.status = self.keeper.status.model_copy(update={"secret_lease": lease})
            self.blind = self.current
        self.started = self.now
        self.runner.run(self.keeper.start())

    def change(self, **terms: Any) -> None:
        self.vault.terms = replace(self.vault.terms, **terms)

    # What holds whenever the operator looks, and in between.

    def holds(self) -> None:
        assert len(self.vault.live) <= 2
        if self.troubled or self.now - self.trouble <= PATIENCE:
            return
        dead = self.vault.dead_since(self.current) if self.current else -math.inf
        if self.now >= dead:
            assert self.excused(dead), f"dead since {dead}, and it is {self.now}"
        quiet = max(self.keeper.issued_at[-1] + self.vault.terms.overlap, self.trouble) + PATIENCE
        if self.now > quiet:
            assert self.vault.live <= {self.current}

    def excused(self, dead: float) -> bool:
        """Tell whether nobody could know of the end, and nobody was to ask yet."""
        unknown = dead <= self.lost or self.current == self.blind
        return unknown and self.now <= max(dead, self.trouble, self.started) + PROBE.total_seconds() + PATIENCE

    @invariant()
    def it_holds(self) -> None:
        if not hasattr(self, "keeper"):
            return
        self.runner.run(settle())
        failure = self.keeper.failed()
        if failure is not None:
            raise failure
        self.holds()


TestLeases = Machine.TestCase
TestLeases.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
