"""What the CRDs admit and what they refuse, as tables: for each rule a good object and a bad one."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from vso.core.keys import Kind

Json = dict[str, Any]

VC, VA, VAG = Kind.VAULT_CONNECTION, Kind.VAULT_AUTH, Kind.VAULT_AUTH_GLOBAL
VSS, VDS, VPS = Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET, Kind.VAULT_PKI_SECRET
VST, HCPA = Kind.SECRET_TRANSFORMATION, Kind.HCP_AUTH
HVSA, CSI = Kind.HCP_VAULT_SECRETS_APP, Kind.CSI_SECRETS

DESTINATION: Json = {"name": "app"}
MINIMAL: dict[Kind, Json] = {
    VC: {"address": "http://vault:8200"},
    VA: {"method": "kubernetes", "mount": "kubernetes", "kubernetes": {"role": "app", "serviceAccount": "app"}},
    VAG: {"kubernetes": {"role": "app"}},
    VSS: {"mount": "kv", "path": "app", "type": "kv-v2", "destination": DESTINATION},
    VDS: {"mount": "db", "path": "creds/app", "destination": DESTINATION},
    VPS: {"mount": "pki", "role": "app", "destination": DESTINATION},
    VST: {"templates": {"a": {"text": "x"}}},
    HCPA: {"organizationID": "o", "projectID": "p"},
    HVSA: {"appName": "a", "destination": DESTINATION, "syncConfig": {"dynamic": {}}},
    CSI: {"accessControl": {"serviceAccountPattern": ".*"}, "secrets": {}},
}


def changed(kind: Kind, changes: Json) -> Json:
    """The minimal spec with changes at dotted paths; None takes a field away."""
    spec = copy.deepcopy(MINIMAL[kind])
    for path, value in changes.items():
        *parents, last = path.split(".")
        target = spec
        for parent in parents:
            target = target.setdefault(parent, {})
        if value is None:
            target.pop(last, None)
        else:
            target[last] = value
    return spec


@dataclass(frozen=True)
class Case:
    """Changes that are admitted, changes that are not, and what the API server says to the latter."""

    kind: Kind
    good: Json
    bad: Json
    message: str


def item(key: str = "a", **remote: object) -> Json:
    return {"secretKey": key, "remoteRef": {"key": "k", **remote}}


OPERATOR_KEY = {"privateKey.source": "operator"}
TEMPLATES = "destination.transformation.templates"
CA_MESSAGE = "caBundle, caCertConfigMapRef, caCertSecretRef and caCertPath exclude each other: give one of them"
KEY_MESSAGE = (
    "algorithm, size, encoding and rotationPolicy Never need source operator: the role in Vault decides otherwise"
)

RULES = [
    Case(VC, {"caBundle": "YQ=="}, {"caBundle": "YQ==", "caCertPath": "/ca"}, CA_MESSAGE),
    Case(
        VC,
        {"caCertConfigMapRef": {"name": "ca"}, "caCertSecretRef": ""},
        {"caCertConfigMapRef": {"name": "ca"}, "caCertSecretRef": "ca"},
        CA_MESSAGE,
    ),
    Case(VC, {"caCertPath": "/ca", "caBundle": ""}, {"caBundle": "YQ==", "caCertConfigMapRef.name": "ca"}, CA_MESSAGE),
    Case(
        VC,
        {"clientCertPath": "/c", "clientKeyPath": "/k"},
        {"clientCertPath": "/c"},
        "clientCertPath and clientKeyPath belong together: give both or neither",
    ),
    Case(
        VC,
        {"clientCertSecretRef.name": "c"},
        {"clientCertSecretRef.name": "c", "clientCertPath": "/c", "clientKeyPath": "/k"},
        "clientCertSecretRef and clientCertPath exclude each other",
    ),
    Case(
        VA,
        {"aws.podIdentity": True, "aws.secretRef": ""},
        {"aws.podIdentity": True, "aws.secretRef": "s"},
        "podIdentity excludes secretRef and irsaServiceAccount",
    ),
    Case(
        VAG,
        {"token.path": "/t"},
        {"token.path": "/t", "token.secretRef": "s"},
        "secretRef and path exclude each other",
    ),
    Case(
        VA,
        {"generic.body": {"a": "1"}, "generic.bodyFrom": [{"field": "b", "secretRef": "s", "key": "k"}]},
        {"generic.body": {"b": "1"}, "generic.bodyFrom": [{"field": "b", "secretRef": "s", "key": "k"}]},
        "a field stands either in body or in bodyFrom",
    ),
    Case(
        VSS,
        {"data": [item(version=1)]},
        {"type": "kv-v1", "data": [item(version=1)]},
        "data[].remoteRef.version needs type kv-v2: KV version 1 keeps no versions",
    ),
    Case(
        VSS,
        {"data": [], TEMPLATES: {"a": {"text": "x"}}},
        {"data": [item()], TEMPLATES: {"a": {"text": "x"}}},
        "data lists exactly the keys of the Secret: it excludes templates and transformationRefs",
    ),
    Case(
        VSS,
        {TEMPLATES: {"a": {"configMapKeyRef": {"name": "c", "key": "k"}}}},
        {TEMPLATES: {"a": {"text": "x", "configMapKeyRef": {"name": "c", "key": "k"}}}},
        "give either text or configMapKeyRef",
    ),
    Case(
        VDS,
        {"paramsJSON": {"a": [1, {"b": True}]}, "params": {}},
        {"paramsJSON": {"a": 1}, "params": {"a": "1"}},
        "params and paramsJSON exclude each other",
    ),
    Case(
        VPS,
        {"ttl": "30d", "notAfter": ""},
        {"ttl": "30d", "notAfter": "2030-01-01T00:00:00Z"},
        "ttl and notAfter exclude each other: Vault refuses the pair",
    ),
    Case(
        VPS,
        {"isCA": True, **OPERATOR_KEY},
        {"isCA": True},
        "isCA needs privateKey.source operator: sign-intermediate signs a request made by the operator",
    ),
    Case(VPS, {"privateKey": {}}, {"privateKey": {"size": 2048}}, KEY_MESSAGE),
    Case(
        VPS, {**OPERATOR_KEY, "privateKey.rotationPolicy": "Never"}, {"privateKey.rotationPolicy": "Never"}, KEY_MESSAGE
    ),
    Case(
        VPS,
        {**OPERATOR_KEY, "privateKey.size": 4096},
        {**OPERATOR_KEY, "privateKey.size": 1024},
        "size of an RSA key is 2048, 3072, 4096 or 8192",
    ),
    Case(
        VPS,
        {**OPERATOR_KEY, "privateKey.algorithm": "ECDSA", "privateKey.size": 384},
        {**OPERATOR_KEY, "privateKey.algorithm": "ECDSA", "privateKey.size": 2048},
        "size of an ECDSA key is 256, 384 or 521",
    ),
    Case(
        VPS,
        {**OPERATOR_KEY, "privateKey.algorithm": "Ed25519"},
        {**OPERATOR_KEY, "privateKey.algorithm": "Ed25519", "privateKey.size": 256},
        "an Ed25519 key has no size to choose",
    ),
    Case(
        VPS,
        {**OPERATOR_KEY, "privateKey.algorithm": "Ed25519", "privateKey.encoding": "PKCS8"},
        {**OPERATOR_KEY, "privateKey.algorithm": "Ed25519", "privateKey.encoding": "PKCS1"},
        "an Ed25519 key has no encoding but PKCS8",
    ),
    Case(
        VPS,
        {"keystores.pkcs12": {"create": True, "passwordSecretRef": {"name": "s", "key": "k"}}},
        {"keystores.truststore": {"create": True}},
        "create needs passwordSecretRef",
    ),
]

CHECKS = [
    Case(VC, {"timeout": "1.5m"}, {"timeout": "1m30s"}, "spec.timeout"),
    Case(VC, {"skipTLSVerify": True}, {"address": None}, "spec.address: Required value"),
    Case(VC, {"caBundle": "YWJj\nYWI=\n"}, {"caBundle": "-----BEGIN CERTIFICATE-----"}, "spec.caBundle"),
    Case(VC, {"maxConcurrency": 1}, {"maxConcurrency": 0}, "spec.maxConcurrency"),
    Case(VC, {"rateLimit.requestsPerSecond": 5}, {"rateLimit": {}}, "spec.rateLimit.requestsPerSecond: Required value"),
    Case(VA, {"method": "approle"}, {"method": "AppRole"}, "spec.method: Unsupported value"),
    Case(VA, {"method": None}, {"kubernetes.tokenExpirationSeconds": 599}, "spec.kubernetes.tokenExpirationSeconds"),
    Case(VA, {"vaultAuthGlobalRef.name": "a.b-c"}, {"vaultAuthGlobalRef.name": "A"}, "spec.vaultAuthGlobalRef.name"),
    Case(VA, {"loginPath": "login/x"}, {"loginPath": "/login"}, "spec.loginPath"),
    Case(
        VA,
        {"vaultAuthGlobalRef.mergeStrategy.params": "union"},
        {"vaultAuthGlobalRef.mergeStrategy.params": "merge"},
        "spec.vaultAuthGlobalRef.mergeStrategy.params: Unsupported value",
    ),
    Case(
        VA,
        {"generic.bodyFrom": [{"field": f, "secretRef": "s", "key": "k"} for f in "ab"]},
        {"generic.bodyFrom": [{"field": f, "secretRef": "s", "key": "k"} for f in "aa"]},
        "spec.generic.bodyFrom[1]: Duplicate value",
    ),
    Case(VAG, {"defaultAuthMethod": "ldap"}, {"defaultAuthMethod": "radius"}, "spec.defaultAuthMethod"),
    Case(VSS, {"refreshAfter": "30s"}, {"refreshAfter": "1h30m"}, "spec.refreshAfter"),
    Case(VSS, {"type": "kv-v1"}, {"type": "kv"}, "spec.type: Unsupported value"),
    Case(VSS, {"version": 0}, {"version": -1}, "spec.version"),
    Case(VSS, {"data": [item("a"), item("b")]}, {"data": [item("a"), item("a")]}, "spec.data[1]: Duplicate value"),
    Case(VSS, {"data": [item("a.b_C-1")]}, {"data": [item("a/b")]}, "spec.data[0].secretKey"),
    Case(VSS, {"data": [item(version=1)]}, {"data": [item(version=0)]}, "spec.data[0].remoteRef.version"),
    Case(
        VSS,
        {"data": [item(decodingStrategy="Auto")]},
        {"data": [item(decodingStrategy="Hex")]},
        "spec.data[0].remoteRef.decodingStrategy: Unsupported value",
    ),
    Case(
        VSS,
        {"rolloutRestartTargets": [{"kind": "argo.Rollout", "name": "r"}]},
        {"rolloutRestartTargets": [{"kind": "Job", "name": "r"}]},
        "spec.rolloutRestartTargets[0].kind: Unsupported value",
    ),
    Case(VSS, {"destination.onDelete": "Retain"}, {"destination.onDelete": "Orphan"}, "spec.destination.onDelete"),
    Case(VSS, {"onSourceDeleted": "Delete"}, {"onSourceDeleted": "Retain"}, "spec.onSourceDeleted: Unsupported value"),
    Case(VSS, {"staleAfter": "1h"}, {"staleAfter": "1d"}, "spec.staleAfter"),
    Case(VDS, {"renewalPercent": 0}, {"renewalPercent": 91}, "spec.renewalPercent"),
    Case(VDS, {"requestHTTPMethod": "PUT"}, {"requestHTTPMethod": "LIST"}, "spec.requestHTTPMethod: Unsupported value"),
    Case(VDS, {"overlap": "1m"}, {"overlap": "soon"}, "spec.overlap"),
    Case(VPS, {"expiryOffset": "24h"}, {"expiryOffset": "1d"}, "spec.expiryOffset"),
    Case(VPS, {"ttl": "1d"}, {"ttl": "1w"}, "spec.ttl"),
    Case(VST, {"sourceTemplates": [{"text": "x"}]}, {"sourceTemplates": [{"name": "x"}]}, "sourceTemplates[0].text"),
    Case(HCPA, {"method": "servicePrincipal"}, {"method": "userPass"}, "spec.method: Unsupported value"),
    Case(HVSA, {"refreshAfter": "1h"}, {"refreshAfter": "often"}, "spec.refreshAfter"),
    Case(
        CSI,
        {"accessControl.matchPolicy": "any"},
        {"accessControl.matchPolicy": "one"},
        "spec.accessControl.matchPolicy",
    ),
]
