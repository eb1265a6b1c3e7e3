from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, Json
from tests.fakes.kube_transport import connected, serving, status
from tests.testbed.mounted import Mounted
from vso.api.access import VaultConnection
from vso.api.scheme import parse_as
from vso.controllers.materials import FilePolicy, Materials
from vso.controllers.trust import TrustPolicy, TrustStore
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey
from vso.vault.config import TlsConfig

PEM = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OPERATOR = "vso-system"
POLICY = TrustPolicy()
NO_FILES = FilePolicy(OPERATOR)


def coded(value: bytes) -> str:
    return base64.b64encode(value).decode()


SECRET = "/api/v1/namespaces/app/secrets/"
READABLE: dict[str, Json] = {
    f"{SECRET}ca": {"data": {"ca.crt": coded(PEM), "other": ""}},
    f"{SECRET}rubbish": {"data": {"ca.crt": "A"}},
    f"{SECRET}empty": {},
    f"{SECRET}client": {"data": {"tls.crt": coded(PEM), "tls.key": coded(b"canary-key"), "k": coded(b"canary-2")}},
    "/api/v1/namespaces/app/configmaps/ca": {"data": {"ca.crt": PEM.decode(), "b": "no certificate"}},
}


def vault(namespace: str = "app", **spec: Any) -> VaultConnection:
    record = FakeCluster().put(Kind.VAULT_CONNECTION, "vault", {"address": "https://v:8200", **spec}, namespace)
    return parse_as(VaultConnection, record.body)


async def tls(connection: VaultConnection, policy: TrustPolicy = POLICY, files: FilePolicy = NO_FILES) -> TlsConfig:
    async with serving(FakeCluster(readable=READABLE)) as api, connected(api) as kube:
        return await TrustStore(Materials(kube, files), FakeClock(), policy).tls(connection)


async def refusal(
    connection: VaultConnection, policy: TrustPolicy = POLICY, files: FilePolicy = NO_FILES
) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        await tls(connection, policy, files)
    assert "canary" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"caBundle": coded(PEM)}, id="inline"),
        pytest.param({"caCertSecretRef": "ca"}, id="secret"),
        pytest.param({"caCertConfigMapRef": {"name": "ca"}}, id="config-map"),
        pytest.param({"caBundle": coded(PEM), "caCertSecretRef": "missing"}, id="inline-comes-first"),
    ],
)
async def test_where_the_ca_comes_from(spec: Json) -> None:
    found = await tls(vault(tlsServerName="vault.example.com", **spec))
    assert found == TlsConfig("vault.example.com", PEM)


async def test_nothing_said_means_the_systems_own_trust() -> None:
    assert await tls(vault()) == TlsConfig()


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param({"caCertSecretRef": "no"}, Reason.REFERENCE_NOT_FOUND, "Secret app/no", id="no-secret"),
        pytest.param(
            {"caCertConfigMapRef": {"name": "no"}}, Reason.REFERENCE_NOT_FOUND, "ConfigMap app/no", id="no-config-map"
        ),
        pytest.param(
            {"caCertSecretRef": "empty"}, Reason.REFERENCE_NOT_FOUND, "'ca.crt'; its keys: none", id="no-data"
        ),
        pytest.param(
            {"caCertConfigMapRef": {"name": "ca", "key": "x"}},
            Reason.REFERENCE_NOT_FOUND,
            "no key 'x'; its keys: b, ca.crt",
            id="names-the-keys-that-are-there",
        ),
        pytest.param(
            {"caCertConfigMapRef": {"name": "ca", "key": "b"}}, Reason.INVALID_SPEC, "no certificate", id="no-pem"
        ),
        pytest.param({"caCertSecretRef": "rubbish"}, Reason.INVALID_SPEC, "not base64", id="not-base64"),
        pytest.param({"caCertSecretRef": "ca", "caCertPath": "/x"}, Reason.INVALID_SPEC, "exclude", id="two-sources"),
        pytest.param(
            {"clientCertSecretRef": {"name": "client", "keyKey": "no"}},
            Reason.REFERENCE_NOT_FOUND,
            "no key 'no'",
            id="no-client-key",
        ),
    ],
)
async def test_what_is_missing_is_named(spec: Json, reason: Reason, words: str) -> None:
    error = await refusal(vault(**spec))
    assert error.reason is reason
    assert words in error.message


