"""A team: one namespace, and what its people do in it and see of it.

Invariant: a team asks as its people would; what it sees is what the API server shows, never the operator's word.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.conformance.install import OPERATOR_NAMESPACE, Json
from tests.testbed.bed import KubeError, eventually
from vso.core.keys import Kind

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

GROUP = "secrets.hashicorp.com/v1beta1"
AUDIENCE = "vault"


class Team:
    """One namespace: its ServiceAccount, Vault role and policy, and the objects that it applies."""

    def __init__(self, stage: Stage, namespace: str) -> None:
        self.stage = stage
        self.bed = stage.bed
        self.ns = namespace

    def found(self) -> None:
        """Create the namespace, the ServiceAccount `app`, the policy and the role."""
        kube = self.bed.kube
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.ns}})
        kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app", "namespace": self.ns}})
        self.policy(
            f'path "kv/data/{self.ns}/*" {{ capabilities = ["read"] }}\npath "kv1/{self.ns}/*" {{ capabilities = ["read"] }}\n'
        )
        self.role()

    def policy(self, hcl: str) -> None:
        """Replace the team's Vault policy."""
        self.bed.vault.policy(self.ns, hcl)

    def role(self, **changes: Any) -> None:
        """Write the team's Vault role."""
        role = {
            "bound_service_account_names": "app",
            "bound_service_account_namespaces": self.ns,
            "audience": AUDIENCE,
            "token_policies": self.ns,
            "token_ttl": "20m",
        }
        self.bed.vault.write(f"auth/kubernetes/role/{self.ns}", {**role, **changes})

    def leave(self) -> None:
        """Delete the namespace, with all that is in it."""
        self.bed.kube.remove({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.ns}})

    def disband(self) -> None:
        """Delete what the team applied; the namespace goes by itself, or with the operator that watches it by name."""
        if self.ns not in self.stage.watched:
            self.leave()
            return
        for kind in Kind:
            for found in self.bed.kube.list(kind, self.ns):
                self.bed.kube.remove(self.manifest(kind, found["metadata"]["name"], {}))

    def put(self, path: str, data: Json, mount: str = "kv") -> None:
        """Write a version of the team's secret at `<team>/<path>`, in KV v2."""
        self.bed.vault.kv2_put(mount, f"{self.ns}/{path}", data)

    def put_v1(self, path: str, data: Json) -> None:
        """Write the team's secret at `<team>/<path>`, in KV v1."""
        self.bed.vault.write(f"kv1/{self.ns}/{path}", data)

    def access(self, *, address: str | None = None, connection: Json | None = None, auth: Json | None = None) -> None:
        """Apply a VaultConnection `vault` and a VaultAuth `auth`."""
        self.apply("VaultConnection", "vault", {"address": address or self.bed.vault.url, **(connection or {})})
        self.apply("VaultAuth", "auth", self.auth_spec(**(auth or {})))

    def auth_spec(self, **changes: Any) -> Json:
        """The spec of a VaultAuth that works."""
        kubernetes = {
            "role": self.ns,
            "serviceAccount": "app",
            "audiences": [AUDIENCE],
            **changes.pop("kubernetes", {}),
        }
        return {
            "vaultConnectionRef": "vault",
            "method": "kubernetes",
            "mount": "kubernetes",
            "kubernetes": kubernetes,
            **changes,
        }

    def grant(self, resource: str, name: str, verb: str = "get") -> None:
        """Let the operator read one Secret or ConfigMap of the team's, or have a token of one more ServiceAccount."""
        meta = {"name": f"{verb}-{name}", "namespace": self.ns}
        rbac = "rbac.authorization.k8s.io"
        rule: Json = {"apiGroups": [""], "resources": [resource], "resourceNames": [name], "verbs": [verb]}
        subject = {"kind": "ServiceAccount", "name": "vault-secrets-operator", "namespace": OPERATOR_NAMESPACE}
        role = {"apiGroup": rbac, "kind": "Role", "name": meta["name"]}
        self.bed.kube.apply({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": [rule]})
        binding = {"kind": "RoleBinding", "metadata": meta, "roleRef": role, "subjects": [subject]}
        self.bed.kube.apply({"apiVersion": f"{rbac}/v1", **binding})

    def keep(self, name: str, **entries: str) -> None:
        """Keep a Secret of the team's own, which the operator may read."""
        meta = {"name": name, "namespace": self.ns}
        self.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": entries})
        self.grant("secrets", name)

    def manifest(self, kind: str, name: str, spec: Json, **metadata: Any) -> Json:
        """An object of the API group in the team's namespace."""
        return {
            "apiVersion": GROUP,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.ns, **metadata},
            "spec": spec,
        }

    def apply(self, kind: str, name: str, spec: Json, **metadata: Any) -> Json:
        """Apply an object of the API group."""
        return self.bed.kube.apply(self.manifest(kind, name, spec, **metadata))

    def secret_spec(
        self, path: str = "app", *, name: str = "app", destination: Json | None = None, **changes: Any
    ) -> Json:
        """The spec of a VaultStaticSecret on `<team>/<path>`."""
        return {
            "vaultAuthRef": "auth",
            "mount": "kv",
            "type": "kv-v2",
            "path": f"{self.ns}/{path}",
            "refreshAfter": "1s",
            "destination": {"name": name, "create": True, **(destination or {})},
            **changes,
        }

    def static(self, name: str = "app", path: str = "app", *, metadata: Json | None = None, **changes: Any) -> Json:
        """Apply a VaultStaticSecret."""
        changes.setdefault("destination", {})
        destination_name = changes["destination"].get("name", name)
        return self.apply(
            "VaultStaticSecret", name, self.secret_spec(path, name=destination_name, **changes), **(metadata or {})
        )

    def ready(
        self, *, address: str | None = None, connection: Json | None = None, data: Json | None = None, **changes: Any
    ) -> None:
        """Have a VaultStaticSecret `app` in order, on a Vault secret `<team>/app`."""
        self.access(address=address, connection=connection)
        self.put("app", data or {"password": "v1"})
        self.static(**changes)
        self.wait_ready()

    def get(self, kind: str = "VaultStaticSecret", name: str = "app") -> Json:
        """An object of the API group as the API server has it."""
        return self.bed.kube.find(kind, self.ns, name)

    def patch(self, body: Json, kind: str = "VaultStaticSecret", name: str = "app") -> Json:
        """Merge a change into an object of the API group."""
        return self.bed.kube.patch(kind, self.ns, name, body)

    def condition(self, type_: str, kind: str = "VaultStaticSecret", name: str = "app") -> Json:
        """A condition of an object; empty when it is not there."""
        conditions = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == type_), {})

    def wait_condition(
        self,
        type_: str,
        status: str = "True",
        reason: str | None = None,
        *,
        kind: str = "VaultStaticSecret",
        name: str = "app",
        timeout: float = 20,
    ) -> Json:
        """Wait until a condition has the status (and reason) for the current generation."""

        def holds() -> Json | None:
            found = self.get(kind, name)
            if found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
                return None
            condition = next(
                (c for c in found["status"].get("conditions", []) if c["type"] == type_), {"status": "absent"}
            )
            right = condition["status"] == status and (reason is None or condition.get("reason") == reason)
            return condition if right else None

        return eventually(
            holds,
            timeout=timeout,
            message=lambda: (
                f"{kind} {self.ns}/{name}: {type_}={status} {reason or ''}; it has {self.get(kind, name).get('status')}"
            ),
        )

    def wait_ready(self, name: str = "app", kind: str = "VaultStaticSecret", timeout: float = 20) -> None:
        """Wait until an object is in order for its current generation."""
        self.wait_condition("Ready", kind=kind, name=name, timeout=timeout)

    def secret(self, name: str = "app") -> Json | None:
        """The Kubernetes Secret, or None."""
        try:
            return self.bed.kube.find("Secret", self.ns, name)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def data(self, name: str = "app") -> dict[str, str] | None:
        """The decoded data of the Secret, or None when there is no Secret."""
        found = self.secret(name)
        if found is None:
            return None
        return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

    def the_secret(self, name: str = "app") -> Json:
        """The Kubernetes Secret, which must be there."""
        found = self.secret(name)
        assert found is not None, f"there is no Secret {self.ns}/{name}"
        return found

    def the_data(self, name: str = "app") -> dict[str, str]:
        """The decoded data of the Secret, which must be there."""
        found = self.data(name)
        assert found is not None, f"there is no Secret {self.ns}/{name}"
        return found

    def wait_data(
        self, expected: dict[str, str] | Callable[[dict[str, str]], bool], name: str = "app", timeout: float = 20
    ) -> dict[str, str]:
        """Wait until the Secret's data equals (or satisfies) what is expected."""

        def holds() -> dict[str, str] | None:
            found = self.data(name)
            if found is None:
                return None
            right = expected(found) if callable(expected) else found == expected
            return found if right else None

        return eventually(
            holds,
            timeout=timeout,
            message=lambda: f"Secret {self.ns}/{name} holds {expected}; it holds {self.data(name)}",
        )

    def events(self, name: str = "app", reason: str | None = None) -> list[Json]:
        """The events on an object of the team."""
        found = self.bed.kube.get(f"/api/v1/namespaces/{self.ns}/events")["items"]
        return [e for e in found if e["involvedObject"]["name"] == name and reason in (None, e["reason"])]
