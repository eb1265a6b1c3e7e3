"""The chart, installed, upgraded and uninstalled by the real helm in a cluster whose pods run."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.conformance.chart_cases import CHART
from tests.conformance.chart_readme import README, run, snippet
from tests.conformance.held import FINALIZER, finalizers, hold
from tests.conformance.stage import AUDIENCE, MANIFESTS, OPERATOR_NAMESPACE, OPERATOR_USER, Json, Stage, Team, documents
from tests.testbed.bed import Mark, eventually
from tests.testbed.cluster import Cluster
from tests.testbed.helm import HelmError

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]
LASTS = 150

RELEASE, NAME = "vault-secrets-operator", "vault-secrets-operator"


class Release:
    """The release as the README installs it, and a team that uses it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kube = cluster.bed.kube
        self.stage = Stage(cluster.bed)
        self.mark: Mark = cluster.bed.mark()

    def upgrade(self, *args: str) -> str:
        """`helm upgrade --wait` with further arguments."""
        return self.cluster.helm(
            "upgrade", RELEASE, CHART, "--namespace", OPERATOR_NAMESPACE, "--reuse-values", "--wait", *args
        )

    def pods(self) -> list[Json]:
        """The operator's pods that are not going."""
        found = self.kube.list("Pod", OPERATOR_NAMESPACE, labelSelector="app.kubernetes.io/component=controller")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Release:
    """The release; one CRD was there before, of another version and with a field that is no more."""
    old = documents(MANIFESTS / "crds" / "secrets.hashicorp.com_vaultauths.yaml")[0]
    spec = old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["fieldOfThePast"] = {"type": "string"}
    cluster.bed.kube.create(old)
    release = Release(cluster)
    for command in snippet("install"):
        run(cluster, command)
    return release


@pytest.fixture(scope="module")
def team(release: Release) -> Team:
    """A team whose Secret is in step."""
    team = release.stage.team("app")
    team.put("app", {"password": "v1"})
    team.access()
    team.static()
    team.wait_ready()
    return team


def test_when_the_install_returns_the_operator_is_ready(release: Release) -> None:
    (pod,) = release.pods()
    assert {c["type"]: c["status"] for c in pod["status"]["conditions"]}["Ready"] == "True"
    assert pod["spec"]["nodeName"]
    assert release.kube.list("Job") == []


def test_every_crd_is_of_this_version_also_one_that_was_there_before(release: Release) -> None:
    for path in sorted((MANIFESTS / "crds").glob("*.yaml")):
        wanted = documents(path)[0]
        found = release.kube.find("CustomResourceDefinition", None, wanted["metadata"]["name"])
        assert found["spec"]["versions"][0]["schema"] == wanted["spec"]["versions"][0]["schema"]


def test_a_secret_is_there_and_follows_vault(team: Team) -> None:
    assert team.the_data()["password"] == "v1"
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")


def test_the_token_is_the_pods_own_and_the_hooks_rights_are_gone(release: Release, team: Team) -> None:
    calls = [call for call in release.cluster.bed.kube_audit(release.mark) if call.user == OPERATOR_USER]
    assert {call.resource for call in calls} >= {"vaultstaticsecrets", "secrets", "leases"}
    assert [call.uri for call in calls if call.code == 403] == []
    assert "customresourcedefinitions" not in {call.resource for call in calls}
    roles = {role["metadata"]["name"] for role in release.kube.list("ClusterRole")}
    assert {name for name in roles if "crds" in name} == set()
    hook = f"system:serviceaccount:{OPERATOR_NAMESPACE}:upgrade-crds-{NAME}"
    asked = [call for call in release.cluster.bed.kube_audit(release.mark) if call.user == hook]
    assert {(call.verb, call.resource) for call in asked if call.resource} <= {
        (verb, "customresourcedefinitions") for verb in ("get", "create", "patch")
    }
    assert {call.uri for call in asked if not call.resource} == {"/openapi/v3/apis/secrets.hashicorp.com/v1beta1"}
    assert [call.uri for call in asked if call.code == 403] == []
    assert f"{NAME}-{OPERATOR_NAMESPACE}" in roles


def test_an_upgrade_brings_more_replicas_and_the_secret_goes_on(release: Release, team: Team) -> None:
    release.upgrade("--set", "controller.replicas=2", "--set", "controller.podDisruptionBudget.enabled=true")
    assert len(release.pods()) == 2
    team.put("app", {"password": "v3"})
    team.wait_data(lambda data: data["password"] == "v3")


