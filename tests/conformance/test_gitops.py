"""The shipped example, word for word, under its minimal Vault policy and a write-only Role."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.conformance.install import INSTALLS, shipped
from tests.conformance.stage import (
    AUDIENCE,
    MANIFESTS,
    OPERATOR_NAMESPACE,
    OPERATOR_USER,
    Json,
    Stage,
    Team,
    documents,
)
from tests.testbed.bed import Bed, KubectlError, Mark, eventually
from tests.testbed.gitops import kustomize
from tests.testbed.proxy import Proxy, Status, path_has

EXAMPLE = MANIFESTS / "example"
SOURCE = "kv/data/app/config"
RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
RESYNC = "vso.hashicorp.com/resync"
WAVE = "argocd.argoproj.io/sync-wave"
NAMESPACES = ("app", "app-prod")
SEALED = Status(503, {"errors": ["Vault is sealed"]})
pytestmark = pytest.mark.only_in("full", because="it is the story of one install, for namespaces and write-only")
ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=2s", "--drift-interval=10m")


@dataclass(frozen=True)
class Story:
    """The example in one namespace, and the moment before it was applied."""

    team: Team
    vault: Proxy
    mark: Mark

    def write(self, password: str) -> None:
        """Change the secret in Vault."""
        self.team.put("config", {"db_username": "ada", "db_password": password, "unused": "x"})

    def resync(self, value: str) -> None:
        """Ask for a look now, and wait until it was taken."""
        self.team.patch({"metadata": {"annotations": {RESYNC: value}}}, name="app-config")
        eventually(lambda: self.status().get("lastHandledResync") == value, message=f"resync {value} is acknowledged")

    def status(self) -> Json:
        """The status of the VaultStaticSecret."""
        return dict(self.team.get(name="app-config").get("status", {}))

    def restarts(self) -> int:
        """How many times the operator has restarted the Deployment."""
        calls = (c for c in self.team.bed.kube_audit(self.mark) if c.user == OPERATOR_USER and c.namespace == "app")
        return len([c for c in calls if c.resource == "deployments" and c.verb == "patch" and c.code == 200])

    def restarted_at(self) -> str | None:
        """When the operator restarted the Deployment last."""
        template = self.team.bed.kube.find("Deployment", "app", "app")["spec"]["template"]
        return (template["metadata"].get("annotations") or {}).get(RESTARTED_AT)


@pytest.fixture(scope="module")
def vault_proxy(prepared: Bed) -> Iterator[Proxy]:
    with prepared.vault_proxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def stage(prepared: Bed) -> Iterator[Stage]:
    """The operator under Roles that say create, update and patch of Secrets, and nothing more of them."""
    stage = Stage(prepared, INSTALLS["namespaced-write-only"], NAMESPACES)
    stage.use_roles()
    for namespace, account in zip(NAMESPACES, ("app-sa", "prod-app-sa"), strict=True):
        for document in shipped("namespaced/write-only"):
            document["metadata"]["namespace"] = namespace
            for rule in document.get("rules", ()):
                if rule["resources"] == ["secrets"]:
                    rule["verbs"] = ["create", "update", "patch"]
                if rule["resources"] == ["serviceaccounts/token"]:
                    rule["resourceNames"] = [account]
            prepared.kube.apply(document)
    stage.put_on(stage.other(*ARGS))
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def story(stage: Stage, vault_proxy: Proxy) -> Story:
    """The base of the example, applied wave by wave as Argo CD does."""
    team = Team(stage, "app")
    bed = stage.bed
    bed.vault.policy("app", (EXAMPLE / "vault-policy.hcl").read_text())
    team.role(bound_service_account_names="app-sa,prod-app-sa", bound_service_account_namespaces=",".join(NAMESPACES))
    story = Story(team, vault_proxy, bed.mark())
    story.write("v1")
    for document in sorted((d for p in base_files() for d in documents(p)), key=wave):
        document["metadata"]["namespace"] = "app"
        bed.kube.apply(reachable(document, vault_proxy))
    team.wait_ready("app-config")
    return story


@pytest.fixture(autouse=True)
def _faultless(vault_proxy: Proxy) -> Iterator[None]:
    yield
    vault_proxy.clear()


def base_files() -> list[Path]:
    return [path for part in listed(EXAMPLE / "base") for path in listed(part)]


def listed(folder: Path) -> list[Path]:
    (kustomization,) = documents(folder / "kustomization.yaml")
    return [folder / entry for entry in kustomization["resources"]]


def reachable(document: Json, proxy: Proxy) -> Json:
    """The one thing that differs: where this bed's Vault is."""
    if document["kind"] == "VaultConnection":
        document["spec"]["address"] = proxy.url
    return document


