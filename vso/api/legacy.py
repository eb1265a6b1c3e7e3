"""Kinds that are accepted and stored, and not acted on: HCPAuth, HCPVaultSecretsApp, CSISecrets.

Invariant: what the reference operator's users have in Git is admitted as it is; the status says
that nothing will come of it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vso.api.fields import (
    EMPTY,
    Defaulted,
    Duration,
    HCPAuthName,
    Percent,
    SecretName,
    StringMap,
    Strings,
    VaultAuthName,
)
from vso.api.meta import ApiModel, Resource, Status, StatusModel
from vso.api.shared import Destination, RolloutTarget, SecretStatus, Transformation


class ServicePrincipal(ApiModel):
    """A service principal of HCP."""

    secret_ref: SecretName
    """Secret in the namespace of the secret's object with clientID and clientSecret."""


class HCPAuthSpec(ApiModel):
    """Who logs in to HCP Vault Secrets."""

    organization_id: str = Field(alias="organizationID")
    """HCP organization."""
    project_id: str = Field(alias="projectID")
    """HCP project."""
    allowed_namespaces: Strings = ()
    """Namespaces whose objects may refer to this one besides its own; all of them with "*" alone."""
    method: Defaulted[Literal["servicePrincipal"]] = "servicePrincipal"
    """Auth method."""
    service_principal: ServicePrincipal | None = None
    """Log in with a service principal of HCP."""


class HCPAuthStatus(Status):
    """Says that the service has ended."""

    ALWAYS = frozenset({"observedGeneration", "valid", "error"})

    valid: bool = False
    """Whether the specification can be used."""
    error: str = ""
    """Why not."""


class HCPAuth(Resource):
    """Who logs in to HCP Vault Secrets, a service that has ended; accepted and not acted on."""

    spec: HCPAuthSpec
    """What is wanted."""
    status: HCPAuthStatus = Field(default_factory=HCPAuthStatus)
    """What the operator has found and done; written by the operator alone."""


class HVSDynamicSyncConfig(ApiModel):
    """How dynamic secrets of HCP are renewed."""

    renewal_percent: Defaulted[Percent] = 67
    """Share of the life of a secret, in percent, after which it is renewed."""


class HVSSyncConfig(ApiModel):
    """How changes are noticed."""

    dynamic: HVSDynamicSyncConfig | None = None
    """How dynamic secrets are renewed."""


class HCPVaultSecretsAppSpec(ApiModel):
    """An app of HCP Vault Secrets and the Secret that it goes into."""

    app_name: str
    """Name of the app."""
    hcp_auth_ref: HCPAuthName = ""
    """HCPAuth, as name or namespace/name."""
    refresh_after: Defaulted[Duration] = "600s"
    """How often HCP is asked."""
    rollout_restart_targets: tuple[RolloutTarget, ...] = ()
    """Workloads to restart when the data has changed."""
    destination: Destination
    """The Kubernetes Secret that is written."""
    sync_config: HVSSyncConfig | None = None
    """How changes are noticed."""


class HVSDynamicSecret(StatusModel):
    """A dynamic secret of HCP."""

    name: str = ""
    """Name of the secret."""
    created_at: str = ""
    """When it was made."""
    expires_at: str = ""
    """When it ends."""
    ttl: str = ""
    """Its life."""


class HCPVaultSecretsAppStatus(SecretStatus):
    """Says that the service has ended."""

    dynamic_secrets: tuple[HVSDynamicSecret, ...] = ()
    """Dynamic secrets of the app."""


class HCPVaultSecretsApp(Resource):
    """An app of HCP Vault Secrets, a service that has ended; accepted and not acted on."""

    spec: HCPVaultSecretsAppSpec
    """What is wanted."""
    status: HCPVaultSecretsAppStatus = Field(default_factory=HCPVaultSecretsAppStatus)
    """What the operator has found and done; written by the operator alone."""


