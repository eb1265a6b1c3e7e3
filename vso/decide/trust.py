"""Which Secret and which ConfigMap a VaultConnection's TLS material is in.

Invariant: pure; both are of the VaultConnection's own namespace and have plain names; of several sources of a CA one
is taken, always the same.
"""

from __future__ import annotations

from vso.api.access import VaultConnectionSpec
from vso.core.errors import ConfigError, Reason
from vso.core.keys import ObjectKey
from vso.decide.names import object_name


def ca_secret(spec: VaultConnectionSpec, namespace: str) -> ObjectKey | None:
    """Return the Secret with the CA; None where it is elsewhere. ConfigError says what excludes what."""
    if spec.ca_cert_secret_ref and spec.ca_cert_path:
        raise ConfigError(Reason.INVALID_SPEC, "spec.caCertSecretRef and spec.caCertPath exclude each other")
    if spec.ca_bundle or not spec.ca_cert_secret_ref:
        return None
    return ObjectKey(namespace, object_name(spec.ca_cert_secret_ref, "spec.caCertSecretRef"))


def ca_config_map(spec: VaultConnectionSpec, namespace: str) -> ObjectKey | None:
    """Return the ConfigMap with the CA; None where it is elsewhere."""
    if spec.ca_bundle or spec.ca_cert_secret_ref or spec.ca_cert_config_map_ref is None:
        return None
    return ObjectKey(namespace, object_name(spec.ca_cert_config_map_ref.name, "spec.caCertConfigMapRef.name"))


def certificate_secret(spec: VaultConnectionSpec, namespace: str) -> ObjectKey | None:
    """Return the Secret with the client certificate; None where there is none, or it is a file."""
    if spec.client_cert_secret_ref is None:
        return None
    return ObjectKey(namespace, object_name(spec.client_cert_secret_ref.name, "spec.clientCertSecretRef.name"))
