"""`README.md` and `GUIDE.md` as a newcomer types them: into a cluster whose pods run, with helm, kubectl and vault.

One story: the quickstart, the runbook, the end of it; then a release of the reference operator's chart is taken over,
and given back. The reference's chart is a stand-in with the names of its objects; what it leaves is `reference`'s.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conformance import minimal, readme, reference
from tests.conformance.shell import Shell
from tests.conformance.stage import ROOT, Json, Stage, Team
from tests.testbed.bed import eventually
from tests.testbed.cluster import Cluster

pytestmark = pytest.mark.real
LASTS = 150

README, GUIDE = ROOT / "README.md", ROOT / "GUIDE.md"
THEIRS = "vault-secrets-operator-system"
NAME = "vault-secrets-operator"
# Typed by test_migration_manifests.py, in a cluster of its own.
WITHOUT_HELM = {(GUIDE, name) for name in ("carry-over", "install-over")}


class Reader:
    """Somebody at a shell in a clone of the project, with a cluster and a Vault."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.bed = cluster.bed
        self.stage = Stage(cluster.bed)
        self.folder = folder
        self.typed: set[tuple[Path, str]] = set()
        self.run = Shell(cluster, folder).run

    def type(self, page: Path, name: str) -> str:
        """Type the block of that name, and return what is printed; a command that fails ends the test."""
        self.typed.add((page, name))
        return self.run(readme.block(page, name))

    def healthy(self) -> Json:
        """The condition Healthy of the quickstart's secret."""
        conditions = self.bed.kube.find("VaultStaticSecret", "app", "app-config")["status"]["conditions"]
        return next(c for c in conditions if c["type"] == "Healthy")

    def waits_for(self, reason: str) -> None:
        """Wait until the quickstart's secret is not healthy for that reason."""
        eventually(lambda: self.healthy()["reason"] == reason, 60, lambda: f"{reason}; it has {self.healthy()}")


@pytest.fixture(scope="module")
def reader(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    # The bed has set its Vault up; a newcomer's knows nothing yet.
    cluster.bed.vault.delete("sys/auth/kubernetes")
    cluster.bed.vault.delete("sys/mounts/kv")
    return Reader(cluster, tmp_path_factory.mktemp("home"))


# README.md: the quickstart.


def test_the_quickstart_leads_to_a_secret_that_follows_vault(reader: Reader) -> None:
    for name in ("install", "trust", "secret", "apply"):
        reader.type(README, name)
    assert reader.type(README, "follow").splitlines()[0] == "first"
    assert reader.run("kubectl get secret app-config -n app -o jsonpath='{.data.DB_PASSWORD}' | base64 -d") == "second"
    data = reader.bed.kube.find("Secret", "app", "app-config")["data"]
    assert sorted(data) == ["DB_PASSWORD", "DB_USERNAME"]


def test_what_to_look_at_shows_every_object_and_no_value(reader: Reader) -> None:
    said = reader.type(README, "look")
    assert {"vaultconnection.secrets.hashicorp.com/vault", "vaultauth.secrets.hashicorp.com/va-k8s"} <= set(
        said.split()
    )
    assert "vaultstaticsecret.secrets.hashicorp.com/app-config" in said
    assert "second" not in said


# GUIDE.md: when something is wrong.


def test_the_runbook_shows_a_sealed_vault_and_its_end(reader: Reader) -> None:
    reader.bed.vault.seal()
    reader.waits_for("VaultSealed")
    said = reader.type(GUIDE, "look")
    assert "VaultSealed" in said
    assert "unseal Vault" in said
    assert reader.run("kubectl get vss app-config -n app -o jsonpath='{.metadata.name}'") == "app-config"
    reader.bed.vault.unseal()
    assert "condition met" in reader.type(GUIDE, "confirm")


def test_the_runbook_shows_a_wrong_policy_and_its_end(reader: Reader) -> None:
    reader.run("""vault policy write app - <<< 'path "kv/data/other" { capabilities = ["read"] }'""")
    reader.waits_for("VaultPermissionDenied")
    assert reader.type(GUIDE, "ask").strip() == "deny"
    assert "kv/data/app/config" in reader.type(GUIDE, "look")
    reader.run("""vault policy write app - <<< 'path "kv/data/app/config" { capabilities = ["read"] }'""")
    assert reader.type(GUIDE, "ask").strip() == "read"
    assert "condition met" in reader.type(GUIDE, "confirm")


def test_the_runbook_takes_a_release_back_that_does_not_start(reader: Reader) -> None:
    reader.run(
        f"helm upgrade {NAME} charts/{NAME} --namespace vso-system --reuse-values"
        " --set controller.manager.image.tag=missing --set hooks.upgradeCRDs.enabled=false"
    )
    reader.type(GUIDE, "rollback")
    images = [
        pod["spec"]["containers"][0]["image"]
        for pod in reader.bed.kube.list("Pod", "vso-system")
        if "deletionTimestamp" not in pod["metadata"]
    ]
    assert not [image for image in images if image.endswith(":missing")]
    assert "condition met" in reader.type(GUIDE, "confirm")


def test_the_quickstart_is_taken_away_and_leaves_no_release(reader: Reader) -> None:
    reader.type(README, "away")
    assert not reader.bed.kube.exists("Namespace", None, "app")
    assert reader.run("helm list --all-namespaces --short") == ""


# GUIDE.md: from the reference operator, and back.


def their_chart(folder: Path) -> Path:
    """A chart that makes what the reference operator's makes of a Deployment, under the same names."""
    chart = folder / NAME
    (chart / "templates").mkdir(parents=True)
    meta = {"apiVersion": "v2", "name": NAME, "version": "1.4.1", "appVersion": "1.4.1"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(meta))
    labels = {"control-plane": "controller-manager"}
    named = {"name": f"{NAME}-controller-manager", "namespace": THEIRS}
    pod = {"serviceAccountName": named["name"], "containers": [{"name": "manager", "image": f"{NAME}:missing"}]}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    objects: list[Json] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**named, "labels": labels}, "spec": spec},
    ]
    (chart / "templates" / "all.yaml").write_text(yaml.safe_dump_all(objects))
    return chart


