"""A tenant that writes whatever it likes in its own namespace, with a Vault of its own: what it cannot get at.

The operator may read files and use its own identity (for objects of its own namespace), so that every guard counts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.audit import at_rest, passes, read_in
from tests.conformance.stage import OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.endpoint import Asked, Endpoint, Said

LASTS = 20
READS_FILES = True
CANARY = "canary-of-the-operator"
ITS_TOKEN = "hvs.of-the-tenants-own-making"


@pytest.fixture
def trap() -> Iterator[Endpoint]:
    """The tenant's own Vault: it lets everybody in, and keeps all that it is shown."""
    token = {"client_token": ITS_TOKEN, "lease_duration": 3600, "renewable": False, "policies": ["default"]}
    with Endpoint() as trap:
        trap.on("GET", "/v1/sys/health", Said(200, {"initialized": True, "sealed": False, "version": "1.21.0"}))
        trap.on("PUT", "/v1/auth/kubernetes/login", Said(200, {"auth": token}))
        yield trap


def claims(asked: Asked) -> Json:
    """What the token says that a login showed."""
    payload = str(asked.json["jwt"]).split(".")[1]
    found: Json = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def shown(trap: Endpoint) -> set[str]:
    """The tokens that the trap was ever shown."""
    return {asked.headers["x-vault-token"] for asked in trap.asked if "x-vault-token" in asked.headers}


def everything(trap: Endpoint) -> str:
    return str([(asked.path, asked.headers, asked.body) for asked in trap.asked])


@pytest.mark.parametrize("field", ["caCertPath", "clientCertPath"])
def test_no_file_of_the_operator_is_read_for_a_tenants_connection(
    team: Team, trap: Endpoint, files: Path, field: str
) -> None:
    (files / "canary").write_text(CANARY)
    spec = {field: str(files / "canary")}
    if field == "clientCertPath":
        spec["clientKeyPath"] = str(files / "canary")
    team.access(address=trap.url.replace("http:", "https:"), connection=spec)
    team.static()
    told = team.wait_condition("Stalled", reason="InvalidSpec", kind="VaultConnection", name="vault")
    assert f"{field} is read only for a VaultConnection in namespace vso-system" in told["message"]
    assert CANARY not in str(team.get("VaultConnection", "vault"))
    assert trap.asked == []


@pytest.mark.parametrize("path", ["/var/run/secrets/kubernetes.io/serviceaccount/token", "canary"])
def test_no_file_of_the_operator_is_sent_as_a_tenants_token(team: Team, trap: Endpoint, files: Path, path: str) -> None:
    (files / "canary").write_text(CANARY)
    path = path if path.startswith("/") else str(files / path)
    team.access(address=trap.url, auth={"method": "token", "token": {"path": path}})
    team.static()
    told = team.wait_condition("Stalled", reason="InvalidSpec")
    assert "is read only for a VaultAuth in namespace vso-system" in told["message"]
    assert shown(trap) == set()
    assert CANARY not in everything(trap)


def test_a_tenants_vault_is_shown_the_tenants_own_service_account_and_no_other(
    team: Team, stage: Stage, trap: Endpoint
) -> None:
    team.access(address=trap.url)
    team.static()
    eventually(lambda: trap.asked_of("/v1/auth/kubernetes/login"), message="it logs in")
    eventually(lambda: bool(shown(trap)), message="it asks for the secret")
    for asked in trap.asked_of("/v1/auth/kubernetes/login"):
        told = claims(asked)
        assert told["sub"] == f"system:serviceaccount:{team.ns}:app"
        assert told["aud"] == ["vault"]
    assert shown(trap) == {ITS_TOKEN}
    assert "authorization" not in {name for asked in trap.asked for name in asked.headers}
    account = stage.operator.directory / "serviceaccount" / "token"
    assert account.read_text() not in everything(trap)


def test_the_operators_service_account_logs_in_for_no_tenant(team: Team, trap: Endpoint) -> None:
    team.grant("serviceaccounts/token", "vault-secrets-operator", "create")
    team.access(address=trap.url, auth={"kubernetes": {"serviceAccount": "vault-secrets-operator"}})
    team.static()
    told = team.wait_condition("Ready", "False", "ServiceAccountNotFound", timeout=40)
    assert f"{team.ns}/vault-secrets-operator" in told["message"]
    assert trap.asked_of("/v1/auth/kubernetes/login") == []


