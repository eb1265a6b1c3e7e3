"""Which fields the CRDs have, with which defaults, values and bounds."""

from __future__ import annotations

import pytest

from tests.unit.api.schemas import (
    CSI,
    DURATION,
    HCPA,
    HVSA,
    KINDS,
    METHODS,
    VA,
    VAG,
    VC,
    VDS,
    VPS,
    VSS,
    VST,
    WITH_DESTINATION,
    Schema,
    field,
    root,
    walk,
)
from vso.core.keys import Kind

REFERENCE_DEFAULTS = [
    (VC, "spec.skipTLSVerify", False),
    (VA, "spec.kubernetes.tokenExpirationSeconds", 600),
    (VA, "spec.jwt.tokenExpirationSeconds", 600),
    (VAG, "spec.kubernetes.tokenExpirationSeconds", 600),
    (VAG, "spec.jwt.tokenExpirationSeconds", 600),
    (VSS, "spec.hmacSecretData", True),
    (VDS, "spec.renewalPercent", 67),
    (HVSA, "spec.refreshAfter", "600s"),
    (HVSA, "spec.syncConfig.dynamic.renewalPercent", 67),
    (HCPA, "spec.method", "servicePrincipal"),
    (CSI, "spec.accessControl.matchPolicy", "all"),
    *((kind, "spec.destination.create", False) for kind in WITH_DESTINATION),
    *((kind, "spec.destination.overwrite", False) for kind in WITH_DESTINATION),
]
OWN_DEFAULTS = [
    (VC, "spec.caCertConfigMapRef.key", "ca.crt"),
    (VC, "spec.clientCertSecretRef.certKey", "tls.crt"),
    (VC, "spec.clientCertSecretRef.keyKey", "tls.key"),
    (VC, "spec.maxConcurrency", 16),
    (VC, "spec.rateLimit.burst", 1),
    (VSS, "spec.onSourceDeleted", "Keep"),
    (VDS, "spec.overlap", "5m"),
    (VPS, "spec.privateKey.source", "vault"),
    (VPS, "spec.privateKey.algorithm", "RSA"),
    (VPS, "spec.privateKey.rotationPolicy", "Always"),
    (VPS, "spec.isCA", False),
    (VPS, "spec.keystores.pkcs12.create", False),
    (VPS, "spec.keystores.truststore.create", False),
    *((kind, "spec.suspend", False) for kind in (VSS, VDS, VPS)),
    *((kind, "spec.destination.onDelete", "Delete") for kind in WITH_DESTINATION),
]


@pytest.mark.parametrize(("kind", "path", "default"), REFERENCE_DEFAULTS + OWN_DEFAULTS)
def test_the_default_is_stored(kind: Kind, path: str, default: object) -> None:
    assert field(kind, path)["default"] == default


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_no_other_default(kind: Kind) -> None:
    known = {path for of, path, _ in REFERENCE_DEFAULTS + OWN_DEFAULTS if of is kind} | {"status"}
    assert {path for path, schema in walk(root(kind)) if "default" in schema} == known


