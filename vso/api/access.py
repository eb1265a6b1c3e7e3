"""How Vault is reached and who logs in: VaultConnection, VaultAuth, VaultAuthGlobal.

Invariant: an empty string means the same as a field that is not there.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vso.api.auth_methods import (
    AppRoleAuth,
    AWSAuth,
    AzureAuth,
    CertAuth,
    GCPAuth,
    GenericAuth,
    GlobalAppRoleAuth,
    GlobalAWSAuth,
    GlobalAzureAuth,
    GlobalCertAuth,
    GlobalGCPAuth,
    GlobalGenericAuth,
    GlobalJWTAuth,
    GlobalKubernetesAuth,
    GlobalPasswordAuth,
    GlobalTokenAuth,
    JWTAuth,
    KubernetesAuth,
    PasswordAuth,
    TokenAuth,
)
from vso.api.fields import (
    EMPTY,
    AuthMethod,
    Base64,
    ConfigMapName,
    Defaulted,
    Duration,
    Int32,
    LoginPath,
    SecretName,
    StringMap,
    Strings,
    Time,
    VaultAuthGlobalName,
    VaultConnectionName,
)
from vso.api.meta import ApiModel, Referred, Resource, Status

FilePath = Annotated[str, Field(max_length=4096)]


class ConfigMapRef(ApiModel):
    """A ConfigMap that holds CA certificates."""

    name: ConfigMapName
    """Name of the ConfigMap, in the namespace of the VaultConnection."""
    key: Defaulted[str] = "ca.crt"
    """Key that holds the certificates, as PEM."""


class CertificateRef(ApiModel):
    """A Secret that holds a client certificate."""

    name: SecretName
    """Name of the Secret, in the namespace of the VaultConnection."""
    cert_key: Defaulted[str] = "tls.crt"
    """Key that holds the certificate, as PEM."""
    key_key: Defaulted[str] = "tls.key"
    """Key that holds the private key, as PEM."""


class RateLimit(ApiModel):
    """How often Vault may be asked."""

    requests_per_second: Annotated[Int32, Field(ge=1)]
    """Requests per second in the long run."""
    burst: Defaulted[Annotated[Int32, Field(ge=1)]] = 1
    """Requests that may go out at once after a pause."""


class VaultConnectionSpec(ApiModel):
    """Where Vault is and how it is trusted."""

    address: str
    """URL of Vault, for example https://vault.example.com:8200."""
    namespace: str = ""
    """Vault namespace (Enterprise), used where neither the VaultAuth nor the secret names one."""
    headers: StringMap = EMPTY
    """Headers of every request; X-Vault-Namespace cannot be set here."""
    tls_server_name: str = Field(default="", alias="tlsServerName")
    """Name that the certificate of Vault must bear, if it is not the host of the address."""
    ca_bundle: Base64 = ""
    """CA certificates, as Base64 of PEM."""
    ca_cert_secret_ref: SecretName = ""
    """Secret in the namespace of this object whose key ca.crt holds CA certificates."""
    ca_cert_config_map_ref: ConfigMapRef | None = None
    """ConfigMap in the namespace of this object that holds CA certificates."""
    ca_cert_path: str = ""
    """File of the operator with CA certificates, below a prefix that the operator allows."""
    client_cert_secret_ref: CertificateRef | None = None
    """Secret in the namespace of this object with the client certificate for mutual TLS."""
    client_cert_path: FilePath = ""
    """File of the operator with the client certificate, below a prefix that the operator allows."""
    client_key_path: FilePath = ""
    """File of the operator with the key of the client certificate, below a prefix that the operator allows."""
    skip_tls_verify: Defaulted[bool] = Field(default=False, alias="skipTLSVerify")
    """Do not verify the certificate of Vault; never outside a test."""
    timeout: Duration | None = None
    """How long a request may take; 60s when not given."""
    allowed_namespaces: Strings | None = None
    """Namespaces whose objects may refer to this one besides its own; all of them with "*" alone. When not given: every
    namespace, but with a client certificate its own."""
    max_concurrency: Defaulted[Annotated[Int32, Field(ge=1, le=1024)]] = 16
    """Requests to Vault in flight at one time."""
    rate_limit: RateLimit | None = None
    """How often Vault may be asked; without limit when not given."""