@pytest.mark.beside("victim")
def test_another_tenants_login_is_neither_lent_nor_shown(team: Team, stage: Stage, trap: Endpoint) -> None:
    victim = stage.team(f"{team.ns}-victim")
    victim.ready()
    secret = victim.the_secret()
    team.access(address=trap.url)
    team.static(vaultAuthRef=f"{victim.ns}/auth", path="app")
    told = team.wait_condition("Stalled", reason="NamespaceNotAllowed")
    assert f"VaultAuth {victim.ns}/auth does not admit namespace {team.ns}" in told["message"]
    # The connection of another tenant admits everyone unless it says otherwise; who logs in there is the tenant.
    team.apply(
        "VaultAuth", "auth", team.auth_spec(vaultConnectionRef=f"{victim.ns}/vault", kubernetes={"role": victim.ns})
    )
    team.static("borrowed", vaultAuthRef="auth", path=f"../{victim.ns}/app")
    team.wait_condition("Ready", "False", "VaultLoginRefused", name="borrowed", timeout=40)
    assert team.secret("borrowed") is None
    assert shown(trap) == set()
    assert victim.the_secret() == secret
    victim.disband()


@pytest.mark.beside("victim")
def test_headers_and_parameters_of_another_tenants_defaults_stay_there(
    team: Team, stage: Stage, trap: Endpoint
) -> None:
    victim = stage.team(f"{team.ns}-victim")
    kubernetes = {"headers": {"X-Private": CANARY}, "params": {"private": CANARY}}
    victim.apply("VaultAuthGlobal", "private", {"kubernetes": kubernetes})
    merge = {"headers": "union", "params": "union"}
    ref = {"name": "private", "namespace": victim.ns, "mergeStrategy": merge}
    team.access(address=trap.url, auth={"vaultAuthGlobalRef": ref})
    team.static()
    told = team.wait_condition("Stalled", reason="NamespaceNotAllowed")
    assert f"{victim.ns}/private" in told["message"]
    assert CANARY not in told["message"]
    assert CANARY not in everything(trap)
    victim.disband()


@pytest.mark.beside("victim")
@pytest.mark.refused("get secrets")
def test_a_connection_lends_its_client_certificate_to_nobody_unless_it_says_so(team: Team, stage: Stage) -> None:
    victim = stage.team(f"{team.ns}-victim")
    shown = {"clientCertSecretRef": {"name": "client"}}
    victim.access(connection=shown)
    cert = {"method": "cert", "mount": "cert", "kubernetes": None, "cert": {"name": "victim"}}
    spec = {**team.auth_spec(), **cert, "vaultConnectionRef": f"{victim.ns}/vault"}
    team.apply("VaultAuth", "auth", {field: value for field, value in spec.items() if value is not None})
    told = team.wait_condition("Stalled", reason="NamespaceNotAllowed", kind="VaultAuth", name="auth")
    assert f"does not admit namespace {team.ns}, to which it would lend its client certificate" in told["message"]
    victim.patch({"spec": {"allowedNamespaces": [team.ns]}}, "VaultConnection", "vault")
    eventually(lambda: team.condition("Stalled", "VaultAuth", "auth").get("reason") != "NamespaceNotAllowed")
    victim.disband()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_leads_to_no_address_inside(team: Team, trap: Endpoint, status: int) -> None:
    with Endpoint() as inside:
        where = f"/v1/kv/data/{team.ns}/app"
        inside.on("GET", where, Said(200, {"data": {"data": {"password": CANARY}, "metadata": {"version": 1}}}))
        trap.on("GET", where, Said(status, b"", {"Location": f"{inside.url}{where}"}))
        team.access(address=trap.url)
        team.static()
        told = team.wait_condition("Ready", "False", timeout=40)
        assert "redirects" in told["message"]
        always(lambda: inside.asked == [], during=1)
        assert team.secret() is None


@pytest.mark.parametrize(
    "source",
    [{"caCertSecretRef": "{victim}/ca"}, {"caCertConfigMapRef": {"name": "{victim}/ca"}}],
    ids=["Secret", "ConfigMap"],
)
@pytest.mark.beside("victim")
def test_another_tenants_ca_is_not_fetched_for_a_connection(
    team: Team, stage: Stage, trap: Endpoint, source: Json
) -> None:
    victim = stage.team(f"{team.ns}-victim")
    victim.keep("ca", **{"ca.crt": CANARY})
    mark = stage.bed.mark()
    spec = json.loads(json.dumps(source).replace("{victim}", victim.ns))
    team.access(address=trap.url.replace("http:", "https:"), connection=spec)
    team.static()
    told = team.wait_condition("Stalled", reason="InvalidSpec", kind="VaultConnection", name="vault")
    assert "cannot be the name of an object" in told["message"]
    assert read_in(stage, mark, victim.ns) == set()
    assert trap.asked == []
    victim.disband()


