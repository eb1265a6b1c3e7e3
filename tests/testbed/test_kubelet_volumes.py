"""The stand-in kubelet in a real cluster: what a pod mounts, in which order its containers run, and what they say."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed.bed import eventually
from tests.testbed.cluster import Cluster

pytestmark = pytest.mark.real
LASTS = 60

Json = dict[str, Any]
FOREVER = "trap 'exit 0' TERM; while true; do sleep 0.2; done"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def shell(script: str, name: str = "main", **said: Any) -> Json:
    """A container that runs a script."""
    return {"name": name, "image": "busybox:1", "command": ["sh", "-c", script], **said}


def run(cluster: Cluster, name: str, *containers: Json, **spec: Any) -> None:
    """Make a pod in the namespace default."""
    spec = {
        "restartPolicy": "Never",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 5,
        "containers": list(containers),
        **spec,
    }
    meta = {"name": name, "namespace": "default"}
    cluster.bed.kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def make(cluster: Cluster, kind: str, name: str, data: Json) -> None:
    """Make a Secret or a ConfigMap, or change it."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    meta = {"name": name, "namespace": "default"}
    cluster.bed.kube.apply(
        {"apiVersion": "v1", "kind": kind, "metadata": meta, "data": data if kind == "ConfigMap" else encoded}
    )


def status(cluster: Cluster, name: str) -> Json:
    return dict(cluster.bed.kube.find("Pod", "default", name)["status"])


def ended(cluster: Cluster, name: str) -> str:
    """Wait for the pod's end; its phase."""

    def phase() -> str | None:
        found = str(status(cluster, name)["phase"])
        return found if found in {"Succeeded", "Failed"} else None

    return eventually(
        phase, timeout=30, message=lambda: f"{name} has ended\n{cluster.kubelet.log_text('default', name)}"
    )


def said(cluster: Cluster, name: str, container: str = "main") -> list[str]:
    return cluster.kubelet.log_text("default", name, container).splitlines()


def states(cluster: Cluster, name: str, kind: str = "containerStatuses") -> dict[str, str]:
    return {found["name"]: next(iter(found["state"])) for found in status(cluster, name).get(kind, [])}


def test_a_pod_sees_its_volumes_at_their_paths_and_the_machine_does_not(cluster: Cluster) -> None:
    make(cluster, "Secret", "login", {"user": "ada"})
    make(cluster, "ConfigMap", "settings", {"level": "debug"})
    sources = [{"secret": {"name": "login"}}, {"configMap": {"name": "settings"}}]
    mounts = [
        {"name": "all", "mountPath": "/etc/of-the-pod/all", "readOnly": True},
        {"name": "room", "mountPath": "/of-the-pod"},
    ]
    script = (
        "pwd; cat all/user; echo; cat all/level; echo; touch /of-the-pod/x && ls /of-the-pod; touch all/x || echo no"
    )
    volumes = [{"name": "all", "projected": {"sources": sources}}, {"name": "room", "emptyDir": {}}]
    run(cluster, "sees", shell(script, volumeMounts=mounts, workingDir="/etc/of-the-pod"), volumes=volumes)
    assert ended(cluster, "sees") == "Succeeded"
    lines = [line for line in said(cluster, "sees") if "Read-only file system" not in line]
    assert lines == ["/etc/of-the-pod", "ada", "debug", "x", "no"]
    assert not Path("/etc/of-the-pod").exists()
    assert not Path("/of-the-pod").exists()


def test_an_edit_of_what_is_mounted_reaches_the_running_container(cluster: Cluster) -> None:
    make(cluster, "Secret", "turning", {"word": "one"})
    script = "while ! grep -q two /etc/turning/word; do sleep 0.1; done; cat /etc/turning/word"
    mounts = [{"name": "word", "mountPath": "/etc/turning"}]
    volumes = [{"name": "word", "secret": {"secretName": "turning"}}]
    run(cluster, "turns", shell(script, volumeMounts=mounts), volumes=volumes)
    eventually(lambda: "running" in states(cluster, "turns").values(), message="the container runs")
    make(cluster, "Secret", "turning", {"word": "two"})
    assert ended(cluster, "turns") == "Succeeded"
    assert said(cluster, "turns") == ["two"]


def test_a_pod_waits_for_what_it_mounts_and_for_what_its_environment_names(cluster: Cluster) -> None:
    reference = {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "late-login", "key": "word"}}}
    mounts = [{"name": "late", "mountPath": "/etc/late"}]
    script = "echo $WORD; cat /etc/late/k"
    volumes = [{"name": "late", "configMap": {"name": "late"}}]
    run(cluster, "waits", shell(script, env=[reference], volumeMounts=mounts), volumes=volumes)
    eventually(
        lambda: cluster.bed.kube.find("Pod", "default", "waits")["spec"].get("nodeName"), message="it has a node"
    )
    make(cluster, "ConfigMap", "late", {"k": "v"})

    def reason() -> bool:
        found = status(cluster, "waits").get("containerStatuses", [])
        return [c["state"].get("waiting", {}).get("reason") for c in found] == ["CreateContainerConfigError"]

    eventually(reason, message="it lacks the Secret alone")
    make(cluster, "Secret", "late-login", {"word": "love"})
    assert ended(cluster, "waits") == "Succeeded"
    assert said(cluster, "waits") == ["love", "v"]