@pytest.mark.parametrize(
    ("kind", "path", "values"),
    [
        (VA, "spec.method", METHODS),
        (VAG, "spec.defaultAuthMethod", METHODS),
        (VA, "spec.vaultAuthGlobalRef.mergeStrategy.headers", ["union", "replace", "none"]),
        (VA, "spec.vaultAuthGlobalRef.mergeStrategy.params", ["union", "replace", "none"]),
        (VSS, "spec.type", ["kv-v1", "kv-v2"]),
        (VSS, "spec.onSourceDeleted", ["Keep", "Delete"]),
        (VSS, "spec.data[].remoteRef.decodingStrategy", ["None", "Base64", "Base64URL", "Auto"]),
        (VSS, "spec.destination.onDelete", ["Delete", "Retain"]),
        (VDS, "spec.requestHTTPMethod", ["GET", "POST", "PUT"]),
        (VPS, "spec.privateKey.source", ["vault", "operator"]),
        (VPS, "spec.privateKey.algorithm", ["RSA", "ECDSA", "Ed25519"]),
        (VPS, "spec.privateKey.encoding", ["PKCS1", "PKCS8"]),
        (VPS, "spec.privateKey.rotationPolicy", ["Always", "Never"]),
        (HCPA, "spec.method", ["servicePrincipal"]),
        (CSI, "spec.accessControl.matchPolicy", ["any", "all"]),
        (CSI, "spec.secrets.vaultStaticSecrets[].type", ["kv-v1", "kv-v2"]),
        *(
            (kind, "spec.rolloutRestartTargets[].kind", ["Deployment", "DaemonSet", "StatefulSet", "argo.Rollout"])
            for kind in WITH_DESTINATION
        ),
        *((kind, "status.conditions[].status", ["True", "False", "Unknown"]) for kind in Kind),
    ],
)
def test_the_enum_admits(kind: Kind, path: str, values: list[str]) -> None:
    assert field(kind, path)["enum"] == values


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        (VC, "spec.timeout", {"pattern": DURATION}),
        (VSS, "spec.refreshAfter", {"pattern": DURATION}),
        (VSS, "spec.staleAfter", {"pattern": DURATION}),
        (VDS, "spec.refreshAfter", {"pattern": DURATION}),
        (VDS, "spec.overlap", {"pattern": DURATION}),
        (VPS, "spec.expiryOffset", {"pattern": DURATION}),
        (VPS, "spec.ttl", {"pattern": r"^([0-9]+(\.[0-9]+)?(s|m|h|d))$"}),
        (HVSA, "spec.refreshAfter", {"pattern": DURATION}),
        (VA, "spec.vaultAuthGlobalRef.name", {"pattern": "^([a-z0-9.-]{1,253})$"}),
        (VA, "spec.vaultAuthGlobalRef.namespace", {"pattern": "^([a-z0-9-]{1,63})$"}),
        (VA, "spec.kubernetes.tokenExpirationSeconds", {"minimum": 600, "format": "int64"}),
        (VA, "spec.jwt.tokenExpirationSeconds", {"minimum": 600, "format": "int64"}),
        (VSS, "spec.version", {"minimum": 0}),
        (VDS, "spec.renewalPercent", {"minimum": 0, "maximum": 90}),
        (HVSA, "spec.syncConfig.dynamic.renewalPercent", {"minimum": 0, "maximum": 90}),
        (VSS, "spec.data[].remoteRef.version", {"minimum": 1}),
        (VSS, "spec.data[].secretKey", {"minLength": 1, "maxLength": 253, "pattern": "^[-._a-zA-Z0-9]+$"}),
        (VC, "spec.caBundle", {"type": "string", "pattern": r"^[A-Za-z0-9+/\s]*={0,2}\s*$"}),
        (VDS, "spec.paramsJSON", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        (VSS, "spec.data", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["secretKey"]}),
        (VA, "spec.generic.bodyFrom", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["field"]}),
        (VSS, "status.lastGeneration", {"type": "integer", "format": "int64"}),
        (VDS, "status.lastRenewalTime", {"type": "integer", "format": "int64"}),
        (VDS, "status.secretLease.duration", {"type": "integer"}),
        (VPS, "status.expiration", {"type": "integer", "format": "int64"}),
        (VDS, "status.secretLease.tokenExpireTime", {"type": "string", "format": "date-time"}),
    ],
)
def test_the_field_is_checked(kind: Kind, path: str, expected: Schema) -> None:
    found = field(kind, path)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("kind", "path", "required"),
    [
        (VC, "spec", ["address"]),
        (VSS, "spec", ["mount", "path", "type", "destination"]),
        (VDS, "spec", ["mount", "path", "destination"]),
        (VPS, "spec", ["mount", "role", "destination"]),
        (VSS, "spec.destination", ["name"]),
        (VSS, "spec.rolloutRestartTargets[]", ["kind", "name"]),
        (VSS, "spec.destination.transformation.transformationRefs[]", ["name"]),
        (VSS, "spec.data[]", ["secretKey", "remoteRef"]),
        (VSS, "spec.data[].remoteRef", ["key"]),
        (VA, "spec", []),
        (VA, "spec.storageEncryption", ["mount", "keyName"]),
        (VAG, "spec", []),
        (VST, "spec.templates{}", ["text"]),
        (VST, "spec.sourceTemplates[]", ["text"]),
        (HCPA, "spec", ["organizationID", "projectID"]),
        (HVSA, "spec", ["appName", "destination"]),
        (CSI, "spec", ["accessControl", "secrets"]),
        *((VA, f"spec.{block}", []) for block in METHODS if block != "approle"),
    ],
)
def test_only_these_are_required(kind: Kind, path: str, required: list[str]) -> None:
    assert field(kind, path).get("required", []) == required


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (VC, "address headers tlsServerName caCertSecretRef caCertPath skipTLSVerify timeout"),
        (
            VA,
            "vaultConnectionRef vaultAuthGlobalRef namespace allowedNamespaces method mount params headers storageEncryption",
        ),
        (
            VAG,
            "allowedNamespaces vaultConnectionRef defaultVaultNamespace defaultAuthMethod defaultMount params headers",
        ),
        (
            VSS,
            "vaultAuthRef namespace mount path type version refreshAfter hmacSecretData rolloutRestartTargets syncConfig",
        ),
        (
            VDS,
            "vaultAuthRef namespace mount path requestHTTPMethod params renewalPercent revoke allowStaticCreds syncConfig",
        ),
        (
            VPS,
            "vaultAuthRef namespace mount role revoke clear expiryOffset issuerRef commonName altNames ipSans uriSans",
        ),
        (VPS, "otherSans userIDs ttl format privateKeyFormat notAfter excludeCNFromSans destination"),
        (VST, "templates sourceTemplates includes excludes"),
        (HCPA, "organizationID projectID allowedNamespaces method servicePrincipal"),
        (HVSA, "appName hcpAuthRef refreshAfter rolloutRestartTargets destination syncConfig"),
        (CSI, "namespace accessControl secrets syncConfig vaultAuthRef"),
    ],
)
def test_the_reference_operators_fields_are_there(kind: Kind, names: str) -> None:
    assert set(names.split()) <= field(kind, "spec")["properties"].keys()


BLOCKS = {
    "kubernetes": "role serviceAccount audiences tokenExpirationSeconds",
    "jwt": "role secretRef serviceAccount audiences tokenExpirationSeconds",
    "appRole": "roleId secretIDPath secretRef wrappedSecretID",
    "aws": "role region headerValue sessionName stsEndpoint iamEndpoint secretRef irsaServiceAccount roleARN podIdentity",
    "gcp": "role workloadIdentityServiceAccount region clusterName projectID serviceAccountEmail",
    "azure": "role resource clientID tenantID serviceAccount",
    "cert": "name secretRef",
    "userpass": "username secretRef passwordKey",
    "ldap": "username secretRef passwordKey",
    "token": "secretRef key path renew",
    "generic": "body bodyFrom",
}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_method_block_has_exactly_these_fields(block: str) -> None:
    own = set(BLOCKS[block].split())
    assert field(VA, f"spec.{block}")["properties"].keys() == own
    assert field(VAG, f"spec.{block}")["properties"].keys() == own | {"namespace", "mount", "params", "headers"}