def test_guarded_metrics_are_scraped_by_whoever_may_and_by_nobody_else(release: Release, team: Team) -> None:
    kube, bed = release.kube, release.cluster.bed
    release.upgrade("--set", "metrics.secure=true", "--set", "metrics.auth=true")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
    role["name"] = f"{NAME}-{OPERATOR_NAMESPACE}-metrics-reader"
    subject = {"kind": "ServiceAccount", "name": "app", "namespace": team.ns}
    binding: Json = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "subjects": [subject]}
    kube.apply({**binding, "metadata": {"name": "prometheus"}, "roleRef": role})
    for pod in release.pods():  # the leader and who stands by
        url = f"https://{pod['status']['podIP']}:8443/metrics"

        def scraped(account: str, namespace: str, url: str = url) -> httpx.Response:
            token = bed.token_for(namespace, account)
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.get(url, headers=headers, verify=False, trust_env=False)

        def let_in() -> str | None:
            answer = scraped("app", team.ns)
            return answer.text if answer.is_success else None

        assert "vso_build_info{" in eventually(let_in, message="who may scrapes")
        assert scraped("default", team.ns).status_code == 403
        assert httpx.get(url, verify=False, trust_env=False).status_code == 401
    assert len(release.pods()) == 2
    kube.remove({**binding, "metadata": {"name": "prometheus"}, "roleRef": role})


def test_the_charts_defaults_serve_an_object_that_names_no_access(release: Release, team: Team) -> None:
    login = "defaultAuthMethod"
    release.upgrade(
        "--set", f"defaultVaultConnection.enabled=true,defaultVaultConnection.address={team.bed.vault.url}",
        "--set", f"{login}.enabled=true,{login}.allowedNamespaces={{app}},{login}.kubernetes.role=app",
        "--set", f"{login}.kubernetes.serviceAccount=app,{login}.kubernetes.tokenAudiences={{{AUDIENCE}}}",
        "--set", "controller.manager.clientCache.persistenceModel=accessor",
    )  # fmt: skip
    spec = {key: value for key, value in team.secret_spec(name="by-default").items() if key != "vaultAuthRef"}
    team.apply("VaultStaticSecret", "by-default", spec)
    team.wait_ready("by-default")
    assert team.the_data("by-default")["password"] == team.the_data()["password"]


def test_an_upgrade_to_an_image_that_is_not_there_fails_and_is_taken_back(release: Release, team: Team) -> None:
    with pytest.raises(HelmError):
        release.upgrade("--set", "controller.manager.image.tag=missing", "--set", "hooks.upgradeCRDs.enabled=false",
                        "--atomic", "--timeout", "8s")  # fmt: skip
    images = [pod["spec"]["containers"][0]["image"] for pod in release.pods()]
    assert len(images) == 2
    assert not any(image.endswith(":missing") for image in images)
    team.put("app", {"password": "v4"})
    team.wait_data(lambda data: data["password"] == "v4")


def test_an_upgrade_whose_hook_has_no_image_ends_there_and_leaves_the_deployment_as_it_is(
    release: Release, team: Team
) -> None:
    before = release.kube.find("Deployment", OPERATOR_NAMESPACE, NAME)
    with pytest.raises(HelmError, match=r"(?s)pre-upgrade hooks failed.*DeadlineExceeded"):
        release.upgrade("--set", "controller.manager.image.tag=missing,hooks.upgradeCRDs.deadlineSeconds=5")
    hooks = {"labelSelector": f"batch.kubernetes.io/job-name=upgrade-crds-{NAME}"}
    eventually(lambda: release.kube.list("Pod", OPERATOR_NAMESPACE, **hooks) == [], message="no pod of it waits on")
    assert release.kube.find("Deployment", OPERATOR_NAMESPACE, NAME)["spec"] == before["spec"]
    release.cluster.helm("rollback", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait")
    assert release.kube.find("Deployment", OPERATOR_NAMESPACE, NAME)["spec"] == before["spec"]
    team.put("app", {"password": "v4-after-the-hook"})
    team.wait_data(lambda data: data["password"] == "v4-after-the-hook")


def kept_tokens(release: Release) -> set[str]:
    """The names under which the operator keeps tokens over a restart."""
    secrets = [release.kube.find("Secret", OPERATOR_NAMESPACE, f"vso-client-cache-{number}") for number in range(4)]
    return {name for secret in secrets for name in secret.get("data") or {}}


def test_an_upgrade_to_write_only_takes_the_right_to_read_away_and_leaves_kept_tokens(
    release: Release, team: Team
) -> None:
    database = hold(team)
    user = team.the_data("held")["username"]
    kept = eventually(lambda: kept_tokens(release), message="the token of the lease is kept")
    release.upgrade("--set", "rbac.mode=write-only", "--set", "controller.manager.image.tag=next")
    role = release.kube.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}-{OPERATOR_NAMESPACE}")
    (secrets,) = [rule["verbs"] for rule in role["rules"] if rule["resources"] == ["secrets"]]
    assert sorted(secrets) == ["create", "patch"]
    team.put("app", {"password": "v5"})
    team.wait_data(lambda data: data["password"] == "v5")
    assert kept_tokens(release) == kept
    assert team.the_data("held")["username"] == user
    assert database.users(team.ns) == [user]


