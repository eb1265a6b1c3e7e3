"""The stand-in kubelet in a real cluster: what is scheduled to its node runs, and ends as pods end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

import vso
from tests.testbed.bed import always, eventually
from tests.testbed.cluster import Cluster
from tests.testbed.kubelet import NODE
from tests.testbed.operator import ROOT
from tests.testbed.rollouts import rolled_out

pytestmark = pytest.mark.real
LASTS = 60

Json = dict[str, Any]
MANIFESTS = ROOT / "manifests"
IMAGE = f"vault-secrets-operator:{vso.__version__}"
OPERATOR = ("vso-system", "vault-secrets-operator")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Cluster:
    """The operator as manifests/install/full has it."""
    cluster.bed.kubectl("apply", "--server-side", "-f", str(MANIFESTS / "crds"))
    cluster.bed.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
    cluster.bed.kubectl("apply", "-k", "manifests/install/full", cwd=ROOT)
    wait_rolled_out(cluster)
    return cluster


def wait_rolled_out(cluster: Cluster) -> None:
    def through() -> bool:
        return rolled_out(cluster.bed.kube.find("Deployment", *OPERATOR))

    eventually(through, timeout=60, message=lambda: f"the operator is available\n{cluster.kubelet.logs()[-3000:]}")


def leader(cluster: Cluster) -> str:
    found = cluster.bed.kube.list("Lease", "vso-system")
    return str(found[0]["spec"].get("holderIdentity") or "") if found else ""


def job(cluster: Cluster, name: str, *args: str, image: str = IMAGE, retries: int = 0, **pod: Any) -> None:
    container = {"name": "hook", "image": image, "command": ["vso", "crds"], "args": list(args)}
    pod = {"restartPolicy": "Never", "serviceAccountName": "default", "containers": [container], **pod}
    spec = {"backoffLimit": retries, "template": {"spec": pod}}
    meta = {"name": name, "namespace": "default"}
    cluster.bed.kube.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})


def ended(cluster: Cluster, name: str) -> Json:
    def outcome() -> Json | None:
        status = cluster.bed.kube.find("Job", "default", name).get("status", {})
        return status if any(c["type"] in {"Complete", "Failed"} for c in status.get("conditions", [])) else None

    return eventually(outcome, timeout=40, message=f"the Job {name} has ended")


def pods_of(cluster: Cluster, name: str) -> list[Json]:
    return cluster.bed.kube.list("Pod", "default", labelSelector=f"job-name={name}")


def test_the_manifests_as_shipped_run_and_get_ready(installed: Cluster) -> None:
    (pod,) = installed.bed.kube.list("Pod", "vso-system")
    assert pod["spec"]["nodeName"] == NODE
    eventually(lambda: leader(installed).endswith(pod["metadata"]["uid"]), message="it leads")


def test_a_pod_that_is_deleted_ends_in_good_order_and_another_follows(installed: Cluster) -> None:
    (pod,) = installed.bed.kube.list("Pod", "vso-system")
    installed.bed.kube.delete("Pod", "vso-system", pod["metadata"]["name"])

    def another() -> list[Json]:
        found = installed.bed.kube.list("Pod", "vso-system")
        return [p for p in found if p["metadata"]["uid"] != pod["metadata"]["uid"]] if len(found) == 1 else []

    eventually(another, timeout=20, message="the old pod is gone and another is there")
    wait_rolled_out(installed)
    (follower,) = installed.bed.kube.list("Pod", "vso-system")
    eventually(lambda: leader(installed).endswith(follower["metadata"]["uid"]), message="the new pod leads")


def test_a_job_is_seen_to_its_end(cluster: Cluster) -> None:
    job(cluster, "prints", "VaultAuth")
    assert ended(cluster, "prints")["succeeded"] == 1
    (pod,) = pods_of(cluster, "prints")
    assert "kind: CustomResourceDefinition" in cluster.kubelet.log_text("default", pod["metadata"]["name"])


def test_a_job_that_fails_is_tried_again_as_often_as_it_may(cluster: Cluster) -> None:
    job(cluster, "fails", "NoSuchKind", retries=1)
    assert ended(cluster, "fails")["failed"] == 2
    assert {pod["status"]["phase"] for pod in pods_of(cluster, "fails")} == {"Failed"}


def test_a_pod_that_wants_no_token_has_none(cluster: Cluster) -> None:
    job(cluster, "tokenless", "--apply", "--timeout=3s", automountServiceAccountToken=False)
    ended(cluster, "tokenless")
    (first,) = pods_of(cluster, "tokenless")
    assert "no cluster to speak to" in cluster.kubelet.log_text("default", first["metadata"]["name"])


def test_a_pod_has_the_rights_of_its_service_account_and_no_more(cluster: Cluster) -> None:
    job(cluster, "rightless", "--apply", "--timeout=3s")
    ended(cluster, "rightless")
    (first,) = pods_of(cluster, "rightless")
    assert "customresourcedefinitions" in cluster.kubelet.log_text("default", first["metadata"]["name"])


def standby(cluster: Cluster, name: str, *args: str, **probes: Any) -> None:
    """A further pod of the operator as the manifests have it, with other probes and further arguments."""
    deployment = yaml.safe_load((MANIFESTS / "operator/deployment.yaml").read_text())
    spec = {**deployment["spec"]["template"]["spec"], "terminationGracePeriodSeconds": 5}
    (said,) = spec["containers"]
    kept = {key: value for key, value in said.items() if not key.endswith("Probe")}
    spec["containers"] = [{**kept, "args": [*said["args"], *args], **probes}]
    meta = {"name": name, "namespace": OPERATOR[0]}
    cluster.bed.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def container_status(cluster: Cluster, name: str) -> Json:
    found = cluster.bed.kube.find("Pod", OPERATOR[0], name)["status"].get("containerStatuses", [])
    return dict(found[0]) if found else {}


def removed(cluster: Cluster, name: str) -> None:
    """Delete a pod and wait until it is gone."""
    cluster.bed.kube.delete("Pod", OPERATOR[0], name)
    eventually(lambda: not cluster.bed.kube.exists("Pod", OPERATOR[0], name), message=f"the pod {name} is gone")


def probe(path: str, **timing: int) -> Json:
    return {"httpGet": {"path": path, "port": "health"}, "periodSeconds": 1, **timing}


def test_a_pod_that_lives_and_is_not_ready_is_told_so_and_left_alone(installed: Cluster) -> None:
    probes = {"startupProbe": probe("/healthz", failureThreshold=60), "livenessProbe": probe("/healthz")}
    standby(installed, "unready", **probes, readinessProbe=probe("/nothing-here"))
    eventually(lambda: container_status(installed, "unready").get("started"), timeout=60, message="it has started")
    always(lambda: not container_status(installed, "unready")["ready"], 3)
    assert container_status(installed, "unready")["restartCount"] == 0
    removed(installed, "unready")


def test_a_pod_whose_liveness_fails_is_restarted_in_good_order(installed: Cluster) -> None:
    probes = {"startupProbe": probe("/healthz", failureThreshold=60), "livenessProbe": probe("/nothing-here")}
    standby(installed, "dead", **probes)
    eventually(lambda: container_status(installed, "dead").get("restartCount", 0) >= 1, 60, "it is restarted")
    assert "Traceback" not in installed.kubelet.log_text(OPERATOR[0], "dead")
    removed(installed, "dead")


def test_a_pod_that_ends_by_itself_is_started_again_after_a_pause(installed: Cluster) -> None:
    standby(installed, "crashes", "--no-such-flag")
    eventually(lambda: container_status(installed, "crashes").get("restartCount", 0) >= 2, 60, "it is started again")
    assert container_status(installed, "crashes")["state"] == {"waiting": {"reason": "CrashLoopBackOff"}}
    removed(installed, "crashes")


def test_an_image_that_is_not_at_hand_stays_waiting(cluster: Cluster) -> None:
    job(cluster, "imageless", image="vault-secrets-operator:missing")

    def waiting() -> bool:
        statuses = [s for pod in pods_of(cluster, "imageless") for s in pod["status"].get("containerStatuses", [])]
        return [s["state"].get("waiting", {}).get("reason") for s in statuses] == ["ErrImagePull"]

    eventually(waiting, message="the pod waits for its image")
