"""Where the API server is: in the pod, or as a kubeconfig says."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vso.core.errors import ConfigError
from vso.kube.config import FileToken, from_kubeconfig, in_cluster, load


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return pem, key.private_bytes(encoding, form, serialization.NoEncryption())


@pytest.fixture
def account(tmp_path: Path, certificate: tuple[bytes, bytes]) -> Path:
    (tmp_path / "ca.crt").write_bytes(certificate[0])
    (tmp_path / "token").write_text("first\n")
    return tmp_path


def kubeconfig(path: Path, user: dict[str, Any], **cluster: Any) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://k.example.com:6443/", **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_in_the_cluster(account: Path) -> None:
    env = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    credentials = in_cluster(env, account)
    assert credentials.server == "https://10.0.0.1:6443"
    assert credentials.tls is not None
    assert credentials.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, account).server == "https://[fd00::1]:443"


def test_outside_a_cluster_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--kubeconfig"):
        in_cluster({}, tmp_path)


async def test_a_renewed_token_file_is_read_again(account: Path) -> None:
    path = account / "token"
    tokens = FileToken(path)
    assert await tokens.token() == "first"
    path.write_text("second")
    os.utime(path, ns=(1, 1))
    assert await tokens.token() == "second"
    path.write_text("third")
    os.utime(path, ns=(1, 1))
    assert await tokens.token() == "second"
    tokens.invalidate()
    assert await tokens.token() == "third"
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        await tokens.token()


async def test_a_kubeconfig_with_a_token(tmp_path: Path, certificate: tuple[bytes, bytes]) -> None:
    authority = base64.b64encode(certificate[0]).decode()
    cluster = {"certificate-authority-data": authority, "tls-server-name": "inner.example.com"}
    path = kubeconfig(tmp_path / "config", {"token": "abc"}, **cluster)
    credentials = await load(str(path))
    assert (credentials.server, credentials.server_name) == ("https://k.example.com:6443", "inner.example.com")
    assert await credentials.token() == "abc"
    assert "abc" not in repr(credentials)
    assert (await load(None, {"KUBECONFIG": str(path)})).server == credentials.server


async def test_a_kubeconfig_with_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one")
    credentials = await from_kubeconfig(str(kubeconfig(tmp_path / "config", {"tokenFile": "token"})))
    assert await credentials.token() == "one"
    (tmp_path / "token").write_text("two")
    credentials.invalidate()
    assert await credentials.token() == "two"


async def test_a_kubeconfig_with_a_client_certificate(tmp_path: Path, certificate: tuple[bytes, bytes]) -> None:
    pem, key = (base64.b64encode(part).decode() for part in certificate)
    user = {"client-certificate-data": pem, "client-key-data": key}
    path = kubeconfig(tmp_path / "config", user, **{"insecure-skip-tls-verify": True})
    credentials = await from_kubeconfig(str(path))
    assert await credentials.token() is None
    assert credentials.tls is not None
    assert credentials.tls.verify_mode is ssl.CERT_NONE


async def test_a_kubeconfig_with_an_exec_plugin(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.sh"
    plugin.write_text(
        '#!/bin/sh\necho run >> "$(dirname "$0")/runs"\n'
        'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
        '"status":{"token":"from-plugin","expirationTimestamp":"2199-01-01T00:00:00Z"}}\'\n'
    )
    plugin.chmod(0o755)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    credentials = await from_kubeconfig(str(kubeconfig(tmp_path / "config", user)))
    assert [await credentials.token() for _ in range(3)] == ["from-plugin"] * 3
    assert (tmp_path / "runs").read_text().count("run") == 1


async def test_a_broken_kubeconfig_is_a_configuration_error(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\ncurrent-context: nowhere\n")
    for name in (path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="kubeconfig"):
            await from_kubeconfig(str(name))


def test_the_adapter_does_not_import_kubernetes_asyncio() -> None:
    code = "import sys, vso.kube.client, vso.kube.config; sys.exit('kubernetes_asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
