"""Vault behind TLS: whose certificates are trusted, where the CA comes from, and what a failure says."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.stage import Stage, Team
from tests.testbed.bed import Bed, eventually
from tests.testbed.operator import Operator, Setting
from tests.testbed.pki import Authority
from tests.testbed.proxy import Proxy, path_has

LASTS = 30

OPERATOR_ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--config-recheck-interval=1s",
    "--connection-check-interval=1s",
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of Vault's certificate."""
    return Authority(tmp_path / "vault", "vault-ca")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """An authority that did not sign Vault's certificate."""
    return Authority(tmp_path / "stranger", "stranger-ca")


@pytest.fixture
def secure(prepared: Bed, authority: Authority) -> Iterator[Proxy]:
    """Vault, spoken to by TLS."""
    with Proxy(prepared.vault.url, serving=authority.serving("vault")) as proxy:
        yield proxy


def bundle(*authorities: Authority) -> str:
    return base64.b64encode(pem(*authorities).encode()).decode()


def pem(*authorities: Authority) -> str:
    return "".join(authority.certificate.read_text() for authority in authorities)


def ask(team: Team, address: str, **connection: Any) -> None:
    team.access(address=address, connection=connection)
    team.put("app", {"password": "v1"})
    team.static()


def trusts(team: Team) -> None:
    team.wait_data(lambda data: data["password"] == "v1")
    team.wait_ready()
    team.wait_ready("vault", "VaultConnection")


def stalled(team: Team) -> str:
    return str(team.condition("Stalled").get("message", ""))


def keep_ca(team: Team, *authorities: Authority) -> None:
    team.bed.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "vault-ca", "namespace": team.ns},
            "stringData": {"ca.crt": pem(*authorities)},
        }
    )


def test_an_inline_bundle_is_trusted(team: Team, secure: Proxy, authority: Authority) -> None:
    ask(team, secure.url, caBundle=bundle(authority))
    trusts(team)


@pytest.mark.refused("get secrets")
def test_a_ca_in_a_secret_needs_a_rule_for_that_name_and_the_reason_spells_it_out(
    team: Team, secure: Proxy, authority: Authority
) -> None:
    keep_ca(team, authority)
    ask(team, secure.url, caCertSecretRef="vault-ca")
    message = team.wait_condition("Stalled", reason="KubernetesForbidden")["message"]
    for part in ("secrets", '"vault-ca"', "get", team.ns):
        assert part in message
    team.wait_condition("Ready", "False", "KubernetesForbidden", kind="VaultConnection", name="vault")
    team.grant("secrets", "vault-ca")
    trusts(team)


def test_a_ca_in_a_config_map_is_trusted(team: Team, secure: Proxy, authority: Authority) -> None:
    meta = {"name": "vault-ca", "namespace": team.ns}
    data = {"bundle.pem": pem(authority)}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    team.grant("configmaps", "vault-ca")
    ask(team, secure.url, caCertConfigMapRef={"name": "vault-ca", "key": "bundle.pem"})
    trusts(team)


def test_a_missing_key_of_the_ca_is_named(team: Team, secure: Proxy) -> None:
    meta = {"name": "vault-ca", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"other": "x"}})
    team.grant("configmaps", "vault-ca")
    ask(team, secure.url, caCertConfigMapRef={"name": "vault-ca", "key": "ca.crt"})
    message = team.wait_condition("Ready", "False", "ReferenceNotFound", kind="VaultConnection", name="vault")
    assert "ca.crt" in message["message"]
    assert "other" in message["message"]


def test_the_server_name_decides_what_the_certificate_must_be_for(
    team: Team, secure: Proxy, authority: Authority
) -> None:
    ask(team, secure.url, caBundle=bundle(authority), tlsServerName="vault.example.org")
    message = team.wait_condition("Reconciling", reason="VaultTLSError")["message"]
    assert "not for this host name" in message
    team.patch({"spec": {"tlsServerName": "localhost"}}, "VaultConnection", "vault")
    trusts(team)