class VaultConnectionStatus(Status):
    """What is known of Vault."""

    ALWAYS = frozenset({"observedGeneration", "valid"})

    valid: bool | None = None
    """Whether the specification can be used."""
    version: str = ""
    """Version of Vault."""
    sealed: bool | None = None
    """Whether Vault was sealed when it was last asked."""
    last_probe: Time | None = None
    """When the last probe that found a change was made."""


class VaultConnection(Resource):
    """Where Vault is and how it is trusted."""

    spec: VaultConnectionSpec
    """What is wanted."""
    status: VaultConnectionStatus = Field(default_factory=VaultConnectionStatus)
    """What the operator has found and done; written by the operator alone."""


class MergeStrategy(ApiModel):
    """How values of the VaultAuthGlobal and of the VaultAuth come together."""

    headers: Literal["union", "replace", "none"] | None = None
    """For headers: the union of both, the first that is set, or the VaultAuth's alone (none, the default)."""
    params: Literal["union", "replace", "none"] | None = None
    """For params: the union of both, the first that is set, or the VaultAuth's alone (none, the default)."""


class VaultAuthGlobalRef(ApiModel):
    """The VaultAuthGlobal that supplies what a VaultAuth leaves out."""

    name: Annotated[VaultAuthGlobalName, Field(pattern=r"^([a-z0-9.-]{1,253})$")] | None = None
    """Name of the VaultAuthGlobal."""
    namespace: Annotated[str, Field(pattern=r"^([a-z0-9-]{1,63})$")] | None = None
    """Its namespace; that of the VaultAuth when not given."""
    allow_default: bool | None = None
    """Take the VaultAuthGlobal named default when no name is given."""
    merge_strategy: MergeStrategy | None = None
    """How params and headers of the two come together."""


class StorageEncryption(ApiModel):
    """The Transit key that encrypts stored tokens."""

    mount: str
    """Mount of the Transit engine."""
    key_name: str
    """Name of the key."""


class VaultAuthSpec(ApiModel):
    """Who logs in to Vault, and how."""

    vault_connection_ref: VaultConnectionName = ""
    """VaultConnection, as name or namespace/name; the one named default in the operator's namespace when empty."""
    vault_auth_global_ref: VaultAuthGlobalRef | None = None
    """VaultAuthGlobal that supplies what is left out here."""
    namespace: str = ""
    """Vault namespace (Enterprise) of the login and, unless the secret names one, of its requests."""
    allowed_namespaces: Strings = ()
    """Namespaces whose objects may refer to this one besides its own; all of them with "*" alone."""
    method: AuthMethod | None = None
    """Auth method; approle means the same as appRole. The block of the same name belongs to it."""
    mount: str = ""
    """Mount of the auth method."""
    login_path: LoginPath | None = None
    """Path of the login below auth/<mount>/; login when not given, login/<username> for userpass and ldap."""
    params: StringMap = EMPTY
    """Further fields of the login request's body."""
    headers: StringMap = EMPTY
    """Headers of the login request."""
    kubernetes: KubernetesAuth | None = None
    """Log in with a token of a ServiceAccount at the kubernetes auth method."""
    jwt: JWTAuth | None = None
    """Log in with a JWT at the jwt auth method."""
    app_role: AppRoleAuth | None = None
    """Log in with a role id and a secret id."""
    aws: AWSAuth | None = None
    """Log in with a signed AWS request."""
    gcp: GCPAuth | None = None
    """Log in by workload identity of Google Cloud."""
    azure: AzureAuth | None = None
    """Log in with a token of Azure, by workload identity or the machine's identity."""
    cert: CertAuth | None = None
    """Log in with a TLS client certificate."""
    userpass: PasswordAuth | None = None
    """Log in with a user name and a password of Vault."""
    ldap: PasswordAuth | None = None
    """Log in with a user name and a password of an LDAP directory."""
    token: TokenAuth | None = None
    """Use a token as it is."""
    generic: GenericAuth | None = None
    """Log in at any endpoint, with a body of one's own."""
    storage_encryption: StorageEncryption | None = None
    """Transit key with which the operator encrypts the tokens that it stores."""


