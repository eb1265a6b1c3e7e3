"""Certificates that change while everything runs: Vault's, the bundle that it is checked with, and our own.

On the real bed alone: Vault's TLS listeners, its reload, its method cert and its audit log, which names the
certificate of each request, are what is asked here. `test_tls` has on both beds what a proxy can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.certificates import (
    Borrowed,
    Calm,
    InConfigMap,
    InFile,
    InSecret,
    OwnInFiles,
    OwnInSecret,
    Personal,
    Scene,
    by_certificate,
    pem,
    vouched,
)
from tests.conformance.stage import Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.pki import Authority
from tests.testbed.real import RealBed

pytestmark = pytest.mark.real

READS_FILES = True
OPERATOR_ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--config-recheck-interval=1s",
    "--connection-check-interval=1s",
)


@pytest.fixture
def vault(real_bed: RealBed, stage: Stage) -> Iterator[RealBed]:
    """The bed, with the method cert mounted; afterwards Vault shows its first certificate again."""
    if "cert/" not in real_bed.vault.read("sys/auth")["data"]:
        real_bed.vault.write("sys/auth/cert", {"type": "cert"})
    yield real_bed
    real_bed.show_certificate(real_bed.vault_certificate)


@pytest.fixture
def successor(tmp_path: Path) -> Authority:
    """The authority that comes after the bed's."""
    return Authority(tmp_path / "successor", "successor-ca")


Sets = Callable[[type[Scene]], Scene]


@pytest.fixture
def sets(team: Team, files: Path) -> Iterator[Sets]:
    """Sets a scene of the kind."""
    made: list[Scene] = []

    def make(kind: type[Scene]) -> Scene:
        made.append(kind(team, files))
        return made[-1]

    yield make
    for scene in made:
        scene.close()


@pytest.mark.parametrize("place", [InSecret, InConfigMap, InFile])
def test_vaults_certificate_passes_to_another_authority_and_no_read_fails(
    team: Team, sets: Sets, vault: RealBed, successor: Authority, place: type[Scene]
) -> None:
    scene, old = sets(place), vault.authority
    scene.put(pem(old))
    scene.connect(vault.vault_tls_url)
    scene.follow()
    calm, mark = Calm(team, scene.connection), team.bed.mark()
    scene.put(pem(old, successor))
    calm.wait_checks()
    vault.show_certificate(successor.serving("vault"))
    scene.follows("v2")
    scene.put(pem(successor, old))  # other sockets, with both trusted
    calm.wait_checks()
    scene.follows("v3")
    scene.put(pem(successor))
    calm.wait_checks()
    scene.follows("v4")
    calm.holds()
    assert [call for call in team.bed.vault_audit(mark) if call.path.endswith("/login")] == []


@pytest.mark.parametrize("place", [InSecret, InConfigMap, InFile])
def test_a_bundle_without_vaults_new_authority_is_told_and_mended_without_a_restart(
    team: Team, sets: Sets, vault: RealBed, successor: Authority, place: type[Scene]
) -> None:
    scene = sets(place)
    scene.put(pem(vault.authority))
    scene.connect(vault.vault_tls_url)
    scene.follow()
    vault.show_certificate(successor.serving("vault"))
    scene.put(pem(vault.authority) * 2)  # other sockets, no other trust
    told = scene.home.wait_condition("Ready", "False", "VaultTLSError", kind="VaultConnection", name=team.ns)
    assert "unknown CA" in told["message"]
    scene.put(pem(successor))
    scene.home.wait_ready(team.ns, "VaultConnection")
    scene.follows("v2")


@pytest.mark.parametrize("place", [OwnInSecret, OwnInFiles, Personal])
def test_a_new_client_certificate_is_shown_within_the_interval_and_the_old_one_no_more(
    team: Team, sets: Sets, vault: RealBed, place: type[Scene]
) -> None:
    old, new = vouched(team)
    scene = sets(place)
    scene.put(old)
    scene.connect(vault.vault_mutual_tls_url)
    mark = team.bed.mark()
    scene.follow(by_certificate(team, place))
    assert scene.shown(mark) == {old.serial}
    calm = Calm(team, scene.connection)
    scene.put(new)
    calm.wait_checks()
    swapped = team.bed.mark()
    scene.follows("v2")
    assert scene.shown(swapped) == {new.serial}
    assert scene.logins(mark) == [old.serial], "the token stays"
    calm.holds()