def test_a_wrong_ca_is_a_tls_error_that_says_what_failed(team: Team, secure: Proxy, stranger: Authority) -> None:
    ask(team, secure.url, caBundle=bundle(stranger))
    message = team.wait_condition("Reconciling", reason="VaultTLSError")["message"]
    assert "unknown CA" in message
    assert secure.url in message
    assert secure.count(path_has("/v1/")) == 0
    assert team.secret() is None


def test_plain_http_at_a_tls_address_says_so(team: Team) -> None:
    ask(team, team.bed.vault.url.replace("http://", "https://"))
    message = team.wait_condition("Reconciling", reason="VaultTLSError")["message"]
    assert "does not speak TLS" in message


def test_verification_can_be_skipped(team: Team, secure: Proxy) -> None:
    ask(team, secure.url, skipTLSVerify=True)
    trusts(team)


def test_a_ca_rotated_in_the_secret_needs_no_restart_and_no_gap(
    team: Team, secure: Proxy, authority: Authority, tmp_path: Path
) -> None:
    successor = Authority(tmp_path / "successor", "vault-ca")
    team.grant("secrets", "vault-ca")
    keep_ca(team, authority)
    ask(team, secure.url, caCertSecretRef="vault-ca")
    trusts(team)
    keep_ca(team, authority, successor)
    logins = secure.count(path_has("/login"))
    probes = secure.count(path_has("sys/health"))
    eventually(lambda: secure.count(path_has("sys/health")) >= probes + 2, message="the CA was read again")
    secure.show(successor.serving("vault-2"))
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    keep_ca(team, successor)
    team.wait_ready("vault", "VaultConnection")
    assert secure.count(path_has("/login")) == logins  # the token is as good over the new trust


def test_a_ca_that_follows_its_server_late_ends_the_outage_without_any_event(
    team: Team, secure: Proxy, authority: Authority, stranger: Authority
) -> None:
    team.grant("secrets", "vault-ca")
    keep_ca(team, authority)
    team.access(address=secure.url, connection={"caCertSecretRef": "vault-ca"})
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="2s")
    trusts(team)
    secure.show(stranger.serving("vault"))
    team.wait_condition("Healthy", "False", "VaultTLSError")
    assert team.condition("Ready")["status"] == "True"
    team.put("app", {"password": "v2"})
    keep_ca(team, stranger)
    team.wait_data(lambda data: data["password"] == "v2")
    team.wait_condition("Healthy")


@pytest.fixture
def strict(stage: Stage) -> Iterator[Operator]:
    """An operator whose administrator forbids what is insecure, in place of the module's."""
    stage.operator.stop()
    allow = "--vault-address-allow=https://127.0.0.1"
    strict = stage.other(*OPERATOR_ARGS, "--forbid-insecure-tls", allow, setting=Setting(name="strict"))
    strict.start()
    strict.wait_ready()
    yield strict
    strict.stop()
    assert "Traceback" not in strict.log_text()
    stage.operator.start()
    stage.operator.wait_ready()


def test_the_administrator_has_the_last_word(team: Team, secure: Proxy, authority: Authority, strict: Operator) -> None:
    ask(team, secure.url, skipTLSVerify=True)
    assert "--forbid-insecure-tls" in team.wait_condition("Stalled", reason="InvalidSpec")["message"]
    team.access(address=team.bed.vault.url)
    condition = team.wait_condition("Ready", "False", "InvalidSpec", kind="VaultConnection", name="vault")
    assert "--vault-address-allow" in condition["message"]
    eventually(lambda: "--vault-address-allow" in stalled(team), message="the secret says it too")
    assert team.secret() is None
    team.bed.kube.delete("VaultConnection", team.ns, "vault")
    team.access(address=secure.url, connection={"caBundle": bundle(authority)})
    trusts(team)
