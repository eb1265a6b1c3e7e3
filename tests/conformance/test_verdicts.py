"""What Argo CD, kstatus and Flux make of a status: the shipped health checks in the tools' own engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from tests.conformance.chronicle import Chronicle, breaches, by_the_operator_alone
from tests.conformance.contract import Expected, argo, expected, flux_kustomizations, judge_by_argo, situation
from tests.conformance.stage import GROUP, Json, Team
from tests.conformance.statuses import Court, Gathered, Watch
from tests.testbed.bed import Bed, eventually
from tests.testbed.gitops import FluxVerdict, flux_verdicts
from vso.core.keys import Kind

OPERATOR_ARGS = ("--restart-window=0s",)
SYNCED = {"lastSyncTime": "2026-01-01T00:00:00Z", "lastGeneration": 2}
SECRETS = (Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET, Kind.VAULT_PKI_SECRET)


def conditions(truths: Mapping[str, str]) -> list[Json]:
    """Conditions with a status each, each with a message of its own; `False Suspended` names a reason too."""
    split = {type_: [*truth.split(), "Because"] for type_, truth in truths.items()}
    return [{"type": t, "status": v[0], "reason": v[1], "message": f"{t} is {v[0]}"} for t, v in split.items()]


@dataclass(frozen=True)
class State:
    """An object of generation 2 in one state, and its verdicts."""

    expected: Expected
    status: Json | None
    message: str = ""
    spec: Mapping[str, object] = field(default_factory=dict)
    deleting: bool = False

    def obj(self, kind: str) -> Json:
        """The object of a kind."""
        meta: Json = {"name": "app", "namespace": "team", "generation": 2}
        if self.deleting:
            meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}
        status = {} if self.status is None else {"status": self.status}
        return {"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": dict(self.spec), **status}


def seen(truths: Mapping[str, str], *, generation: int = 2, synced: bool = True) -> Json:
    """A status."""
    return {"observedGeneration": generation, **(SYNCED if synced else {}), "conditions": conditions(truths)}


ORDER = {"Ready": "True", "Healthy": "True"}
COMING = {"Reconciling": "True", "Ready": "False", "Healthy": "False"}
STATES = {
    "not seen yet": State(
        Expected("Progressing", "InProgress", "InProgress"), {"observedGeneration": -1}, "waiting for the operator"
    ),
    "a generation that was not seen yet": State(
        Expected("Progressing", "InProgress", "InProgress"), seen(ORDER, generation=1), "waiting for the operator"
    ),
    "in order": State(Expected("Healthy", "Current", "Current"), seen(ORDER), "Ready is True"),
    "Vault away, the Secret still good": State(
        Expected("Healthy", "Current", "Current"), seen({"Ready": "True", "Healthy": "False"}), "Healthy is False"
    ),
    "first sync on its way": State(
        Expected("Progressing", "InProgress", "InProgress"), seen(COMING, synced=False), "Reconciling is True"
    ),
    "an edit on its way while an older generation was synced": State(
        Expected("Progressing", "InProgress", "InProgress"),
        {**seen(COMING), "lastGeneration": 1},
        "Reconciling is True",
    ),
    "too old": State(Expected("Degraded", "InProgress", "InProgress"), seen(COMING), "Reconciling is True"),
    "a human must act": State(
        Expected("Degraded", "Failed", "Failed"),
        seen({"Stalled": "True", "Ready": "False", "Healthy": "False"}),
        "Stalled is True",
    ),
    "suspended after a sync": State(
        Expected("Suspended", "Current", "Current"), seen(ORDER), "suspend is set", spec={"suspend": True}
    ),
    "suspended before any sync": State(
        Expected("Suspended", "InProgress", "InProgress"),
        seen({"Ready": "False Suspended"}, synced=False),
        "suspend is set",
        spec={"suspend": True},
    ),
    "suspended while it was not in order": State(
        Expected("Suspended", "InProgress", "InProgress"),
        seen({"Ready": "False", "Healthy": "False"}),
        "suspend is set",
        spec={"suspend": True},
    ),
    "being deleted": State(Expected("Progressing", "Terminating", "InProgress"), seen(ORDER), deleting=True),
}
# What the default of the CRD prevents: kstatus takes an object without a status for one in order.
NO_STATUS = State(Expected("Progressing", "Current", "error"), None, "waiting for the operator")
EVERY = pytest.mark.parametrize("state", [pytest.param(state, id=name) for name, state in STATES.items()])
KINDS = pytest.mark.parametrize("kind", list(Kind))


@EVERY
@KINDS
def test_argo_cd_shows_the_health_of_every_kind_in_every_state(kind: Kind, state: State) -> None:
    obj = state.obj(kind)
    assert judge_by_argo(obj) == state.expected.argo
    if not state.deleting:
        assert argo().health(obj).message.startswith(state.message)


@KINDS
def test_argo_cd_waits_for_an_object_without_a_status(kind: Kind) -> None:
    assert argo().health(NO_STATUS.obj(kind)).status == "Progressing"
    assert argo().health(State(NO_STATUS.expected, {"observedGeneration": 2}).obj(kind)).status == "Progressing"


@EVERY
def test_the_states_are_those_of_the_contract(state: State) -> None:
    assert expected(state.obj("VaultStaticSecret")) == state.expected


def test_a_status_outside_of_the_contract_is_found() -> None:
    odd = replace(STATES["in order"], status=seen({"Ready": "True", "Healthy": "True", "Stalled": "True"}))
    with pytest.raises(AssertionError, match="no row of the contract"):
        situation(odd.obj("VaultStaticSecret"))


WHEN = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"


def said(*told: Json, generation: int = 2, **more: object) -> Json:
    """An object whose status the operator has written; conditions are filled up."""
    filled = [{"reason": "Ready", "message": "it is so", "lastTransitionTime": WHEN, **one} for one in told]
    meta = {"name": "app", "namespace": "team", "uid": "u", "generation": 2}
    status = {"observedGeneration": generation, "conditions": filled, **more}
    return {"apiVersion": GROUP, "kind": "VaultStaticSecret", "metadata": meta, "status": status}


READY, HEALTHY = {"type": "Ready", "status": "True"}, {"type": "Healthy", "status": "True"}
NOT_READY, UNHEALTHY = READY | {"status": "False"}, HEALTHY | {"status": "False"}
STALLED = {"type": "Stalled", "status": "True"}


@pytest.mark.parametrize(
    ("obj", "rule"),
    [
        (said(READY, HEALTHY, READY), "a type of condition comes once"),
        (said(NOT_READY, UNHEALTHY, STALLED), "Reconciling and Stalled come first"),
        (said(READY, HEALTHY, generation=3), "no generation is observed before it is there"),
        (said(READY, HEALTHY, history=[{}] * 6), "the history is of five rotations"),
        (said(READY | {"reason": "Invented"}, HEALTHY), "Ready: the reason is one of the closed list"),
        (said(READY | {"message": ""}, HEALTHY), "Ready: a message says what is"),
        (said(READY | {"lastTransitionTime": ""}, HEALTHY), "Ready: it says since when"),
        (said(STALLED | {"status": "False"}, READY, HEALTHY), "Stalled: it is there only where it is true"),
        (said(READY | {"observedGeneration": 3}, HEALTHY), "Ready: it is of no later generation"),
        (said(READY), "no row of the contract"),
        (said() | {"status": None}, "a status is defaulted in the CRD"),
    ],
)
def test_a_status_that_breaks_a_rule_by_itself_is_found(obj: Json, rule: str) -> None:
    assert any(rule in found for found in breaches(obj))


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (said(READY), said(READY, generation=1), "observedGeneration never goes back"),
        (said(READY, lastSyncTime=WHEN), said(READY), "lastSyncTime stays"),
        (said(READY), said(READY | {"lastTransitionTime": LATER}), "Ready: lastTransitionTime moves only"),
    ],
)
def test_a_status_that_may_not_follow_the_one_before_is_found(before: Json, after: Json, rule: str) -> None:
    chronicle = Chronicle()
    assert [*chronicle.follows(before)] == []
    assert any(rule in found for found in chronicle.follows(after))
    assert [*chronicle.follows(after)] == []


def test_a_status_that_is_in_order_breaks_no_rule() -> None:
    chronicle = Chronicle()
    for obj in (said(STALLED, NOT_READY, UNHEALTHY), said(READY | {"lastTransitionTime": LATER}, HEALTHY)):
        assert [*breaches(obj), *chronicle.follows(obj)] == []


@pytest.mark.parametrize(("manager", "counts"), [("vault-secrets-operator", True), ("kubectl-edit", False)])
def test_a_status_that_somebody_else_wrote_is_nobodys_promise(manager: str, *, counts: bool) -> None:
    obj = said(READY)
    obj["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": {"f:status": {}}}]
    assert by_the_operator_alone(obj) is counts
    gathered = Gathered()
    gathered.see(obj)
    assert bool(gathered.take()[1]) is counts


@pytest.mark.parametrize("managers", [[], [{"manager": "kubectl-edit", "fieldsV1": {"f:status": {}}}]])
def test_a_status_that_somebody_else_took_away_begins_anew(managers: list[Json]) -> None:
    gathered, gone = Gathered(), said()
    gathered.see(said(READY, HEALTHY, lastSyncTime=WHEN))
    gone["status"] = {"observedGeneration": -1}
    gone["metadata"]["managedFields"] = managers
    gathered.see(gone)
    assert gathered.take()[1] == []
    gathered.see(said(READY | {"lastTransitionTime": LATER}, HEALTHY))
    assert gathered.take()[1] == []


def test_what_argo_cd_makes_of_a_status_is_judged_at_the_end_of_the_scenario(prepared: Bed) -> None:
    gathered = Gathered()
    gathered.see(said(READY, HEALTHY))
    Court(prepared, gathered).judge()
    gathered.see(said(READY | {"reason": "Invented"}, HEALTHY))
    with pytest.raises(AssertionError, match="VaultStaticSecret team/app: Ready: the reason"):
        Court(prepared, gathered).judge()
    Court(prepared, gathered).judge()


def test_every_status_of_the_scenarios_is_seen(team: Team, court: Court) -> None:
    team.ready()
    now = team.get()
    seen = court.gathered.chronicle.last
    eventually(lambda: seen(now["metadata"]["uid"]) == now["status"], message="the watch shows the status")


def test_a_kind_that_may_not_be_watched_is_no_silence(prepared: Bed, watch_over_statuses: Watch) -> None:
    watch_over_statuses.wait_open()
    nobody = Watch(replace(prepared.kube.access, token="of-nobody", certificate=None), Gathered())
    kinds = {kind.value for kind in Kind}
    eventually(
        lambda: {kind for kind, why in nobody.shut().items() if "401" in why} == kinds, message="all are refused"
    )
    with pytest.raises(AssertionError, match=r"a watch of every kind: .*VaultStaticSecret.*401"):
        nobody.wait_open(timeout=0)
    nobody.close()


@pytest.mark.real
def test_on_the_real_bed_flux_judges_whatever_was_seen(prepared: Bed) -> None:
    court = Court(prepared, Gathered())
    court.gathered.see(said(READY, HEALTHY))
    court.judge()
    assert court.judge_by_flux() == 1
    assert court.judge_by_flux() == 0


@pytest.mark.real
@KINDS
def test_kstatus_and_fluxs_expressions_agree_with_the_contract(kind: Kind) -> None:
    states = [*STATES.values(), NO_STATUS]
    said = flux_verdicts(flux_kustomizations(), [state.obj(kind) for state in states])
    assert [FluxVerdict(v.kstatus, v.cel.partition(":")[0]) for v in said] == [
        FluxVerdict(state.expected.kstatus, state.expected.cel) for state in states
    ]


@pytest.mark.parametrize(("status", "health"), [({}, "Progressing"), ({"health": {"status": "Degraded"}}, "Degraded")])
def test_the_health_of_an_application_is_its_own_word(status: Json, health: str) -> None:
    meta = {"name": "app", "namespace": "argocd"}
    application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": meta, "status": status}
    assert argo().health(application).status == health


@pytest.mark.parametrize("kind", SECRETS)
def test_the_menu_offers_what_can_be_done(kind: Kind) -> None:
    plain, suspended = STATES["in order"].obj(kind), STATES["suspended after a sync"].obj(kind)
    consumed = replace(STATES["in order"], spec={"rolloutRestartTargets": [{"kind": "Deployment", "name": "app"}]})
    every = {"refresh", "suspend", "resume", "restart-consumers"}
    assert {name for name, can in argo().actions(plain).items() if can} == {"refresh", "suspend"}
    assert {name for name, can in argo().actions(suspended).items() if can} == {"resume"}
    assert {name for name, can in argo().actions(consumed.obj(kind)).items() if can} == every - {"resume"}
    assert argo().actions(plain).keys() == every


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("action", ["refresh", "suspend", "resume", "restart-consumers"])
def test_an_action_changes_one_thing_and_nothing_else(kind: Kind, action: str) -> None:
    obj = replace(STATES["in order"], spec={"destination": {"labels": {}}, "rolloutRestartTargets": []}).obj(kind)
    changed = argo().act(obj, action)
    if action in {"suspend", "resume"}:
        assert changed["spec"].pop("suspend") is (action == "suspend")
    else:
        ((name, value),) = changed["metadata"].pop("annotations").items()
        assert name == f"vso.hashicorp.com/{'resync' if action == 'refresh' else 'restart'}"
        assert value.endswith("Z")
    assert changed == obj


def act(team: Team, action: str) -> Json:
    """Choose an action of the team's object in Argo CD."""
    obj = team.get() | {"apiVersion": GROUP, "kind": "VaultStaticSecret"}
    assert argo().actions(obj)[action], action
    changed = argo().act(obj, action)
    change = {"metadata": {"annotations": changed["metadata"].get("annotations", {})}, "spec": changed["spec"]}
    return team.patch(change)