def wave(document: Json) -> int:
    return int(document["metadata"].get("annotations", {}).get(WAVE, "0"))


def asked_of_vault(story: Story) -> set[tuple[str, str]]:
    """What the operator asked of Vault; the administrator's own requests left out."""
    return {(c.operation, c.path) for c in story.team.bed.vault_audit(story.mark) if c.display_name != "root"}


def test_the_waves_bring_access_first_then_the_secret_then_the_workload() -> None:
    waves = {d["kind"]: wave(d) for path in base_files() for d in documents(path)}
    assert waves["VaultConnection"] <= waves["VaultAuth"] < waves["VaultStaticSecret"] < waves["Deployment"]


def test_the_secret_holds_exactly_the_listed_keys(story: Story) -> None:
    assert story.team.data("app-config") == {"DB_USERNAME": "ada", "DB_PASSWORD": "v1"}


def test_the_first_sync_restarts_nothing(story: Story) -> None:
    assert story.restarts() == 0
    assert story.restarted_at() is None


def test_vault_is_asked_for_a_login_and_that_one_path_and_nothing_else(story: Story) -> None:
    assert asked_of_vault(story) == {("update", "auth/kubernetes/login"), ("read", SOURCE)}


def test_no_verb_but_create_update_and_patch_is_used_on_secrets(story: Story) -> None:
    calls = [c for c in story.team.bed.kube_audit(story.mark) if c.user == OPERATOR_USER]
    assert {c.verb for c in calls if c.resource == "secrets" and c.namespace == "app"} <= {"create", "update", "patch"}
    assert [c.uri for c in calls if c.code == 403] == []
    assert {c.namespace for c in calls} <= {*NAMESPACES, OPERATOR_NAMESPACE}


def test_an_unchanged_look_writes_and_restarts_nothing(story: Story) -> None:
    secret = story.team.secret("app-config")
    story.resync("unchanged-1")
    before = int(story.status()["sourceVersion"])
    story.write("v1")
    story.resync("unchanged-2")
    assert int(story.status()["sourceVersion"]) == before + 1
    assert story.team.secret("app-config") == secret
    assert story.restarts() == 0


def test_a_new_value_arrives_and_restarts_the_workload_once(story: Story) -> None:
    story.write("v2")
    story.resync("changed-1")
    assert story.team.data("app-config") == {"DB_USERNAME": "ada", "DB_PASSWORD": "v2"}
    eventually(story.restarted_at, message="the Deployment is restarted")
    story.resync("changed-2")
    assert story.restarts() == 1


def test_a_resync_is_handled_once_per_value(story: Story) -> None:
    story.resync("once")
    mark = story.team.bed.mark()
    story.team.patch({"metadata": {"annotations": {RESYNC: "once"}}}, name="app-config")
    story.team.patch({"metadata": {"annotations": {RESYNC: "twice"}}}, name="app-config")
    eventually(lambda: story.status()["lastHandledResync"] == "twice", message="the next value is acknowledged")
    assert len([c for c in story.team.bed.vault_audit(mark) if c.path == SOURCE]) == 1


def test_an_outage_leaves_the_secret_byte_for_byte_and_ends_by_itself(story: Story) -> None:
    secret = story.team.secret("app-config")
    fault = story.vault.fault(SEALED, path_has("/v1/"))
    story.team.patch({"metadata": {"annotations": {RESYNC: "outage"}}}, name="app-config")
    condition = story.team.wait_condition("Healthy", "False", name="app-config")
    assert condition["reason"] in {"VaultSealed", "VaultUnavailable"}
    assert story.team.condition("Ready", name="app-config")["status"] == "True"
    assert story.team.secret("app-config") == secret
    story.vault.lift(fault)
    story.team.wait_condition("Healthy", name="app-config")
    assert story.status()["lastHandledResync"] == "outage"


@pytest.mark.real
def test_kubectl_wait_reads_the_condition(story: Story) -> None:
    wait = partial(story.team.bed.kubectl, "wait", "-n", "app", "--for=condition=Ready", "--timeout=20s")
    for name in ("vaultconnection/vault", "vaultauth/va-k8s", "vaultstaticsecret/app-config"):
        assert "condition met" in wait(name)


@pytest.mark.real
def test_kubectl_get_shows_what_one_looks_for(story: Story) -> None:
    header, row = story.team.bed.kubectl("get", "vss", "-n", "app").splitlines()
    for column in ("READY", "REASON", "SYNCED", "VERSION", "AGE"):
        assert column in header
    assert row.split()[:2] == ["app-config", "True"]


