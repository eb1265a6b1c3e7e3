"""A bed whose pods run: the real scheduler binds them to the stand-in kubelet's node, Jobs are seen to their end.

Invariant: it is a cluster of its own, empty at first, so that an install finds nothing that it should have brought.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import vso
from tests.testbed.helm import Helm
from tests.testbed.kubelet import Kubelet
from tests.testbed.real import RealBed
from tests.testbed.scheduler import Scheduler

IMAGES = {
    **{f"vault-secrets-operator:{tag}": ("vso", "run") for tag in (vso.__version__, "next")},
    "busybox:1": ("sh",),
}
"""The images that are at hand: this project as it is, and the programs of the machine."""
_CONTROLLERS = (
    "job-controller",
    "disruption-controller",
    "ttl-after-finished-controller",
    "root-ca-certificate-publisher-controller",
)


class Cluster:
    """The servers, a node, and helm as its administrator runs it."""

    def __init__(self, directory: Path) -> None:
        self._open = ExitStack()
        self.bed = RealBed(directory, controllers=_CONTROLLERS)
        self.kubelet = Kubelet(self.bed, IMAGES)
        self.helm = Helm(directory, self.bed.admin_kubeconfig)

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(self.bed)
            scheduler = Scheduler(self.bed.directory, self.bed.component("kube-scheduler"), "default-scheduler")
            opening.callback(lambda: scheduler.process.running and scheduler.process.stop(grace=2))
            scheduler.process.start()
            opening.enter_context(self.kubelet)
            scheduler.wait_ready()
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