@pytest.mark.beside("victim")
def test_headers_and_ca_of_another_tenants_connection_go_to_its_own_address_alone(
    team: Team, stage: Stage, trap: Endpoint
) -> None:
    victim = stage.team(f"{team.ns}-victim")
    ours = base64.b64encode(stage.bed.authority.certificate.read_bytes()).decode()
    victim.access(connection={"headers": {"X-Private": CANARY}, "caBundle": ours})
    away = {"headers": {"X-Mine": "1"}, "params": {"x": trap.url}, "vaultConnectionRef": f"{victim.ns}/vault"}
    team.access(address=trap.url, auth=away)
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    assert {asked.path for asked in trap.asked} <= {"/v1/sys/health"}
    team.apply("VaultAuth", "auth", team.auth_spec())
    eventually(lambda: bool(shown(trap)), message="its own connection leads to the trap")
    assert CANARY not in everything(trap)
    for kind, name in (("VaultStaticSecret", "app"), ("VaultAuth", "auth"), ("VaultConnection", "vault")):
        assert CANARY not in str(team.get(kind, name))
    victim.disband()


@pytest.mark.parametrize(
    "leads_out",
    [
        {"path": "../{victim}/app"},
        {"path": "app/../../{victim}/app"},
        {"mount": "kv/../sys"},
        {"mount": "..", "path": "sys/seal-status"},
        {"namespace": "../{victim}"},
        {"namespace": "a/./b"},
        {"namespace": "a\r\nX-Vault-Token: {victim}"},
    ],
    ids=str,
)
def test_no_path_and_no_vault_namespace_leads_out_of_its_place(team: Team, trap: Endpoint, leads_out: Json) -> None:
    team.access(address=trap.url)
    spec = json.loads(json.dumps(leads_out).replace("{victim}", "victim"))
    team.static(**{"path": "app", **spec})
    told = team.wait_condition("Stalled", timeout=40)
    assert "segment '.' or '..'" in told["message"] or "control character" in told["message"]
    assert {asked.path for asked in trap.asked} <= {"/v1/auth/kubernetes/login", "/v1/sys/health"}
    assert {asked.headers.get("x-vault-namespace") for asked in trap.asked} == {None}


@pytest.mark.beside("victim")
def test_a_secret_that_claims_another_namespaces_object_wakes_nobody_and_is_left_alone(
    team: Team, stage: Stage
) -> None:
    victim = stage.team(f"{team.ns}-victim")
    victim.ready(refreshAfter="1h")
    secret = victim.the_secret()
    # Without an owner reference: one to another namespace has the garbage collector take the Secret away at once.
    meta = {"name": "app", "namespace": team.ns, "labels": {**secret["metadata"]["labels"], "by": team.ns}}
    eventually(lambda: at_rest(stage, "vaultstaticsecrets"), message="the scenarios before have ended")
    mark, before = stage.bed.mark(), passes(stage, "vaultstaticsecrets")
    forged = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"forged": "1"}}
    stage.bed.kube.apply(forged)
    for number in range(5):
        forged["stringData"] = {"forged": str(number)}
        stage.bed.kube.apply(forged)
    stage.bed.kube.remove(forged)
    always(lambda: victim.the_secret() == secret, during=1.5, message="the Secret stays as it is")
    assert passes(stage, "vaultstaticsecrets") == before
    assert [call for call in stage.bed.vault_audit(mark) if call.path.startswith(f"kv/data/{victim.ns}")] == []
    calls = [call for call in stage.bed.kube_audit(mark) if call.user == OPERATOR_USER and call.writes]
    secrets = {"secrets", "vaultstaticsecrets"}
    assert [call for call in calls if call.namespace in {team.ns, victim.ns} and call.resource in secrets] == []
    victim.disband()


@pytest.mark.parametrize("type_", ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"])
def test_no_secret_is_made_of_a_type_that_has_the_cluster_issue_a_token(team: Team, type_: str) -> None:
    account = {"kubernetes.io/service-account.name": "app"}
    team.put("app", {"token-id": "abcdef", "token-secret": "0123456789abcdef"})
    team.access()
    team.static(destination={"type": type_, "annotations": account, "transformation": {"excludeRaw": True}})
    told = team.wait_condition("Stalled", reason="InvalidSpec")
    assert type_ in told["message"]
    assert team.secret() is None