@pytest.mark.real
def test_a_manual_rollout_restart_is_not_undone(story: Story) -> None:
    bed = story.team.bed
    bed.kubectl("rollout", "restart", "-n", "app", "deployment/app")
    before = bed.kube.find("Deployment", "app", "app")["spec"]["template"]
    story.resync("after-a-manual-restart")
    assert bed.kube.find("Deployment", "app", "app")["spec"]["template"] == before
    assert "kubectl.kubernetes.io/restartedAt" in before["metadata"]["annotations"]


@pytest.mark.real
def test_kubectl_describe_tells_reason_back_off_and_remedy(story: Story) -> None:
    fault = story.vault.fault(Status(503, {"errors": ["down"]}), path_has("/v1/"))
    story.team.patch({"metadata": {"annotations": {RESYNC: "described"}}}, name="app-config")
    story.team.wait_condition("Healthy", "False", "VaultUnavailable", name="app-config")
    describe = partial(story.team.bed.kubectl, "describe", "-n", "app", "vaultstaticsecret/app-config")
    said = eventually(lambda: text if "Warning" in (text := describe()) else None, message="the event is listed")
    assert "VaultUnavailable" in said
    assert "tried again by itself" in said
    assert "check that Vault runs" in said
    story.vault.lift(fault)
    story.team.wait_condition("Healthy", name="app-config")


@pytest.mark.real
def test_a_missing_policy_is_told_with_path_capability_and_remedy(story: Story) -> None:
    bed = story.team.bed
    bed.vault.policy("app", "# nothing")
    story.team.patch({"metadata": {"annotations": {RESYNC: "denied"}}}, name="app-config")
    story.team.wait_condition("Stalled", reason="VaultPermissionDenied", name="app-config")
    said = bed.kubectl("describe", "-n", "app", "vaultstaticsecret/app-config")
    for word in (SOURCE, "read", "grant the capability", "looked at again every"):
        assert word in said
    with pytest.raises(KubectlError):
        bed.kubectl("wait", "-n", "app", "--for=condition=Ready", "--timeout=1s", "vaultstaticsecret/app-config")
    bed.vault.policy("app", (EXAMPLE / "vault-policy.hcl").read_text())
    story.team.patch({"metadata": {"annotations": {RESYNC: "granted"}}}, name="app-config")
    story.team.wait_ready("app-config")


@pytest.mark.real
@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_an_overlay_builds_to_references_that_resolve(environment: str) -> None:
    built = {d["kind"]: d for d in kustomize(EXAMPLE / "overlays" / environment)}
    prefix = f"{environment}-"
    assert {d["metadata"]["namespace"] for d in built.values()} == {f"app-{environment}"}
    assert all(d["metadata"]["name"].startswith(prefix) for d in built.values())
    auth, secret, workload = (built[kind]["spec"] for kind in ("VaultAuth", "VaultStaticSecret", "Deployment"))
    assert auth["vaultConnectionRef"] == built["VaultConnection"]["metadata"]["name"]
    assert auth["kubernetes"]["serviceAccount"] == built["ServiceAccount"]["metadata"]["name"]
    assert auth["kubernetes"]["audiences"] == [AUDIENCE]
    assert secret["vaultAuthRef"] == built["VaultAuth"]["metadata"]["name"]
    assert secret["rolloutRestartTargets"][0]["name"] == built["Deployment"]["metadata"]["name"]
    sources = workload["template"]["spec"]["containers"][0]["envFrom"]
    assert sources == [{"secretRef": {"name": secret["destination"]["name"]}}]


@pytest.mark.real
def test_the_prod_overlay_works_as_it_is_built(story: Story, stage: Stage) -> None:
    bed = stage.bed
    built = kustomize(EXAMPLE / "overlays/prod")
    bed.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(reachable(d, story.vault) for d in built))
    team = Team(stage, "app-prod")
    team.wait_ready("prod-app-config")
    password = (story.team.data("app-config") or {})["DB_PASSWORD"]
    assert team.data("app-config") == {"DB_USERNAME": "ada", "DB_PASSWORD": password}
    story.write("prod")
    team.patch({"metadata": {"annotations": {RESYNC: "1"}}}, name="prod-app-config")
    team.wait_condition("RolloutRestart", name="prod-app-config")
    annotations = bed.kube.find("Deployment", "app-prod", "prod-app")["spec"]["template"]["metadata"]["annotations"]
    assert RESTARTED_AT in annotations


@pytest.mark.real
def test_a_change_arrives_within_refresh_after_without_being_asked_for(story: Story) -> None:
    story.write("patience")
    story.team.wait_data(lambda data: data["DB_PASSWORD"] == "patience", name="app-config", timeout=75)
