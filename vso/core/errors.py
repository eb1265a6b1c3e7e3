"""What can go wrong, named by what to do next.

Three families: TransientError (try again by itself), ConfigError (a human or another object must
change something; looked at again slowly), TerminalError (only an edit of this object helps).
Invariant: every condition, event and log line takes its reason from `Reason`, a closed list, and
no message carries a secret value.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Every reason that a condition or event can show; REMEDIES has a line for each failure."""

    # In order.
    READY = "Ready"
    HEALTHY = "Healthy"
    SYNCED = "Synced"
    SECRET_SYNCED = "SecretSynced"
    ACCEPTED = "Accepted"
    RECOVERED = "Recovered"
    EVENT_WATCHER_STARTED = "EventWatcherStarted"
    VAULT_AUTH_GLOBAL_REF = "VaultAuthGlobalRef"
    # On the way, or resting.
    PROGRESSING = "Progressing"
    SUSPENDED = "Suspended"
    # References and specification.
    INVALID_SPEC = "InvalidSpec"
    INVALID_REFERENCE = "InvalidReference"
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    REFERENCE_NOT_READY = "ReferenceNotReady"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    SERVICE_ACCOUNT_NOT_FOUND = "ServiceAccountNotFound"
    UNSUPPORTED = "Unsupported"
    NOT_IMPLEMENTED = "NotImplemented"
    FOREIGN_WRITER = "ForeignWriter"
    # Vault.
    VAULT_UNAVAILABLE = "VaultUnavailable"
    VAULT_SEALED = "VaultSealed"
    VAULT_STANDBY = "VaultStandby"
    VAULT_THROTTLED = "VaultThrottled"
    VAULT_TLS_ERROR = "VaultTLSError"
    VAULT_ANSWER_INVALID = "VaultAnswerInvalid"
    VAULT_PERMISSION_DENIED = "VaultPermissionDenied"
    VAULT_LOGIN_REFUSED = "VaultLoginRefused"
    VAULT_LOGIN_LIMITED = "VaultLoginLimited"
    VAULT_LOGIN_UNAVAILABLE = "VaultLoginUnavailable"
    WRAPPING_TOKEN_REFUSED = "WrappingTokenRefused"
    VAULT_REQUEST_INVALID = "VaultRequestInvalid"
    # The cloud that a login speaks for.
    CLOUD_UNAVAILABLE = "CloudUnavailable"
    CLOUD_REFUSED = "CloudRefused"
    # Vault's event notifications.
    EVENT_WATCHER_ERROR = "EventWatcherError"
    EVENTS_FORBIDDEN = "EventsForbidden"
    EVENTS_UNSUPPORTED = "EventsUnsupported"
    # What was read.
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_DELETED = "SourceDeleted"
    SOURCE_INVALID = "SourceInvalid"
    SOURCE_KEY_MISSING = "SourceKeyMissing"
    SECRET_TOO_LARGE = "SecretTooLarge"
    SECRET_KEY_INVALID = "SecretKeyInvalid"
    # Leases.
    LEASE_GONE = "LeaseNotFound"
    LEASE_TOO_SHORT = "LeaseTooShort"
    LEASE_LEAKED = "LeaseLeaked"
    LEASE_RENEWED = "SecretLeaseRenewal"
    LEASE_NOT_RENEWED = "SecretLeaseRenewalError"
    REVOKE_FORBIDDEN = "RevokeForbidden"
    SECRET_ROTATED = "SecretRotated"
    ROTATION_AT_HAND = "RotationAtHand"
    # Where it goes.
    DESTINATION_CONFLICT = "DestinationConflict"
    DESTINATION_MISSING = "DestinationMissing"
    DESTINATION_DRIFTED = "DestinationDrifted"
    TYPE_IMMUTABLE = "TypeImmutable"
    ORPHANED_SECRET = "OrphanedSecret"
    # Restarts.
    ROLLOUT_RESTART_TRIGGERED = "RolloutRestartTriggered"
    ROLLOUT_RESTART_FAILED = "RolloutRestartTriggeredFailed"
    # The API server.
    KUBERNETES_FORBIDDEN = "KubernetesForbidden"
    KUBERNETES_UNAVAILABLE = "KubernetesUnavailable"
    KUBERNETES_REJECTED = "KubernetesRejected"
    KUBERNETES_CONFLICT = "KubernetesConflict"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    QUOTA_EXCEEDED = "QuotaExceeded"
    ADMISSION_DENIED = "AdmissionDenied"
    # Ourselves.
    INTERNAL_ERROR = "InternalError"


