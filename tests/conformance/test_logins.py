"""Every way to log in that needs no cloud, against the auth methods of a real Vault.

On the real bed alone: the sandbox's Vault knows the kubernetes method and no other.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.stage import MANIFESTS, Json, Stage, Team, documents
from tests.testbed.bed import always, eventually
from tests.testbed.real import RealBed

pytestmark = pytest.mark.real

LOGIN_LIMIT = 4
READS_FILES = True
OPERATOR_ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--config-recheck-interval=1s",
    "--connection-check-interval=1s",
)


@pytest.fixture
def vault(real_bed: RealBed, stage: Stage) -> RealBed:
    """The bed, with the auth methods mounted."""
    for method in ("approle", "userpass", "jwt", "cert"):
        if f"{method}/" not in real_bed.vault.read("sys/auth")["data"]:
            real_bed.vault.write(f"sys/auth/{method}", {"type": method})
    return real_bed


def app(team: Team, method: str, mount: str, *, address: str | None = None, **block: Any) -> None:
    """A VaultConnection, a VaultAuth of the method, and a VaultStaticSecret behind them."""
    team.put("app", {"password": "v1"})
    ca = {} if address is None else {"caBundle": authority_of(team)}
    team.apply(
        "VaultConnection", "vault", {"address": address or team.bed.vault.url, **ca, **block.pop("connection", {})}
    )
    team.apply("VaultAuth", "auth", {"vaultConnectionRef": "vault", "method": method, "mount": mount, **block})
    team.static()


def example(team: Team, method: str, *, address: str | None = None) -> None:
    """The same, with the VaultAuth as the examples have it."""
    (auth,) = documents(MANIFESTS / "example" / "logins" / f"{method}.yaml")
    team.put("app", {"password": "v1"})
    ca = {} if address is None else {"caBundle": authority_of(team)}
    team.apply("VaultConnection", "vault", {"address": address or team.bed.vault.url, **ca})
    team.bed.kube.apply({**auth, "metadata": {**auth["metadata"], "namespace": team.ns}})
    team.static(vaultAuthRef=auth["metadata"]["name"])


def authority_of(team: Team) -> str:
    return base64.b64encode(team.bed.authority.certificate.read_bytes()).decode()


def works(team: Team, value: str = "v1") -> None:
    team.wait_ready()
    team.wait_data(lambda data: data["password"] == value)


def told(team: Team) -> str:
    return str(team.wait_condition("Stalled", reason="VaultLoginRefused")["message"])


def approle(team: Team, name: str | None = None) -> tuple[str, str]:
    """A role of the team's, and a secret id of it."""
    vault, role = team.bed.vault, f"auth/approle/role/{name or team.ns}"
    vault.write(role, {"token_policies": team.ns, "token_ttl": "20m"})
    role_id = vault.read(f"{role}/role-id")["data"]["role_id"]
    return role_id, secret_id(team, name)


def secret_id(team: Team, name: str | None = None) -> str:
    return str(team.bed.vault.write(f"auth/approle/role/{name or team.ns}/secret-id")["data"]["secret_id"])


def wrapped(team: Team, path: str) -> str:
    """What Vault answers there, in a wrapping."""
    answer = team.bed.vault.raw("PUT", path, headers={"X-Vault-Wrap-TTL": "300s"})
    return str(answer.raise_for_status().json()["wrap_info"]["token"])


def logins(team: Team, since: Any, mount: str) -> int:
    return sum(call.path.startswith(f"auth/{mount}/login") for call in team.bed.vault_audit(since))


# jwt.


@pytest.fixture
def issuer(vault: RealBed) -> RealBed:
    """Vault knows the keys that the API server signs with."""
    keys = [vault.service_account_key.read_text()]
    vault.vault.write("auth/jwt/config", {"jwt_validation_pubkeys": keys})
    return vault


def jwt_role(team: Team, name: str | None = None) -> None:
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["vault"],
        "bound_subject": f"system:serviceaccount:{team.ns}:app",
        "token_policies": team.ns,
    }
    team.bed.vault.write(f"auth/jwt/role/{name or team.ns}", role)


def test_a_service_accounts_token_is_a_jwt_that_vault_verifies_by_itself(team: Team, issuer: RealBed) -> None:
    jwt_role(team, "app")
    example(team, "jwt")
    works(team)


def test_a_jwt_that_a_secret_keeps_is_shown_as_it_is(team: Team, issuer: RealBed) -> None:
    jwt_role(team)
    team.keep("token", jwt=team.bed.token_for(team.ns, "app", ["vault"]))
    app(team, "jwt", "jwt", jwt={"role": team.ns, "secretRef": "token"})
    works(team)


