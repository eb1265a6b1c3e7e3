"""The kind that makes a Secret of a certificate: VaultPKISecret.

Invariant: as in `vso.api.secrets`, of which this is the part about certificates.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vso.api.fields import Defaulted, Duration, DurationWithDays, Int32, Int64, Names, Strings, Time, VaultAuthName
from vso.api.meta import ApiModel, Resource
from vso.api.shared import Destination, KeyRef, RolloutTarget, SecretStatus


class PrivateKey(ApiModel):
    """Where the private key of the certificate is made, and which it is."""

    source: Defaulted[Literal["vault", "operator"]] = "vault"
    """Who makes the key: vault, or the operator, which then sends a signing request and never the key."""
    algorithm: Defaulted[Literal["RSA", "ECDSA", "Ed25519"]] = "RSA"
    """Algorithm of the key, with source operator."""
    size: Int32 | None = None
    """Bits of the key, with source operator: 2048 (default), 3072, 4096, 8192; for ECDSA 256 (default), 384, 521."""
    encoding: Literal["PKCS1", "PKCS8"] | None = None
    """Encoding of the key, with source operator; PKCS8 for Ed25519, else PKCS1 when not given."""
    rotation_policy: Defaulted[Literal["Always", "Never"]] = "Always"
    """Whether each certificate has a new key; with Never the operator must be allowed to get the Secret."""


class Keystore(ApiModel):
    """A PKCS#12 store in the Secret."""

    create: Defaulted[bool] = False
    """Add the store to the Secret."""
    password_secret_ref: Annotated[KeyRef, Names(("Secret",))] | None = None
    """Key of a Secret in the namespace of this object that holds the password of the store."""
    alias: str = ""
    """Name of the entry in the store; certificate when empty."""


class Keystores(ApiModel):
    """Stores in the Secret besides the PEM files."""

    pkcs12: Keystore | None = None
    """The certificate, its key and its chain, as key keystore.p12."""
    truststore: Keystore | None = None
    """The chain alone, as key truststore.p12."""


class VaultPKISecretSpec(ApiModel):
    """A certificate of Vault's PKI engine and the Secret that it goes into."""

    vault_auth_ref: VaultAuthName = ""
    """VaultAuth, as name or namespace/name; the one named default in the operator's namespace when empty."""
    namespace: str = ""
    """Vault namespace (Enterprise) of the mount; the VaultAuth's when empty."""
    mount: str
    """Mount of the PKI engine."""
    role: str
    """Role of the PKI engine."""
    issuer_ref: str = ""
    """Issuer to use instead of the role's, by name or id."""
    revoke: bool = False
    """Revoke the certificate when it is replaced or this object is deleted (default false)."""
    clear: bool = False
    """Empty the Secret when this object is deleted (default false)."""
    expiry_offset: Duration | None = None
    """How long before its end a certificate is replaced; at two thirds of its life when not given."""
    rollout_restart_targets: tuple[RolloutTarget, ...] = ()
    """Workloads to restart when the data has changed; not for the first sync."""
    destination: Destination
    """The Kubernetes Secret that is written."""
    common_name: str = ""
    """Common name of the certificate."""
    alt_names: Strings = ()
    """DNS names and e-mail addresses that the certificate bears besides."""
    ip_sans: Strings = ()
    """IP addresses that the certificate bears."""
    uri_sans: Strings = ()
    """URIs that the certificate bears."""
    other_sans: Strings = ()
    """Other names that the certificate bears, as OID;type:value."""
    user_ids: Strings = Field(default=(), alias="userIDs")
    """User ids that the certificate bears."""
    ttl: DurationWithDays | None = None
    """Life of the certificate, for example 72h or 30d; the role's when not given."""
    not_after: str = ""
    """End of the certificate, as YYYY-MM-ddTHH:MM:SSZ; instead of ttl."""
    format: str = ""
    """Format of the certificate: pem (default), der or pem_bundle."""
    private_key_format: str = ""
    """Format of the private key that Vault makes: der (default) or pkcs8."""
    exclude_cn_from_sans: bool = Field(default=False, alias="excludeCNFromSans")
    """Leave the common name out of the DNS names."""
    private_key: PrivateKey | None = None
    """Where the private key is made, and which it is; by Vault as its role says when not given."""
    is_ca: Defaulted[bool] = Field(default=False, alias="isCA")
    """Ask for the certificate of an intermediate CA; needs a key made by the operator."""
    keystores: Keystores | None = None
    """Stores in the Secret besides the PEM files."""
    suspend: Defaulted[bool] = False
    """Rest: nothing is requested, written or restarted."""


class VaultPKISecretStatus(SecretStatus):
    """Which certificate the Secret holds."""

    ALWAYS = frozenset({"observedGeneration", "lastGeneration", "lastRotation", "valid", "error"})

    serial_number: str = ""
    """Serial number of the certificate in the Secret."""
    expiration: Int64 = 0
    """When it ends, in seconds since 1970."""
    expires: Time | None = None
    """When it ends."""
    last_rotation: Int64 = 0
    """When it was issued, in seconds since 1970."""
    valid: bool = False
    """Whether the Secret holds a certificate of this specification."""
    error: str = ""
    """Why not."""
    retired_serials: Strings = ()
    """Serial numbers of replaced certificates that are still to be revoked."""


class VaultPKISecret(Resource):
    """A certificate of Vault's PKI engine, synced into a Kubernetes Secret and replaced before it ends."""

    spec: VaultPKISecretSpec
    """What is wanted."""
    status: VaultPKISecretStatus = Field(default_factory=VaultPKISecretStatus)
    """What the operator has found and done; written by the operator alone."""
