"""From a VaultAuth to the way its consumers log in.

Invariant: pure; whatever is missing is named at once, all of it; ServiceAccounts and Secrets are of the
consumer's namespace and have plain names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from vso.api.access import VaultAuth, VaultAuthSpec
from vso.api.auth_methods import (
    AppRoleAuth,
    AWSAuth,
    AzureAuth,
    CertAuth,
    GCPAuth,
    GenericAuth,
    JWTAuth,
    KubernetesAuth,
    PasswordAuth,
    TokenAuth,
)
from vso.core.errors import ConfigError, Reason
from vso.decide.names import object_name
from vso.vault.auth.approle import AppRoleWay
from vso.vault.auth.aws import AwsWay
from vso.vault.auth.aws_credentials import KeySource, OwnIdentity, PodIdentity, SecretKeys, WebIdentity
from vso.vault.auth.azure import AzureWay
from vso.vault.auth.certificate import CertificateWay
from vso.vault.auth.gcp import GcpWay
from vso.vault.auth.generic import FromSecret, GenericWay
from vso.vault.auth.given import GivenWay
from vso.vault.auth.kubernetes import JwtWay, KubernetesWay
from vso.vault.auth.password import PasswordWay
from vso.vault.config import LoginConfig
from vso.vault.way import Identity, Way

_Maker = Callable[[VaultAuthSpec, str], Way]
_WITHOUT_MOUNT = frozenset({"token"})


def login_config(auth: VaultAuth, consumer: str, where: str = "") -> LoginConfig:
    """Return how a consumer's namespace logs in by this VaultAuth, which is complete.

    ConfigError names what is missing; `where` is what to call the VaultAuth then.
    """
    meta, spec = auth.metadata, auth.spec
    where = where or f"VaultAuth {meta.namespace}/{meta.name}"
    method = spec.method or ""
    make = _MAKERS.get(method)
    if make is None:
        raise ConfigError(Reason.INVALID_SPEC, f"{where}: spec.method is empty")
    try:
        _needed(method, ("spec.mount", spec.mount or method in _WITHOUT_MOUNT))
        return _config(auth, make(spec, consumer), consumer)
    except ConfigError as error:
        raise ConfigError(error.reason, f"{where}: {error.message}") from None


def _config(auth: VaultAuth, way: Way, consumer: str) -> LoginConfig:
    meta, spec = auth.metadata, auth.spec
    return LoginConfig(
        name=f"{meta.namespace}/{meta.name}",
        uid=meta.uid,
        generation=meta.generation,
        method=spec.method or "",
        mount=spec.mount,
        namespace=spec.namespace,
        consumer=consumer if way.personal else "",
        way=way,
        login_path=spec.login_path or "",
        params=tuple(sorted(spec.params.items())),
        headers=tuple(sorted(spec.headers.items())),
    )


_NO_IAM = "spec.aws.iamEndpoint changes nothing: a login asks STS alone, at spec.aws.stsEndpoint"
WITHOUT_EFFECT = frozenset({_NO_IAM})


def without_effect(spec: VaultAuthSpec) -> tuple[str, ...]:
    """Return what is to be said of fields that are taken, as the reference takes them, and change nothing."""
    asks_iam = spec.method == "aws" and spec.aws is not None and spec.aws.iam_endpoint
    return (_NO_IAM,) if asks_iam else ()


def _kubernetes(spec: VaultAuthSpec, consumer: str) -> Way:
    block = spec.kubernetes or KubernetesAuth()
    _needed(
        "kubernetes",
        ("spec.kubernetes.role", block.role),
        ("spec.kubernetes.serviceAccount", block.service_account),
    )
    return KubernetesWay(block.role, _identity(block, consumer, "spec.kubernetes.serviceAccount"))


def _jwt(spec: VaultAuthSpec, consumer: str) -> Way:
    block = spec.jwt or JWTAuth()
    source = block.service_account or block.secret_ref
    _needed("jwt", ("spec.jwt.role", block.role), ("spec.jwt.serviceAccount or spec.jwt.secretRef", source))
    if block.service_account:
        return JwtWay(block.role, _identity(block, consumer, "spec.jwt.serviceAccount"))
    return JwtWay(block.role, secret=object_name(block.secret_ref, "spec.jwt.secretRef"))


def _app_role(spec: VaultAuthSpec, consumer: str) -> Way:
    del consumer
    block = spec.app_role or AppRoleAuth()
    _needed(
        "appRole",
        ("spec.appRole.roleId", block.role_id),
        ("spec.appRole.secretRef or spec.appRole.secretIDPath", block.secret_ref or block.secret_id_path),
    )
    if block.secret_ref and block.secret_id_path:
        raise ConfigError(
            Reason.INVALID_SPEC, "exactly one of spec.appRole.secretRef and spec.appRole.secretIDPath must be set"
        )
    if block.secret_id_path:
        return AppRoleWay(block.role_id, file=block.secret_id_path, wrapped=block.wrapped_secret_id)
    secret = object_name(block.secret_ref, "spec.appRole.secretRef")
    return AppRoleWay(block.role_id, secret=secret, wrapped=block.wrapped_secret_id)


def _certificate(spec: VaultAuthSpec, consumer: str) -> Way:
    del consumer
    block = spec.cert or CertAuth()
    secret = object_name(block.secret_ref, "spec.cert.secretRef") if block.secret_ref else ""
    return CertificateWay(block.name, secret)


def _userpass(spec: VaultAuthSpec, consumer: str) -> Way:
    del consumer
    return _password("userpass", spec.userpass or PasswordAuth())


def _ldap(spec: VaultAuthSpec, consumer: str) -> Way:
    del consumer
    return _password("ldap", spec.ldap or PasswordAuth())


def _password(method: str, block: PasswordAuth) -> Way:
    _needed(method, (f"spec.{method}.username", block.username), (f"spec.{method}.secretRef", block.secret_ref))
    if "/" in block.username:
        raise ConfigError(Reason.INVALID_SPEC, f"spec.{method}.username must not contain a slash: it is part of a path")
    return PasswordWay(block.username, object_name(block.secret_ref, f"spec.{method}.secretRef"), block.password_key)


def _token(spec: VaultAuthSpec, consumer: str) -> Way:
    del consumer
    block = spec.token or TokenAuth()
    _needed("token", ("spec.token.secretRef or spec.token.path", block.secret_ref or block.path))
    if block.path:
        return GivenWay(file=block.path, renew=block.renew)
    return GivenWay(object_name(block.secret_ref, "spec.token.secretRef"), block.key, renew=block.renew)


def _generic(spec: VaultAuthSpec, consumer: str) -> Way:
    del consumer
    block = spec.generic or GenericAuth()
    parts = (
        FromSecret(part.field, object_name(part.secret_ref, "spec.generic.bodyFrom.secretRef"), part.key)
        for part in block.body_from
    )
    return GenericWay(tuple(sorted(block.body.items())), tuple(parts))


def _aws(spec: VaultAuthSpec, consumer: str) -> Way:
    block = spec.aws or AWSAuth()
    _needed("aws", ("spec.aws.role", block.role))
    return AwsWay(block.role, _keys(block, consumer), block.region, block.sts_endpoint, block.header_value)


def _keys(block: AWSAuth, consumer: str) -> KeySource:
    """Return where the keys come from: a Secret wins over a ServiceAccount, and both over the operator's own."""
    if block.secret_ref:
        return SecretKeys(object_name(block.secret_ref, "spec.aws.secretRef"))
    if block.irsa_service_account:
        account = object_name(block.irsa_service_account, "spec.aws.irsaServiceAccount")
        return WebIdentity(consumer, account, block.role_arn, block.session_name)
    if block.role_arn:
        _needed("aws with spec.aws.roleARN", ("spec.aws.irsaServiceAccount", ""))
    return PodIdentity() if block.pod_identity else OwnIdentity(block.session_name)


