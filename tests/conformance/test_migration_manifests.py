"""From the reference operator to this one without helm, as `GUIDE.md` has it typed: in a cluster whose CRDs helm made.

One story: what the reference's chart leaves, the two blocks of the page, and an object that names no access of its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance import readme, reference
from tests.conformance.shell import Shell
from tests.conformance.stage import AUDIENCE, GROUP, MANIFESTS, ROOT, Json, Stage, Team, documents
from tests.testbed.bed import KubectlError
from tests.testbed.cluster import Cluster

pytestmark = pytest.mark.real
LASTS = 90

GUIDE = ROOT / "GUIDE.md"
OURS, THEIRS = "vso-system", "vault-secrets-operator-system"
KIND = "VaultStaticSecret"


def crd_of_theirs(path: Path) -> str:
    """A CRD as another version of the chart has it: with a field that is no more."""
    (crd,) = documents(path)
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["fieldOfThePast"] = {"type": "string"}
    return json.dumps(crd)


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Team:
    """A team of the reference operator's that logs in by its defaults, its Secret in step; that operator is at rest."""
    bed, stage = cluster.bed, Stage(cluster.bed)
    for path in sorted((MANIFESTS / "crds").glob("*.yaml")):
        bed.kubectl("create", "--field-manager=helm", "-f", "-", stdin=crd_of_theirs(path))
    stage.wait_for_crds()
    bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": THEIRS}})
    reference.put_key(bed, THEIRS)
    team = stage.team("moved")
    login = {"role": team.ns, "serviceAccount": "app", "audiences": [AUDIENCE]}
    specs: dict[str, Json] = {
        "VaultConnection": {"address": bed.vault.url},
        "VaultAuth": {"method": "kubernetes", "mount": "kubernetes", "kubernetes": login},
    }
    for kind, spec in specs.items():
        meta = {"name": "default", "namespace": THEIRS}
        bed.kube.create({"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": spec})
    team.put("app", {"password": "v1"})
    spec = {key: value for key, value in team.secret_spec().items() if key != "vaultAuthRef"}
    team.apply(KIND, "app", {**spec, "refreshAfter": "1h"})
    answer = bed.vault.read(f"kv/data/{team.ns}/app")["data"]
    data = reference.whole_data(answer, answer["data"])
    reference.leave_secret(team, KIND, "app", data)
    reference.leave(team, KIND, "app", {"lastGeneration": 1, "secretMAC": reference.mac(data)})
    return team


@pytest.fixture(scope="module")
def shell(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(cluster, tmp_path_factory.mktemp("home"))


def test_without_a_word_kubectl_does_not_replace_the_crds_of_helm(cluster: Cluster, team: Team) -> None:
    assert team.the_secret()
    with pytest.raises(KubectlError, match=r'conflict with "helm".*[.]spec[.]versions'):
        cluster.bed.kubectl("apply", "--server-side", "--dry-run=server", "-k", str(MANIFESTS / "crds"))


def test_the_blocks_of_the_guide_take_the_object_over_and_touch_no_secret(
    cluster: Cluster, team: Team, shell: Shell
) -> None:
    kube, before = cluster.bed.kube, team.the_secret()
    shell.run(readme.block(GUIDE, "carry-over"))
    for kind in ("VaultConnection", "VaultAuth"):
        made, theirs = (kube.find(kind, namespace, "default")["spec"] for namespace in (OURS, THEIRS))
        assert made == theirs
    shell.run(readme.block(GUIDE, "install-over"))
    team.wait_ready(timeout=60)
    assert team.the_secret() == before
    key, theirs = (kube.find("Secret", namespace, reference.KEY_NAME) for namespace in (OURS, THEIRS))
    assert (key["data"], key["immutable"]) == (theirs["data"], True)
    assert team.get()["status"]["secretMAC"] == reference.mac(before["data"])


def test_every_crd_is_of_this_version_then(cluster: Cluster, team: Team) -> None:
    assert team.get()["status"]["conditions"]
    for path in sorted((MANIFESTS / "crds").glob("*.yaml")):
        (wanted,) = documents(path)
        found = cluster.bed.kube.find("CustomResourceDefinition", None, wanted["metadata"]["name"])
        assert found["spec"]["versions"][0]["schema"] == wanted["spec"]["versions"][0]["schema"]


def test_the_secret_follows_vault_from_then_on(team: Team) -> None:
    team.put("app", {"password": "v2"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    team.wait_data(lambda data: data["password"] == "v2")
