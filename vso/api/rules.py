"""What the API server checks beyond types: CEL rules, on our own fields only.

Invariant: an object that the reference operator's CRDs admit breaks no rule, except by what Vault
refuses anyway. Every list or text that a rule walks has a bound, or the API server would refuse the
CRD for the cost of the rule. `self` is the object that the rule stands on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vso.api.access import VaultConnectionSpec
from vso.api.auth_methods import AWSAuth, GenericAuth, TokenAuth
from vso.api.meta import ApiModel
from vso.api.pki import Keystore, PrivateKey, VaultPKISecretSpec
from vso.api.secrets import VaultDynamicSecretSpec, VaultStaticSecretSpec
from vso.api.shared import Template


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL expression that must hold, and what is said when it does not."""

    cel: str
    message: str


def _set(field: str) -> str:
    """Return CEL for "this text is given and not empty"."""
    return f"(has(self.{field}) && self.{field} != '')"


_CA_SOURCES = (_set("caBundle"), "has(self.caCertConfigMapRef)", _set("caCertSecretRef"), _set("caCertPath"))

_CONNECTION = (
    Rule(
        # The two sources of the reference operator alone break no rule here: it refuses them at run time.
        f"!({_CA_SOURCES[0]} || {_CA_SOURCES[1]}) || [{', '.join(_CA_SOURCES)}].filter(given, given).size() == 1",
        "caBundle, caCertConfigMapRef, caCertSecretRef and caCertPath exclude each other: give one of them",
    ),
    Rule(
        f"{_set('clientCertPath')} == {_set('clientKeyPath')}",
        "clientCertPath and clientKeyPath belong together: give both or neither",
    ),
    Rule(
        f"!(has(self.clientCertSecretRef) && {_set('clientCertPath')})",
        "clientCertSecretRef and clientCertPath exclude each other",
    ),
)

_AWS = (
    Rule(
        f"!(has(self.podIdentity) && self.podIdentity && ({_set('secretRef')} || {_set('irsaServiceAccount')}))",
        "podIdentity excludes secretRef and irsaServiceAccount",
    ),
)

_TOKEN = (Rule(f"!({_set('secretRef')} && {_set('path')})", "secretRef and path exclude each other"),)

_GENERIC = (
    Rule(
        "!has(self.body) || !has(self.bodyFrom) || self.bodyFrom.all(entry, !(entry.field in self.body))",
        "a field stands either in body or in bodyFrom",
    ),
)

_STATIC = (
    Rule(
        "self.type == 'kv-v2' || !has(self.data) || self.data.all(item, !has(item.remoteRef.version))",
        "data[].remoteRef.version needs type kv-v2: KV version 1 keeps no versions",
    ),
    Rule(
        "!has(self.data) || self.data.size() == 0 || !has(self.destination.transformation)"
        " || !((has(self.destination.transformation.templates) && self.destination.transformation.templates.size() > 0)"
        " || (has(self.destination.transformation.transformationRefs)"
        " && self.destination.transformation.transformationRefs.size() > 0))",
        "data lists exactly the keys of the Secret: it excludes templates and transformationRefs",
    ),
)

_DYNAMIC = (
    Rule(
        "!(has(self.paramsJSON) && has(self.params) && self.params.size() > 0)",
        "params and paramsJSON exclude each other",
    ),
)

_PKI = (
    Rule(f"!(has(self.ttl) && {_set('notAfter')})", "ttl and notAfter exclude each other: Vault refuses the pair"),
    Rule(
        "!(has(self.isCA) && self.isCA) || (has(self.privateKey) && self.privateKey.source == 'operator')",
        "isCA needs privateKey.source operator: sign-intermediate signs a request made by the operator",
    ),
)

_PRIVATE_KEY = (
    Rule(
        "self.source == 'operator'"
        " || (self.algorithm == 'RSA' && !has(self.size) && !has(self.encoding) && self.rotationPolicy == 'Always')",
        "algorithm, size, encoding and rotationPolicy Never need source operator: the role in Vault decides otherwise",
    ),
    Rule(
        "self.algorithm != 'RSA' || !has(self.size) || self.size in [2048, 3072, 4096, 8192]",
        "size of an RSA key is 2048, 3072, 4096 or 8192",
    ),
    Rule(
        "self.algorithm != 'ECDSA' || !has(self.size) || self.size in [256, 384, 521]",
        "size of an ECDSA key is 256, 384 or 521",
    ),
    Rule("self.algorithm != 'Ed25519' || !has(self.size)", "an Ed25519 key has no size to choose"),
    Rule(
        "self.algorithm != 'Ed25519' || !has(self.encoding) || self.encoding == 'PKCS8'",
        "an Ed25519 key has no encoding but PKCS8",
    ),
)

_KEYSTORE = (Rule("!self.create || has(self.passwordSecretRef)", "create needs passwordSecretRef"),)

_TEMPLATE = (Rule("has(self.text) != has(self.configMapKeyRef)", "give either text or configMapKeyRef"),)

ALL_RULES: Mapping[type[ApiModel], tuple[Rule, ...]] = {
    VaultConnectionSpec: _CONNECTION,
    AWSAuth: _AWS,
    TokenAuth: _TOKEN,
    GenericAuth: _GENERIC,
    VaultStaticSecretSpec: _STATIC,
    VaultDynamicSecretSpec: _DYNAMIC,
    VaultPKISecretSpec: _PKI,
    PrivateKey: _PRIVATE_KEY,
    Keystore: _KEYSTORE,
    Template: _TEMPLATE,
}
"""The rules by the model that each stands on."""


def rules_of(model: type[ApiModel]) -> tuple[Rule, ...]:
    """Return the rules on a model, those of its bases included."""
    return tuple(rule for base in reversed(model.__mro__) if base in ALL_RULES for rule in ALL_RULES[base])