def test_a_second_operator_for_one_namespace_works_beside_it_with_roles_alone(release: Release) -> None:
    labels = {"vso.hashicorp.com/operator-class": "tenant"}
    bed, mark = release.cluster.bed, release.cluster.bed.mark()
    team = release.stage.team("beside")
    release.cluster.helm(
        "install", "second", CHART, "--namespace", "tenant", "--create-namespace", "--wait",
        "--set", "rbac.namespaces={beside}", "--set", "rbac.serviceAccounts={app}",
        "--set", "metrics.port=9080", "--set", "health.port=9081", "--set", "operator.class=tenant",
    )  # fmt: skip
    team.put("app", {"password": "v1"})
    team.apply("VaultConnection", "vault", {"address": bed.vault.url}, labels=labels)
    team.apply("VaultAuth", "auth", team.auth_spec(), labels=labels)
    team.static(metadata={"labels": labels})
    team.wait_ready()
    others = [c for c in bed.kube_audit(mark) if c.user == OPERATOR_USER and c.namespace == "beside" and c.writes]
    assert others == []
    calls = [c for c in bed.kube_audit(mark) if c.user == f"system:serviceaccount:tenant:{NAME}"]
    assert {call.namespace for call in calls} == {"tenant", "beside"}
    assert [call.uri for call in calls if call.code == 403] == []
    bindings = [
        s["namespace"]
        for b in release.kube.list("ClusterRoleBinding")
        for s in b.get("subjects") or ()
        if s["kind"] == "ServiceAccount"
    ]
    assert "tenant" not in bindings
    release.cluster.helm("uninstall", "second", "--namespace", "tenant", "--wait")
    assert leftovers(release, "tenant") == []
    team.disband()


def leftovers(release: Release, namespace: str) -> list[str]:
    """What is left of a release: what is labelled as helm's and is in its namespace or named after it."""
    by_helm = {"labelSelector": "app.kubernetes.io/managed-by=Helm"}
    kinds = (
        "Deployment",
        "ServiceAccount",
        "Service",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "Job",
    )
    return [
        f"{kind}/{meta['name']}"
        for kind in kinds
        for meta in (item["metadata"] for item in release.kube.list(kind, **by_helm))
        if meta.get("namespace") == namespace or namespace in meta["name"]
    ]


def test_an_uninstall_leaves_nothing_stuck(release: Release, team: Team) -> None:
    kube = release.kube
    elsewhere = release.stage.team("elsewhere")
    elsewhere.access()
    secret = team.the_secret()
    hold(elsewhere)
    for holder in (team, elsewhere):
        assert finalizers(holder) == [FINALIZER]
    mark = release.cluster.bed.mark()
    for command in snippet("uninstall"):
        run(release.cluster, command)
    calls = [call for call in release.cluster.bed.kube_audit(mark) if call.user == OPERATOR_USER]
    scaled = next(i for i, call in enumerate(calls) if call.subresource == "scale" and call.verb == "patch")
    released = [i for i, call in enumerate(calls) if call.resource == "vaultdynamicsecrets" and call.verb == "patch"
                and not call.subresource and i > scaled]  # fmt: skip
    last_renewal = max(i for i, call in enumerate(calls) if call.resource == "leases" and call.verb == "patch")
    assert len(released) == 2
    assert scaled < last_renewal < min(released), "the Lease was given back before the first finalizer went"
    assert [call.uri for call in calls if call.code == 403] == []
    assert leftovers(release, OPERATOR_NAMESPACE) == []
    eventually(lambda: kube.list("Pod", OPERATOR_NAMESPACE) == [], message="the operator's pods are gone")
    assert [finalizers(holder) for holder in (team, elsewhere)] == [[], []]
    # What the teams have stays as it is: intent, CRDs, Secrets.
    assert team.get()["spec"]["path"] == "app/app"
    assert team.the_secret()["data"] == secret["data"]


def test_afterwards_namespaces_and_crds_go_without_an_operator(release: Release, team: Team) -> None:
    kube = release.kube
    for namespace in ("app", "elsewhere", OPERATOR_NAMESPACE):
        kube.remove({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for path in sorted((MANIFESTS / "crds").glob("*.yaml")):
        kube.remove(documents(path)[0])

    def gone() -> bool:
        left = [crd["metadata"]["name"] for crd in kube.list("CustomResourceDefinition")]
        namespaces = {namespace["metadata"]["name"] for namespace in kube.list("Namespace")}
        return left == [] and not {"app", "elsewhere", OPERATOR_NAMESPACE} & namespaces

    eventually(gone, timeout=60, message="namespaces and CRDs are gone")


def test_the_readme_says_nothing_that_is_not_run() -> None:
    assert set(re.findall(r"<!-- run: (\S+) -->", README)) == {
        *("install", "why", "argocd"),
        *("uninstall", "why-uninstall", "resume", "by-hand"),
    }
    assert README.count("```console") == 5
    assert README.count("```sh") == 2
