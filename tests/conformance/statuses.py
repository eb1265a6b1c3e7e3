"""Every status that any custom resource has on the way, seen by a watch beside the scenarios, and judged.

Invariant: one of each shape is kept until it is judged: by the contract and by Argo CD's Lua at the end of the scenario,
by kstatus and Flux's CEL at the end of the module, in one run of the program for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import httpx
import orjson
import pytest

from tests.conformance.chronicle import Chronicle, breaches, by_the_operator_alone, unsaid
from tests.conformance.contract import expected, flux_kustomizations, judge_by_argo
from tests.conformance.stage import GROUP, Json
from tests.testbed.bed import Bed, eventually
from tests.testbed.build import KUSTOMIZE, VERDICTS
from tests.testbed.gitops import FluxVerdict, flux_verdicts
from tests.testbed.kube_admin import KubeAccess, object_path, tls_context
from vso.core.keys import Kind

_AGAIN = 0.2
_UNSERVED = 1.0
"""The same for a kind that is not there: its CRD comes long before the first object."""


def shape(obj: Json) -> tuple[object, ...]:
    """What a verdict may depend on: two objects with one shape are judged alike."""
    meta, status = obj["metadata"], obj.get("status") or {}
    generation = meta["generation"]
    return (
        obj["kind"],
        "deletionTimestamp" in meta,
        bool(obj.get("spec", {}).get("suspend")),
        status.get("observedGeneration") == generation,
        status.get("lastGeneration") == generation,
        "lastSyncTime" in status,
        tuple((c["type"], c["status"], c.get("reason")) for c in status.get("conditions", ())),
    )


ADAPTERS = "adapter-"
"""Where scenarios write statuses by the operator's own hands, and no operator does."""


@dataclass
class Gathered:
    """What was seen and is not judged yet; filled by the watch, emptied by the scenarios."""

    judged: set[tuple[object, ...]] = field(default_factory=set)
    fresh: list[Json] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    chronicle: Chronicle = field(default_factory=Chronicle)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def see(self, obj: Json) -> None:
        """Take an object as it is now."""
        if obj["metadata"]["namespace"].startswith(ADAPTERS):
            return
        with self._lock:
            if not by_the_operator_alone(obj):
                self.chronicle.forget(obj["metadata"]["uid"])
                if not unsaid(obj.get("status") or {}):  # the default may count as the creator's
                    return
            rules = [*self.chronicle.follows(obj)]
            found = shape(obj)
            if found not in self.judged:
                self.judged.add(found)
                rules += breaches(obj)
                self.fresh.append(obj)
            self.broken += [told(obj, rule) for rule in rules]

    def gone(self, obj: Json) -> None:
        """Forget an object."""
        with self._lock:
            self.chronicle.forget(obj["metadata"]["uid"])

    def take(self) -> tuple[list[Json], list[str]]:
        """Return what came since the last time."""
        with self._lock:
            taken = self.fresh, self.broken
            self.fresh, self.broken = [], []
        return taken


def told(obj: Json, rule: str) -> str:
    """Name a status that breaks a rule."""
    meta = obj["metadata"]
    return f"{obj['kind']} {meta['namespace']}/{meta['name']}: {rule}: generation {meta['generation']}, {obj.get('status')}"


