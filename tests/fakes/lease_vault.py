"""Leases at the far end: a database engine, `sys/leases` and renew-self, scripted onto a `VaultServer`.

`Fate` sits before both servers and decides what becomes of the n-th request that changes something.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from tests.fakes import kube_transport
from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import Tokens
from tests.fakes.vault_server import Drop, Reply, Seen, Step, VaultServer, errors
from vso.vault import leases
from vso.vault.leases import IssueRequest
from vso.vault.session import Session

CREDS = "database/creds/app"
REQUEST = IssueRequest("database", "creds/app")
LEASE = f"{CREDS}/1"
GONE = {"sys/leases/renew": "lease not found", "sys/leases/lookup": "invalid lease"}


class Fault(StrEnum):
    """What becomes of a request."""

    CONFLICT = "409, or 500 of Vault, and nothing done"
    BROKEN = "500, and nothing done"
    LOST = "done, and the answer lost"
    CRASH_BEFORE = "the process dies before it arrives"
    CRASH_AFTER = "the process dies after it was done"

    @property
    def applied(self) -> bool:
        return self in {Fault.LOST, Fault.CRASH_AFTER}

    @property
    def deadly(self) -> bool:
        return self in {Fault.CRASH_BEFORE, Fault.CRASH_AFTER}


class Fate:
    """Counts the requests that change something, and strikes one of them."""

    def __init__(self) -> None:
        self.at = 0
        self.fault = Fault.BROKEN
        self.seen = 0
        self.dead = False
        """The process is no more: nothing that it sends arrives."""
        self.struck = ""

    def strike(self, at: int, fault: Fault) -> None:
        """Do that to the n-th request from now on."""
        self.at, self.fault, self.seen, self.struck = at, fault, 0, ""

    def next(self, name: str) -> Fault | None:
        """Return what becomes of the request that has just come in."""
        self.seen += 1
        if self.seen != self.at:
            return None
        self.struck = name
        self.dead = self.fault.deadly
        return self.fault

    def kube(
        self, respond: Callable[[kube_transport.Request], kube_transport.Reply]
    ) -> Callable[[kube_transport.Request], kube_transport.Reply]:
        """Stand before an API server."""

        def answer(request: kube_transport.Request) -> kube_transport.Reply:
            cut = kube_transport.Reply(cut=True)
            if self.dead:
                return cut
            if request.method == "GET" or request.path.endswith("/token") or "/events" in request.path:
                return respond(request)
            fault = self.next(f"{request.method} {request.path.rpartition('namespaces/app/')[2]}")
            if fault is None:
                return respond(request)
            if fault.applied:
                respond(request)
            if fault is Fault.CONFLICT:
                return kube_transport.status(409, "Conflict", "the object has been modified")
            return kube_transport.status(500, "InternalError") if fault is Fault.BROKEN else cut

        return answer

    def vault(self, respond: Callable[[Seen], Step]) -> Callable[[Seen], Step]:
        """Stand before a path of Vault."""

        def answer(seen: Seen) -> Step:
            if self.dead:
                return Drop()
            fault = self.next(f"{seen.method} {seen.path}")
            if fault is None:
                return respond(seen)
            if fault.applied:
                respond(seen)
            return errors(500, "internal error") if fault in {Fault.CONFLICT, Fault.BROKEN} else Drop()

        return answer


@dataclass
class Lent:
    """A lease as Vault keeps it."""

    token: str
    issued: float
    ends: float
    revoked: bool = False
    renewed: float | None = None


class LeaseVault:
    """The leases of one role, by the clock of the test."""

    def __init__(
        self, server: VaultServer, tokens: Tokens, clock: FakeClock, fate: Fate | None = None, ttl: float = 600
    ) -> None:
        self.tokens = tokens
        self.clock = clock
        self.ttl = ttl
        self.max_ttl = 1_000_000.0
        self.token_max_ttl = 1_000_000.0
        self.renewable = True
        self.accessors_allowed = True
        self.lent: dict[str, Lent] = {}
        self.most_live = 0
        self._begun: dict[str, float] = {}
        self._numbers = itertools.count(1)
        self.fate = fate or Fate()
        server.on("GET", CREDS, self.fate.vault(self._issue))
        server.on("PUT", CREDS, self.fate.vault(self._issue))
        server.on("PUT", "sys/leases/revoke", self.fate.vault(self.revoke))
        server.on("PUT", "auth/token/renew-self", self.fate.vault(self._renew_self))
        server.on("PUT", "auth/token/renew-accessor", self.fate.vault(self._renew_accessor))
        for path, act in (("sys/leases/renew", self.renew), ("sys/leases/lookup", self.lookup)):
            server.on("PUT", path, self.fate.vault(act))

    @property
    def live(self) -> list[str]:
        """The leases whose credentials work, in the order of their issue."""
        now = self.clock.monotonic()
        return [name for name, lease in self.lent.items() if self._lives(lease, now)]

    def take_back(self, lease_id: str) -> None:
        """Revoke behind everybody's back."""
        self.lent[lease_id].revoked = True

    def _lives(self, lease: Lent, now: float) -> bool:
        return not lease.revoked and now < lease.ends and lease.token not in self.tokens.revoked and self._token(lease)

    def _token(self, lease: Lent) -> bool:
        return self.clock.monotonic() < self.tokens.ends[lease.token]

    def _issue(self, seen: Seen) -> Step:
        number, now = next(self._numbers), self.clock.monotonic()
        name = f"{CREDS}/{number}"
        self.lent[name] = Lent(seen.token, now, now + self.ttl)
        self.most_live = max(self.most_live, len(self.live))
        data = {"username": f"user-{number}", "password": f"canary-{number}"}
        return Reply(200, {"request_id": f"r{number}", "lease_id": name, "data": data, **self._left(self.lent[name])})

    def renew(self, seen: Seen) -> Step:
        lease, now = self.lent.get(seen.body["lease_id"]), self.clock.monotonic()
        if lease is None or not self._lives(lease, now):
            return errors(400, GONE[seen.path])
        lease.ends, lease.renewed = min(now + seen.body["increment"], lease.issued + self.max_ttl), now
        return Reply(200, {"request_id": "r", "lease_id": seen.body["lease_id"], **self._left(lease)})

    def lookup(self, seen: Seen) -> Step:
        lease = self.lent.get(seen.body["lease_id"])
        if lease is None or not self._lives(lease, self.clock.monotonic()):
            return errors(400, GONE[seen.path])
        data = {
            "issue_time": self._wall(lease.issued),
            "expire_time": self._wall(lease.ends),
            "last_renewal": None if lease.renewed is None else self._wall(lease.renewed),
            "renewable": self.renewable,
            "ttl": int(lease.ends - self.clock.monotonic()),
        }
        return Reply(200, {"request_id": "r", "data": data})

    def _wall(self, monotonic: float) -> str:
        """Return the time as Vault tells it; its clock is a minute off, as it may be."""
        moment = self.clock.now() + timedelta(seconds=monotonic - self.clock.monotonic() + 60)
        return moment.isoformat().replace("+00:00", "Z")

    def revoke(self, seen: Seen) -> Step:
        if lease := self.lent.get(seen.body["lease_id"]):
            lease.revoked = True
        return Reply(204)

    def _renew_self(self, seen: Seen) -> Step:
        if not self._token_lives(seen.token):
            return errors(403, "permission denied", "invalid token")
        return self._token_renewed(seen.token, seen.token)

    def _renew_accessor(self, seen: Seen) -> Step:
        if not self._token_lives(seen.token):
            return errors(403, "permission denied", "invalid token")
        if not self.accessors_allowed:
            return errors(403, "1 error occurred:\n\t* permission denied\n\n")
        token = seen.body["accessor"].removeprefix("accessor-of-")
        return self._token_renewed(token, "") if self._token_lives(token) else errors(400, "invalid accessor")

    def _token_lives(self, token: str) -> bool:
        return token not in self.tokens.revoked and self.clock.monotonic() < self.tokens.ends.get(token, 0.0)

    def _token_renewed(self, token: str, told: str) -> Step:
        now = self.clock.monotonic()
        begun = self._begun.setdefault(token, self.tokens.ends[token] - self.tokens.ttl)
        self.tokens.ends[token] = min(now + self.tokens.ttl, begun + self.token_max_ttl)
        auth = {"client_token": told, "accessor": f"accessor-of-{token}", "renewable": True}
        return Reply(200, {"auth": {**auth, "lease_duration": self.tokens.ends[token] - now}})

    def _left(self, lease: Lent) -> dict[str, object]:
        return {"lease_duration": round(lease.ends - self.clock.monotonic()), "renewable": self.renewable}


async def lent(session: Session) -> str:
    """Issue credentials that are held on to."""
    issued = await leases.issue(session, REQUEST)
    session.hang(issued.lease_id, issued.held)
    return issued.lease_id