def test_the_wrong_audience_and_the_wrong_role_are_told_apart(team: Team, issuer: RealBed) -> None:
    jwt_role(team)
    app(team, "jwt", "jwt", jwt={"role": team.ns, "serviceAccount": "app", "audiences": ["elsewhere"]})
    assert "does not accept the audience (elsewhere)" in told(team)
    team.patch({"spec": {"jwt": {"role": "nobody", "audiences": ["vault"]}}}, "VaultAuth", "auth")
    eventually(lambda: "there is no role 'nobody'" in told(team), message="the role is named")


# approle.


@pytest.mark.parametrize("method", ["approle", "generic"])
def test_a_role_id_and_a_secret_id_log_in(team: Team, vault: RealBed, method: str) -> None:
    approle(team, "app")
    vault.vault.write("auth/approle/role/app/role-id", {"role_id": "app-role-id"})
    team.keep("approle", id=secret_id(team, "app"))
    example(team, method)
    works(team)


def test_a_secret_id_in_a_secret_logs_in_and_a_new_one_is_taken_within_seconds(team: Team, vault: RealBed) -> None:
    role_id, _ = approle(team)
    team.keep("approle", id="not-the-secret-id")
    app(team, "appRole", "approle", appRole={"roleId": role_id, "secretRef": "approle"})
    assert "invalid role or secret ID" in told(team)
    team.keep("approle", id=secret_id(team))
    works(team)


@pytest.mark.refused("get secrets")
def test_without_the_right_to_read_the_secret_the_rule_is_spelled_out(team: Team, vault: RealBed) -> None:
    role_id, secret = approle(team)
    meta = {"name": "approle", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"id": secret}})
    app(team, "approle", "approle", appRole={"roleId": role_id, "secretRef": "approle"})
    message = team.wait_condition("Stalled", reason="KubernetesForbidden")["message"]
    for part in ("secrets", '"approle"', "get", team.ns):
        assert part in message
    team.grant("secrets", "approle")
    works(team)


def test_refused_secret_ids_never_lock_the_role(team: Team, vault: RealBed) -> None:
    role_id, secret = approle(team)
    team.keep("approle", id="not-the-secret-id")
    mark = team.bed.mark()
    app(team, "appRole", "approle", appRole={"roleId": role_id, "secretRef": "approle"})
    told(team)
    for number in range(6):
        team.patch({"metadata": {"labels": {"look": str(number)}}})
        always(lambda: True, during=1)
    assert 0 < logins(team, mark, "approle") < LOGIN_LIMIT
    team.keep("approle", id=secret)
    works(team)


def test_several_vault_auths_of_one_role_never_lock_it_together(team: Team, vault: RealBed) -> None:
    role_id, secret = approle(team)
    team.keep("approle", id="not-the-secret-id")
    mark = team.bed.mark()
    app(team, "appRole", "approle", appRole={"roleId": role_id, "secretRef": "approle"})
    told(team)
    for name in ("second", "third"):
        block = {"roleId": role_id, "secretRef": "approle"}
        auth = {"vaultConnectionRef": "vault", "method": "appRole", "mount": "approle", "appRole": block}
        team.apply("VaultAuth", name, auth)
        team.static(name, vaultAuthRef=name)
    for number in range(6):
        team.patch({"metadata": {"labels": {"look": str(number)}}})
        always(lambda: True, during=1)
    assert LOGIN_LIMIT - 1 <= logins(team, mark, "approle") <= LOGIN_LIMIT
    shown = {"role_id": role_id, "secret_id": secret}
    assert team.bed.vault.raw("PUT", "auth/approle/login", token="", json=shown).status_code == 200


@pytest.mark.beside("b")
def test_a_secret_id_in_a_file_logs_everybody_in_at_once(team: Team, stage: Stage, vault: RealBed, files: Path) -> None:
    role_id, secret = approle(team)
    (files / "secret-id").write_text(f"{secret}\n")
    operators = Team(stage, "vso-system")
    operators.apply("VaultConnection", "filed", {"address": team.bed.vault.url})
    block = {"roleId": role_id, "secretIDPath": str(files / "secret-id")}
    spec = {"vaultConnectionRef": "filed", "method": "appRole", "mount": "approle", "appRole": block}
    operators.apply("VaultAuth", "filed", {**spec, "allowedNamespaces": ["*"]})
    mark = team.bed.mark()
    team.put("app", {"password": "v1"})
    other = stage.team(f"{team.ns}-b")
    for one in (team, other):
        spec = {**one.secret_spec(), "vaultAuthRef": "vso-system/filed", "path": f"{team.ns}/app"}
        one.apply("VaultStaticSecret", "app", spec)
    for one in (team, other):
        works(one)
    assert logins(team, mark, "approle") == 1
    other.disband()
    for kind in ("VaultAuth", "VaultConnection"):
        team.bed.kube.remove(operators.manifest(kind, "filed", {}))


