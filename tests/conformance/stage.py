"""The stage of a scenario: an installed operator, and teams that use it as users do.

Everything is looked at from outside: the API server as admin, Vault as root, their audit logs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.conformance.install import (
    ADDITIONS,
    FULL,
    INSTALLS,
    MANIFESTS,
    OPERATOR_NAMESPACE,
    OPERATOR_USER,
    ROOT,
    Install,
    Json,
    chosen,
    documents,
    shipped,
)
from tests.conformance.team import AUDIENCE, GROUP, Team
from tests.testbed.bed import Bed, KubeError, eventually
from tests.testbed.operator import Operator, Setting

__all__ = [
    "AUDIENCE",
    "GROUP",
    "MANIFESTS",
    "OPERATOR_NAMESPACE",
    "OPERATOR_USER",
    "ROOT",
    "Json",
    "Stage",
    "Team",
    "documents",
    "team_of",
]
_TEAM = pytest.StashKey[str]()
_numbers = itertools.count(1)


def team_of(item: pytest.Item) -> str:
    """The namespace of a scenario's team."""
    return item.stash.setdefault(_TEAM, f"team-{next(_numbers)}")


class Stage:
    """A bed with the operator installed in one way."""

    def __init__(
        self, bed: Bed, install: Install = FULL, *watched: Sequence[str], additions: Sequence[str] = ()
    ) -> None:
        """Each of the lists of namespaces is watched in its turn, from the first on."""
        self.bed = bed
        self.install = install
        self.additions = additions
        self._turns = watched if install.namespaced else ()
        self.watched = tuple(self._turns[0]) if self._turns else ()
        self._operator: Operator | None = None
        self._started: tuple[tuple[str, ...], Setting | None] = ((), None)

    @classmethod
    def of(
        cls,
        request: pytest.FixtureRequest,
        bed: Bed,
        *namespaces: str,
        at_once: int = 100,
        additions: Sequence[str] = (),
    ) -> Stage:
        """The stage of a fixture: the install of the run, with the namespaces of the scenarios that share the fixture.

        The additions are folders of roles that a feature needs beside it. No more scenarios than `at_once` have their namespaces watched at one time: each costs eleven watches.
        """
        mode = getattr(request.module, "SECRETS_ACCESS", None)
        install = chosen(request.config)
        alone = request.scope == "function"
        items = [i for i in request.session.items if i is request.node or (not alone and _module(i) is request.module)]
        turns = [items[first : first + at_once] for first in range(0, max(len(items), 1), at_once)]
        watched = [(OPERATOR_NAMESPACE, *namespaces, *_namespaces(turn)) for turn in turns]
        return cls(bed, install.in_mode(mode) if mode else install, *watched, additions=additions)

    def turn_to(self, item: pytest.Item) -> None:
        """Have the operator watch the namespaces of a scenario, in place of those of scenarios before it."""
        wanted = next((turn for turn in self._turns if team_of(item) in turn), self.watched)
        if {*wanted} != {*self.watched}:
            self.close()
            args, setting = self._started
            self.watched = tuple(wanted)
            self.start_operator(*args, setting=setting)

    @property
    def operator(self) -> Operator:
        """The operator, which must have been started."""
        assert self._operator is not None, "no operator was started"
        return self._operator

    def set_up(self) -> None:
        """Apply the CRDs, the operator's namespace and its ServiceAccount."""
        if self.bed.name == "real":
            for path in sorted((MANIFESTS / "crds").glob("*.yaml")):
                self.bed.kube.apply(documents(path)[0])
            self.wait_for_crds()
        self.apply_namespace(OPERATOR_NAMESPACE)
        meta = {"name": "vault-secrets-operator", "namespace": OPERATOR_NAMESPACE}
        self.bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})

    def wait_for_crds(self) -> None:
        """Wait until the API server serves every kind."""

        def served() -> bool:
            try:
                found = self.bed.kube.get(f"/apis/{GROUP}")
            except KubeError:
                return False
            return len([r for r in found["resources"] if "/" not in r["name"]]) == 10

        eventually(served, timeout=20, message="the API server serves the ten kinds")

    def use_roles(self) -> None:
        """Bind the operator's ServiceAccount to exactly the shipped roles of the install, and those of the additions."""
        wanted = [*self.install.roles(self.watched), *(d for folder in self.additions for d in shipped(folder))]
        for document in _stale(wanted):
            self.bed.kube.remove(document)
        for namespace in self.watched:
            self.apply_namespace(namespace)
        for document in wanted:
            self.bed.kube.apply(document)

    def other(self, *args: str, **kwargs: Any) -> Operator:
        """One more operator of this install, not started."""
        return Operator(self.bed, *self.install.flags(self.watched), *args, **kwargs)

    def start_operator(self, *args: str, wait: bool = True, setting: Setting | None = None) -> Operator:
        """Start the operator under its shipped roles and wait until it is ready."""
        self.use_roles()
        self._started = (args, setting)
        return self.put_on(self.other(*args, setting=setting), wait=wait)

    def put_on(self, operator: Operator, *, wait: bool = True) -> Operator:
        """Start this operator as the stage's, under whatever rights there are."""
        self._operator = operator
        operator.start()
        if wait:
            self._await_ready(operator)
        return operator

    @staticmethod
    def _await_ready(operator: Operator) -> None:
        """Wait until it is ready, for long enough that an API server can put new CRDs in place; else leave nothing."""
        try:
            operator.wait_ready(timeout=60)
        except BaseException:
            operator.kill()
            raise

    def close(self) -> None:
        """Stop the operator; a crash or a bug in its log fails the module."""
        log = self._operator.log_text() if self._operator is not None else ""
        if self._operator is not None and self._operator.running:
            self._operator.stop()
        for namespace in {*self.watched} - {OPERATOR_NAMESPACE}:
            self.bed.kube.remove({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        assert "InternalError" not in log, log[-4000:]
        assert "Traceback" not in log, log[-4000:]

    def team(self, namespace: str, **kwargs: Any) -> Team:
        """Found a team with a namespace of its own."""
        if self.watched:
            assert namespace in self.watched, f"{namespace} is not watched: the scenario names it by `beside`"
        team = Team(self, namespace, **kwargs)
        team.found()
        return team

    def apply_namespace(self, name: str) -> None:
        """Have a namespace of that name; one that somebody before has left goes first."""
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}

        def stays() -> bool:
            self.bed.kube.apply(document)
            return "deletionTimestamp" not in self.bed.kube.find("Namespace", None, name)["metadata"]

        eventually(stays, timeout=60, message=f"namespace {name} is there to stay")


def _module(item: pytest.Item) -> object:
    return getattr(item, "module", None)


def _namespaces(items: Sequence[pytest.Item]) -> Iterator[str]:
    """The namespaces of scenarios: that of the team, and those beside it."""
    for item in items:
        if "team" in getattr(item, "fixturenames", ()):
            yield team_of(item)
        yield from (f"{team_of(item)}-{name}" for mark in item.iter_markers("beside") for name in mark.args)


def _stale(wanted: Sequence[Json]) -> Iterator[Json]:
    """What an earlier stage left that would give the operator more; roles in other namespaces go with them."""
    kept = {_identity(document) for document in wanted}
    left = [install.roles([OPERATOR_NAMESPACE]) for install in INSTALLS.values()]
    left += [shipped(folder) for folder in ADDITIONS]
    yield from (document for roles in left for document in roles if _identity(document) not in kept)


def _identity(document: Json) -> tuple[str, str, str]:
    meta = document["metadata"]
    return document["kind"], meta.get("namespace", ""), meta["name"]
