"""The kinds that make Secrets of static and of dynamic secrets; the certificates are in `vso.api.pki`.

Invariant: the field names of a status are those of the reference operator, so that either can take
over from the other.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vso.api.fields import EMPTY, Defaulted, Duration, Int64, JsonMap, Percent, StringMap, Time
from vso.api.meta import ApiModel, Resource, StatusModel
from vso.api.pki import VaultPKISecret, VaultPKISecretSpec, VaultPKISecretStatus
from vso.api.shared import (
    OPAQUE_OBJECT,
    DataItems,
    Destination,
    RolloutTarget,
    SecretStatus,
    SyncConfig,
    VaultClientMeta,
)

__all__ = [
    "LeaseRef",
    "PendingLease",
    "SecretLease",
    "StaticCredsMetaData",
    "VaultDynamicSecret",
    "VaultDynamicSecretSpec",
    "VaultDynamicSecretStatus",
    "VaultPKISecret",
    "VaultPKISecretSpec",
    "VaultPKISecretStatus",
    "VaultStaticSecret",
    "VaultStaticSecretSpec",
    "VaultStaticSecretStatus",
]


class VaultStaticSecretSpec(ApiModel):
    """A secret of a KV engine and the Secret that it goes into."""

    vault_auth_ref: str = ""
    """VaultAuth, as name or namespace/name; the one named default in the operator's namespace when empty."""
    namespace: str = ""
    """Vault namespace (Enterprise) of the mount; the VaultAuth's when empty."""
    mount: str
    """Mount of the KV engine."""
    path: str
    """Path of the secret below the mount, without data/."""
    type: Literal["kv-v1", "kv-v2"]
    """Which KV engine it is."""
    version: Annotated[int, Field(ge=0)] = 0
    """Version to read, with kv-v2; the latest when 0 or not given."""
    refresh_after: Duration | None = None
    """How often Vault is asked, for example 30s, 5m or 1h; every minute if not given, unless hmacSecretData is off."""
    hmac_secret_data: Defaulted[bool] = True
    """Compare by keyed digests what was written with what is there; without it no change restarts a rollout target."""
    rollout_restart_targets: tuple[RolloutTarget, ...] = ()
    """Workloads to restart when the data has changed; not for the first sync."""
    destination: Destination
    """The Kubernetes Secret that is written."""
    sync_config: SyncConfig | None = None
    """How changes are noticed."""
    data: DataItems = ()
    """Keys of the Secret, each with its source; it then holds exactly these. All fields of the path if not given."""
    stale_after: Duration | None = None
    """Age of the data that ends Ready while Vault is away; the greater of 10m and 3 x refreshAfter if not given."""
    on_source_deleted: Defaulted[Literal["Keep", "Delete"]] = "Keep"
    """What becomes of the Secret when the secret in Vault is deleted: Keep its last data, or Delete it."""
    suspend: Defaulted[bool] = False
    """Rest: nothing is read, written or restarted."""


class VaultStaticSecretStatus(SecretStatus):
    """What was synced last."""

    vault_client_meta: VaultClientMeta | None = None
    """Which Vault session served this object."""


class VaultStaticSecret(Resource):
    """A secret of a KV engine of Vault, synced into a Kubernetes Secret."""

    spec: VaultStaticSecretSpec
    """What is wanted."""
    status: VaultStaticSecretStatus = Field(default_factory=VaultStaticSecretStatus)
    """What the operator has found and done; written by the operator alone."""