def _gcp(spec: VaultAuthSpec, consumer: str) -> Way:
    block = spec.gcp or GCPAuth()
    field = "spec.gcp.workloadIdentityServiceAccount"
    _needed("gcp", ("spec.gcp.role", block.role), (field, block.workload_identity_service_account))
    account = object_name(block.workload_identity_service_account, field)
    return GcpWay(
        role=block.role,
        namespace=consumer,
        service_account=account,
        email=block.service_account_email,
        project=block.project_id,
        location=block.region,
        cluster=block.cluster_name,
    )


def _azure(spec: VaultAuthSpec, consumer: str) -> Way:
    block = spec.azure or AzureAuth()
    _needed("azure", ("spec.azure.role", block.role))
    way = AzureWay(block.role, client=block.client_id, tenant=block.tenant_id)
    way = replace(way, resource=block.resource) if block.resource else way
    if not block.service_account:
        return way
    account = object_name(block.service_account, "spec.azure.serviceAccount")
    return replace(way, namespace=consumer, service_account=account)


def _identity(block: KubernetesAuth | JWTAuth, consumer: str, field: str) -> Identity:
    name = object_name(block.service_account, field)
    return Identity(consumer, name, block.audiences, block.token_expiration_seconds)


def _needed(method: str, *fields: tuple[str, object]) -> None:
    missing = [name for name, value in fields if not value]
    if missing:
        raise ConfigError(Reason.INVALID_SPEC, f"{' and '.join(missing)} must be set for method {method}")


_MAKERS: Mapping[str, _Maker] = {
    "kubernetes": _kubernetes,
    "jwt": _jwt,
    "appRole": _app_role,
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "cert": _certificate,
    "userpass": _userpass,
    "ldap": _ldap,
    "token": _token,
    "generic": _generic,
}

_WAYS: Mapping[str, type[Way]] = {
    "kubernetes": KubernetesWay,
    "jwt": JwtWay,
    "appRole": AppRoleWay,
    "aws": AwsWay,
    "gcp": GcpWay,
    "azure": AzureWay,
    "cert": CertificateWay,
    "userpass": PasswordWay,
    "ldap": PasswordWay,
    "token": GivenWay,
    "generic": GenericWay,
}


def reserved(method: str) -> frozenset[str]:
    """Return the fields of the login request that are the method's own."""
    return _WAYS[method].RESERVED
