"""TLS of what is served, by handshakes in memory."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from structlog.testing import capture_logs

from tests.fakes.clock import FakeClock
from tests.testbed.pki import Authority, KeyPair
from vso.app.serving import FolderCertificate, OwnCertificate, server_context
from vso.core.errors import ConfigError

DAY = 86400.0
TLS_1_3 = ssl.TLSVersion.TLSv1_3


class Folder:
    """What kubelet mounts: links to the files of a folder that is swapped in one step."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "mounted"
        self.path.mkdir()
        for name in ("tls.crt", "tls.key"):
            (self.path / name).symlink_to(f"..data/{name}")
        self._turn = 0

    def put(self, certificate: bytes, key: bytes) -> None:
        self._turn += 1
        version = self.path / f"..version-{self._turn}"
        version.mkdir()
        (version / "tls.crt").write_bytes(certificate)
        (version / "tls.key").write_bytes(key)
        link = self.path / f"..link-{self._turn}"
        link.symlink_to(version.name)
        link.rename(self.path / "..data")

    def hold(self, pair: KeyPair) -> None:
        self.put(pair.certificate.read_bytes(), pair.key.read_bytes())


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def shown(context: ssl.SSLContext, host: str | None = "localhost", version: ssl.TLSVersion = TLS_1_3) -> bytes:
    """The certificate that a client gets to see."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname = False
    asking.verify_mode = ssl.CERT_NONE
    asking.minimum_version = asking.maximum_version = version
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(back, there, server_hostname=host)
    server = context.wrap_bio(there, back, server_side=True)
    for _ in range(6):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return found


def certificate_of(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


@pytest.mark.parametrize("host", ["localhost", None])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, TLS_1_3])
def test_a_handshake_shows_the_certificate_of_the_folder(
    folder: Folder, authority: Authority, host: str | None, version: ssl.TLSVersion
) -> None:
    pair = authority.serving("first")
    folder.hold(pair)
    assert shown(server_context(FolderCertificate(folder.path)), host, version) == certificate_of(pair)


def test_a_rotation_counts_from_the_next_handshake_on(folder: Folder, authority: Authority) -> None:
    folder.hold(authority.serving("first"))
    context = server_context(FolderCertificate(folder.path))
    shown(context)
    second = authority.serving("second")
    folder.hold(second)
    with capture_logs() as lines:
        assert {shown(context) for _ in range(3)} == {certificate_of(second)}
    assert [line["event"] for line in lines] == ["the metrics certificate is another"]


def rsa_pair() -> tuple[bytes, bytes]:
    """A certificate of another type of key."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "-", "-subj", "/CN=rsa"],
        capture_output=True,
        check=True,
    ).stdout
    begin = made.index(b"-----BEGIN CERTIFICATE")
    return made[begin:], made[:begin]


def test_a_rotation_that_is_torn_or_nonsense_leaves_the_last_good_one(folder: Folder, authority: Authority) -> None:
    first, second = authority.serving("first"), authority.serving("second")
    folder.hold(first)
    context = server_context(FolderCertificate(folder.path))
    with capture_logs() as lines:
        folder.put(second.certificate.read_bytes(), first.key.read_bytes())
        assert {shown(context) for _ in range(2)} == {certificate_of(first)}
        folder.put(b"nonsense", b"nonsense")
        assert shown(context) == certificate_of(first)
        (folder.path / "..data").unlink()
        assert shown(context) == certificate_of(first)
        folder.hold(second)
        assert shown(context) == certificate_of(second)
    told = [line["error"] for line in lines if line["log_level"] == "warning"]
    assert told == [
        "tls.crt and tls.key are no certificate and key that belong together",
        f"{folder.path}/tls.crt: No such file or directory",
    ]


def test_without_a_certificate_there_is_nothing_to_begin_with(folder: Folder, authority: Authority) -> None:
    with pytest.raises(ConfigError, match=r"tls\.crt: No such file"):
        server_context(FolderCertificate(folder.path))
    folder.put(authority.serving("first").certificate.read_bytes(), b"nonsense")
    with pytest.raises(ConfigError, match="belong together"):
        server_context(FolderCertificate(folder.path))


def test_our_own_is_kept_for_months_made_anew_before_it_ends_and_on_no_disk() -> None:
    clock = FakeClock()
    before = len(list(Path("/proc/self/fd").iterdir()))
    context = server_context(OwnCertificate(clock))
    first = shown(context)
    parsed = x509.load_der_x509_certificate(first)
    assert isinstance(parsed.public_key(), ec.EllipticCurvePublicKey)
    assert parsed.not_valid_before_utc < clock.now() < parsed.not_valid_after_utc
    assert shown(context) == first
    clock.jump(91 * DAY)
    second = shown(context)
    assert second != first
    assert x509.load_der_x509_certificate(second).not_valid_after_utc > parsed.not_valid_after_utc
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_operator_that_serves_no_tls_loads_nothing_for_it() -> None:
    program = "import sys, vso.app.serving, vso.app.admin_server; print('cryptography.x509' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_no_key_of_the_old_type_goes_on_beside_the_new_one(folder: Folder, authority: Authority) -> None:
    folder.hold(authority.serving("first"))
    context = server_context(FolderCertificate(folder.path))
    shown(context)
    folder.put(*rsa_pair())
    for version in (ssl.TLSVersion.TLSv1_2, TLS_1_3):
        key = x509.load_der_x509_certificate(shown(context, version=version)).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