@pytest.mark.parametrize("name", ["..", "../configmaps/x", "a/b", "Ca"])
@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("caCertSecretRef", lambda name: name),
        ("caCertConfigMapRef.name", lambda name: {"name": name}),
        ("clientCertSecretRef.name", lambda name: {"name": name}),
    ],
)
async def test_a_name_that_is_a_path_is_refused_with_its_field_and_nothing_is_asked(
    field: str, shape: Callable[[str], Any], name: str
) -> None:
    async with serving(FakeCluster(readable=READABLE)) as api, connected(api) as kube:
        with pytest.raises(ConfigError, match=rf"spec\.{field} is ") as caught:
            await TrustStore(Materials(kube, NO_FILES), FakeClock(), POLICY).tls(
                vault(**{field.partition(".")[0]: shape(name)})
            )
    assert caught.value.reason is Reason.INVALID_SPEC
    assert api.requests == []


async def test_a_client_certificate_from_a_secret() -> None:
    found = await tls(vault(clientCertSecretRef={"name": "client", "keyKey": "k"}))
    assert found.client_cert_pem == PEM
    assert found.client_key is not None
    assert found.client_key.reveal() == b"canary-2"
    assert "canary" not in repr(found)


async def test_no_verification_at_all_can_be_forbidden() -> None:
    assert (await tls(vault(skipTLSVerify=True))).skip_verify is True
    error = await refusal(vault(skipTLSVerify=True), TrustPolicy(forbid_insecure=True))
    assert "--forbid-insecure-tls" in error.message


# Files of the operator's pod.


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "allowed").mkdir()
    for name in ("allowed/ca.pem", "outside.pem"):
        (tmp_path / name).write_bytes(PEM)
    (tmp_path / "allowed" / "link.pem").symlink_to(tmp_path / "outside.pem")
    (tmp_path / "allowed-too.pem").write_bytes(PEM)
    return tmp_path


def policy(files: Path) -> FilePolicy:
    return FilePolicy(OPERATOR, (str(files / "allowed"),))


async def test_the_operators_own_namespace_may_name_files_below_an_allowed_prefix(files: Path) -> None:
    path = str(files / "allowed" / "ca.pem")
    found = await tls(vault(OPERATOR, caCertPath=path, clientCertPath=path, clientKeyPath=path), files=policy(files))
    assert found.ca_pem == found.client_cert_pem == PEM
    assert found.client_key is not None


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        pytest.param("app", "allowed/ca.pem", id="a-tenant"),
        pytest.param(OPERATOR, "outside.pem", id="outside"),
        pytest.param(OPERATOR, "allowed/../outside.pem", id="up-and-out"),
        pytest.param(OPERATOR, "allowed/../allowed/ca.pem", id="up-and-in-again"),
        pytest.param(OPERATOR, "allowed/link.pem", id="through-a-link"),
        pytest.param(OPERATOR, "allowed-too.pem", id="a-prefix-of-text-only"),
    ],
)
@pytest.mark.parametrize("field", ["caCertPath", "clientCertPath"])
async def test_no_other_file_is_read(files: Path, namespace: str, name: str, field: str) -> None:
    path = f"{files}/{name}"
    more = {"clientKeyPath": path} if field == "clientCertPath" else {}
    error = await refusal(vault(namespace, **{field: path}, **more), files=policy(files))
    assert f"spec.{field} is read only" in error.message
    assert "--allowed-file-prefixes" in error.message


async def test_without_a_prefix_no_file_is_read(files: Path) -> None:
    await refusal(vault(OPERATOR, caCertPath=str(files / "allowed" / "ca.pem")))


async def test_a_file_that_cannot_be_read_is_named(files: Path) -> None:
    error = await refusal(vault(OPERATOR, caCertPath=str(files / "allowed" / "no.pem")), files=policy(files))
    assert "No such file" in error.message


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("fifo", "it is not a regular file"),
        ("folder", "it is not a regular file"),
        ("large", "it is longer than 1 MiB"),
        ("empty", "it is empty"),
        ("loop", "its links lead in a circle"),
        ("nul\0", "its name is none that a file can have"),
    ],
)
async def test_what_is_no_file_of_a_few_bytes_is_named_and_never_waited_for(files: Path, name: str, told: str) -> None:
    place = files / "allowed"
    os.mkfifo(place / "fifo")
    (place / "folder").mkdir()
    (place / "large").write_bytes(b"x" * (1024 * 1024 + 1))
    (place / "empty").touch()
    (place / "loop").symlink_to(place / "loop")
    error = await refusal(vault(OPERATOR, caCertPath=f"{place}/{name}"), files=policy(files))
    assert error.reason is Reason.INVALID_SPEC
    assert error.message.endswith(f"cannot be read: {told}")


async def test_a_file_of_one_mebibyte_is_read(files: Path) -> None:
    (files / "allowed" / "ca.pem").write_bytes(PEM.ljust(1024 * 1024))
    found = await tls(vault(OPERATOR, caCertPath=str(files / "allowed" / "ca.pem")), files=policy(files))
    assert found.ca_pem is not None


