"""A stand-in for kubelet: the pods that the scheduler binds to its node run as local processes.

What a container gets is what its pod says: command, arguments, environment, probes, grace, and a token of its
ServiceAccount that is bound to the pod. An image is the name of an entry point of this project; nothing is isolated,
and each pod has a loopback address of its own. Invariant: one thread does everything, and ends with every process.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

from tests.testbed.kube_admin import Json, KubeAccess, KubeAdmin, KubeError, object_path
from tests.testbed.operator import AS_A_POD, ROOT
from tests.testbed.pki import KeyPair
from tests.testbed.pods import (
    Container,
    ImageUnknown,
    State,
    Unsupported,
    container_of,
    mounts_token,
    ports_of,
    status_of,
)
from tests.testbed.process import Command, Process
from tests.testbed.real import RealBed
from tests.testbed.running_pod import RunningPod

NODE = "testbed-kubelet"
_LOOK = 0.1
# As the Containerfile has them.
_IMAGE_ENV = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}


class Kubelet:
    """A node, and the processes of its pods."""

    def __init__(self, bed: RealBed, images: Mapping[str, tuple[str, ...]]) -> None:
        """Put it together; `images` tells the entry point of each image that is at hand."""
        self.directory = bed.directory / "kubelet"
        self.directory.mkdir(exist_ok=True)
        self._bed = bed
        self._images = images
        pair: KeyPair = bed.authority.client(NODE, group="system:masters")
        self._kube = KubeAdmin(KubeAccess(bed.kube.access.url, bed.kube.access.ca, certificate=pair))
        self._running: dict[str, RunningPod] = {}
        self._told: dict[str, Json] = {}
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
        self._kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}})
        room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
        ready = {"type": "Ready", "status": "True", "reason": "Testbed", "message": "runs"}
        status = {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}}
        self._kube.patch("Node", None, NODE, status, subresource="status")
        # A new node counts as not ready until a controller, which the bed goes without, finds otherwise.
        self._kube.patch("Node", None, NODE, {"spec": {"taints": None}})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self._thread.join(timeout=30)
        self._kube.close()
        if self._failure is not None:
            raise self._failure

    def log_text(self, namespace: str, pod: str) -> str:
        """What a pod's container has written, over all its restarts; the pod may be gone."""
        log = self.directory / f"{namespace}_{pod}.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def logs(self) -> str:
        """What all containers have written."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("*.log")))

    def _run(self) -> None:
        try:
            while not self._halt.wait(_LOOK):
                with contextlib.suppress(httpx.TransportError):  # the API server is away: the pods go on
                    self._look()
        except Exception as error:  # noqa: BLE001  told by whoever leaves
            self._failure = error
        finally:
            for running in self._running.values():
                if running.process.running:
                    running.process.stop(grace=5)

    def _look(self) -> None:
        pods = {pod["metadata"]["uid"]: pod for pod in self._kube.list("Pod", fieldSelector=f"spec.nodeName={NODE}")}
        for uid in set(self._running) - set(pods):  # deleted by force
            running = self._running.pop(uid)
            if running.process.running:
                running.process.kill()
        for uid, pod in pods.items():
            try:
                self._look_at(uid, pod)
            except KubeError as error:
                if error.status not in {404, 409}:  # gone, or changed, in the meantime
                    raise

    def _look_at(self, uid: str, pod: Json) -> None:
        if "deletionTimestamp" in pod["metadata"]:
            self._end(uid, pod)
            return
        if pod["status"]["phase"] in {"Succeeded", "Failed"}:
            return
        running = self._running.get(uid) or self._admit(uid, pod)
        if running is not None:
            running.step()
            self._tell(uid, pod, running.container, running.state)

    def _admit(self, uid: str, pod: Json) -> RunningPod | None:
        address = _address(ports_of(pod))
        try:
            container = container_of(pod, self._images, address)
        except ImageUnknown:
            self._tell(uid, pod, None, State(waiting="ErrImagePull"))
            return None
        except Unsupported as error:
            self._tell(uid, pod, None, State("Failed", waiting=f"Unsupported: {error}"))
            return None
        running = RunningPod(pod, container, self._process(pod, container), address)
        self._running[uid] = running
        return running

    def _process(self, pod: Json, container: Container) -> Process:
        meta = pod["metadata"]
        home = self.directory / f"{meta['namespace']}_{meta['name']}"
        home.mkdir(exist_ok=True)
        self._mount(pod, home / "serviceaccount")
        program, *arguments = container.argv
        if program != "vso":
            raise RuntimeError(f"{meta['name']}: the image has no program {program}")
        server = urlsplit(self._kube.access.url)
        env = {
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            **_IMAGE_ENV,
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
            "OPERATOR_NAMESPACE": meta["namespace"],  # what the file beside a mounted token says
            **container.env,
        }
        command: list[str | Path] = [sys.executable, "-c", AS_A_POD, home / "serviceaccount", *arguments]
        return Process(Command(meta["name"], command, home.with_name(f"{home.name}.log"), cwd=home, env=env))

    def _mount(self, pod: Json, folder: Path) -> None:
        """Put what kubelet mounts where the container looks for it: nothing, if the pod does not want it."""
        folder.mkdir(exist_ok=True)
        namespace, name = pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default")
        if not mounts_token(pod, self._kube.find("ServiceAccount", namespace, name)):
            return
        (folder / "token").write_text(self._bed.token_for(namespace, name, seconds=3607, pod=pod))
        (folder / "ca.crt").write_bytes(self._bed.trusted())

    def _end(self, uid: str, pod: Json) -> None:
        running = self._running.get(uid)
        if running is not None and not running.end(pod["metadata"].get("deletionGracePeriodSeconds", 30)):
            return
        path = object_path("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        self._kube.raw("DELETE", path, json=options)
        self._running.pop(uid, None)

    def _tell(self, uid: str, pod: Json, container: Container | None, state: State) -> None:
        said = pod["spec"]["containers"][0]
        address = self._running[uid].address if uid in self._running else ""
        status = status_of(container, said["name"], said["image"], state, address=address)
        if self._told.get(uid) != status:
            meta = pod["metadata"]
            self._kube.patch(
                "Pod", meta["namespace"], meta["name"], {"status": status}, type_="strategic", subresource="status"
            )
            self._told[uid] = status


def _address(ports: list[int]) -> str:
    """Return a loopback address on which nobody listens at these ports."""
    for _ in range(100):
        address = f"127.{10 + secrets.randbelow(200)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(250)}"
        if all(_free(address, port) for port in ports):
            return address
    raise RuntimeError(f"one of the ports {ports} is taken on every address of this machine")


def _free(address: str, port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind((address, port))
        except OSError:
            return False
    return True