@pytest.mark.beside("listed")
def test_a_file_of_the_default_login_serves_whom_its_list_names(
    team: Team, stage: Stage, vault: RealBed, files: Path
) -> None:
    """Whoever names no VaultAuth uses the default one; as themselves they all may, as the operator those it lists."""
    listed, operators = stage.team(f"{team.ns}-listed"), Team(stage, "vso-system")
    role_id, secret = approle(listed)
    (files / "default").write_text(secret)
    operators.apply("VaultConnection", "default", {"address": team.bed.vault.url})
    block = {"roleId": role_id, "secretIDPath": str(files / "default")}
    spec = {"vaultConnectionRef": "default", "method": "appRole", "mount": "approle", "appRole": block}
    operators.apply("VaultAuth", "default", {**spec, "allowedNamespaces": [listed.ns]})
    listed.put("app", {"password": "v1"})
    for one in (team, listed):
        spec = {key: value for key, value in one.secret_spec().items() if key != "vaultAuthRef"}
        one.apply("VaultStaticSecret", "app", {**spec, "path": f"{listed.ns}/app"})
    works(listed)
    told = team.wait_condition("Stalled", reason="NamespaceNotAllowed")
    assert "VaultAuth vso-system/default does not admit" in told["message"]
    assert team.secret() is None
    listed.disband()
    for kind in ("VaultAuth", "VaultConnection"):
        team.bed.kube.remove(operators.manifest(kind, "default", {}))


def test_a_tenant_cannot_have_a_file_of_the_operator_read(team: Team, vault: RealBed, files: Path) -> None:
    (files / "canary").write_text("canary-of-the-operator")
    role_id, _ = approle(team)
    app(team, "appRole", "approle", appRole={"roleId": role_id, "secretIDPath": str(files / "canary")})
    message = team.wait_condition("Stalled", reason="InvalidSpec")["message"]
    assert "is read only for a VaultAuth in namespace vso-system" in message
    assert "canary-of" not in message


def test_a_wrapped_secret_id_is_opened_once(team: Team, vault: RealBed) -> None:
    role_id, _ = approle(team)
    team.keep("wrapped", id=wrapped(team, f"auth/approle/role/{team.ns}/secret-id"))
    mark = team.bed.mark()
    app(team, "appRole", "approle", appRole={"roleId": role_id, "secretRef": "wrapped", "wrappedSecretID": True})
    works(team)
    assert [c.path for c in team.bed.vault_audit(mark)].count("sys/wrapping/unwrap") == 1


def test_a_wrapping_that_somebody_else_has_opened_is_an_alarm(team: Team, vault: RealBed) -> None:
    role_id, _ = approle(team)
    token = wrapped(team, f"auth/approle/role/{team.ns}/secret-id")
    team.bed.vault.write("sys/wrapping/unwrap", token=token)
    team.keep("wrapped", id=token)
    app(team, "appRole", "approle", appRole={"roleId": role_id, "secretRef": "wrapped", "wrappedSecretID": True})
    message = team.wait_condition("Stalled", reason="WrappingTokenRefused")["message"]
    assert "was opened before" in message
    eventually(lambda: team.events(reason="WrappingTokenRefused"), message="an event says so")


def test_a_wrapping_of_something_else_is_refused_unopened(team: Team, vault: RealBed) -> None:
    role_id, _ = approle(team)
    token = wrapped(team, "sys/wrapping/wrap")
    team.keep("wrapped", id=token)
    app(team, "appRole", "approle", appRole={"roleId": role_id, "secretRef": "wrapped", "wrappedSecretID": True})
    message = team.wait_condition("Stalled", reason="WrappingTokenRefused")["message"]
    assert "sys/wrapping/wrap" in message
    assert team.bed.vault.write("sys/wrapping/lookup", {"token": token})["data"]["creation_path"] == "sys/wrapping/wrap"


# userpass.


def test_a_user_of_vaults_logs_in(team: Team, vault: RealBed) -> None:
    vault.vault.write("auth/userpass/users/app", {"password": "pw", "token_policies": team.ns})
    team.keep("app-user", password="pw")
    example(team, "userpass")
    works(team)


