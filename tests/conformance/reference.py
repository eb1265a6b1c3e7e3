"""What the reference operator leaves behind when it is scaled to nothing: Secrets, statuses, finalizers, Lease and key.

Invariant: written as the reference operator writes it, by an administrator, while no operator of ours runs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from tests.conformance.stage import GROUP, OPERATOR_NAMESPACE, Json, Team
from tests.testbed.bed import Bed

KEY_NAME = "vso-cc-storage-hmac-key"
KEY = bytes(range(16))
KEY_LABELS = {
    "app.kubernetes.io/name": "vault-secrets-operator",
    "app.kubernetes.io/managed-by": "hashicorp-vso",
    "app.kubernetes.io/component": "client-cache-storage-verification",
}
LEADER_LEASE = "b0d477c0.hashicorp.com"
LONG_AGO = "2026-01-02T03:04:05Z"
_VOLATILE = re.compile("^ttl|rotation_schedule|rotation_period|last_vault_rotation|_raw$")


def coded(value: bytes) -> str:
    """A value as a Secret holds it."""
    return base64.b64encode(value).decode()


def go_json(value: object) -> str:
    """Go's encoding of what Vault answered: sorted, compact, HTML escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def mac(data: Mapping[str, str], key: bytes = KEY) -> str:
    """The MAC of a Secret's data, as `status.secretMAC` has it."""
    message = json.dumps(dict(data), sort_keys=True, separators=(",", ":"))
    return coded(hmac.digest(key, message.encode(), hashlib.sha256))


def lasting(data: Mapping[str, str]) -> dict[str, str]:
    """The data of static credentials without what the reference operator leaves out of their MAC."""
    return {name: value for name, value in data.items() if not _VOLATILE.search(name)}


def put_key(bed: Bed, namespace: str = OPERATOR_NAMESPACE) -> Json:
    """The MAC key of the reference operator."""
    meta = {"name": KEY_NAME, "namespace": namespace, "labels": KEY_LABELS}
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "immutable": True, "data": {"key": coded(KEY)}}
    bed.kube.remove(key)
    return bed.kube.create(key)


def put_leader_lease(bed: Bed, namespace: str = OPERATOR_NAMESPACE) -> None:
    """Its Lease, which it does not give back when it ends."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {
        "holderIdentity": "vault-secrets-operator-controller-manager-5d4f8b7c9-x2x7k_11111111-2222-3333-4444-555555555555",
        "leaseDurationSeconds": 15,
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": 3,
    }
    meta = {"name": LEADER_LEASE, "namespace": namespace}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
    bed.kube.remove(lease)
    bed.kube.create(lease)


def put_client_cache(team: Team, namespace: str = OPERATOR_NAMESPACE) -> Json:
    """A Secret in which it kept the token of a client."""
    key = cache_key(team)
    labels = {
        "app.kubernetes.io/name": "vault-secrets-operator",
        "app.kubernetes.io/managed-by": "vso",
        "app.kubernetes.io/component": "client-cache-storage",
        "cacheKey": key,
    }
    meta = {"name": f"vso-cc-{key}", "namespace": namespace, "labels": labels}
    data = {"secret": coded(b'{"client_token":"kept"}'), "messageMAC": coded(bytes(32))}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "immutable": True, "data": data}
    team.bed.kube.remove(secret)
    return team.bed.kube.create(secret)


def whole_data(answer: Json, values: Json) -> dict[str, str]:
    """A Secret's data: each field, strings as they are, and Vault's answer under `_raw`."""
    told = {name: value if isinstance(value, str) else go_json(value) for name, value in values.items()}
    return {name: coded(value.encode()) for name, value in {**told, "_raw": go_json(answer)}.items()}


def owner_labels(uid: str) -> dict[str, str]:
    """The four labels of a Secret that it has written."""
    return {
        "app.kubernetes.io/name": "vault-secrets-operator",
        "app.kubernetes.io/managed-by": "hashicorp-vso",
        "app.kubernetes.io/component": "secret-sync",
        "secrets.hashicorp.com/vso-ownerRefUID": uid,
    }


def leave_secret(team: Team, kind: str, name: str, data: Mapping[str, str]) -> Json:
    """The Secret of an object, as the reference operator writes it; the Secret as the API server has it."""
    uid = team.get(kind, name)["metadata"]["uid"]
    owner = {"apiVersion": GROUP, "kind": kind, "name": name, "uid": uid}
    meta = {"name": name, "namespace": team.ns, "labels": owner_labels(uid), "ownerReferences": [owner]}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": dict(data)}
    return team.bed.kube.create(secret)


def conditions(kind: str) -> list[Json]:
    """The conditions of an object in order."""
    pairs = [("Healthy", "Healthy"), ("Ready", "Ready")]
    if kind.endswith("Secret"):
        pairs.append(("SecretSynced", "Synced"))
    return [
        {
            "type": type_,
            "status": "True",
            "reason": reason,
            "message": f"{kind} {type_}",
            "observedGeneration": 1,
            "lastTransitionTime": LONG_AGO,
        }
        for type_, reason in pairs
    ]


def client_meta(team: Team) -> Json:
    """`vaultClientMeta` of a secret's status."""
    return {"cacheKey": cache_key(team), "id": "0" * 64}


def finalizer(kind: str) -> str:
    """Its finalizer of a kind."""
    return f"{kind.lower()}.secrets.hashicorp.com/finalizer"


def leave(team: Team, kind: str, name: str, status: Json, *more_finalizers: str) -> None:
    """Status and finalizer of an object, as the reference operator writes them."""
    body = {"status": {"conditions": conditions(kind), **status}}
    team.bed.kube.patch(kind, team.ns, name, body, subresource="status")
    team.patch({"metadata": {"finalizers": [finalizer(kind), *more_finalizers]}}, kind, name)


def cache_key(team: Team) -> str:
    """The published format of the key of a Vault client."""
    auth, connection = team.get("VaultAuth", "auth")["metadata"], team.get("VaultConnection", "vault")["metadata"]
    account = team.bed.kube.find("ServiceAccount", team.ns, "app")["metadata"]
    parts = (f"{auth['uid']}-{auth['generation']}", f"{connection['uid']}-{connection['generation']}", account["uid"])
    digest = hashlib.sha256(".".join(parts).encode()).digest()
    return f"kubernetes-{(digest[:7] + digest[28:]).hex()}"
