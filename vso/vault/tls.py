"""TLS towards Vault: the context that a TlsConfig asks for, and what a failed handshake means.

Invariant: TLS 1.2 or later; a private key never touches a disk that outlives the call; messages
name what failed and quote nothing of a certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta

from vso.core.errors import ConfigError, Reason
from vso.core.memory_file import as_file
from vso.vault.config import TlsConfig

_AHEAD = timedelta(minutes=5)
# The numbers are OpenSSL's X509_V_ERR_*.
_VERIFY = {
    9: "the certificate is not yet valid",
    10: "the certificate has expired",
    18: "the certificate is self-signed and not trusted",
    19: "the certificate is signed by an unknown CA",
    20: "the certificate is signed by an unknown CA",
    21: "the certificate is signed by an unknown CA",
    62: "the certificate is not for this host name",
    64: "the certificate is not for this IP address",
}
_HANDSHAKE = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS at this port",
    "HTTP_REQUEST": "the server does not speak TLS at this port",
    "RECORD_LAYER_FAILURE": "the server does not speak TLS at this port",
    "UNSUPPORTED_PROTOCOL": "the server offers no TLS version from 1.2 on",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server offers no TLS version from 1.2 on",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (
        "the server asks for a client certificate, which spec.clientCertSecretRef names"
    ),
    "SSLV3_ALERT_BAD_CERTIFICATE": "the server refuses the client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the server says that the client certificate has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "the server does not trust the client certificate",
}


def ssl_context(config: TlsConfig) -> ssl.SSLContext:
    """Return the client's context; ConfigError names the part that cannot be used."""
    try:
        context = ssl.create_default_context(cadata=_pem(config))
    except (ssl.SSLError, ValueError):
        raise ConfigError(Reason.INVALID_SPEC, "the CA bundle holds no certificate that can be parsed") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As Go verifies: any certificate of the bundle is an anchor, and old CAs need no key identifiers.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if config.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_cert_pem is not None and config.client_key is not None:
        _load_client_certificate(context, config.client_key.reveal() + b"\n" + config.client_cert_pem)
    return context


def failure_text(error: BaseException) -> str | None:
    """Return what went wrong in TLS, or None when the error is of another kind."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError) and isinstance(getattr(cause, "verify_code", None), int):
            return _VERIFY.get(cause.verify_code, cause.verify_message.lower())
        if isinstance(cause, ssl.CertificateError) and not hasattr(cause, "certificate_error"):
            return "the certificate is not for this host name"
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None):
            return _HANDSHAKE.get(cause.reason, f"handshake failed ({cause.reason})")
    return None


def expired(certificate_pem: bytes | None, now: datetime) -> bool:
    """Tell whether a server may take the certificate for expired: its clock may be ahead of ours."""
    from cryptography import x509  # noqa: PLC0415  megabytes that only this question is worth

    try:
        return x509.load_pem_x509_certificate(certificate_pem or b"").not_valid_after_utc <= now + _AHEAD
    except ValueError:
        return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that aiohttp wraps, the innermost first."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__
    if isinstance(inner, BaseException) and inner is not error:
        yield from _chain(inner)
    yield error


def _pem(config: TlsConfig) -> str | None:
    if not config.ca_pem or (config.skip_verify and b"-----BEGIN CERTIFICATE-----" not in config.ca_pem):
        return None
    return config.ca_pem.decode("ascii", errors="ignore")


def _load_client_certificate(context: ssl.SSLContext, pem: bytes) -> None:
    try:
        with as_file(pem, "client-certificate") as path:
            # An empty password keeps OpenSSL from asking at the terminal for an encrypted key.
            context.load_cert_chain(path, password="")
    except (ssl.SSLError, OSError):
        raise ConfigError(Reason.INVALID_SPEC, "the client certificate and key do not belong together") from None
