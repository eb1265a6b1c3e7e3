"""The certificates of a bed: one authority, serving certificates for the loopback, client certificates, a signing key.

Invariant: an authority lives in memory; what it issues is written to the bed's directory and nowhere else.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class KeyPair:
    """The files of a certificate and its key."""

    certificate: Path
    key: Path

    @property
    def entries(self) -> dict[str, str]:
        """Both as a TLS Secret has them."""
        return {"tls.crt": self.certificate.read_text(), "tls.key": self.key.read_text()}

    @property
    def serial(self) -> str:
        """The certificate's serial number in decimals, as Vault's audit log tells it."""
        return str(x509.load_pem_x509_certificate(self.certificate.read_bytes()).serial_number)


class Authority:
    """A certificate authority and the directory that it writes to."""

    def __init__(self, directory: Path, name: str = "testbed-ca") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self._certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = directory / f"{name}.crt"
        self.certificate.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def serving(self, name: str, *hosts: str) -> KeyPair:
        """Issue a serving certificate for 127.0.0.1, localhost and other hosts."""
        names: list[x509.GeneralName] = [x509.DNSName(host) for host in ("localhost", *hosts)]
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        return self._issue(name, _name(name), ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(names))

    def client(self, user: str, group: str | None = None, *, file: str | None = None) -> KeyPair:
        """Issue a client certificate: the common name is the user, the organisation its group."""
        return self._issue(file or user, _name(user, group), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def _issue(
        self, file: str, subject: x509.Name, usage: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self._name, key).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        pair = KeyPair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        pair.key.write_bytes(_private_pem(key))
        return pair


def signing_key(directory: Path) -> KeyPair:
    """Write the key pair that signs ServiceAccount tokens; its "certificate" is the bare public key."""
    key = rsa.generate_private_key(65537, 2048)
    pair = KeyPair(directory / "service-account.pub", directory / "service-account.key")
    pair.key.write_bytes(_private_pem(key))
    pair.certificate.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return pair


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).add_extension(identifier, critical=False)
    return builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=7))


def _name(common: str, organisation: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation is not None:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
