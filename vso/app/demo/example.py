"""What the demo applies: the application's objects as Git would hold them, and its side of Vault.

Invariant: pure data, and no secret value in any object; the values go to Vault and nowhere else.
"""

from __future__ import annotations

from typing import Any, Final

from vso.app import rbac
from vso.core.keys import API_VERSION, Kind

Object = dict[str, Any]

NAMESPACE: Final = "app"
SECRET: Final = "app-config"
"""The name of the VaultStaticSecret and of the Secret that it makes."""
REFRESH: Final = "2s"
KEYS: Final = {"DB_USERNAME": "db_username", "DB_PASSWORD": "db_password"}
"""Keys of the Secret and the fields in Vault that they come from."""

DATABASE: Final = "app-db"
"""The name of the VaultDynamicSecret and of the Secret that it makes."""
LEASE: Final = ("2s", "4s")
"""The life of a lease and the longest that renewals can make of it: short, so that there is something to see."""

_ACCOUNT: Final = "app-sa"
_ROLE: Final = "app"
_AUDIENCE: Final = "vault"
_PATH: Final = "app/config"


def operator() -> tuple[Object, ...]:
    """Return the operator's namespace, ServiceAccount and rights, as an install in mode full makes them."""
    return (_namespace(rbac.NAMESPACE), _service_account(rbac.NAMESPACE, rbac.NAME), *rbac.objects(full=True))


def ground() -> tuple[Object, ...]:
    """Return what is there before any Secret is wanted: the application's namespace and ServiceAccount."""
    return (_namespace(NAMESPACE), _service_account(NAMESPACE, _ACCOUNT))


def intent(vault_address: str) -> tuple[Object, ...]:
    """Return the three objects of the GitOps example."""
    return (
        _custom(Kind.VAULT_CONNECTION, "vault", {"address": vault_address}),
        _custom(
            Kind.VAULT_AUTH,
            "va-k8s",
            {
                "vaultConnectionRef": "vault",
                "method": "kubernetes",
                "mount": "kubernetes",
                "kubernetes": {"role": _ROLE, "serviceAccount": _ACCOUNT, "audiences": [_AUDIENCE]},
            },
        ),
        _custom(
            Kind.VAULT_STATIC_SECRET,
            SECRET,
            {
                "vaultAuthRef": "va-k8s",
                "mount": "kv",
                "type": "kv-v2",
                "path": _PATH,
                "refreshAfter": REFRESH,
                "destination": {"create": True, "name": SECRET},
                "data": [{"secretKey": key, "remoteRef": {"key": field}} for key, field in KEYS.items()],
            },
        ),
    )


def dynamic_intent() -> Object:
    """Return the object that asks for credentials of the database."""
    spec = {
        "vaultAuthRef": "va-k8s",
        "mount": "database",
        "path": f"creds/{_ROLE}",
        "overlap": "1s",
        "destination": {"create": True, "name": DATABASE, "transformation": {"excludeRaw": True}},
    }
    return _custom(Kind.VAULT_DYNAMIC_SECRET, DATABASE, spec)


def database_writes() -> tuple[tuple[str, Object], ...]:
    """Return a database engine, its role, and the policy with which the application may have credentials of it."""
    life, longest = LEASE
    policy = (
        f'path "kv/data/{_PATH}" {{\n  capabilities = ["read"]\n}}\n'
        f'path "database/creds/{_ROLE}" {{\n  capabilities = ["read"]\n}}\n'
        'path "sys/leases/revoke" {\n  capabilities = ["update"]\n}\n'
    )
    return (
        ("sys/mounts/database", {"type": "database"}),
        ("database/config/db", {"plugin_name": "sandbox", "allowed_roles": "*"}),
        (f"database/roles/{_ROLE}", {"db_name": "db", "default_ttl": life, "max_ttl": longest}),
        (f"sys/policies/acl/{_ROLE}", {"policy": policy}),
    )


def vault_writes() -> tuple[tuple[str, Object], ...]:
    """Return the policy and the role that let the application's ServiceAccount read its own path."""
    policy = f'path "kv/data/{_PATH}" {{\n  capabilities = ["read"]\n}}\n'
    role = {
        "bound_service_account_names": _ACCOUNT,
        "bound_service_account_namespaces": NAMESPACE,
        "audience": _AUDIENCE,
        "token_policies": _ROLE,
        "token_ttl": "20m",
    }
    return ((f"sys/policies/acl/{_ROLE}", {"policy": policy}), (f"auth/kubernetes/role/{_ROLE}", role))


def vault_values(password: str) -> tuple[str, Object]:
    """Return where the application's fields are in Vault, and one version of them."""
    return f"kv/data/{_PATH}", {"data": {"db_username": "app", "db_password": password}}


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _service_account(namespace: str, name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def _custom(kind: Kind, name: str, spec: Object) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": kind.value,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
