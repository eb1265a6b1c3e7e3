"""One block per way to log in to Vault, as VaultAuth and VaultAuthGlobal spell them.

Invariant: no field of a block is required, because a VaultAuthGlobal may supply it; what is missing
after the merge is found when the login is planned. For the same reason the defaults of our own
fields are not stored: a stored default would look like a wish of the VaultAuth and win the merge.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vso.api.fields import (
    EMPTY,
    MAP_LIST,
    Defaulted,
    SecretName,
    ServiceAccountName,
    StringMap,
    Strings,
    TokenSeconds,
    map_keys,
)
from vso.api.meta import ApiModel


class KubernetesAuth(ApiModel):
    """Log in with a token of a ServiceAccount at the kubernetes auth method."""

    role: str = ""
    """Role of the auth method."""
    service_account: ServiceAccountName = ""
    """ServiceAccount in the namespace of the secret's object to request a token for."""
    audiences: Strings = ()
    """Audiences of the token; the API server's own when empty."""
    token_expiration_seconds: Defaulted[TokenSeconds] = 600
    """Life of the token in seconds."""


class JWTAuth(ApiModel):
    """Log in with a JWT at the jwt auth method."""

    role: str = ""
    """Role of the auth method."""
    secret_ref: SecretName = ""
    """Secret in the namespace of the secret's object whose key jwt holds the JWT."""
    service_account: ServiceAccountName = ""
    """ServiceAccount in the namespace of the secret's object to request a token for; preferred to secretRef."""
    audiences: Strings = ()
    """Audiences of the token; the API server's own when empty."""
    token_expiration_seconds: Defaulted[TokenSeconds] = 600
    """Life of the token in seconds."""


class AppRoleAuth(ApiModel):
    """Log in with a role id and a secret id."""

    role_id: str = ""
    """Role id."""
    secret_ref: SecretName = ""
    """Secret in the namespace of the secret's object whose key id holds the secret id."""
    secret_id_path: str = Field(default="", alias="secretIDPath")
    """File of the operator that holds the secret id, below a prefix that the operator allows; instead of secretRef."""
    wrapped_secret_id: bool = Field(default=False, alias="wrappedSecretID")
    """The Secret or file holds a response-wrapping token instead of the secret id (default false)."""


class AWSAuth(ApiModel):
    """Log in with a signed AWS request."""

    role: str = ""
    """Role of the auth method."""
    region: str = ""
    """AWS region of the STS endpoint; when empty the one of the operator's environment, else us-east-1."""
    header_value: str = ""
    """Value of the signed X-Vault-AWS-IAM-Server-ID header, if Vault asks for one."""
    session_name: str = ""
    """Session name of the assumed role, with irsaServiceAccount."""
    sts_endpoint: str = ""
    """URL of the STS endpoint that is signed and asked; that of the region when empty."""
    iam_endpoint: str = ""
    """URL of the IAM endpoint; without effect, since STS alone is asked."""
    secret_ref: SecretName = ""
    """Secret in the namespace of the secret's object with access_key_id, secret_access_key, session_token."""
    irsa_service_account: ServiceAccountName = ""
    """ServiceAccount in the namespace of the secret's object, annotated with the AWS role that it may assume."""
    role_arn: str = Field(default="", alias="roleARN")
    """AWS role to assume with the token of irsaServiceAccount, instead of its annotation."""
    pod_identity: bool = False
    """Use the EKS Pod Identity of the operator's pod, in a VaultAuth of the operator's namespace (default false)."""


class GCPAuth(ApiModel):
    """Log in by workload identity of Google Cloud."""

    role: str = ""
    """Role of the auth method."""
    workload_identity_service_account: ServiceAccountName = ""
    """ServiceAccount in the namespace of the secret's object, annotated with its Google service account."""
    region: str = ""
    """Location of the cluster; asked of the metadata server when empty."""
    cluster_name: str = ""
    """Name of the cluster; asked of the metadata server when empty."""
    project_id: str = Field(default="", alias="projectID")
    """Google project; asked of the metadata server when empty."""
    service_account_email: str = ""
    """Google service account to act as, instead of the annotation of the ServiceAccount."""