@pytest.mark.parametrize("place", [OwnInSecret, Personal])
def test_the_next_login_is_made_with_the_certificate_of_then(
    team: Team, sets: Sets, vault: RealBed, place: type[Scene]
) -> None:
    old, new = vouched(team, token_ttl="10s", token_max_ttl="10s")
    scene = sets(place)
    scene.put(old)
    scene.connect(vault.vault_mutual_tls_url)
    mark = team.bed.mark()
    scene.follow(by_certificate(team, place))
    calm = Calm(team, scene.connection)
    scene.put(new)
    eventually(lambda: len(scene.logins(mark)) > 1, timeout=30, message="it logs in anew")
    assert scene.logins(mark)[:2] == [old.serial, new.serial]
    scene.follows("v2")
    calm.holds()


@pytest.mark.parametrize("place", [OwnInSecret, Personal])
def test_leases_hang_on_a_token_that_is_renewed_with_the_certificate_of_then(
    team: Team, sets: Sets, vault: RealBed, place: type[Scene]
) -> None:
    old, new = vouched(team, token_ttl="12s")
    scene = sets(place)
    borrowed = Borrowed(scene)
    scene.put(old)
    scene.connect(vault.vault_mutual_tls_url)
    mark = team.bed.mark()
    scene.follow(by_certificate(team, place))
    borrowed.apply()
    calm, first = Calm(team, scene.connection), borrowed.login
    always(borrowed.works, during=14)
    scene.put(new)
    always(borrowed.works, during=14)
    assert borrowed.login == first
    renewals = [call.certificate for call in scene.calls(mark, "auth/token/renew-self")]
    assert list(dict.fromkeys(renewals)) == [old.serial, new.serial]
    calm.holds()


def test_credentials_are_replaced_in_time_when_the_new_certificate_may_not_renew_the_old_token(
    team: Team, sets: Sets, vault: RealBed, successor: Authority
) -> None:
    old, _ = vouched(team, token_ttl="20s", certificate=pem(vault.authority, successor))
    scene = sets(Personal)
    borrowed = Borrowed(scene)
    scene.put(old)
    scene.connect(vault.vault_tls_url)
    mark = team.bed.mark()
    scene.follow(by_certificate(team, Personal))
    borrowed.apply()
    calm, first = Calm(team, scene.connection), borrowed.login
    scene.put(successor.client(team.ns))
    always(borrowed.works, during=30)
    assert borrowed.login != first
    scene.follows("v2")
    refused = [call for call in scene.calls(mark, "auth/token/renew-self") if not call.ok]
    assert len(refused) == 1
    assert "client identity during renewal not matching" in refused[0].error
    calm.holds(but=1)


def test_a_listener_that_asks_for_a_certificate_says_what_to_name_where(team: Team, sets: Sets, vault: RealBed) -> None:
    scene = sets(OwnInSecret)
    scene.connect(vault.vault_mutual_tls_url, clientCertSecretRef=None)
    told = team.wait_condition("Ready", "False", "VaultTLSError", kind="VaultConnection", name=team.ns)
    assert "asks for a client certificate" in told["message"]
    assert "spec.clientCertSecretRef" in told["message"]
    scene.put(vouched(team)[0])
    scene.connect(vault.vault_mutual_tls_url)
    team.wait_ready(team.ns, "VaultConnection")


def test_a_client_certificate_of_an_unknown_authority_is_told_as_that(
    team: Team, sets: Sets, vault: RealBed, successor: Authority
) -> None:
    scene = sets(OwnInSecret)
    scene.put(successor.client(team.ns))
    scene.connect(vault.vault_mutual_tls_url)
    told = team.wait_condition("Ready", "False", "VaultTLSError", kind="VaultConnection", name=team.ns)
    assert "does not trust the client certificate" in told["message"]
    scene.put(vouched(team)[0])
    team.wait_ready(team.ns, "VaultConnection")
