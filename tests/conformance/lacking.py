"""The rights of every install one by one, and a stage on which the operator lacks one of them.

Invariant: the list is made from `vso.app.rbac`, a rule at a time and a verb at a time, so that whoever adds a rule has
to show what breaks without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.install import OPERATOR_NAMESPACE, Install, Json, shipped
from tests.conformance.stage import Stage, Team
from tests.testbed import local_http
from tests.testbed.bed import eventually
from tests.testbed.operator import Operator
from vso.app import rbac

QUICK = ("--backoff-initial-interval=200ms", "--backoff-max-interval=400ms")
CACHE = f"{rbac.NAME}-client-cache"
CREDENTIALS = f"{rbac.NAME}-credentials"
METRICS = f"{rbac.NAME}-metrics-auth"
CRDS = "upgrade-crds"
SCALE = "pre-delete"


@dataclass(frozen=True)
class Right:
    """One verb of one rule of a role; the resources of the rule go together."""

    role: str
    group: str
    resources: tuple[str, ...]
    verb: str
    named: bool = False

    @property
    def id(self) -> tuple[str, str, str]:
        """What its probe is filed under."""
        return self.role, self.verb, self.resources[0]

    def of(self, rule: rbac.Rule) -> bool:
        """Whether a rule of its role is the one that gives it."""
        mine = rule["resources"] == [*self.resources] and ("resourceNames" in rule) == self.named
        return mine and self.verb in rule["verbs"]

    def is_named_in(self, text: str) -> bool:
        """Whether a text, perhaps a line of JSON, says which rule to add."""
        rules = (f'apiGroups: ["{self.group}"], resources: ["{r}"], verbs: ["{self.verb}"]' for r in self.resources)
        return any(rule in text.replace('\\"', '"') for rule in rules)


def rights(install: Install) -> list[Right]:
    """What the operator may do under an install, beside what another of its rules gives it anyway."""
    kept = rbac.client_cache_rules()
    if not install.namespaced:  # who may patch Secrets everywhere may patch these
        kept = [{**rule, "verbs": [verb for verb in rule["verbs"] if verb != "patch"]} for rule in kept]
    roles: Mapping[str, Sequence[rbac.Rule]] = {
        rbac.NAME: rbac.team_rules(full=install.full, service_accounts=["app"] if install.namespaced else ()),
        rbac.OWN: rbac.own_namespace_rules(everywhere=not install.namespaced),
        rbac.RESTARTS: rbac.restart_rules(),
        CACHE: kept,
        CREDENTIALS: [rbac.credential_rule(resource, name) for resource, name in rbac.CREDENTIALS.items()],
        METRICS: () if install.namespaced else rbac.metrics_auth_rules(),
    }
    return [right for role, rules in roles.items() for right in _of(role, rules)]


def rights_of_commands() -> list[Right]:
    """What commands may do that run once, under accounts of their own."""
    return [*_of(CRDS, rbac.crd_rules()), *_of(SCALE, rbac.scale_rules())]


def without(documents: Sequence[Json], right: Right) -> Iterator[Json]:
    """The roles and bindings with the right taken away."""
    for document in documents:
        if document["metadata"]["name"] == right.role and "rules" in document:
            yield {**document, "rules": [_less(rule, right) for rule in document["rules"]]}
        else:
            yield document


def _of(role: str, rules: Sequence[rbac.Rule]) -> Iterator[Right]:
    for rule in rules:
        for verb in rule["verbs"]:
            yield Right(role, rule["apiGroups"][0], tuple(rule["resources"]), verb, "resourceNames" in rule)


def _less(rule: rbac.Rule, right: Right) -> rbac.Rule:
    verbs = [verb for verb in rule["verbs"] if verb != right.verb]
    return {**rule, "verbs": verbs or ["none"]} if right.of(rule) else rule


@dataclass
class Scene:
    """A team, and an operator that lacks a right; each is told of in words that name the rule."""

    stage: Stage
    team: Team
    right: Right
    operator: Operator = field(init=False)

    def install(self) -> None:
        """Apply the roles of the install but for the right; who led before leads no more."""
        kube = self.stage.bed.kube
        self.stage.use_roles()
        credentials = [{**d, "metadata": {**d["metadata"], "namespace": self.team.ns}} for d in shipped("credentials")]
        guard = () if self.stage.install.namespaced else shipped("metrics-auth")
        roles = [*self.stage.install.roles(self.stage.watched), *shipped("client-cache"), *credentials, *guard]
        for document in without(roles, self.right):
            kube.apply(document)
        self.forget("Lease", rbac.LEASE)

    def forget(self, kind: str, name: str) -> None:
        """Take away what an earlier operator left in its namespace."""
        if self.stage.bed.kube.exists(kind, OPERATOR_NAMESPACE, name):
            self.stage.bed.kube.delete(kind, OPERATOR_NAMESPACE, name)

    def start(self, *args: str, wait: bool = True) -> None:
        """Start the operator."""
        self.operator = self.stage.put_on(self.stage.other(*QUICK, *args), wait=wait)

    def log_names_it(self) -> Json:
        """The line of the log that names the rule."""

        def found() -> Json | None:
            lines = self.operator.log_text(since_start=True).splitlines()
            return next((json.loads(line) for line in lines if self.right.is_named_in(line)), None)

        return eventually(found, message=lambda: f"the log names the rule; it says {self.operator.log_text()[-3000:]}")

    def readiness_names_it(self) -> None:
        """The operator is not ready, and says what rule it waits for."""
        url = f"http://127.0.0.1:{self.operator.probe_port}/readyz"
        eventually(lambda: self.operator.running and self.operator.probe("/healthz") == 200, message="it listens")
        answer = eventually(
            lambda: (found := local_http.get(url)).status_code == 503 and self.right.is_named_in(found.text),
            message=lambda: f"it is not ready and names the rule; it says {local_http.get(url).text}",
        )
        assert answer

    def status_names_it(self, type_: str = "Ready", kind: str = "VaultStaticSecret", reason: str | None = None) -> None:
        """A condition of the team's object is False, and names the rule."""
        name = "app" if kind == "VaultStaticSecret" else {"VaultAuth": "auth", "VaultConnection": "vault"}[kind]
        told = self.team.wait_condition(type_, "False", reason or "KubernetesForbidden", kind=kind, name=name)
        assert self.right.is_named_in(told["message"]), told

    def event_names_it(self, reason: str) -> None:
        """An event of the team's object names the rule."""
        eventually(
            lambda: any(self.right.is_named_in(event["message"]) for event in self.team.events(reason=reason)),
            message=lambda: f"an event names the rule; there are {self.team.events()}",
        )

    def ends(self) -> None:
        """The operator ends by itself, with an error."""
        eventually(lambda: not self.operator.running, message="it has ended")
        assert self.operator.process.exit_code == 1