class VaultDynamicSecretSpec(ApiModel):
    """Credentials that Vault makes on request and the Secret that they go into."""

    vault_auth_ref: str = ""
    """VaultAuth, as name or namespace/name; the one named default in the operator's namespace when empty."""
    namespace: str = ""
    """Vault namespace (Enterprise) of the mount; the VaultAuth's when empty."""
    mount: str
    """Mount of the engine."""
    path: str
    """Path of the credentials below the mount, for example creds/my-role."""
    request_http_method: Literal["GET", "POST", "PUT"] | None = Field(default=None, alias="requestHTTPMethod")
    """HTTP method of the request; GET, or PUT where there are parameters, when not given."""
    params: StringMap = EMPTY
    """Parameters of the request."""
    params_json: Annotated[JsonMap, OPAQUE_OBJECT] | None = Field(default=None, alias="paramsJSON")
    """Body of the request, as nested as the engine wants it; instead of params."""
    renewal_percent: Defaulted[Percent] = 67
    """Share of the life of a lease, in percent, after which it is renewed; a brief one sooner, with 20 s left."""
    revoke: bool = True
    """Revoke the lease when this object is deleted (default true)."""
    allow_static_creds: bool = False
    """The path gives credentials that Vault rotates by itself, such as a static database role."""
    refresh_after: Duration | None = None
    """How often Vault is asked where the answer has no lease; static credentials are looked at least that often."""
    rollout_restart_targets: tuple[RolloutTarget, ...] = ()
    """Workloads to restart when the data has changed; not for the first sync."""
    destination: Destination
    """The Kubernetes Secret that is written."""
    sync_config: SyncConfig | None = None
    """How changes are noticed."""
    overlap: Defaulted[Duration] = "5m"
    """How long a replaced lease lives on at most, renewed where need be, so that its users can change over."""
    suspend: Defaulted[bool] = False
    """Rest: nothing is requested, written or restarted; a lease is still renewed."""


class SecretLease(StatusModel):
    """The lease of the credentials in the Secret."""

    ALWAYS = frozenset({"id", "duration", "renewable", "requestID"})

    id: str = ""
    """Name of the lease."""
    duration: int = 0
    """Its life in seconds, as last granted."""
    renewable: bool = False
    """Whether it can be renewed."""
    request_id: str = Field(default="", alias="requestID")
    """Vault's id of the request that issued or renewed it."""
    token_expire_time: Time | None = None
    """When the token ends under which the lease was issued, and the lease with it."""


class StaticCredsMetaData(StatusModel):
    """What Vault says of credentials that it rotates by itself."""

    ALWAYS = frozenset({"lastVaultRotation", "rotationPeriod", "ttl"})

    last_vault_rotation: Int64 = 0
    """When Vault rotated last, in seconds since 1970."""
    rotation_period: Int64 = 0
    """Seconds between rotations."""
    rotation_schedule: str = ""
    """Schedule of the rotations, as cron writes it."""
    ttl: Int64 = 0
    """Seconds until the next rotation."""


class LeaseRef(StatusModel):
    """A lease that is still to be settled."""

    ALWAYS = frozenset({"id"})

    id: str = ""
    """Name of the lease."""
    not_after: Time | None = None
    """When it ends or is revoked, at the latest."""


class PendingLease(LeaseRef):
    """A lease that was issued, and that the Secret may hold already."""

    client_id: str = Field(default="", alias="clientID")
    """Hash that names the Vault token that it was issued under, as in vaultClientMeta."""

    token_expire_time: Time | None = None
    """When the token ends under which the lease was issued, and the lease with it."""


class VaultDynamicSecretStatus(SecretStatus):
    """Which credentials the Secret holds, and until when."""

    ALWAYS = frozenset({"observedGeneration", "lastGeneration", "lastRenewalTime", "secretLease"})

    last_renewal_time: Int64 = 0
    """When the lease was last issued or renewed, in seconds since 1970."""
    secret_lease: SecretLease = Field(default_factory=SecretLease)
    """The lease of the credentials in the Secret."""
    static_creds_meta_data: StaticCredsMetaData | None = None
    """What Vault says of credentials that it rotates by itself."""
    last_runtime_pod_uid: str = Field(default="", alias="lastRuntimePodUID")
    """Pod of the operator that wrote this status."""
    vault_client_meta: VaultClientMeta | None = None
    """Which Vault session served this object."""
    expires: Time | None = None
    """When the credentials in the Secret end unless they are renewed."""
    pending_lease: PendingLease | None = None
    """A lease that Vault has issued and the Secret does not hold yet."""
    retired_leases: tuple[LeaseRef, ...] = ()
    """Leases that were replaced and live on until their users have changed over."""


class VaultDynamicSecret(Resource):
    """Credentials that Vault makes on request, synced into a Kubernetes Secret and renewed."""

    spec: VaultDynamicSecretSpec
    """What is wanted."""
    status: VaultDynamicSecretStatus = Field(default_factory=VaultDynamicSecretStatus)
    """What the operator has found and done; written by the operator alone."""
