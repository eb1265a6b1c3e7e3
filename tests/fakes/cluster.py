"""The API server of one namespace, as far as the controllers use it: a responder for `FakeApiServer`.

Objects of our own kinds are stored with resourceVersions, and a write that names an older one is
refused, as the real server does; a test changes objects with `put` and reads what was written.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.kube_transport import FakeSecrets, Reply, Request, status
from tests.fakes.vault_parts import SA_UID
from vso.core.keys import API_VERSION, Kind, ObjectKey
from vso.core.records import Record
from vso.kube.list_watch import decode_record, decode_secret_metadata

Json = dict[str, Any]
Refusal = Callable[[Request], Reply | None]


def jwt(uid: str = SA_UID) -> str:
    """Return a token as the API server mints it, as far as anybody looks into it."""
    claims = base64.urlsafe_b64encode(json.dumps({"kubernetes.io": {"serviceaccount": {"uid": uid}}}).encode())
    return f"header.{claims.decode().rstrip('=')}.canary-signature"


def merged(target: Json, patch: Json) -> Json:
    """Return the target after a JSON merge patch (RFC 7386)."""
    result = {key: value for key, value in target.items() if patch.get(key, value) is not None}
    for key, value in patch.items():
        if isinstance(value, dict):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, dict) else {}, value)
        elif value is not None:
            result[key] = value
    return result


@dataclass
class FakeCluster:
    """Answers the requests of the controllers."""

    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    objects: dict[str, Json] = field(default_factory=dict)
    workloads: dict[str, Json] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)
    readable: dict[str, Json] = field(default_factory=dict)
    """What a GET finds, by path: ConfigMaps and Secrets that hold trust material, the MAC key."""
    refuse: Refusal | None = None
    """Asked before anything else; a Reply is the answer."""
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1000))

    def put(self, kind: Kind, name: str, spec: Json, namespace: str = "app", **metadata: Any) -> Record:
        """Create an object, or change its spec, labels or annotations as a user does; return how a watch shows it."""
        path = _path(kind, namespace, name)
        old = self.objects.get(path, {"metadata": {"uid": f"uid-of-{name}", "generation": 0}})
        meta = {**old["metadata"], "name": name, "namespace": namespace, **metadata}
        if old.get("spec") != spec:
            meta["generation"] = old["metadata"]["generation"] + 1
        meta["resourceVersion"] = str(next(self._versions))
        self.objects[path] = {**old, "apiVersion": API_VERSION, "kind": str(kind), "spec": spec, "metadata": meta}
        return self.record(kind, name, namespace)

    def record(self, kind: Kind, name: str, namespace: str = "app") -> Record:
        """Return the object as a watch shows it."""
        return decode_record(self.objects[_path(kind, namespace, name)])

    def status(self, kind: Kind, name: str, namespace: str = "app") -> Json:
        """Return the status as it is stored."""
        found: Json = self.objects[_path(kind, namespace, name)].get("status", {})
        return found

    def secret_record(self, name: str) -> Record:
        """Return an owned Secret as the metadata-only watch shows it."""
        return decode_secret_metadata(self.secrets.stored[name])

    def secret_data(self, name: str) -> dict[str, str]:
        """Return the values of a Secret, decoded."""
        data = self.secrets.stored[name]["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def edit_secret(self, name: str, **data: str) -> None:
        """Write into a Secret as somebody else."""
        old = self.secrets.stored[name]
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        meta = {**old["metadata"], "resourceVersion": str(int(old["metadata"]["resourceVersion"]) + 5000)}
        self.secrets.stored[name] = {**old, "metadata": meta, "data": {**old["data"], **encoded}}

    def workload(self, kind_path: str, name: str) -> Json:
        """Have a workload; return it."""
        return self.workloads.setdefault(f"{kind_path}/{name}", {"metadata": {"name": name}})

    def __call__(self, request: Request) -> Reply:
        """Answer one request."""
        refusal = self.refuse(request) if self.refuse else None
        if refusal is not None:
            return refusal
        if request.method == "GET":
            found = self.readable.get(request.path, self.workloads.get(request.path))
            return Reply(200, found) if found is not None else status(404, "NotFound")
        if request.path.startswith("/api/v1/namespaces/app/secrets"):
            return self.secrets(request)
        if "/events" in request.path:
            self.events.append(request.json)
            return Reply(201, {"metadata": {}})
        if request.path.endswith("/token"):
            return Reply(201, {"status": {"token": jwt(), "expirationTimestamp": "2026-01-01T13:00:00Z"}})
        return self._patch(request)

    def _patch(self, request: Request) -> Reply:
        path = request.path.removesuffix("/status")
        stored = self.objects if path in self.objects else self.workloads
        if path not in stored:
            return status(404, "NotFound")
        if "dryRun" in request.query and request.json == {}:
            return Reply(200, stored[path])
        old, body = stored[path], request.json
        named = body.get("metadata", {}).get("resourceVersion")
        if named is not None and named != old["metadata"].get("resourceVersion"):
            return status(409, "Conflict", "the object has been modified")
        new = merged(old, {key: value for key, value in body.items() if key != "metadata"})
        new["metadata"] = merged(old["metadata"], body.get("metadata", {}))
        if new != old:
            new["metadata"] = {**new["metadata"], "resourceVersion": str(next(self._versions))}
            stored[path] = new
        whole = "as=PartialObjectMetadata" not in request.headers.get("Accept", "")
        return Reply(200, stored[path] if whole else {"metadata": stored[path]["metadata"]})


def _path(kind: Kind, namespace: str, name: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.plural}/{name}"


def key(name: str, namespace: str = "app") -> ObjectKey:
    return ObjectKey(namespace, name)
