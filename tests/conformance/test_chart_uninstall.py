"""An uninstall whose hook cannot do its work: what helm says, what is left, and every way on.

The scenarios are one story in a cluster of their own.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.conformance import readme
from tests.conformance.chart_cases import CHART, ROOT
from tests.conformance.chart_readme import run, snippet
from tests.conformance.chronicle import OPERATOR
from tests.conformance.held import FINALIZER, KIND, NAME, finalizers, hold
from tests.conformance.shell import Shell
from tests.conformance.stage import OPERATOR_NAMESPACE, Json, Stage, Team
from tests.conformance.statuses import court_of
from tests.testbed.bed import KubeError, eventually
from tests.testbed.cluster import Cluster
from tests.testbed.helm import HelmError
from tests.testbed.kube_admin import object_path

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]
LASTS = 90

RELEASE = "vault-secrets-operator"
PAGE = ROOT / "charts" / "README.md"
FOREIGN = "example.com/somebody-else"
ADMISSION, POLICY = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"


@pytest.fixture(scope="module")
def cluster(cluster: Cluster) -> Cluster:
    """One with the release, whose hook is tried once and no more."""
    release(cluster, "install", "--create-namespace", "--wait", "--set", "hooks.preDelete.backoffLimit=0")
    return cluster


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Team:
    """A team that holds credentials of a database, and a Secret that follows Vault."""
    team = Stage(cluster.bed).team("app")
    team.put("app", {"password": "v1"})
    team.access()
    team.static()
    team.wait_ready()
    hold(team)
    assert finalizers(team) == [FINALIZER]
    return team


@pytest.fixture(scope="module")
def shell(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The shell of the cluster's administrator."""
    return Shell(cluster, tmp_path_factory.mktemp("home"))


def release(cluster: Cluster, verb: str, *args: str) -> str:
    """Install or upgrade the release."""
    return cluster.helm(verb, RELEASE, CHART, "--namespace", OPERATOR_NAMESPACE, *args)


def uninstall_fails(cluster: Cluster, why: str = "BackoffLimitExceeded") -> str:
    """Type the README's uninstall, and return what helm says against it; the release is there yet."""
    (command,) = snippet("uninstall")
    with pytest.raises(HelmError, match=f"job pdcc-{RELEASE} failed: {why}") as told:
        run(cluster, command)
    assert cluster.helm("list", "--all", "--namespace", OPERATOR_NAMESPACE, "--short").split() == [RELEASE]
    return str(told.value)


def said_in_the_log(cluster: Cluster) -> str:
    """What the README's command shows of the hook."""
    (command,) = snippet("why-uninstall")
    return run(cluster, command)


def replicas(cluster: Cluster) -> int:
    """How many replicas the operator is to have."""
    wanted: int = cluster.bed.kube.find("Deployment", OPERATOR_NAMESPACE, RELEASE)["spec"]["replicas"]
    return wanted


def test_a_hook_that_lacks_a_right_fails_the_uninstall_and_names_object_and_rule(cluster: Cluster, team: Team) -> None:
    role = f"{RELEASE}-{OPERATOR_NAMESPACE}"
    rules = cluster.bed.kube.find("ClusterRole", None, role)["rules"]
    others = [rule for rule in rules if "vaultdynamicsecrets" not in rule["resources"] or "patch" not in rule["verbs"]]
    assert len(others) == len(rules) - 1
    cluster.bed.kube.patch("ClusterRole", None, role, {"rules": others})
    secret = team.the_secret(NAME)
    for said in (uninstall_fails(cluster), said_in_the_log(cluster)):
        assert f"{team.ns}/{NAME}" in said
        assert 'resources: [\\"vaultdynamicsecrets\\"], verbs: [\\"patch\\"]' in said
    assert finalizers(team) == [FINALIZER]
    assert team.the_secret(NAME) == secret
    assert replicas(cluster) == 0


def test_a_rollback_brings_the_operator_back_with_the_rights_that_were_taken(
    cluster: Cluster, team: Team, shell: Shell
) -> None:
    assert replicas(cluster) == 0
    shell.run(readme.block(PAGE, "resume"))
    assert replicas(cluster) == 1
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")


