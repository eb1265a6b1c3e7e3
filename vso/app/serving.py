"""TLS for what the operator serves: a certificate of a folder, or one of its own making.

Invariant: TLS 1.2 or later; each handshake is answered under the certificate of its moment, so that a rotation
needs no restart, and one that cannot be used leaves the last good one in place. A key of our own is on no disk.
"""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog

from vso.core.clock import Clock
from vso.core.errors import ConfigError, Reason
from vso.core.memory_file import as_file

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
_NAME: Final = "vault-secrets-operator"
_LIFE: Final = timedelta(days=365)
_MADE_ANEW: Final = timedelta(days=90)

_log = structlog.get_logger("vso.metrics")


class Certificate(Protocol):
    """A certificate with its key, wherever it comes from."""

    def stamp(self) -> object:
        """Return what is another value once the certificate is another; OSError when it cannot be told."""
        ...

    def load(self, context: ssl.SSLContext) -> None:
        """Have the context serve it; OSError (ssl's own are) when it cannot be used."""
        ...


class FolderCertificate:
    """tls.crt and tls.key of a folder, as kubelet mounts a TLS Secret."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / CERTIFICATE, folder / KEY)

    def stamp(self) -> object:
        """Return what the file system says of the two files; kubelet swaps a symbolic link, which stat follows."""
        found = [path.stat() for path in self._files]
        return [(stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found]

    def load(self, context: ssl.SSLContext) -> None:
        """Read both files."""
        # An empty password keeps OpenSSL from asking at the terminal for an encrypted key.
        context.load_cert_chain(*self._files, password="")


class OwnCertificate:
    """Signed by its own key, in memory: who scrapes cannot tell whose it is, and nobody reads along."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def stamp(self) -> object:
        """Return in which span of time we are: each has a certificate of its own."""
        return int(self._clock.now().timestamp() // _MADE_ANEW.total_seconds())

    def load(self, context: ssl.SSLContext) -> None:
        """Make a new one."""
        with as_file(_self_signed(self._clock.now()), "metrics-certificate") as path:
            context.load_cert_chain(path)


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """Return the context to listen with; ConfigError when there is no certificate to begin with."""
    return _Turnstile(certificate).context


class _Turnstile:
    """Sends each handshake on to the context of the certificate that is there now."""

    def __init__(self, certificate: Certificate) -> None:
        self._certificate = certificate
        try:
            self._stamp = certificate.stamp()
            self._current = _serving(certificate)
        except OSError as error:
            raise ConfigError(Reason.INVALID_SPEC, f"the metrics certificate: {_cause(error)}") from None
        self._trouble = ""
        self.context = _bare()
        self.context.sni_callback = self._turn  # called for every handshake, also one that names no host

    def _turn(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        self._look()
        handshake.context = self._current

    def _look(self) -> None:
        try:
            # The stamp is from before the files are read: what changes in between is read again.
            stamp = self._certificate.stamp()
            if stamp == self._stamp:
                return
            self._current = _serving(self._certificate)
        except OSError as error:
            if self._trouble != (cause := _cause(error)):
                self._trouble = cause
                _log.warning("the metrics certificate cannot be used; the last one goes on", error=cause)
            return
        self._stamp, self._trouble = stamp, ""
        _log.info("the metrics certificate is another")


def _bare() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _serving(certificate: Certificate) -> ssl.SSLContext:
    # A new one each time: a context keeps a key of each type, so that an old one of another type would go on.
    context = _bare()
    certificate.load(context)
    return context


def _cause(error: OSError) -> str:
    """Return what is wrong, without a word of what the files hold."""
    if isinstance(error, ssl.SSLError):
        return f"{CERTIFICATE} and {KEY} are no certificate and key that belong together"
    return f"{error.filename or CERTIFICATE}: {error.strerror}"


def _self_signed(now: datetime) -> bytes:
    """Return a key and its certificate as PEM."""
    from cryptography import x509  # noqa: PLC0415  megabytes that only this certificate is worth
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # for scrapers whose clocks are a little behind
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(encoding, form, plain) + certificate.public_bytes(encoding)