class Watch:
    """Watches the ten kinds in a thread of its own until it is told to end."""

    def __init__(self, access: KubeAccess, gathered: Gathered) -> None:
        self._access = access
        self.gathered = gathered
        self._shut = {kind.value: "it was not asked yet" for kind in Kind}
        self._loop = asyncio.new_event_loop()
        self._work: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="statuses", daemon=True)
        self._thread.start()

    def shut(self) -> dict[str, str]:
        """The kinds of which nothing is seen now, and why."""
        assert self._thread.is_alive(), "the watch is over"
        return dict(self._shut)

    def wait_open(self, timeout: float = 30, kinds: Collection[str] = frozenset(Kind)) -> None:
        """Wait until none of the kinds goes unseen: of one that is refused nothing would ever be judged."""

        def shut() -> dict[str, str]:
            return {kind: why for kind, why in self.shut().items() if kind in kinds}

        eventually(lambda: not shut(), timeout, message=lambda: f"a watch of every kind: {shut()}")

    def close(self) -> None:
        """End, and wait for it."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _end(self) -> None:
        assert self._work is not None
        self._work.cancel()

    def _run(self) -> None:
        self._work = self._loop.create_task(self._watch())
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._work)
        self._loop.close()

    async def _watch(self) -> None:
        token = self._access.token
        async with httpx.AsyncClient(
            base_url=self._access.url,
            verify=tls_context(self._access),
            headers={"User-Agent": "testbed-statuses", **({"Authorization": f"Bearer {token}"} if token else {})},
            timeout=httpx.Timeout(10, read=None),
            trust_env=False,
        ) as client:
            await asyncio.gather(*(self._kind(client, kind.value) for kind in Kind))

    async def _kind(self, client: httpx.AsyncClient, kind: str) -> None:
        while True:
            pause = _AGAIN
            try:
                await self._events(client, kind)
            except (httpx.HTTPError, orjson.JSONDecodeError) as error:
                self._shut[kind] = repr(error)
                pause = _UNSERVED if _is_unserved(error) else _AGAIN
            else:
                self._shut[kind] = "it ended"
            self.gathered.chronicle.forget()
            await asyncio.sleep(pause)  # the server is away, or has no such kind now

    async def _events(self, client: httpx.AsyncClient, kind: str) -> None:
        """Follow one watch, which begins with what is there."""
        path, rest = object_path(kind, None), b""
        async with client.stream("GET", path, params={"watch": "true", "resourceVersion": "0"}) as response:
            response.raise_for_status()
            self._shut.pop(kind, None)
            async for chunk in response.aiter_bytes():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = orjson.loads(line)
                    obj = event["object"] | {"apiVersion": GROUP, "kind": kind}
                    if event["type"] == "ERROR":
                        return
                    (self.gathered.gone if event["type"] == "DELETED" else self.gathered.see)(obj)


def _is_unserved(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 404


@dataclass
class Court:
    """Judges what was gathered on a bed."""

    bed: Bed
    gathered: Gathered
    for_flux: list[Json] = field(default_factory=list)

    def judge(self) -> None:
        """See that what came since the last time keeps the contract, and is read by Argo CD as it should be."""
        fresh, broken = self.gathered.take()
        for obj in fresh:
            with contextlib.suppress(AssertionError):  # of no situation at all: told as broken already
                wanted, said = expected(obj).argo, judge_by_argo(obj)
                if said != wanted:
                    broken.append(told(obj, f"Argo CD is to make {wanted} of it and makes {said}"))
                self.for_flux.append(obj)
        assert not broken, "\n".join(broken)

    def judge_by_flux(self) -> int:
        """The same by kstatus and Flux, and how many they judged: on the real bed all, on the sandbox where both are built."""
        found, self.for_flux = self.for_flux, []
        if not found or not (self.bed.name == "real" or (VERDICTS.built and KUSTOMIZE.built)):
            return 0
        pairs = zip(found, flux_verdicts(flux_kustomizations(), found), strict=True)
        broken = [
            told(obj, f"Flux makes {said} of it")
            for obj, said in pairs
            if said != FluxVerdict(expected(obj).kstatus, expected(obj).cel)
        ]
        assert not broken, "\n".join(broken)
        return len(found)


@pytest.fixture(scope="session")
def watch_over_statuses(prepared: Bed) -> Iterator[Watch]:
    """The watch over every status of the run."""
    watch = Watch(prepared.kube.access, Gathered())
    yield watch
    watch.close()


@pytest.fixture(scope="session")
def court(prepared: Bed, watch_over_statuses: Watch) -> Court:
    """What judges every status of the run."""
    return Court(prepared, watch_over_statuses.gathered)


@pytest.fixture(scope="module")
def court_of_the_module(court: Court, watch_over_statuses: Watch) -> Iterator[Court]:
    """The same, which sees every kind, and has kstatus and Flux judge what the scenarios of a module have brought."""
    watch_over_statuses.wait_open()
    yield court
    court.judge_by_flux()
    watch_over_statuses.wait_open()


_OWN = pytest.StashKey[Court]()


@contextlib.contextmanager
def judged(module: pytest.Module, bed: Bed) -> Iterator[None]:
    """Judge every status on a bed of a module's own, from now on; its CRDs may come later, and go."""
    watch = Watch(bed.kube.access, Gathered())
    try:
        module.stash[_OWN] = court = Court(bed, watch.gathered)
        yield
        served = {found["spec"]["names"]["kind"] for found in bed.kube.list("CustomResourceDefinition")}
        watch.wait_open(kinds=served)
        court.judge()
        court.judge_by_flux()
    finally:
        watch.close()


def court_of(item: pytest.Item) -> Court | None:
    """What judges the statuses of a module that has a bed of its own."""
    module = item.getparent(pytest.Module)
    return module.stash.get(_OWN, None) if module else None


@pytest.fixture(autouse=True)
def _every_status_keeps_the_contract(request: pytest.FixtureRequest) -> Iterator[None]:
    """Judge what a scenario on a bed has brought, whatever it uses of it."""
    if "prepared" not in request.fixturenames:
        yield
        court = court_of(request.node)
    else:
        court = request.getfixturevalue("court_of_the_module")
        yield
    if court is not None:
        court.judge()
