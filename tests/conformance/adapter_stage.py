"""Accounts with narrow rights, and a namespace with an owner, for the tests of the Kubernetes adapter."""

from __future__ import annotations

import base64
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.testbed.bed import Json, Mark
from tests.testbed.real import RealBed
from vso.core.clock import SystemClock
from vso.core.keys import API_VERSION, GROUP, Kind, OwnerRef
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.kube.config import from_kubeconfig
from vso.kube.secrets import SecretPlan

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests" / "crds"
SYSTEM = "adapter-system"
VALUE = "canary-hunter2"
_numbers = itertools.count(1)

RULES: dict[str, list[Json]] = {
    "writer": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch"]}],
    "deleter": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]}],
    "reader": [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]},
        {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["get", "list", "watch"]},
    ],
    "worker": [
        {
            "apiGroups": [""],
            "resources": ["serviceaccounts/token"],
            "verbs": ["create"],
            "resourceNames": ["app", "no"],
        },
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]},
    ],
    "nobody": [],
}


@dataclass(frozen=True)
class Place:
    """A namespace with an owner for Secrets, and the clients that work in it."""

    bed: RealBed
    namespace: str
    owner: OwnerRef

    def plan(self, name: str = "creds", **changes: Any) -> SecretPlan:
        plan = SecretPlan(
            namespace=self.namespace,
            name=name,
            type="Opaque",
            data={"password": Sensitive.of(VALUE)},
            labels={"team": "a"},
            annotations={"note": "x"},
            owner=self.owner,
            owner_uid=self.owner.uid,
            own=True,
            overwrite=False,
        )
        return replace(plan, **changes)

    def secret(self, name: str = "creds") -> Json:
        return self.bed.kube.find("Secret", self.namespace, name)

    def put_foreign(self, name: str = "creds", **metadata: object) -> Json:
        meta = {"name": name, "namespace": self.namespace, **metadata}
        data = {"theirs": base64.b64encode(b"value").decode()}
        return self.bed.kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})

    def make_owner(self, name: str) -> OwnerRef:
        spec = {"mount": "kv", "path": "app", "type": "kv-v2", "vaultAuthRef": "va", "destination": {"name": "creds"}}
        meta = {"name": name, "namespace": self.namespace}
        made = self.bed.kube.create(
            {"apiVersion": API_VERSION, "kind": "VaultStaticSecret", "metadata": meta, "spec": spec}
        )
        return OwnerRef("VaultStaticSecret", name, made["metadata"]["uid"])

    def calls(self, who: str, mark: Mark) -> list[tuple[str, str, int]]:
        user = f"system:serviceaccount:{SYSTEM}:{who}"
        calls = self.bed.kube_audit(mark)
        return [(call.verb, call.resource, call.code) for call in calls if call.user == user]


def install(bed: RealBed) -> None:
    """Make the CRDs, and a ServiceAccount for each set of rights."""
    bed.kubectl("apply", "-f", str(MANIFESTS))
    bed.kubectl(
        "wait", "--for=condition=Established", "--timeout=30s", f"crd/{Kind.VAULT_STATIC_SECRET.plural}.{GROUP}"
    )
    bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    rbac = "rbac.authorization.k8s.io"
    for name, rules in RULES.items():
        bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": SYSTEM}})
        role = {"kind": "ClusterRole", "metadata": {"name": f"adapter-{name}"}}
        bed.kube.apply({"apiVersion": f"{rbac}/v1", **role, "rules": rules})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}
        reference = {"apiGroup": rbac, "kind": "ClusterRole", "name": f"adapter-{name}"}
        binding = {"kind": "ClusterRoleBinding", "metadata": {"name": f"adapter-{name}"}}
        bed.kube.apply({"apiVersion": f"{rbac}/v1", **binding, "roleRef": reference, "subjects": [subject]})


@contextmanager
def a_place(bed: RealBed) -> Iterator[Place]:
    """A namespace of its own, gone afterwards."""
    namespace = f"adapter-{next(_numbers)}"
    bed.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    empty = Place(bed, namespace, OwnerRef("VaultStaticSecret", "db", ""))
    yield replace(empty, owner=empty.make_owner("db"))
    bed.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")


@asynccontextmanager
async def client_of(bed: RealBed, who: str) -> AsyncIterator[KubeClient]:
    """A client that has the rights of one account and no others."""
    config = bed.kubeconfig(bed.directory / f"adapter-{who}.yaml", bed.token_for(SYSTEM, who))
    async with KubeClient(await from_kubeconfig(str(config)), SystemClock(), user_agent="adapter-test") as client:
        yield client
