"""The manifests applied by kubectl, used, and removed as `manifests/README.md` says, in a cluster whose pods run."""

from __future__ import annotations

import pytest

from tests.conformance.chart_readme import run, snippet
from tests.conformance.held import FINALIZER, KIND, finalizers, hold
from tests.conformance.stage import MANIFESTS, OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team, documents
from tests.testbed.bed import Mark, eventually
from tests.testbed.cluster import Cluster
from tests.testbed.rollouts import rolled_out

pytestmark = pytest.mark.real
LASTS = 60

NAME = "vault-secrets-operator"
README = (MANIFESTS / "README.md").read_text()


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Team:
    """A team that holds credentials of a database, under the operator of the manifests."""
    run(cluster, "kubectl apply --server-side -k manifests/install/full")
    run(cluster, "kubectl apply --server-side -k manifests/rbac/metrics-auth")  # as an overlay with secure-metrics does
    stage = Stage(cluster.bed)
    stage.wait_for_crds()
    eventually(
        lambda: rolled_out(cluster.bed.kube.find("Deployment", OPERATOR_NAMESPACE, NAME)),
        timeout=60,
        message=lambda: f"the operator is available\n{cluster.kubelet.logs()[-3000:]}",
    )
    team = stage.team("app")
    team.access()
    hold(team)
    assert finalizers(team) == [FINALIZER]
    return team


@pytest.fixture(scope="module")
def removed(cluster: Cluster, team: Team) -> Mark:
    """The moment before the operator was removed by the README's commands."""
    assert team.data("held")
    mark = cluster.bed.mark()
    for command in snippet("uninstall", README):
        run(cluster, command)
    return mark


def test_the_operator_stops_before_the_first_finalizer_goes(cluster: Cluster, removed: Mark) -> None:
    calls = [call for call in cluster.bed.kube_audit(removed) if call.user == OPERATOR_USER]
    scaled = next(i for i, call in enumerate(calls) if call.subresource == "scale" and call.verb == "patch")
    released = [
        i for i, c in enumerate(calls) if (c.resource, c.verb, c.subresource) == (KIND.lower() + "s", "patch", "")
    ]
    last_renewal = max(i for i, call in enumerate(calls) if call.resource == "leases" and call.verb == "patch")
    assert len(released) == 1
    assert scaled < last_renewal < released[0]
    assert [call.uri for call in calls if call.code == 403] == []


@pytest.mark.usefixtures("removed")
def test_nothing_is_stuck_and_what_the_team_has_stays(cluster: Cluster, team: Team) -> None:
    kube = cluster.bed.kube
    eventually(
        lambda: not kube.exists("Namespace", None, OPERATOR_NAMESPACE), timeout=60, message="its namespace is gone"
    )
    cluster_wide = [o["metadata"]["name"] for kind in ("ClusterRole", "ClusterRoleBinding") for o in kube.list(kind)]
    assert [name for name in cluster_wide if NAME in name] == []
    assert finalizers(team) == []
    assert team.the_data("held")["username"]


@pytest.mark.usefixtures("removed")
def test_afterwards_the_teams_namespace_and_the_crds_go_without_an_operator(cluster: Cluster, team: Team) -> None:
    kube = cluster.bed.kube
    team.disband()
    eventually(lambda: not kube.exists("Namespace", None, team.ns), timeout=60, message="the team's namespace is gone")
    for path in sorted((MANIFESTS / "crds").glob("*.yaml")):
        kube.remove(documents(path)[0])
    eventually(lambda: kube.list("CustomResourceDefinition") == [], timeout=60, message="the CRDs are gone")