@pytest.fixture(scope="module")
def moved(reader: Reader) -> Team:
    """A team of the reference operator's, its Secret in step, and the release of that operator."""
    chart = their_chart(reader.folder)
    values = "controller.manager.image.repository=hashicorp/vault-secrets-operator,controller.manager.image.tag=1.4.1"
    reader.run(f"helm install {NAME} {chart} --namespace {THEIRS} --create-namespace --set {values}")
    reader.run(
        f"kubectl create serviceaccount vault-reviewer --namespace {THEIRS}"
        f" && kubectl create clusterrolebinding vault-reviewer --clusterrole system:auth-delegator"
        f" --serviceaccount {THEIRS}:vault-reviewer"
        " && vault write auth/kubernetes/config"
        f" kubernetes_host={reader.bed.kube.access.url} kubernetes_ca_cert=@{reader.bed.authority.certificate}"
        f' token_reviewer_jwt="$(kubectl create token vault-reviewer --namespace {THEIRS})"'
    )
    team = reader.stage.team("moved")
    role = {"bound_service_account_names": "app", "bound_service_account_namespaces": team.ns, "audience": "vault"}
    reader.bed.vault.write(f"auth/kubernetes/role/{team.ns}", {**role, "token_policies": team.ns})
    minimal.keep_ca(team, reader.bed.authority)
    team.access(connection={"caCertSecretRef": minimal.CA})
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1h")
    reference.put_key(reader.bed, THEIRS)
    reference.put_leader_lease(reader.bed, THEIRS)
    reference.put_client_cache(team, THEIRS)
    answer = reader.bed.vault.read(f"kv/data/{team.ns}/app")["data"]
    data = reference.whole_data(answer, answer["data"])
    reference.leave_secret(team, "VaultStaticSecret", "app", data)
    status = {"lastGeneration": 1, "secretMAC": reference.mac(data), "vaultClientMeta": reference.client_meta(team)}
    reference.leave(team, "VaultStaticSecret", "app", status)
    for kind, name in (("VaultConnection", "vault"), ("VaultAuth", "auth")):
        reference.leave(team, kind, name, {"valid": True})
    return team


def deployments(reader: Reader) -> set[str]:
    """The Deployments in the namespace of the reference operator."""
    return {found["metadata"]["name"] for found in reader.bed.kube.list("Deployment", THEIRS)}


def test_a_release_of_the_reference_is_taken_over_and_no_secret_is_touched(reader: Reader, moved: Team) -> None:
    before = moved.the_secret()
    key = reader.bed.kube.find("Secret", THEIRS, reference.KEY_NAME)
    assert reader.type(GUIDE, "rights") == ""
    assert yaml.safe_load((reader.folder / "credentials.yaml").read_text()) == {
        "rbac": {"credentials": [{"namespace": moved.ns, "secrets": [minimal.CA]}]}
    }
    reader.type(GUIDE, "stop-reference")
    reader.type(GUIDE, "take-over")
    assert "moved" in reader.type(GUIDE, "see")
    assert deployments(reader) == {NAME}
    moved.wait_ready()
    assert moved.the_secret() == before
    assert reader.bed.kube.find("Secret", THEIRS, reference.KEY_NAME) == key
    assert moved.get()["status"]["secretMAC"] == reference.mac(before["data"])


def test_it_is_followed_from_then_on_and_what_nobody_needs_is_tidied_away(reader: Reader, moved: Team) -> None:
    moved.put("app", {"password": "v2"})
    moved.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    moved.wait_data(lambda data: data["password"] == "v2")
    assert "vso-cc-" in reader.type(GUIDE, "tidy")
    assert reader.bed.kube.exists("Secret", THEIRS, reference.KEY_NAME)


def test_the_way_back_leaves_the_secret_and_the_references_deployment(reader: Reader, moved: Team) -> None:
    before = moved.the_secret()
    reader.type(GUIDE, "back")
    assert deployments(reader) == {f"{NAME}-controller-manager"}
    assert moved.the_secret() == before


def test_every_command_of_the_pages_was_typed(reader: Reader) -> None:
    shell = {
        (page, block.name)
        for page in (README, GUIDE)
        for block in readme.marked(page)
        if block.runs and block.language == "sh"
    }
    assert reader.typed | WITHOUT_HELM == shell
