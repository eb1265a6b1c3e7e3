"""An upgrade from the chart as it was first: what was said in its values goes on to hold, and nothing is lost on the way.

`chart_before` holds that chart, packaged by `helm package --version 0.0.1` from the commit that brought it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conformance.chart_cases import CASES, CHART, Json, operator_of, values_of
from tests.conformance.stage import OPERATOR_NAMESPACE, Stage, Team
from tests.testbed.bed import eventually
from tests.testbed.cluster import Cluster
from tests.testbed.helm import Helm, HelmError

pytestmark = pytest.mark.real
LASTS = 90

BEFORE = Path(__file__).parent / "chart_before" / "vault-secrets-operator-0.0.1.tgz"
NAME = "vault-secrets-operator"
# What somebody set by the first chart, each changing what is rendered.
SAID: Json = {
    "rbac": {"credentials": [{"namespace": "app", "secrets": ["login"]}]},
    "commonLabels": {"team": "platform"},
    "controller": {
        "annotations": {"example.com/a": "1"},
        "terminationGracePeriodSeconds": 20,
        "podSecurityContext": {"runAsGroup": None},
        "manager": {"logging": {"level": "debug"}, "extraArgs": ["--restart-window=3s"]},
    },
    "policy": {"forbidInsecureTLS": True},
}
# The cases with a key that the first chart did not know.
LATER = {
    "alerts",
    "cache-encrypted-logins",
    "dashboard",
    "dual-stack",
    "gitops",
    "hook-deadlines",
    "logins",
    "metrics-certificate",
    "metrics-folder",
    "metrics-proxy",
    "metrics-secure",
    "openshift",
    "operator-class",
    "operator-class-defaults",
    "pod",
    "service-monitor-missing",
    "vault-tls",
    "vault-tls-secret",
}


@pytest.fixture(scope="module")
def team(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """A team whose Secret is in step, under a release of the first chart."""
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(yaml.safe_dump(SAID))
    team = Stage(cluster.bed).team("app")
    release = ("install", NAME, BEFORE, "--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait")
    cluster.helm(*release, "-f", file)
    team.put("app", {"password": "v1"})
    team.access()
    team.static()
    team.wait_ready()
    return team


def test_an_upgrade_that_says_nothing_keeps_what_was_said(cluster: Cluster, team: Team) -> None:
    kube = cluster.bed.kube
    before = kube.find("Deployment", OPERATOR_NAMESPACE, NAME)
    assert before["metadata"]["labels"]["helm.sh/chart"] == f"{NAME}-0.0.1"
    secret = team.the_secret()
    cluster.helm("upgrade", NAME, CHART, "--namespace", OPERATOR_NAMESPACE, "--wait", "--reuse-values")
    after = kube.find("Deployment", OPERATOR_NAMESPACE, NAME)
    assert after["metadata"]["labels"]["helm.sh/chart"] != before["metadata"]["labels"]["helm.sh/chart"]
    assert after["metadata"]["labels"]["team"] == "platform"
    pod = after["spec"]["template"]
    assert pod["metadata"]["annotations"]["example.com/a"] == "1"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 20
    assert "runAsGroup" not in pod["spec"]["securityContext"]
    args = operator_of([after])["args"]
    assert args == operator_of([before])["args"]
    assert {"--zap-log-level=debug", "--restart-window=3s", "--forbid-insecure-tls"} <= set(args)
    role = kube.find("Role", "app", f"{NAME}-{OPERATOR_NAMESPACE}-credentials")
    assert [rule["resourceNames"] for rule in role["rules"]] == [["login"]]
    assert team.the_secret()["metadata"]["resourceVersion"] == secret["metadata"]["resourceVersion"]


def test_afterwards_secrets_follow_vault_and_a_new_key_can_be_set(cluster: Cluster, team: Team) -> None:
    change = ("upgrade", NAME, CHART, "--namespace", OPERATOR_NAMESPACE, "--wait", "--reuse-values")
    cluster.helm(*change, "--set-string", "controller.podAnnotations.example\\.com/new=1")
    (pod,) = eventually(
        lambda: [
            pod
            for pod in cluster.bed.kube.list("Pod", OPERATOR_NAMESPACE)
            if "deletionTimestamp" not in pod["metadata"]
        ],
        message="the new pod",
    )
    assert pod["metadata"]["annotations"]["example.com/new"] == "1"
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")


def test_a_release_goes_back_to_the_first_chart(cluster: Cluster, team: Team) -> None:
    cluster.helm("rollback", NAME, "1", "--namespace", OPERATOR_NAMESPACE, "--wait")
    team.put("app", {"password": "v3"})
    team.wait_data(lambda data: data["password"] == "v3")


def test_every_case_that_the_first_chart_took_is_taken(tmp_path: Path) -> None:
    helm, refused = Helm(tmp_path), dict[str, str]()
    for case in CASES:
        try:
            helm("template", "vso", BEFORE, *values_of(case))
        except HelmError as error:
            refused[case] = str(error)
            continue
        helm("template", "vso", CHART, *values_of(case))
    assert set(refused) == LATER
    assert [case for case, why in refused.items() if "additional properties" not in why] == []