def test_a_projected_token_is_for_its_audience_and_bound_to_the_pod(cluster: Cluster) -> None:
    token = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 700}}
    volumes = [{"name": "own", "projected": {"sources": [token]}}]
    script = "cut -d. -f2 /own/token; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace"
    run(cluster, "tokens", shell(script, volumeMounts=[{"name": "own", "mountPath": "/own"}]), volumes=volumes)
    assert ended(cluster, "tokens") == "Succeeded"
    body, namespace = said(cluster, "tokens")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert claims["aud"] == ["vault"]
    assert claims["exp"] - claims["iat"] == 700
    assert claims["kubernetes.io"]["pod"]["name"] == "tokens"
    assert namespace == "default"


def test_init_containers_run_one_after_the_other_before_the_rest(cluster: Cluster) -> None:
    mounts = [{"name": "room", "mountPath": "/room"}]
    init = [shell(f"sleep 0.3; echo {n} >> /room/order", n, volumeMounts=mounts) for n in ("first", "second")]
    run(cluster, "ordered", shell("cat /room/order", volumeMounts=mounts), initContainers=init,
        volumes=[{"name": "room", "emptyDir": {}}])  # fmt: skip
    assert ended(cluster, "ordered") == "Succeeded"
    assert said(cluster, "ordered") == ["first", "second"]
    assert states(cluster, "ordered", "initContainerStatuses") == {"first": "terminated", "second": "terminated"}


def test_a_pod_whose_init_container_fails_never_runs_the_rest(cluster: Cluster) -> None:
    run(cluster, "uninitialized", shell("echo never"), initContainers=[shell("exit 3", "fails")])
    assert ended(cluster, "uninitialized") == "Failed"
    assert said(cluster, "uninitialized") == []


def test_a_sidecar_starts_before_the_others_and_ends_after_them(cluster: Cluster) -> None:
    mounts = [{"name": "room", "mountPath": "/room"}]
    script = "touch /room/up; trap 'echo bye; exit 0' TERM; while true; do sleep 0.1; done"
    beside = shell(script, "beside", volumeMounts=mounts, restartPolicy="Always")
    main = shell("while ! test -e /room/up; do sleep 0.1; done; echo done", volumeMounts=mounts)
    run(cluster, "with-sidecar", main, initContainers=[beside], volumes=[{"name": "room", "emptyDir": {}}])
    assert ended(cluster, "with-sidecar") == "Succeeded"
    assert said(cluster, "with-sidecar") == ["done"]
    assert said(cluster, "with-sidecar", "beside") == ["bye"]


def test_several_containers_run_side_by_side_and_the_pod_is_ready_when_all_are(cluster: Cluster) -> None:
    never = {"httpGet": {"path": "/", "port": 9}, "periodSeconds": 1}
    run(cluster, "pair", shell(FOREVER, "a"), shell(FOREVER, "b", readinessProbe=never))
    both = {"a": "running", "b": "running"}
    eventually(lambda: states(cluster, "pair") == both, message="both run")
    eventually(lambda: {c["name"]: c["ready"] for c in status(cluster, "pair")["containerStatuses"]}
               == {"a": True, "b": False}, message="one is ready")  # fmt: skip
    assert {c["type"]: c["status"] for c in status(cluster, "pair")["conditions"]}["Ready"] == "False"
    cluster.bed.kube.delete("Pod", "default", "pair")
    eventually(lambda: not cluster.bed.kube.exists("Pod", "default", "pair"), message="the pod is gone")


def test_a_container_is_asked_to_end_when_its_hook_is_through(cluster: Cluster) -> None:
    mounts = [{"name": "room", "mountPath": "/room"}]
    script = "trap 'cat /room/before; exit 0' TERM; touch /room/up; while true; do sleep 0.1; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "sleep 1; echo first > /room/before"]}}}
    run(
        cluster,
        "hooked",
        shell(script, lifecycle=hook, volumeMounts=mounts),
        volumes=[{"name": "room", "emptyDir": {}}],
    )
    eventually(lambda: "running" in states(cluster, "hooked").values(), message="it runs")
    cluster.bed.kube.delete("Pod", "default", "hooked")
    eventually(lambda: not cluster.bed.kube.exists("Pod", "default", "hooked"), message="the pod is gone")
    assert said(cluster, "hooked") == ["first"]


def test_kubectl_shows_what_a_container_has_written(cluster: Cluster) -> None:
    run(cluster, "talks", shell("echo one", "a"), shell("echo two", "b"))
    ended(cluster, "talks")
    assert cluster.bed.kubectl("logs", "-n", "default", "talks", "-c", "b") == "two\n"


def test_what_it_cannot_do_is_told_in_the_pods_status(cluster: Cluster) -> None:
    run(cluster, "cannot", shell("true"), volumes=[{"name": "disk", "hostPath": {"path": "/"}}])
    assert ended(cluster, "cannot") == "Failed"
    (found,) = status(cluster, "cannot")["containerStatuses"]
    assert found["state"]["waiting"]["reason"] == "Unsupported: volumes with hostPath"