REMEDIES: dict[Reason, str] = {
    Reason.SUSPENDED: "set spec.suspend to false to resume",
    Reason.INVALID_SPEC: "correct the named field",
    Reason.INVALID_REFERENCE: "write the reference as name or namespace/name",
    Reason.REFERENCE_NOT_FOUND: "create the named object or correct the reference",
    Reason.REFERENCE_NOT_READY: "repair the object that is referred to; its status says what is wrong",
    Reason.NAMESPACE_NOT_ALLOWED: "add this namespace to allowedNamespaces of the object that is referred to",
    Reason.SERVICE_ACCOUNT_NOT_FOUND: "create the ServiceAccount in the namespace of the secret's object",
    Reason.UNSUPPORTED: "use another kind; this one has no controller and will have none",
    Reason.NOT_IMPLEMENTED: "this version of the operator does not act on it yet",
    Reason.FOREIGN_WRITER: "scale down the other operator, or limit each to its own namespaces",
    Reason.VAULT_UNAVAILABLE: "check that Vault runs and that its address is reachable from the operator",
    Reason.VAULT_SEALED: "unseal Vault",
    Reason.VAULT_STANDBY: "address the active node, or a load balancer that follows it",
    Reason.VAULT_THROTTLED: "raise Vault's rate limit quota or lengthen refreshAfter",
    Reason.VAULT_TLS_ERROR: "check the CA, tlsServerName and Vault's certificate",
    Reason.VAULT_ANSWER_INVALID: "check that the address is Vault's and not a proxy's or a login page's",
    Reason.VAULT_PERMISSION_DENIED: "grant the capability on the path in the Vault policy of the role",
    Reason.VAULT_LOGIN_REFUSED: "check mount, role and what the login shows: ServiceAccount, audiences, Secret or file",
    Reason.WRAPPING_TOKEN_REFUSED: (
        "find out who opened it if that was not this operator before a restart; put a new one into its place"
    ),
    Reason.VAULT_LOGIN_LIMITED: "repair the credential; logins go on when it changes or the window has passed",
    Reason.VAULT_LOGIN_UNAVAILABLE: (
        "Vault answers: check that what the named auth mount asks (a directory, a cloud) works and is reached by Vault"
    ),
    Reason.VAULT_REQUEST_INVALID: "correct mount and path",
    Reason.CLOUD_UNAVAILABLE: "check that the named endpoint of the cloud is reachable from the operator",
    Reason.CLOUD_REFUSED: "repair what the message names on the side of the cloud: role, trust or identity",
    Reason.EVENT_WATCHER_ERROR: "the condition InstantUpdates says why",
    Reason.EVENTS_FORBIDDEN: (
        "on Vault Enterprise grant read on sys/events/subscribe/kv*, "
        'and on the secret subscribe with subscribe_event_types = ["kv*"]'
    ),
    Reason.EVENTS_UNSUPPORTED: "only Vault Enterprise 1.16.3 or later has event notifications",
    Reason.SOURCE_NOT_FOUND: "write the secret in Vault, or correct mount, path and version",
    Reason.SOURCE_DELETED: "undelete or write the secret in Vault; the Secret keeps its last good data",
    Reason.SOURCE_INVALID: "store a JSON object with at least one field at the path",
    Reason.SOURCE_KEY_MISSING: "add the field in Vault, or correct spec.data",
    Reason.SECRET_TOO_LARGE: "a Secret holds 1 MiB; select fewer keys",
    Reason.SECRET_KEY_INVALID: "rename the key: letters, digits, '-', '_' and '.', 253 at most",
    Reason.LEASE_GONE: "nothing: new credentials are issued",
    Reason.LEASE_TOO_SHORT: "give the role in Vault a default_ttl of 90s or more; kubelet alone takes about 60s",
    Reason.LEASE_LEAKED: "revoke the lease in Vault, or let it run out",
    Reason.LEASE_NOT_RENEWED: "nothing while its life lasts: it is tried again",
    Reason.REVOKE_FORBIDDEN: (
        'add path "sys/leases/revoke" { capabilities = ["update"] } to the Vault policy; until then leases run out'
    ),
    Reason.ROTATION_AT_HAND: "nothing: Vault is about to rotate the credentials, and they are taken afterwards",
    Reason.DESTINATION_CONFLICT: "choose another destination.name, or set destination.overwrite to true",
    Reason.DESTINATION_MISSING: "create the Secret, or set destination.create to true",
    Reason.DESTINATION_DRIFTED: "nothing: the Secret is written again",
    Reason.TYPE_IMMUTABLE: "delete the Secret; it is then created with the new type",
    Reason.ORPHANED_SECRET: "delete the named Secret; the operator has no right to",
    Reason.ROLLOUT_RESTART_FAILED: "check the named target and the operator's restart Role",
    Reason.KUBERNETES_FORBIDDEN: "add the named rule to the operator's Role",
    Reason.KUBERNETES_UNAVAILABLE: "check the API server",
    Reason.KUBERNETES_REJECTED: "read the API server's message",
    Reason.KUBERNETES_CONFLICT: "nothing: the next pass looks again",
    Reason.NAMESPACE_TERMINATING: "nothing: the namespace is being deleted",
    Reason.QUOTA_EXCEEDED: "raise the ResourceQuota of the namespace",
    Reason.ADMISSION_DENIED: "read the webhook's or policy's message",
    Reason.INTERNAL_ERROR: "this is a bug: report it with the log of the pass",
}


class VsoError(Exception):
    """A failure with a reason from the closed list and a message that is safe to show."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    @property
    def remedy(self) -> str:
        """What the reader can do about it; empty when there is nothing to do."""
        return REMEDIES.get(self.reason, "")


class TransientError(VsoError):
    """It passes by itself; `retry_after` seconds is the least wait that the server asked for."""

    def __init__(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after = retry_after


class ConfigError(VsoError):
    """A human must act, perhaps outside Kubernetes: looked at again, slowly."""


class TerminalError(VsoError):
    """Only an edit of the object itself helps: not looked at again before."""


class ExpiredError(VsoError):
    """The resourceVersion to resume a watch from is too old (410 Gone): list again."""

    def __init__(self, message: str = "the watch's resourceVersion has expired") -> None:
        super().__init__(Reason.KUBERNETES_UNAVAILABLE, message)
