"""The API server as its administrator sees it: a thin synchronous client over plain JSON objects.

Invariant: it never retries; what the server refuses is a KubeError with the server's own words.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.testbed.pki import KeyPair
from tests.testbed.waiting import eventually

Json = dict[str, Any]
PatchType = Literal["merge", "json", "strategic"]

_PATCH_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_CLUSTER_WIDE = {
    "Namespace",
    "Node",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
}
_API_VERSIONS = {
    "v1": (
        "Namespace",
        "Node",
        "Secret",
        "ConfigMap",
        "ServiceAccount",
        "Pod",
        "Service",
        "Event",
        "ResourceQuota",
        "LimitRange",
    ),
    "apps/v1": ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"),
    "batch/v1": ("Job",),
    "rbac.authorization.k8s.io/v1": ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    "apiextensions.k8s.io/v1": ("CustomResourceDefinition",),
    "coordination.k8s.io/v1": ("Lease",),
    "admissionregistration.k8s.io/v1": (
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    ),
    "argoproj.io/v1alpha1": ("Rollout",),
    "secrets.hashicorp.com/v1beta1": (
        "VaultConnection",
        "VaultAuth",
        "VaultAuthGlobal",
        "VaultStaticSecret",
        "VaultDynamicSecret",
        "VaultPKISecret",
        "SecretTransformation",
        "HCPAuth",
        "HCPVaultSecretsApp",
        "CSISecrets",
    ),
}
_API_VERSION_OF = {kind: version for version, kinds in _API_VERSIONS.items() for kind in kinds}
_PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


class KubeError(Exception):
    """The API server refused."""

    def __init__(self, status: int, reason: str, message: str, body: Json) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.body = body


@dataclass(frozen=True)
class KubeAccess:
    """Where the API server is and who asks: a token or a client certificate."""

    url: str
    ca: Path
    token: str | None = field(default=None, repr=False)
    certificate: KeyPair | None = None


class KubeAdmin:
    """The API server's objects by kind, namespace and name."""

    def __init__(self, access: KubeAccess) -> None:
        self.access = access
        self._client = self._connect()
        self._applied: dict[str, Json] = {}

    def reconnect(self) -> None:
        """Forget the open connections, for a server that was started anew."""
        self._client.close()
        self._client = self._connect()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def raw(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send any request and return whatever comes back; keywords are those of httpx."""
        return self._client.request(method, path, **kwargs)

    def get(self, path: str, **params: str) -> Json:
        """GET a path."""
        return self._ask("GET", path, params=params)

    def find(self, kind: str, namespace: str | None, name: str) -> Json:
        """Get one object."""
        return self._ask("GET", object_path(kind, namespace, name))

    def exists(self, kind: str, namespace: str | None, name: str) -> bool:
        """Whether the object is there."""
        return self.raw("GET", object_path(kind, namespace, name)).status_code == 200

    def list(self, kind: str, namespace: str | None = None, **params: str) -> list[Json]:
        """All objects of a kind, in one namespace or everywhere."""
        found: list[Json] = self._ask("GET", object_path(kind, namespace), params=params)["items"]
        return found

    def create(self, obj: Json) -> Json:
        """Create an object."""
        return self._ask("POST", path_of(obj, named=False), json=obj)

    def apply(self, obj: Json) -> Json:
        """Create an object or make it what is said, as `kubectl apply` does: what this client said before and no more goes."""
        path = path_of(obj)
        try:
            answer = self.create(obj)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
            change = _dropped(self._applied.get(path, {}), obj)
            answer = self._ask("PATCH", path, json=change, headers={"Content-Type": _PATCH_TYPES["merge"]})
        self._applied[path] = obj
        return answer

    def patch(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        body: object,
        *,
        type_: PatchType = "merge",
        subresource: str = "",
    ) -> Json:
        """Patch an object or a subresource of it."""
        path = object_path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return self._ask("PATCH", path, json=body, headers={"Content-Type": _PATCH_TYPES[type_]})

    def replace(self, obj: Json) -> Json:
        """PUT an object."""
        return self._ask("PUT", path_of(obj), json=obj)

    def delete(self, kind: str, namespace: str | None, name: str, **params: str) -> Json:
        """Delete an object."""
        return self._ask("DELETE", object_path(kind, namespace, name), params=params)

    def remove(self, obj: Json) -> None:
        """Delete the object that a manifest names, if it is there."""
        try:
            self._ask("DELETE", path_of(obj))
        except KubeError as error:
            if error.status != 404:
                raise

    def _ask(self, method: str, path: str, **kwargs: Any) -> Json:
        response = self.raw(method, path, **kwargs)
        if response.status_code == 429:  # an API server that has just started fills its caches
            response = eventually(lambda: self._unless_busy(method, path, **kwargs), message=f"{path} is served")
        try:
            body = response.json()
        except ValueError:
            body = {"message": response.text[:500]}
        if response.is_success:
            return dict(body)
        raise KubeError(response.status_code, body.get("reason", ""), body.get("message", ""), body)

    def _unless_busy(self, method: str, path: str, **kwargs: Any) -> httpx.Response | None:
        response = self.raw(method, path, **kwargs)
        return None if response.status_code == 429 else response

    def _connect(self) -> httpx.Client:
        headers = {"User-Agent": "testbed-admin"}
        if self.access.token is not None:
            headers["Authorization"] = f"Bearer {self.access.token}"
        return httpx.Client(
            base_url=self.access.url, verify=tls_context(self.access), headers=headers, timeout=30, trust_env=False
        )


def tls_context(access: KubeAccess) -> ssl.SSLContext:
    """The TLS settings of a client with this access."""
    context = ssl.create_default_context(cafile=access.ca)
    if access.certificate is not None:
        context.load_cert_chain(access.certificate.certificate, access.certificate.key)
    return context


def plural(kind: str) -> str:
    """The resource name of a kind."""
    lower = kind.lower()
    return _PLURALS.get(kind) or (lower if lower.endswith("s") else f"{lower}s")


def object_path(kind: str, namespace: str | None, name: str | None = None, api_version: str | None = None) -> str:
    """The URL path of an object or a collection."""
    version = api_version or _API_VERSION_OF[kind]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = f"/namespaces/{namespace}" if namespace and kind not in _CLUSTER_WIDE else ""
    return f"{base}{inside}/{plural(kind)}" + (f"/{name}" if name else "")


def path_of(obj: Json, *, named: bool = True) -> str:
    """The URL path of an object's manifest; without a namespace a namespaced object goes to `default`."""
    kind, metadata = obj["kind"], obj["metadata"]
    name = metadata["name"] if named else None
    return object_path(kind, metadata.get("namespace", "default"), name, obj.get("apiVersion"))


def _dropped(before: Mapping[str, Any], now: Json) -> Json:
    """The merge patch to `now` that also removes what was said before and is said no more."""
    change: Json = {key: None for key in before if key not in now}
    for key, value in now.items():
        earlier = before.get(key)
        change[key] = _dropped(earlier, value) if isinstance(value, dict) and isinstance(earlier, dict) else value
    return change
