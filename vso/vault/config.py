"""How a Vault is reached and how one logs in to it, as frozen values.

Invariant: whatever exists as a ConnectionConfig or LoginConfig has passed its checks; the reprs
show neither header values nor keys.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.paths import join
from vso.vault.way import Way

Pairs = tuple[tuple[str, str], ...]

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = frozenset({"x-vault-namespace", "x-vault-token", "x-vault-request"})
_WRAPS = "x-vault-wrap-ttl"
_FRAMING = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "content-encoding", "accept-encoding", "connection"),
        *("keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect"),
    }
)
"""What says where a request goes, and where it ends on a socket that several tenants may share."""


@dataclass(frozen=True)
class TlsConfig:
    """What to trust, and what to show of ourselves."""

    server_name: str = ""
    ca_pem: bytes | None = None
    skip_verify: bool = False
    client_cert_pem: bytes | None = None
    client_key: Sensitive | None = None

    @property
    def fingerprint(self) -> str:
        """Tells one client certificate from another; empty without one."""
        return "" if self.client_cert_pem is None else hashlib.sha256(self.client_cert_pem).hexdigest()[:16]


@dataclass(frozen=True)
class ConnectionConfig:
    """One VaultConnection."""

    name: str
    """namespace/name, for messages and metrics."""
    uid: str
    generation: int
    address: str
    variant: str = ""
    """Whose client certificate is shown, where it is not the connection's own; such logins have their own sockets."""
    namespace: str = ""
    headers: Pairs = field(default=(), repr=False)
    tls: TlsConfig = TlsConfig()
    timeout: float = 60.0
    max_concurrency: int = 16
    rate_limit: tuple[float, int] | None = None
    """Requests per second and burst."""

    def __post_init__(self) -> None:
        """Refuse what could not work; the message names the field."""
        _check_address(self.address)
        check_headers(self.headers)
        if self.timeout <= 0:
            raise ConfigError(Reason.INVALID_SPEC, "spec.timeout must be longer than 0s")
        if self.max_concurrency < 1:
            raise ConfigError(Reason.INVALID_SPEC, "spec.maxConcurrency must be at least 1")
        if self.rate_limit is not None and (self.rate_limit[0] <= 0 or self.rate_limit[1] < 1):
            raise ConfigError(Reason.INVALID_SPEC, "spec.rateLimit needs requestsPerSecond > 0 and burst >= 1")

    def showing(self, variant: str, certificate: bytes | None, key: Sensitive | None) -> ConnectionConfig:
        """Return the same connection with somebody's client certificate."""
        tls = replace(self.tls, client_cert_pem=certificate, client_key=key)
        return replace(self, variant=variant, tls=tls)

    @property
    def base(self) -> str:
        """The address without a slash at its end."""
        return self.address.rstrip("/")


@dataclass(frozen=True)
class LoginConfig:
    """One VaultAuth, for one consumer."""

    name: str
    uid: str
    generation: int
    method: str
    mount: str
    namespace: str
    """The Vault namespace of the login and, by default, of the requests."""
    consumer: str
    """The namespace whose ServiceAccounts and Secrets speak; empty where the credential is the operator's."""
    way: Way
    login_path: str = ""
    """Below auth/<mount>/; empty for the way's own."""
    params: Pairs = ()
    headers: Pairs = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Refuse headers that are not ours to give away, and fields of the body that are the method's own."""
        check_headers(self.headers)
        taken = sorted(self.way.RESERVED.intersection(name for name, _ in self.params))
        if taken:
            raise ConfigError(Reason.INVALID_SPEC, f"spec.params may not set {' or '.join(taken)}")

    @property
    def path(self) -> str:
        """Where the login goes."""
        return join("auth", self.mount, self.login_path or self.way.path)


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Everything that makes two uses of Vault the same session: equal keys share one token."""

    connection_uid: str
    connection_generation: int
    auth_uid: str
    auth_generation: int
    consumer: str
    digest: str
    """Of what matters for the token and is not told by the generations (a merged global, say)."""

    @property
    def told(self) -> str:
        """The key as text that is the same in every process."""
        auth = f"{self.auth_uid}-{self.auth_generation}"
        connection = f"{self.connection_uid}-{self.connection_generation}"
        return f"{auth}.{connection}.{self.consumer}.{self.digest}"


def session_key(connection: ConnectionConfig, login: LoginConfig) -> SessionKey:
    """Return the key of the session that these two describe.

    Trust material and limits are left out: another CA for the same Vault leaves its tokens valid.
    """
    told = (connection.base, connection.namespace, connection.headers)
    asked = (login.path, login.namespace, login.way, login.params, login.headers, connection.variant)
    digest = hashlib.blake2b(repr((told, asked)).encode(), digest_size=16).hexdigest()
    return SessionKey(connection.uid, connection.generation, login.uid, login.generation, login.consumer, digest)


def cache_key(key: SessionKey, login: LoginConfig, provider_uid: str, namespace: str) -> str:
    """Return what status.vaultClientMeta calls a session with requests in a Vault namespace, as the reference does."""
    objects = f"{key.auth_uid}-{key.auth_generation}.{key.connection_uid}-{key.connection_generation}"
    digest = hashlib.sha256(f"{objects}.{provider_uid}".encode()).digest()
    found = f"{login.method}-{(digest[:7] + digest[28:]).hex()}".lower()
    return f"{found}-{namespace}" if namespace and namespace != login.namespace else found


def account_of(connection: ConnectionConfig, login: LoginConfig) -> tuple[str, ...]:
    """Return what Vault locks when the login is refused too often, whoever logs in; else the one who does."""
    if not login.way.account:
        return (session_key(connection, login).told,)
    namespace = (login.namespace or connection.namespace).strip("/")
    return (connection.base, namespace, login.mount.strip("/"), login.way.account)


def check_headers(headers: Pairs, field: str = "spec.headers") -> None:
    """Refuse header names that are reserved or malformed, and values that HTTP has no place for."""
    for name, value in headers:
        if name.lower() in _OURS | _FRAMING:
            raise ConfigError(Reason.INVALID_SPEC, f"{field}: {name} cannot be overridden")
        if name.lower() == _WRAPS:
            raise ConfigError(Reason.INVALID_SPEC, f"{field}: {name} would have every answer wrapped, logins too")
        if not _HEADER_NAME.fullmatch(name) or _NOT_IN_HEADER.search(value):
            raise ConfigError(Reason.INVALID_SPEC, f"{field}: {name!r} is not a valid header")


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        # Not quoted: what cannot be parsed may hold a password.
        raise ConfigError(Reason.INVALID_SPEC, "spec.address is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(Reason.INVALID_SPEC, "spec.address must be http://host:port or https://host:port")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(Reason.INVALID_SPEC, "spec.address must not hold a user name or password")
    if parts.query or parts.fragment:
        raise ConfigError(Reason.INVALID_SPEC, "spec.address must not have a query or fragment")
