"""A stand-in for kubelet: the pods that the scheduler binds to its node run as local processes.

What a container gets is what its pod says: command, arguments, environment, working directory, probes, grace, and its
volumes at their paths, in a mount namespace of its own (`own_root.py`). An image is the name of an entry point of this
project or of a program of the machine; nothing else is isolated, and each pod has a loopback address of its own.
Invariant: one thread does everything but to show logs, and ends with every process.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx

from tests.testbed.kube_admin import Json, KubeAccess, KubeAdmin, KubeError, object_path
from tests.testbed.kubelet_logs import LogServer
from tests.testbed.operator import ROOT
from tests.testbed.pki import KeyPair
from tests.testbed.pod_fields import NotThere, Unsupported
from tests.testbed.pod_status import PodState, status_of, waiting_for
from tests.testbed.pod_volumes import PodVolumes, check_volumes
from tests.testbed.pods import Container, ImageUnknown, Look, names_of, plan_of, ports_of, start_of, with_account
from tests.testbed.process import Command, Process
from tests.testbed.real import RealBed
from tests.testbed.running_pod import RunningPod

NODE = "testbed-kubelet"
_LOOK = 0.1
_REFRESH = 1.0
"""How often the volumes are brought up to date, in seconds; a real kubelet takes up to a minute or two."""
# As the Containerfile has them.
_IMAGE_ENV = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
# What `vso` of the image does. The image has no rich, which structlog imports where it finds it.
_PROGRAM = 'import sys; sys.modules["rich"] = None; from vso.__main__ import main; sys.exit(main())'


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
        self._refreshed: dict[str, float] = {}
        self._logs = LogServer(bed.authority.serving(NODE), self.log_text)
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
        self._kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}})
        room = {"cpu": "8", "memory": "16Gi", "pods": "110"}
        ready = {"type": "Ready", "status": "True", "reason": "Testbed", "message": "runs"}
        self._logs.start()
        where = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._logs.port}},
        }
        status = {"status": {"capacity": room, "allocatable": room, "conditions": [ready], **where}}
        self._kube.patch("Node", None, NODE, status, subresource="status")
        # A new node counts as not ready until a controller, which the bed goes without, finds otherwise.
        self._kube.patch("Node", None, NODE, {"spec": {"taints": None}})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self._thread.join(timeout=30)
        self._logs.stop()
        self._kube.close()
        if self._failure is not None:
            raise self._failure

    def log_text(self, namespace: str, pod: str, container: str = "*") -> str:
        """What a pod's containers, or one of them, have written over all their restarts; the pod may be gone."""
        found = sorted(self.directory.glob(f"{namespace}_{pod}_{container}.log"))
        return "".join(log.read_text(errors="replace") for log in found)

    def logs(self) -> str:
        """What all containers have written."""
        return self.log_text("*", "*")

    def _run(self) -> None:
        try:
            while not self._halt.wait(_LOOK):
                with contextlib.suppress(httpx.TransportError):  # the API server is away: the pods go on
                    self._look()
        except Exception as error:  # noqa: BLE001  told by whoever leaves
            self._failure = error
        finally:
            for running in self._running.values():
                running.stop(grace=5)

    def _look(self) -> None:
        pods = {pod["metadata"]["uid"]: pod for pod in self._kube.list("Pod", fieldSelector=f"spec.nodeName={NODE}")}
        for uid in set(self._running) - set(pods):  # deleted by force
            self._running.pop(uid).kill()
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
        if running is not None and self._refresh(uid, running):
            running.step()
            self._tell(uid, pod, running.state)

    def _refresh(self, uid: str, running: RunningPod) -> bool:
        """Bring the volumes up to date now and then; tell whether the pod may go on."""
        if time.monotonic() - self._refreshed.get(uid, 0.0) < _REFRESH:
            return True
        try:
            running.refresh()
        except NotThere:
            return False
        self._refreshed[uid] = time.monotonic()
        return True

    def _admit(self, uid: str, pod: Json) -> RunningPod | None:
        address = _address(ports_of(pod))
        names = names_of(pod["spec"]["containers"])
        try:
            running = self._prepared(pod, address)
        except ImageUnknown:
            self._tell(uid, pod, waiting_for("ErrImagePull", names))
            return None
        except Unsupported as error:
            self._tell(uid, pod, waiting_for(f"Unsupported: {error}", names, phase="Failed"))
            return None
        self._running[uid] = running
        return running

    def _prepared(self, said: Json, address: str) -> RunningPod:
        meta = said["metadata"]
        account = said["spec"].get("serviceAccountName", "default")
        pod = with_account(said, self._kube.find("ServiceAccount", meta["namespace"], account))
        plan = plan_of(pod, self._images, address)
        check_volumes(pod)
        home = self.directory / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        home.mkdir(exist_ok=True)

        def token(audience: str, seconds: int) -> str:
            audiences = [audience] if audience else []
            return self._bed.token_for(meta["namespace"], account, audiences, seconds, pod=pod)

        look = self._looker(meta["namespace"])
        volumes = PodVolumes(pod, home / "volumes", look, token)

        def process(container: Container) -> Process:
            return self._process(container, pod, look, home, volumes.folders)

        return RunningPod(plan, volumes, process, address=address, policy=pod["spec"].get("restartPolicy", "Always"))

    def _looker(self, namespace: str) -> Look:
        def look(kind: str, name: str) -> Json | None:
            try:
                return self._kube.find(kind, namespace, name)
            except KubeError as error:
                if error.status == 404:
                    return None
                raise

        return look

    def _process(self, container: Container, pod: Json, look: Look, home: Path, folders: Mapping[str, Path]) -> Process:
        """The process of a container as it is started now; NotThere, if what its environment names is not there."""
        (program, *arguments), own = start_of(container, pod, look)
        root, meta = home / f"root-{container.name}", pod["metadata"]
        root.mkdir(exist_ok=True)
        server = urlsplit(self._kube.access.url)
        env = {
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
            **_IMAGE_ENV,
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
            **own,
        }
        plan = {
            "root": str(root),
            "folder": container.folder or str(home),
            "mounts": [(str(folders[mount.volume]), mount.path, mount.read_only) for mount in container.mounts],
        }
        entry = [sys.executable, "-c", _PROGRAM] if program == "vso" else [program]
        shim: list[str | Path] = [sys.executable, "-I", "-S", ROOT / "tests/testbed/own_root.py", json.dumps(plan)]
        log = self.directory / f"{meta['namespace']}_{meta['name']}_{container.name}.log"
        return Process(Command(container.name, [*shim, *entry, *arguments], log, cwd=home, env=env))

    def _end(self, uid: str, pod: Json) -> None:
        running = self._running.get(uid)
        if running is not None and not running.end(pod["metadata"].get("deletionGracePeriodSeconds", 30)):
            return
        path = object_path("Pod", pod["metadata"]["namespace"], pod["metadata"]["name"])
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        self._kube.raw("DELETE", path, json=options)
        self._running.pop(uid, None)

    def _tell(self, uid: str, pod: Json, state: PodState) -> None:
        status = status_of(state)
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