class AzureAuth(ApiModel):
    """Log in with a token of Azure."""

    role: str = ""
    """Role of the auth method."""
    resource: str = ""
    """Resource that the token is for, as the auth method is configured (default https://management.azure.com/)."""
    client_id: str = Field(default="", alias="clientID")
    """Client id of the managed identity or application; the annotation of the ServiceAccount when empty."""
    tenant_id: str = Field(default="", alias="tenantID")
    """Tenant of the application; the annotation of the ServiceAccount, else the operator's environment, when empty."""
    service_account: ServiceAccountName = ""
    """ServiceAccount in the namespace of the secret's object; the identity of the machine when empty."""


class CertAuth(ApiModel):
    """Log in with a TLS client certificate."""

    name: str = ""
    """Role of the auth method; any that fits the certificate when empty."""
    secret_ref: SecretName = ""
    """TLS Secret in the namespace of the secret's object; the client certificate of the VaultConnection when empty."""


class PasswordAuth(ApiModel):
    """Log in with a user name and a password."""

    username: str = ""
    """User name."""
    secret_ref: SecretName = ""
    """Secret in the namespace of the secret's object that holds the password."""
    password_key: str = "password"
    """Key of the Secret (default password)."""


class TokenAuth(ApiModel):
    """Use a token as it is; it is never revoked here, and read again when it changes."""

    secret_ref: SecretName = ""
    """Secret in the namespace of the secret's object that holds the token."""
    key: str = "token"
    """Key of the Secret (default token)."""
    path: str = ""
    """File of the operator that holds the token, below a prefix that the operator allows; instead of secretRef."""
    renew: bool = True
    """Renew the token before it ends (default true)."""


class BodyField(ApiModel):
    """One field of the login request, taken from a Secret."""

    field: Annotated[str, Field(min_length=1, max_length=253)]
    """Field of the request's body."""
    secret_ref: Annotated[SecretName, Field(max_length=253)]
    """Secret in the namespace of the secret's object."""
    key: Annotated[str, Field(max_length=253)]
    """Key of the Secret."""


class GenericAuth(ApiModel):
    """Log in at any endpoint, with a body of one's own."""

    body: Annotated[StringMap, Field(max_length=64)] = EMPTY
    """Fields of the request's body that are no secret."""
    body_from: Annotated[tuple[BodyField, ...], MAP_LIST, map_keys("field"), Field(max_length=64)] = ()
    """Fields of the request's body that are taken from Secrets."""


class MethodDefaults(ApiModel):
    """What a VaultAuthGlobal says besides, for those who log in by one method."""

    namespace: str = ""
    """Vault namespace of the auth method."""
    mount: str = ""
    """Mount of the auth method."""
    params: StringMap = EMPTY
    """Further fields of the login request's body."""
    headers: StringMap = EMPTY
    """Headers of the login request."""


class GlobalKubernetesAuth(MethodDefaults, KubernetesAuth):
    """Defaults for those who log in by the kubernetes method."""


class GlobalJWTAuth(MethodDefaults, JWTAuth):
    """Defaults for those who log in by the jwt method."""


class GlobalAppRoleAuth(MethodDefaults, AppRoleAuth):
    """Defaults for those who log in by the approle method."""


class GlobalAWSAuth(MethodDefaults, AWSAuth):
    """Defaults for those who log in by the aws method."""


class GlobalGCPAuth(MethodDefaults, GCPAuth):
    """Defaults for those who log in by the gcp method."""


class GlobalAzureAuth(MethodDefaults, AzureAuth):
    """Defaults for those who log in by the azure method."""


class GlobalCertAuth(MethodDefaults, CertAuth):
    """Defaults for those who log in by the cert method."""


class GlobalPasswordAuth(MethodDefaults, PasswordAuth):
    """Defaults for those who log in by user name and password."""


class GlobalTokenAuth(MethodDefaults, TokenAuth):
    """Defaults for those who use a token as it is."""


class GlobalGenericAuth(MethodDefaults, GenericAuth):
    """Defaults for those who log in at an endpoint of their own."""