def test_a_user_logs_in_and_a_changed_password_is_taken(team: Team, vault: RealBed) -> None:
    vault.vault.write(
        f"auth/userpass/users/{team.ns}", {"password": "first", "token_policies": team.ns, "token_ttl": "8s"}
    )
    team.keep("user", password="first")
    app(team, "userpass", "userpass", userpass={"username": team.ns, "secretRef": "user"})
    works(team)
    vault.vault.write(f"auth/userpass/users/{team.ns}/password", {"password": "second"})
    team.keep("user", password="second")
    mark = team.bed.mark()
    team.put("app", {"password": "v2"})
    works(team, "v2")
    eventually(lambda: logins(team, mark, "userpass") > 1, timeout=30, message="it has logged in with the new password")
    team.wait_ready()


def test_a_wrong_password_is_said_to_be_one(team: Team, vault: RealBed) -> None:
    vault.vault.write(f"auth/userpass/users/{team.ns}", {"password": "right", "token_policies": team.ns})
    team.keep("user", pw="canary-wrong")
    app(team, "userpass", "userpass", userpass={"username": team.ns, "secretRef": "user", "passwordKey": "pw"})
    message = told(team)
    assert "invalid username or password" in message
    assert "canary" not in message


# cert.


def certified(team: Team, role_name: str | None = None, secret: str = "client") -> Json:
    """A role that the bed's authority vouches for, and a client certificate of the team's in a TLS Secret."""
    authority = team.bed.authority
    role = {
        "certificate": authority.certificate.read_text(),
        "allowed_common_names": [team.ns],
        "token_policies": team.ns,
    }
    team.bed.vault.write(f"auth/cert/certs/{role_name or team.ns}", role)
    pair = authority.client(team.ns)
    entries = {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}
    team.keep(secret, **entries)
    return {"name": team.ns, "secretRef": secret}


def test_a_client_certificate_of_the_consumer_logs_in(team: Team, vault: RealBed) -> None:
    certified(team, "app", "app-client")
    example(team, "cert", address=vault.vault_tls_url)
    works(team)


def test_a_listener_that_asks_for_a_certificate_lets_the_connections_in(team: Team, vault: RealBed) -> None:
    certified(team)
    shown = {"clientCertSecretRef": {"name": "client"}}
    app(team, "cert", "cert", cert={"name": team.ns}, address=vault.vault_mutual_tls_url, connection=shown)
    works(team)
    team.wait_ready("vault", "VaultConnection")


def test_without_a_certificate_such_a_listener_says_so(team: Team, vault: RealBed) -> None:
    app(team, "cert", "cert", address=vault.vault_mutual_tls_url)
    message = team.wait_condition("Ready", "False", kind="VaultConnection", name="vault")["message"]
    assert "client certificate" in message


def test_a_certificate_of_another_name_is_refused(team: Team, vault: RealBed) -> None:
    block = certified(team)
    other = team.bed.authority.client("somebody-else")
    team.keep("client", **{"tls.crt": other.certificate.read_text(), "tls.key": other.key.read_text()})
    app(team, "cert", "cert", cert=block, address=vault.vault_tls_url)
    assert f"VaultAuth {team.ns}/auth at auth/cert" in told(team)


# A token that somebody else has made.


def token_of(team: Team, **more: Any) -> str:
    body = {"policies": [team.ns, "default"], **more}
    return str(team.bed.vault.write("auth/token/create", body)["auth"]["client_token"])


def test_a_given_token_is_used_renewed_and_never_revoked(team: Team, stage: Stage, vault: RealBed) -> None:
    token = token_of(team, ttl="10s", period="10s")
    team.keep("given", token=token)
    app(team, "token", "", token={"secretRef": "given"})
    works(team)
    always(lambda: True, during=15)  # longer than it would live by itself
    team.put("app", {"password": "v2"})
    works(team, "v2")
    operator = stage.operator
    operator.stop()
    looked = vault.vault.read("auth/token/lookup-self", token=token)
    operator.start()
    operator.wait_ready()
    assert looked["data"]["ttl"] > 0


def test_a_token_that_is_replaced_in_its_secret_is_taken_when_the_old_one_ends(team: Team, vault: RealBed) -> None:
    old = token_of(team)
    team.keep("app-token", token=old)
    example(team, "token")
    works(team)
    team.keep("app-token", token=token_of(team))
    vault.vault.write("auth/token/revoke", {"token": old})
    team.put("app", {"password": "v2"})
    works(team, "v2")


def test_a_dead_token_is_said_to_be_one(team: Team, vault: RealBed) -> None:
    team.keep("given", token="hvs.canary-dead")
    app(team, "token", "", token={"secretRef": "given"})
    message = told(team)
    assert "no more" in message
    assert "canary" not in message


def test_no_credential_appears_in_the_log(stage: Stage, vault: RealBed) -> None:
    operator = stage.operator
    lines = [json.loads(line) for line in operator.log_text().splitlines() if line.startswith("{")]
    text = json.dumps(lines)
    assert "canary" not in text
    assert "hvs." not in text