class VaultAuthStatus(Status):
    """What is known of the logins."""

    ALWAYS = frozenset({"observedGeneration", "valid"})

    valid: bool | None = None
    """Whether the specification can be used."""
    error: str = ""
    """Why not."""
    spec_hash: str = ""
    """Hash of the specification after the merge with the VaultAuthGlobal."""
    identity_count: Int32 = 0
    """How many identities log in by this object; those whose login fails are left out."""
    token_type: str = ""
    """Type of the tokens that Vault gives: service or batch."""
    warnings: Strings = ()
    """What works, yet not for long or not well."""


class VaultAuth(Resource):
    """Who logs in to Vault, and how."""

    spec: VaultAuthSpec = Field(default_factory=VaultAuthSpec)
    """What is wanted."""
    status: VaultAuthStatus = Field(default_factory=VaultAuthStatus)
    """What the operator has found and done; written by the operator alone."""


class VaultAuthGlobalSpec(ApiModel):
    """What VaultAuths that refer to it leave out."""

    allowed_namespaces: Strings = ()
    """Namespaces whose VaultAuths may refer to this one besides its own; all of them with "*" alone."""
    vault_connection_ref: VaultConnectionName = ""
    """VaultConnection, as name or namespace/name, seen from the VaultAuth."""
    default_vault_namespace: str = ""
    """Vault namespace (Enterprise) of the login."""
    default_auth_method: AuthMethod | None = None
    """Auth method; approle means the same as appRole."""
    default_mount: str = ""
    """Mount of the auth method."""
    login_path: LoginPath | None = None
    """Path of the login below auth/<mount>/; login when not given, login/<username> for userpass and ldap."""
    params: StringMap = EMPTY
    """Further fields of the login request's body."""
    headers: StringMap = EMPTY
    """Headers of the login request."""
    kubernetes: GlobalKubernetesAuth | None = None
    """Defaults for those who log in by the kubernetes method."""
    jwt: GlobalJWTAuth | None = None
    """Defaults for those who log in by the jwt method."""
    app_role: GlobalAppRoleAuth | None = None
    """Defaults for those who log in by the approle method."""
    aws: GlobalAWSAuth | None = None
    """Defaults for those who log in by the aws method."""
    gcp: GlobalGCPAuth | None = None
    """Defaults for those who log in by the gcp method."""
    azure: GlobalAzureAuth | None = None
    """Defaults for those who log in by the azure method."""
    cert: GlobalCertAuth | None = None
    """Defaults for those who log in by the cert method."""
    userpass: GlobalPasswordAuth | None = None
    """Defaults for those who log in by the userpass method."""
    ldap: GlobalPasswordAuth | None = None
    """Defaults for those who log in by the ldap method."""
    token: GlobalTokenAuth | None = None
    """Defaults for those who use a token as it is."""
    generic: GlobalGenericAuth | None = None
    """Defaults for those who log in at an endpoint of their own."""


class VaultAuthGlobalStatus(Referred):
    """What is known of the defaults."""

    ALWAYS = frozenset({"observedGeneration", "valid", "error"})

    valid: bool | None = None
    """Whether the specification can be used."""
    error: str = ""
    """Why not."""


class VaultAuthGlobal(Resource):
    """Defaults that several VaultAuths share."""

    spec: VaultAuthGlobalSpec = Field(default_factory=VaultAuthGlobalSpec)
    """What is wanted."""
    status: VaultAuthGlobalStatus = Field(default_factory=VaultAuthGlobalStatus)
    """What the operator has found and done; written by the operator alone."""