def forbid_updates(team: Team) -> None:
    """Have a policy refuse whatever is written to the team's VaultDynamicSecrets, and wait until it does."""
    kube, name = team.bed.kube, "frozen"
    group, version = team.get(KIND, NAME)["apiVersion"].split("/")
    rule = {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["UPDATE"],
        "resources": ["vaultdynamicsecrets"],
    }
    check = {"expression": "false", "message": "the quarter ends, nothing is changed"}
    spec: Json = {"matchConstraints": {"resourceRules": [rule]}, "validations": [check]}
    kube.create({"apiVersion": ADMISSION, "kind": POLICY, "metadata": {"name": name}, "spec": spec})
    bound = {"policyName": name, "validationActions": ["Deny"]}
    kube.create({"apiVersion": ADMISSION, "kind": f"{POLICY}Binding", "metadata": {"name": name}, "spec": bound})

    def refused() -> bool:
        try:
            team.patch({"metadata": {"annotations": {"example.com/tried": "1"}}}, KIND, NAME)
        except KubeError:
            return True
        return False

    eventually(refused, message="the API server has seen the policy")


def test_a_hook_that_a_policy_refuses_fails_the_uninstall_and_repeats_its_words(cluster: Cluster, team: Team) -> None:
    forbid_updates(team)
    for said in (uninstall_fails(cluster), said_in_the_log(cluster)):
        assert f"{team.ns}/{NAME}" in said
        assert "policy frozen refused: the quarter ends, nothing is changed" in said
    assert finalizers(team) == [FINALIZER]


def test_once_the_cause_is_mended_the_same_uninstall_succeeds(cluster: Cluster, team: Team) -> None:
    for kind in (f"{POLICY}Binding", POLICY):
        cluster.bed.kube.delete(kind, None, "frozen")
    (command,) = snippet("uninstall")

    def uninstalled() -> bool:
        try:
            run(cluster, command)
        except HelmError as error:
            if "policy frozen refused" not in str(error):  # the API server takes a moment to forget it
                raise
            return False
        return True

    eventually(uninstalled, 60, message="the uninstall comes through")
    assert finalizers(team) == []
    assert cluster.helm("list", "--all-namespaces", "--all", "--short") == ""
    assert cluster.bed.kube.list("Job", OPERATOR_NAMESPACE) == []


def test_a_hook_whose_image_is_gone_fails_the_uninstall_within_its_deadline(cluster: Cluster, team: Team) -> None:
    release(cluster, "install", "--wait")
    team.patch({"metadata": {"finalizers": [FOREIGN, FINALIZER]}}, KIND, NAME)
    gone = "controller.manager.image.tag=missing,hooks.preDelete.deadlineSeconds=5"
    release(cluster, "upgrade", "--reuse-values", "--no-hooks", "--set", gone)
    uninstall_fails(cluster, "DeadlineExceeded")
    job = cluster.bed.kube.find("Job", OPERATOR_NAMESPACE, f"pdcc-{RELEASE}")["status"]
    ended = next(c["lastTransitionTime"] for c in job["conditions"] if c["type"] == "Failed")
    assert datetime.fromisoformat(ended) - datetime.fromisoformat(job["startTime"]) < timedelta(seconds=60)
    assert finalizers(team) == [FOREIGN, FINALIZER]


def test_by_hand_the_release_goes_without_its_hook_and_nothing_is_stuck(
    cluster: Cluster, team: Team, shell: Shell
) -> None:
    secret = team.the_secret(NAME)
    shell.run(readme.block(PAGE, "by-hand"))
    assert cluster.helm("list", "--all-namespaces", "--all", "--short") == ""
    assert finalizers(team) == [FOREIGN]
    assert team.the_secret(NAME) == secret
    team.patch({"metadata": {"finalizers": None}}, KIND, NAME)
    team.disband()
    eventually(
        lambda: not cluster.bed.kube.exists("Namespace", None, team.ns), 60, message="the team's namespace is gone"
    )


def test_a_status_on_this_cluster_is_judged_like_any_other(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    court = court_of(request.node)
    assert court is not None
    team = Stage(cluster.bed).team("unruly")
    team.static()
    since = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "Invented", "message": "m", "lastTransitionTime": since}
    status = {"observedGeneration": 1, "conditions": [ready, {**ready, "type": "Healthy", "reason": "Synced"}]}
    path = object_path("VaultStaticSecret", team.ns, "app")
    merge = {"Content-Type": "application/merge-patch+json"}
    wrote = cluster.bed.kube.raw(
        "PATCH", f"{path}/status", params={"fieldManager": OPERATOR}, json={"status": status}, headers=merge
    )
    assert wrote.is_success, wrote.text

    def told() -> str:
        try:
            court.judge()
        except AssertionError as broken:
            return str(broken)
        return ""

    said = eventually(lambda: told() or None, message="the status was judged")
    assert said.startswith(f"VaultStaticSecret {team.ns}/app: Ready: the reason is one of the closed list")