class CSIAccessControl(ApiModel):
    """Which pods may mount the secrets."""

    service_account_pattern: str
    """Regular expression for the name of the pod's ServiceAccount."""
    namespace_patterns: Strings = ()
    """Regular expressions for the pod's namespace."""
    pod_name_patterns: Strings = ()
    """Regular expressions for the pod's name."""
    pod_labels: StringMap = EMPTY
    """Labels that the pod must have."""
    match_policy: Defaulted[Literal["any", "all"]] = "all"
    """Whether any or all of the patterns must match."""


class CSIAppRoleSecretID(ApiModel):
    """A secret id of an AppRole to make for the pod."""

    mount: str
    """Mount of the auth method."""
    role: str
    """Role of the auth method."""
    metadata: StringMap = EMPTY
    """Metadata of the secret id."""
    cidr_list: Strings = ()
    """Networks from which the secret id may be used."""
    token_bound_cidrs: Strings = Field(default=(), alias="tokenBoundCIDRs")
    """Networks from which its tokens may be used."""
    ttl: str = ""
    """Life of the secret id."""
    num_uses: int = 0
    """How often the secret id may be used."""
    wrap_ttl: str = Field(default="", alias="wrapTTL")
    """Life of the token that wraps the secret id."""
    sync_role_id: bool | None = Field(default=None, alias="syncRoleID")
    """Add the role id."""
    transformation: Transformation | None = None
    """What becomes of the data on its way to the pod."""


class CSIStaticSecret(ApiModel):
    """A secret of a KV engine to mount."""

    mount: str
    """Mount of the KV engine."""
    path: str
    """Path of the secret below the mount."""
    type: Literal["kv-v1", "kv-v2"]
    """Which KV engine it is."""
    version: int = 0
    """Version to read, with kv-v2; the latest when 0 or not given."""
    transformation: Transformation | None = None
    """What becomes of the data on its way to the pod."""


class CSISecretsCollection(ApiModel):
    """What is mounted."""

    transformation: Transformation | None = None
    """What becomes of the data on its way to the pod."""
    vault_app_role_secret_ids: tuple[CSIAppRoleSecretID, ...] = Field(default=(), alias="vaultAppRoleSecretIDs")
    """Secret ids of AppRoles to make for the pod."""
    vault_static_secrets: tuple[CSIStaticSecret, ...] = ()
    """Secrets of KV engines to mount."""


class CSIContainerState(ApiModel):
    """Containers to wait for."""

    name_pattern: str = ""
    """Regular expression for the name of the container."""
    image_pattern: str = ""
    """Regular expression for the image of the container."""


class CSISyncConfig(ApiModel):
    """When the secrets are made."""

    container_state: CSIContainerState | None = None
    """Containers to wait for."""


class CSIVaultAuthRef(ApiModel):
    """The VaultAuth to log in with."""

    name: VaultAuthName
    """Name of the VaultAuth."""
    namespace: str = ""
    """Its namespace; that of this object when empty."""
    trust_namespace: bool = False
    """Take credentials from the VaultAuth's namespace instead of the pod's."""


class CSISecretsSpec(ApiModel):
    """Secrets for a CSI driver to mount."""

    namespace: str = ""
    """Vault namespace (Enterprise)."""
    access_control: CSIAccessControl
    """Which pods may mount the secrets."""
    secrets: CSISecretsCollection
    """What is mounted."""
    sync_config: CSISyncConfig | None = None
    """When the secrets are made."""
    vault_auth_ref: CSIVaultAuthRef | None = None
    """The VaultAuth to log in with."""


class CSISecretsStatus(Status):
    """Says that no driver is here."""


class CSISecrets(Resource):
    """Secrets for the CSI driver of Vault Enterprise to mount; accepted and not acted on."""

    spec: CSISecretsSpec
    """What is wanted."""
    status: CSISecretsStatus = Field(default_factory=CSISecretsStatus)
    """What the operator has found and done; written by the operator alone."""
