"""The login method ldap against a real directory, of whose users Vault itself holds nothing but the policies.

On the real bed alone: the sandbox's Vault knows the kubernetes method and no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.stage import MANIFESTS, Team, documents
from tests.testbed.bed import Mark, VaultCall, always, eventually
from tests.testbed.directory import GROUPS, PEOPLE, Directory
from tests.testbed.real import RealBed

pytestmark = pytest.mark.real

LOGIN_LIMIT = 4
"""After as many refused logins in a row Vault would let nobody in as that user, for a quarter of an hour."""
OPERATOR_ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--config-recheck-interval=1s",
    "--connection-check-interval=1s",
)


@pytest.fixture(scope="module")
def directory(real_bed: RealBed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """A directory, and Vault's method ldap before it."""
    directory = Directory(tmp_path_factory.mktemp("directory"))
    directory.holds({"app": "first"})
    directory.start()
    real_bed.vault.write("sys/auth/ldap", {"type": "ldap"})
    config = {"url": directory.url, "userdn": PEOPLE, "userattr": "uid", "groupdn": GROUPS, "groupattr": "cn"}
    real_bed.vault.write("auth/ldap/config", {**config, "request_timeout": 5, "connection_timeout": 5})
    yield directory
    directory.remove()


@pytest.fixture
def user(team: Team, directory: Directory) -> str:
    """A user of the team's own, with the password `first`; the directory runs before and after."""
    if not directory.process.running:
        directory.start()
    directory.holds({team.ns: "first"})
    entitle(team, team.ns)
    return team.ns


def entitle(team: Team, user: str, **more: Any) -> None:
    team.bed.vault.write(f"auth/ldap/users/{user}", {"policies": team.ns, **more})


@pytest.fixture
def brief(team: Team, directory: Directory) -> Iterator[None]:
    """Tokens that live for eight seconds."""
    team.bed.vault.write("sys/auth/ldap/tune", {"default_lease_ttl": "8s", "max_lease_ttl": "8s"})
    yield
    team.bed.vault.write("sys/auth/ldap/tune", {"default_lease_ttl": "20m", "max_lease_ttl": "1h"})


def app(team: Team, user: str, password: str = "first") -> None:
    """A Secret with the password, and a VaultStaticSecret behind a VaultAuth that shows it."""
    team.put("app", {"password": "v1"})
    team.keep("directory-user", password=password)
    block = {"username": user, "secretRef": "directory-user"}
    team.access(auth={"method": "ldap", "mount": "ldap", "kubernetes": {}, "ldap": block})
    team.static()


def follows(team: Team, value: str) -> None:
    team.put("app", {"password": value})
    team.wait_data(lambda data: data["password"] == value)


def logins(team: Team, since: Mark, user: str) -> list[VaultCall]:
    return [call for call in team.bed.vault_audit(since) if call.path == f"auth/ldap/login/{user}"]


def test_a_user_of_a_directory_logs_in_as_the_example_has_it(team: Team, directory: Directory) -> None:
    entitle(team, "app")
    team.put("app", {"password": "v1"})
    team.keep("directory-user", password="first")
    (auth,) = documents(MANIFESTS / "example" / "logins" / "ldap.yaml")
    team.apply("VaultConnection", "vault", {"address": team.bed.vault.url})
    team.bed.kube.apply({**auth, "metadata": {**auth["metadata"], "namespace": team.ns}})
    team.static(vaultAuthRef="ldap")
    team.wait_ready()
    follows(team, "v2")


def test_a_group_of_the_directory_gives_the_policies(team: Team, directory: Directory) -> None:
    directory.holds({"member": "first"}, {"readers": ("member",)})
    team.bed.vault.write("auth/ldap/groups/readers", {"policies": team.ns})
    app(team, "member")
    team.wait_ready()
    follows(team, "v2")


def test_a_wrong_password_is_told_and_tried_too_seldom_to_lock_the_user(team: Team, user: str) -> None:
    mark = team.bed.mark()
    app(team, user, password="canary-wrong")
    message = str(team.wait_condition("Stalled", reason="VaultLoginRefused")["message"])
    assert f"VaultAuth {team.ns}/auth at auth/ldap" in message
    assert user in message
    assert "canary" not in message
    for number in range(6):
        team.patch({"metadata": {"labels": {"look": str(number)}}})
        always(lambda: True, during=1)
    assert 0 < len(logins(team, mark, user)) < LOGIN_LIMIT
    team.keep("directory-user", password="first")
    team.wait_ready()
    operator = team.stage.operator
    assert operator is not None
    assert "canary" not in operator.log_text()


def test_a_password_that_is_changed_in_both_places_is_taken_and_no_login_refused(
    team: Team, user: str, directory: Directory, brief: None
) -> None:
    app(team, user)
    team.wait_ready()
    mark = team.bed.mark()
    directory.holds({user: "second"})
    team.keep("directory-user", password="second")
    eventually(lambda: len(logins(team, mark, user)) > 1, timeout=30, message="it has logged in anew")
    follows(team, "v2")
    assert [call for call in logins(team, mark, user) if not call.ok] == []


def test_a_directory_that_is_away_is_told_by_its_mount_and_neither_counted_as_a_refusal_nor_as_an_outage_of_vault(
    team: Team, user: str, directory: Directory
) -> None:
    directory.stop()
    # Vault's answer is a 500, which is why it is not taken for a refusal, and one that names its cause.
    answer = team.bed.vault.raw("PUT", f"auth/ldap/login/{user}", token="", json={"password": "first"})
    assert answer.status_code == 500
    assert "failed to connect" in answer.text
    mark = team.bed.mark()
    app(team, user)
    message = team.wait_condition("Ready", "False", "VaultLoginUnavailable")["message"]
    assert f"VaultAuth {team.ns}/auth at auth/ldap: Vault failed on auth/ldap/login/{user} (500)" in message
    assert "connection refused" in message
    assert "check that what the named auth mount asks (a directory, a cloud) works" in message
    assert "check that Vault runs" not in message
    eventually(lambda: len(logins(team, mark, user)) > LOGIN_LIMIT, timeout=60, message="it goes on trying")
    team.apply("VaultAuth", "other", team.auth_spec())
    team.static("other", vaultAuthRef="other")
    team.wait_ready("other")
    assert team.condition("Ready", "VaultConnection", "vault")["status"] == "True"
    operator = team.stage.operator
    assert operator is not None
    breaker = f'vso_vault_breaker_open{{vault_connection="{team.ns}/vault"}}'
    assert f"{breaker} 1.0" not in operator.metrics()
    directory.start()
    team.wait_ready()
    follows(team, "v2")


def test_many_objects_behind_a_directory_that_is_away_ask_for_few_logins_and_all_work_when_it_is_back(
    team: Team, user: str, directory: Directory
) -> None:
    directory.stop()
    mark = team.bed.mark()
    app(team, user)
    names = ["app", *(f"app-{number}" for number in range(20))]
    for name in names[1:]:
        team.static(name)
    for name in names:
        team.wait_condition("Ready", "False", "VaultLoginUnavailable", name=name)
    always(lambda: True, during=15)
    tried = len(logins(team, mark, user))
    assert tried <= 12, "not once for each of them"
    directory.start()
    for name in names:
        team.wait_ready(name)
    assert len(logins(team, mark, user)) <= tried + 3


def test_a_directory_that_goes_away_leaves_the_token_in_use(team: Team, user: str, directory: Directory) -> None:
    app(team, user)
    team.wait_ready()
    directory.stop()
    follows(team, "v2")
    assert team.condition("Healthy")["status"] == "True"
    directory.start()
