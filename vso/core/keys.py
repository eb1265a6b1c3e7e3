"""Names of things: which kind, which object, who owns it.

Invariant: a key names an object and carries nothing of its content.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GROUP = "secrets.hashicorp.com"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"


class Kind(StrEnum):
    """The ten kinds of the API group."""

    VAULT_CONNECTION = "VaultConnection"
    VAULT_AUTH = "VaultAuth"
    VAULT_AUTH_GLOBAL = "VaultAuthGlobal"
    VAULT_STATIC_SECRET = "VaultStaticSecret"
    VAULT_DYNAMIC_SECRET = "VaultDynamicSecret"
    VAULT_PKI_SECRET = "VaultPKISecret"
    SECRET_TRANSFORMATION = "SecretTransformation"
    HCP_AUTH = "HCPAuth"
    HCP_VAULT_SECRETS_APP = "HCPVaultSecretsApp"
    CSI_SECRETS = "CSISecrets"

    @property
    def plural(self) -> str:
        """The resource name in URLs and RBAC rules."""
        lower = self.value.lower()
        return lower if lower.endswith("s") else f"{lower}s"


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Namespace and name of an object whose kind the context tells."""

    namespace: str
    name: str

    @classmethod
    def of(cls, text: str) -> ObjectKey:
        """Return the key that is written so, as namespace/name."""
        namespace, _, name = text.partition("/")
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class KindKey:
    """A key together with its kind."""

    kind: Kind
    key: ObjectKey

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


@dataclass(frozen=True, slots=True)
class OwnerRef:
    """The four fields that an owner reference written by us has, and no others."""

    kind: str
    name: str
    uid: str
    api_version: str = API_VERSION
