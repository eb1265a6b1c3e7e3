"""Every field of our kinds that names an object, and what it may lead to: nothing, something at home, or over a border.

Invariant: the fields are taken from the models, so that one that is new is in no group and has no attack yet.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.crd_cases import MINIMAL, Json
from vso.api.crds import crd
from vso.api.name_references import ANY_KEY, leaves
from vso.api.scheme import MODELS
from vso.core.keys import Kind


@dataclass(frozen=True, order=True)
class Field:
    """A field of a kind that names an object."""

    kind: Kind
    path: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.path.removeprefix('spec/')}"

    @property
    def block(self) -> str:
        """The first name below the spec: of a login, its method's block."""
        return self.path.split("/")[1]


def every_field() -> set[Field]:
    """All of them, as the models have them."""
    return {Field(kind, "/".join(leaf.path)) for kind in Kind for leaf in leaves(MODELS[kind]) if leaf.names}


def _of(kinds: tuple[Kind, ...], *paths: str) -> frozenset[Field]:
    return frozenset(Field(kind, f"spec/{path}") for kind in kinds for path in paths)


_LOGINS = (Kind.VAULT_AUTH, Kind.VAULT_AUTH_GLOBAL)
_LIVE = (Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET)
_TRANSFORMED = (*_LIVE, Kind.VAULT_PKI_SECRET, Kind.HCP_VAULT_SECRETS_APP)
_TRANSFORMS = ("transformation/templates/*/configMapKeyRef/name", "transformation/transformationRefs/name")

ACROSS = (
    _of(_LOGINS, "vaultConnectionRef") | _of((Kind.VAULT_AUTH,), "vaultAuthGlobalRef/name") | _of(_LIVE, "vaultAuthRef")
)
"""Leads over a border where `allowedNamespaces` of what is referred to says so."""
TLS = _of((Kind.VAULT_CONNECTION,), "caCertSecretRef", "caCertConfigMapRef/name", "clientCertSecretRef/name")
"""At home: in the namespace of the VaultConnection."""
CREDENTIALS = _of(
    _LOGINS,
    "kubernetes/serviceAccount",
    "jwt/secretRef",
    "jwt/serviceAccount",
    "appRole/secretRef",
    "aws/secretRef",
    "aws/irsaServiceAccount",
    "gcp/workloadIdentityServiceAccount",
    "azure/serviceAccount",
    "cert/secretRef",
    "userpass/secretRef",
    "ldap/secretRef",
    "token/secretRef",
    "generic/bodyFrom/secretRef",
)
"""At home: in the namespace of who logs in."""
WORKLOADS = _of(_LIVE, "rolloutRestartTargets/name")
"""At home: in the namespace of the object."""
WITHOUT_EFFECT = (
    _of(_TRANSFORMED, *(f"destination/{path}" for path in _TRANSFORMS))
    | _of((Kind.VAULT_PKI_SECRET,), "vaultAuthRef", "rolloutRestartTargets/name")
    | _of(
        (Kind.VAULT_PKI_SECRET,), *(f"keystores/{store}/passwordSecretRef/name" for store in ("pkcs12", "truststore"))
    )
    | _of((Kind.HCP_VAULT_SECRETS_APP,), "hcpAuthRef", "rolloutRestartTargets/name")
    | _of((Kind.HCP_AUTH,), "servicePrincipal/secretRef")
    | _of((Kind.CSI_SECRETS,), "vaultAuthRef/name")
    | _of(
        (Kind.CSI_SECRETS,),
        *(
            f"secrets/{part}{path}"
            for part in ("", "vaultAppRoleSecretIDs/", "vaultStaticSecrets/")
            for path in _TRANSFORMS
        ),
    )
)
"""Accepted and not acted on: the object says so, and asks for nothing."""

GROUPS = (ACROSS, TLS, CREDENTIALS, WORKLOADS, WITHOUT_EFFECT)

METHODS: Mapping[str, Json] = {
    "kubernetes": {"role": "app"},
    "jwt": {"role": "app"},
    "appRole": {"roleId": "app"},
    "aws": {"role": "app"},
    "gcp": {
        "role": "app",
        "projectID": "p",
        "region": "r",
        "clusterName": "c",
        "serviceAccountEmail": "app@p.iam.gserviceaccount.com",
    },
    "azure": {"role": "app", "clientID": "c", "tenantID": "t"},
    "cert": {"name": "app"},
    "userpass": {"username": "ada"},
    "ldap": {"username": "ada"},
    "token": {},
    "generic": {},
}
"""What a method's block needs beside the field."""
_BESIDE: Mapping[str, Json] = {
    "configMapKeyRef/name": {"key": "k"},
    "passwordSecretRef/name": {"key": "password"},
    "rolloutRestartTargets/name": {"kind": "Deployment"},
    "bodyFrom/secretRef": {"field": "password", "key": "password"},
    "vaultAppRoleSecretIDs": {"mount": "m", "role": "r"},
    "vaultStaticSecrets": {"mount": "kv", "path": "p", "type": "kv-v2"},
    "aws/irsaServiceAccount": {"roleARN": "arn:aws:iam::1:role/x"},
}


def planted(field: Field, value: str, *, namespace: str = "") -> Json:
    """The least spec of the kind in which the field has that value; a namespace beside it is that, if it has one."""
    schema = crd(field.kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec = copy.deepcopy(MINIMAL[field.kind])
    names = field.path.split("/")[1:]
    target, passed = spec, list[str]()
    for name in names[:-1]:
        passed.append(name)
        schema = schema["additionalProperties"] if name == ANY_KEY else schema["properties"][name]
        target = target.setdefault("any" if name == ANY_KEY else name, [{}] if schema["type"] == "array" else {})
        if isinstance(target, list):
            target, schema = target[0], schema["items"]
        target.update(copy.deepcopy(_beside("/".join(passed))))
    target.update(copy.deepcopy(_beside("/".join(names))))
    if namespace and "namespace" in schema["properties"] and len(names) > 1:
        target["namespace"] = namespace
    target[names[-1]] = value
    return spec


def _beside(path: str) -> Json:
    return next((given for end, given in _BESIDE.items() if path.endswith(end)), {})
