"""One object's credentials before a Vault of a few lines, without servers: plans, timers and statuses are the real ones.

Invariant: the keeper does what a plan says, in the controller's order, and decides nothing itself; before each
step it asserts what must hold whatever has happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from tests.fakes.clock import FakeClock
from tests.fakes.model_vault import ModelVault
from vso.api.secrets import VaultDynamicSecretSpec, VaultDynamicSecretStatus
from vso.controllers import dynamic_status
from vso.controllers.dynamic_status import Grant, Settled
from vso.controllers.lease_times import LeaseTimes
from vso.core.errors import TransientError
from vso.core.keys import ObjectKey
from vso.decide.dynamic import lease_of
from vso.decide.lease import (
    Because,
    Lease,
    LeaseAction,
    LeasePolicy,
    Probe,
    Renew,
    Replace,
    Wait,
    plan_lease,
    retry_in,
    truncated,
)
from vso.kube.secret_plan import Written
from vso.runtime.lease_scheduler import LeaseScheduler
from vso.vault.leases import LeaseGoneError
from vso.vault.logins import Held
from vso.vault.parents import Parent, Parents

KEY = ObjectKey("app", "db")
PROBE = timedelta(minutes=5)
PATIENCE = 32.0
"""Seconds after the end of a trouble within which everything is tried again."""
_LATE = 0.001
"""Seconds from a timer to the look: no timer rings early."""
_OFTEN = 12
"""Looks in one second."""


@dataclass
class Keeper:
    """The operator as far as one lease is concerned; `restart` leaves it nothing but the status."""

    clock: FakeClock
    vault: ModelVault
    check: Callable[[], None]
    status: VaultDynamicSecretStatus = field(default_factory=VaultDynamicSecretStatus)
    issued_at: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)

    async def start(self) -> None:
        """Begin with a look, as every process does."""
        self._due = asyncio.Event()
        self._timers: LeaseScheduler[ObjectKey] = LeaseScheduler(self.clock, lambda _: self._due.set())
        self.times: LeaseTimes = LeaseTimes(self.clock, self._timers)
        self.parents = Parents(self.clock, self.vault.renew_self)
        self._held: Held | None = None
        self._seen, self._probed = self.clock.now(), self.clock.now()
        await self.look()
        self.tasks = [asyncio.ensure_future(self._timers.run()), asyncio.ensure_future(self._work())]

    async def stop(self) -> None:
        """Die."""
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def failed(self) -> BaseException | None:
        """Return what ended a task of the process."""
        return next((task.exception() for task in self.tasks if task.done()), None)

    async def _work(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await self.clock.sleep(_LATE)
            self.check()
            await self.look()
            self.check()

    async def look(self) -> None:
        """Make one pass."""
        now = self.clock.monotonic()
        self.looks = [*(at for at in self.looks if at > now - 1), now]
        assert len(self.looks) <= _OFTEN, "looks again and again"
        try:
            parent = await self._parent()
            await self._act(plan_lease(self._lease(parent), self.clock.now(), self._policy), parent)
            await self._after()
        except TransientError:
            lease = self._lease(None)
            wait = timedelta(seconds=5) if lease is None else retry_in(lease, self.clock.now())
            self._set(wait, lease)

    async def _act(self, plan: LeaseAction, parent: Parent | None) -> None:
        name = self.status.secret_lease.id
        match plan:
            case Replace(because=why):
                await self._issue(why)
            case Renew():
                await self._renew(name, parent)
            case Probe():
                self._probed = self.clock.now()
                await self._or_issue(name, lambda: self.vault.lookup(name))

    async def _renew(self, name: str, parent: Parent | None) -> None:
        asked, granted = timedelta(seconds=self.status.secret_lease.duration), timedelta(0)

        def renew() -> None:
            nonlocal granted
            granted = self.vault.renew(name, asked)

        if not await self._or_issue(name, renew):
            return
        if truncated(asked, granted):
            await self._issue(Because.TRUNCATED)
            return
        grant = Grant(name, granted, self.vault.terms.renewable, "r", parent.ends if parent else None)
        self.status = dynamic_status.renewed(self.status, grant, self.clock.now())

    async def _or_issue(self, name: str, ask: Callable[[], None]) -> bool:
        await self._token()
        try:
            ask()
        except LeaseGoneError:
            self._let_go(name)
            await self._issue(Because.GONE)
            return False
        return True

    async def _issue(self, because: Because) -> None:
        await self._give_back(everything=True)
        held = await self._token()
        grant = self.vault.issue(held)
        self.parents.hang(grant.lease_id, held)
        parent = await self.parents.keep(grant.lease_id)
        grant = Grant(
            grant.lease_id, grant.duration, grant.renewable, grant.request_id, parent.ends if parent else None
        )
        written = Written(KEY.name, "uid", "1", "patched", "")
        done = Settled(because, grant, "digest", written, None, "shape", "", "", "", "pod")
        overlap = timedelta(seconds=self.vault.terms.overlap)
        self.status = dynamic_status.settled(self.status, done, self.clock.now(), overlap)
        self._seen = self._probed = self.clock.now()
        self.issued_at.append(self.clock.monotonic())

    async def _give_back(self, *, everything: bool = False) -> None:
        now = self.clock.now()
        due = [r.id for r in self.status.retired_leases if everything or r.not_after is None or r.not_after <= now]
        for name in due:
            await self._token()
            self.vault.revoke(name)
            self._let_go(name)
            self.status = dynamic_status.without_retired(self.status, [name])

    async def _after(self) -> None:
        """See what is next: never past the end of what the Secret holds."""
        await self._give_back()
        parent = await self._parent()
        lease, now = self._lease(parent), self.clock.now()
        assert lease is not None
        plan = plan_lease(lease, now, self._policy)
        waits = [plan.until - now if isinstance(plan, Wait) else timedelta(0)]
        waits += [ref.not_after - now for ref in self.status.retired_leases if ref.not_after is not None]
        waits += [parent.due - now] if parent is not None and parent.due is not None else []
        self._set(min(waits), lease)

    def _set(self, wait: timedelta, lease: Lease | None) -> None:
        ends = None if lease is None else lease.ends - self.clock.now()
        self.times.set(KEY, wait, ends)
        (known,) = self.times.known()
        if ends is not None and ends > timedelta(seconds=1):
            assert known.due <= known.ends, "waits past the end"

    async def _token(self) -> Held:
        """Return the token of the session, as a session does: renewed for its leases, or succeeded."""
        held = self._held
        if held is not None and held.leases:
            await self.parents.renew(held)
        now = self.clock.monotonic()
        if held is None or not held.usable(now) or now >= held.renew_at or not self.vault.knows(held):
            self._held = held = self.vault.login()
        return held

    def _let_go(self, name: str) -> None:
        orphan = self.parents.let_go(name)
        if orphan is not None and orphan is not self._held and not self.vault.away:
            self.vault.end_token(orphan.token.accessor)

    async def _parent(self) -> Parent | None:
        name = self.status.secret_lease.id
        return await self.parents.keep(name) if name else None

    def _lease(self, parent: Parent | None) -> Lease | None:
        if not self.status.secret_lease.id:
            return None
        return lease_of(SPEC, self.status, (parent.ends, parent.final) if parent else None, self.clock.now())

    @property
    def _policy(self) -> LeasePolicy:
        terms = self.vault.terms
        return LeasePolicy(terms.percent, terms.phase, self._seen, PROBE, self._probed)


SPEC = VaultDynamicSecretSpec.model_validate(
    {"mount": "database", "path": "creds/app", "destination": {"name": KEY.name}}
)