def health(team: Team) -> str:
    """The health of the team's object as Argo CD shows it."""
    return argo().health(team.get() | {"apiVersion": GROUP, "kind": "VaultStaticSecret"}).status


def test_every_action_does_what_its_name_says(team: Team) -> None:
    labels = {"app": "app"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "app", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    team.ready(refreshAfter="1h", rolloutRestartTargets=[{"kind": "Deployment", "name": "app"}])
    assert health(team) == "Healthy"

    team.put("app", {"password": "v2"})
    asked = act(team, "refresh")["metadata"]["annotations"]["vso.hashicorp.com/resync"]
    team.wait_data(lambda data: data["password"] == "v2")
    eventually(lambda: team.get()["status"].get("lastHandledResync") == asked, message="the refresh is acknowledged")

    asked = act(team, "restart-consumers")["metadata"]["annotations"]["vso.hashicorp.com/restart"]
    eventually(lambda: team.get()["status"].get("lastHandledRestart") == asked, message="the restart is acknowledged")

    act(team, "suspend")
    assert health(team) == "Suspended"
    act(team, "resume")
    eventually(lambda: health(team) == "Healthy", message="the object is in order again")


@pytest.mark.real
def test_a_fresh_object_is_never_taken_for_one_in_order(prepared: Bed) -> None:
    namespace = "unseen"
    prepared.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    meta = {"name": "vault", "namespace": namespace}
    spec = {"address": "http://127.0.0.1:1"}
    made = prepared.kube.create({"apiVersion": GROUP, "kind": "VaultConnection", "metadata": meta, "spec": spec})
    assert argo().health(made).status == "Progressing"
    assert flux_verdicts(flux_kustomizations(), [made]) == [FluxVerdict("InProgress", "InProgress")]
    prepared.kube.remove({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