async def test_a_path_is_absolute(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files / "allowed")
    error = await refusal(vault(OPERATOR, caCertPath="ca.pem"), files=policy(files))
    assert "spec.caCertPath must be an absolute path" in error.message


async def test_a_tenant_learns_nothing_of_the_files_that_there_are(files: Path) -> None:
    (files / "loop").symlink_to(files / "loop")
    told = [await refusal(vault("app", caCertPath=path), files=policy(files)) for path in (f"{files}/loop", "x", "/\0")]
    assert len({error.message for error in told}) == 1


class Swapped:
    """Reads files of a mounted volume that holds something else after the n-th look, as kubelet swaps it."""

    def __init__(self, volume: Mounted, *states: str, at: int) -> None:
        self.volume, self.states, self.looks, self.at = volume, list(states), 0, at
        self._show()

    def __call__(self, path: Path) -> bytes:
        self.looks += 1
        if self.looks == self.at:
            self._show()
        return path.read_bytes()

    def _show(self) -> None:
        state = self.states.pop(0)
        self.volume.show({"tls.crt": f"{PEM.decode()}{state}", "tls.key": state})


@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_volume_that_is_swapped_meanwhile_gives_a_certificate_and_the_key_of_it(
    tmp_path: Path, at: int
) -> None:
    volume = Mounted(tmp_path / "volume")
    swapped = Swapped(volume, "one", "two", at=at)
    paths = {"clientCertPath": str(volume.folder / "tls.crt"), "clientKeyPath": str(volume.folder / "tls.key")}
    async with serving(FakeCluster()) as api, connected(api) as kube:
        materials = Materials(kube, FilePolicy(OPERATOR, (str(tmp_path),)), swapped)
        found = await TrustStore(materials, FakeClock(), POLICY).tls(vault(OPERATOR, **paths))
    assert found.client_key is not None
    state = found.client_key.reveal()
    assert found.client_cert_pem == PEM + state
    assert state == (b"one" if at > 3 else b"two")


# Keeping.


async def test_what_was_read_is_kept_for_a_while(clock: FakeClock) -> None:
    async with serving(FakeCluster(readable=READABLE)) as api, connected(api) as kube:
        store = TrustStore(Materials(kube, NO_FILES), clock, POLICY)
        connection = vault(caCertSecretRef="ca")
        for seconds, reads in ((0, 1), (59, 1), (1, 2), (10, 2)):
            await clock.advance(seconds)
            await store.tls(connection)
            assert len(api.requests) == reads
        await store.tls(connection, renew=True)
        assert len(api.requests) == 3


async def test_a_certificate_is_kept_for_a_while_too(clock: FakeClock) -> None:
    async with serving(FakeCluster(readable=READABLE)) as api, connected(api) as kube:
        store = TrustStore(Materials(kube, NO_FILES), clock, POLICY)
        for seconds, reads, renew in ((0, 1, False), (59, 1, False), (0, 2, True), (59, 2, False), (1, 3, False)):
            await clock.advance(seconds)
            assert (await store.certificate(ObjectKey("app", "client"), renew=renew))[0] == PEM
            assert len(api.requests) == reads


async def test_a_changed_connection_is_read_anew(clock: FakeClock) -> None:
    async with serving(FakeCluster(readable=READABLE)) as api, connected(api) as kube:
        store = TrustStore(Materials(kube, NO_FILES), clock, POLICY)
        one = vault(caCertSecretRef="ca")
        two = one.model_copy(update={"metadata": one.metadata.model_copy(update={"generation": 2})})
        await store.tls(one)
        await store.tls(two)
        assert len(api.requests) == 2


async def test_a_failure_is_not_kept(clock: FakeClock) -> None:
    async with serving(FakeCluster(readable=READABLE)) as api, connected(api) as kube:
        store = TrustStore(Materials(kube, NO_FILES), clock, POLICY)
        api.script.append(status(404, "NotFound"))
        with pytest.raises(ConfigError):
            await store.tls(vault(caCertSecretRef="ca"))
        assert (await store.tls(vault(caCertSecretRef="ca"))).ca_pem == PEM


async def test_an_address_that_is_not_admitted_is_refused_by_the_name_of_the_flag() -> None:
    strict = TrustPolicy(allows_address=lambda address: address == "https://other:8200")
    error = await refusal(vault(), strict)
    assert error.reason == Reason.INVALID_SPEC
    assert "--vault-address-allow" in error.message
    await tls(vault(address="https://other:8200"), strict)
