from __future__ import annotations

import ipaddress
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.fakes.clock import FakeClock
from tests.fakes.vault_parts import Observed, client_to, connection
from tests.fakes.vault_server import Reply, VaultServer
from vso.core.errors import ConfigError, Reason, VsoError
from vso.core.sensitive import Sensitive
from vso.vault.client import VaultClient, VaultRequest
from vso.vault.config import TlsConfig
from vso.vault.tls import ssl_context

NOW = datetime.now(UTC)
READ = VaultRequest("PUT", "kv/data/app", token=Sensitive.of("hvs.canary"))


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def server(self, directory: Path, client_ca: bytes | None = None) -> ssl.SSLContext:
        path = directory / "server.pem"
        path.write_bytes(self.pem + self.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca.decode())
        return context


def issue(
    name: str, by: Issued | None = None, *, host: str = "127.0.0.1", ends: datetime = NOW + timedelta(days=1)
) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(by.certificate.subject if by else subject).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=2)).not_valid_after(ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    try:
        san: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        san = x509.DNSName(host)
    builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=False)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)


@pytest.fixture(scope="module")
def authority() -> Issued:
    return issue("authority")


async def outcome(context: ssl.SSLContext, tls: TlsConfig) -> VsoError | None:
    async with VaultServer(context) as server:
        server.on("PUT", "kv/data/app", Reply(200, {"data": {}}))
        async with client_to(server.url, FakeClock(), tls=tls) as client:
            errors: list[VsoError] = []
            for _ in range(2):
                try:
                    await client.send(READ)
                except VsoError as error:
                    errors.append(error)
            if not errors:
                return None
            assert errors[0].message == errors[1].message
            assert "canary" not in repr(errors[0])
            assert errors[0].message.startswith(f"Vault at {server.url}: ")
            return errors[0]


async def test_a_known_authority_is_trusted(authority: Issued, tmp_path: Path) -> None:
    context = issue("vault", authority).server(tmp_path)
    assert await outcome(context, TlsConfig(ca_pem=authority.pem)) is None


async def test_the_server_name_is_what_is_verified(authority: Issued, tmp_path: Path) -> None:
    context = issue("vault", authority, host="vault.internal").server(tmp_path)
    assert await outcome(context, TlsConfig(ca_pem=authority.pem, server_name="vault.internal")) is None


async def test_nothing_is_verified_when_so_asked(authority: Issued, tmp_path: Path) -> None:
    context = issue("vault", authority, host="elsewhere").server(tmp_path)
    assert await outcome(context, TlsConfig(skip_verify=True, ca_pem=b"")) is None


@pytest.fixture
def broken(
    request: pytest.FixtureRequest, authority: Issued, tmp_path: Path
) -> Iterator[tuple[ssl.SSLContext, TlsConfig]]:
    trusted = TlsConfig(ca_pem=authority.pem)
    match request.param:
        case "unknown":
            yield issue("vault", issue("another")).server(tmp_path), trusted
        case "self-signed":
            yield issue("vault").server(tmp_path), trusted
        case "expired":
            yield issue("vault", authority, ends=NOW - timedelta(days=1)).server(tmp_path), trusted
        case "address":
            yield issue("vault", authority, host="10.0.0.1").server(tmp_path), trusted
        case "name":
            other = TlsConfig(ca_pem=authority.pem, server_name="vault.internal")
            yield issue("vault", authority, host="elsewhere.internal").server(tmp_path), other


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("unknown", "the certificate is signed by an unknown CA"),
        ("self-signed", "the certificate is self-signed and not trusted"),
        ("expired", "the certificate has expired"),
        ("address", "the certificate is not for this IP address"),
        ("name", "the certificate is not for this host name"),
    ],
    indirect=["broken"],
)
async def test_what_failed_is_named(broken: tuple[ssl.SSLContext, TlsConfig], told: str) -> None:
    error = await outcome(*broken)
    assert error is not None
    assert error.reason is Reason.VAULT_TLS_ERROR
    assert error.message.endswith(told)


async def test_a_missing_client_certificate_is_named(authority: Issued, tmp_path: Path) -> None:
    # By blocking sockets: asyncio's server side drops the connection before its alert is out.
    context = issue("vault", authority).server(tmp_path, authority.pem)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            plain, _ = listener.accept()
            plain.settimeout(5)
            # The second handle keeps the kernel from answering unread bytes with a reset, which would eat the alert.
            with plain.dup() as kept:
                with plain, suppress(ssl.SSLError, OSError):
                    context.wrap_socket(plain, server_side=True)
                kept.shutdown(socket.SHUT_WR)
                while kept.recv(65536):
                    pass

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with client_to(url, FakeClock(), tls=TlsConfig(ca_pem=authority.pem)) as client:
            with pytest.raises(VsoError) as caught:
                await client.send(VaultRequest("POST", "kv/data/app"))
        thread.join(5)
    assert caught.value.message == (
        f"Vault at {url}: the server asks for a client certificate, which spec.clientCertSecretRef names"
    )


async def test_a_client_certificate_is_shown(authority: Issued, tmp_path: Path) -> None:
    context = issue("vault", authority).server(tmp_path, authority.pem)
    own = issue("operator", authority)
    tls = TlsConfig(ca_pem=authority.pem, client_cert_pem=own.pem, client_key=Sensitive(own.key_pem))
    assert await outcome(context, tls) is None


async def test_a_port_without_tls_is_named(authority: Issued) -> None:
    async with VaultServer() as server:
        url = server.url.replace("http:", "https:")
        async with client_to(url, FakeClock(), tls=TlsConfig(ca_pem=authority.pem)) as client:
            with pytest.raises(VsoError, match="does not speak TLS") as caught:
                await client.send(READ)
    assert caught.value.reason is Reason.VAULT_TLS_ERROR


def test_tls_is_at_least_1_2() -> None:
    assert ssl_context(TlsConfig()).minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("pem", [b"nothing", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_bundle_without_a_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigError, match="no certificate"):
        ssl_context(TlsConfig(ca_pem=pem))


def test_a_key_that_does_not_fit_is_refused_when_the_client_is_made() -> None:
    tls = TlsConfig(client_cert_pem=issue("a").pem, client_key=Sensitive(issue("b").key_pem))
    with pytest.raises(ConfigError, match="do not belong together"):
        VaultClient(
            connection("https://vault", tls=tls), FakeClock(), random.Random(1), user_agent="x", observer=Observed()
        )
