"""The tokens that leases hang on, kept over restarts: in four Secrets, as much of them as the model says.

Tokens and leases live for seconds here, so that a lease that outlives the first life of its token by far
says that somebody has kept that token alive.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from tests.conformance.headers import namespaces_asked_in
from tests.conformance.stage import AUDIENCE, MANIFESTS, OPERATOR_NAMESPACE, Json, Stage, Team, documents
from tests.testbed.bed import Bed, VaultError, always, eventually
from tests.testbed.database import AnyDatabase
from tests.testbed.operator import Operator, Setting
from tests.testbed.postgres import Login
from tests.testbed.process import Exit

LASTS = 40
KIND = "VaultDynamicSecret"
TOKEN_TTL = 18
ELECTION = (
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
)
SECRETS = documents(MANIFESTS / "rbac/client-cache/secrets.yaml")
MODELS = ("accessor", "direct-unencrypted", "direct-encrypted")


@pytest.fixture
def stage(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The bed with the place for kept tokens, and no operator yet."""
    stage = Stage.of(request, prepared, additions=["client-cache", "storage-login"])
    yield stage
    stage.close()


@pytest.fixture
def database(stage: Stage) -> AnyDatabase:
    """The database behind Vault."""
    return stage.bed.database()


@pytest.fixture
def role(team: Team, database: AnyDatabase) -> str:
    """A role of the team's own, and tokens that live for seconds unless they are renewed."""
    database.role(team.ns, default_ttl="40s", max_ttl="24h")
    team.role(token_ttl=f"{TOKEN_TTL}s", token_max_ttl="1h")
    allow(team)
    return team.ns


@pytest.fixture
def transit(stage: Stage) -> Iterator[str]:
    """A Transit key, and the VaultAuth by which the operator uses it; its policy."""
    vault, kube, name = stage.bed.vault, stage.bed.kube, "client-cache"
    with contextlib.suppress(VaultError):  # mounted by an earlier scenario
        vault.write("sys/mounts/transit", {"type": "transit"})
    vault.write("transit/keys/vso")
    vault.policy(name, 'path "transit/+/vso" { capabilities = ["update"] }')
    operators = Team(stage, OPERATOR_NAMESPACE)
    account = {"bound_service_account_names": "vault-secrets-operator", "token_policies": name}
    bound = {"bound_service_account_namespaces": OPERATOR_NAMESPACE, "audience": AUDIENCE, "token_ttl": "20m"}
    vault.write(f"auth/kubernetes/role/{name}", {**account, **bound})
    kubernetes = {"role": name, "serviceAccount": "vault-secrets-operator"}
    auth = operators.auth_spec(kubernetes=kubernetes, storageEncryption={"mount": "transit", "keyName": "vso"})
    operators.apply("VaultConnection", "vault", {"address": vault.url})
    operators.apply("VaultAuth", name, auth, labels={"cacheStorageEncryption": "true"})
    yield name
    kube.remove(operators.manifest("VaultAuth", name, {}))
    kube.remove(operators.manifest("VaultConnection", "vault", {}))


def allow(team: Team, *, accessors: bool = True) -> None:
    """Write the team's policy."""
    team.policy(
        f'path "database/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
        + ('path "auth/token/renew-accessor" { capabilities = ["update"] }\n' if accessors else "")
    )


def keeping(stage: Stage, model: str) -> Operator:
    """Start the operator with a model."""
    operator = stage.start_operator(f"--client-cache-persistence-model={model}", *ELECTION)
    eventually(lambda: operator.leads, timeout=20, message="it leads")
    return operator


def restart(operator: Operator) -> None:
    """Kill it without a word, and start it anew."""
    operator.kill()
    operator.start()
    operator.wait_ready()
    eventually(lambda: operator.leads, timeout=20, message="it leads again")


def ready(team: Team, role: str) -> dict[str, str]:
    team.access()
    destination = {"name": "db", "create": True, "transformation": {"excludeRaw": True}}
    spec: Json = {"vaultAuthRef": "auth", "mount": "database", "path": f"creds/{role}", "destination": destination}
    team.apply(KIND, "db", {**spec, "overlap": "3s"})
    team.wait_ready("db", KIND, timeout=30)
    return team.the_data("db")


def entries(stage: Stage) -> dict[str, Json]:
    """What is kept, by its name."""
    found = [stage.bed.kube.find("Secret", OPERATOR_NAMESPACE, secret["metadata"]["name"]) for secret in SECRETS]
    every = [entry for secret in found for entry in (secret.get("data") or {}).items()]
    return {name: orjson.loads(base64.b64decode(value)) for name, value in every}


def client(team: Team) -> str:
    """What the status calls the token of the lease."""
    return str(team.get(KIND, "db")["status"]["vaultClientMeta"]["id"])


def stays(team: Team, database: AnyDatabase, data: dict[str, str], seconds: float) -> None:
    """The credentials stay what they are, and work, for that long."""
    login = Login(data["username"], data["password"])
    always(lambda: team.data("db") == data and database.accepts(login), during=seconds, message="they stay and work")
    assert database.users(team.ns) == [data["username"]]


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.usefixtures("transit")
def test_a_killed_operator_goes_on_with_the_token_that_the_lease_hangs_on(
    model: str, team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    operator = keeping(stage, model)
    data, mark = ready(team, role), stage.bed.mark()
    (entry,) = (entries(stage)[client(team)],)
    told = {"accessor": set(), "direct-unencrypted": {"token"}, "direct-encrypted": {"sealed"}}[model]
    assert set(entry) & {"token", "sealed"} == told
    assert ("hvs." in str(entry)) is (model == "direct-unencrypted"), "where else would the token be in clear?"
    restart(operator)
    restart(operator)
    stays(team, database, data, 1.5 * TOKEN_TTL)
    calls = [call.path for call in stage.bed.vault_audit(mark)]
    assert f"database/creds/{role}" not in calls, "nothing is issued anew"
    renewal = "auth/token/renew-accessor" if model == "accessor" else "auth/token/renew-self"
    assert renewal in calls
    assert entry["accessor"] not in operator.log_text()
    assert "hvs." not in operator.log_text()


@pytest.mark.parametrize(("own", "asked"), [("team", "team"), ("", "con")], ids=["the auth's", "the connection's"])
def test_tokens_are_encrypted_in_the_vault_namespace_of_the_labelled_auth_or_its_connection(
    team: Team, role: str, stage: Stage, transit: str, own: str, asked: str
) -> None:
    operators = Team(stage, OPERATOR_NAMESPACE)
    with stage.bed.vault_proxy(record_headers=True) as proxy:
        operators.apply("VaultConnection", "vault", {"address": proxy.url, "namespace": "con"})
        operators.patch({"spec": {"namespace": own}}, "VaultAuth", transit)
        operator = keeping(stage, "direct-encrypted")
        ready(team, role)
        assert "sealed" in entries(stage)[client(team)]
        assert set(namespaces_asked_in(proxy, "/v1/transit/encrypt/vso")) == {asked}
        restart(operator)
        eventually(lambda: namespaces_asked_in(proxy, "/v1/transit/decrypt/vso"), message="the token is opened")
        assert set(namespaces_asked_in(proxy, "/v1/transit/decrypt/vso")) == {asked}
        assert set(namespaces_asked_in(proxy, "/v1/auth/kubernetes/login")) == {asked}


@pytest.mark.long
@pytest.mark.usefixtures("transit")
def test_what_transit_does_not_open_is_kept_by_its_accessor(
    team: Team, role: str, database: AnyDatabase, stage: Stage, transit: str
) -> None:
    operator = keeping(stage, "direct-encrypted")
    data = ready(team, role)
    stage.bed.vault.policy(transit, 'path "transit/nothing" { capabilities = ["update"] }')
    restart(operator)
    stays(team, database, data, 1.5 * TOKEN_TTL)
    said = operator.log_text(since_start=True)
    assert said.count("a kept Vault token was not decrypted") == 1


@pytest.mark.long
def test_without_the_right_to_renew_by_accessor_new_credentials_come_in_time(
    team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    allow(team, accessors=False)
    operator = keeping(stage, "accessor")
    data = ready(team, role)
    mark = stage.bed.mark()
    restart(operator)
    login = Login(data["username"], data["password"])

    def replaced_or_good() -> bool:
        return (team.data("db") or data) != data or database.accepts(login)

    always(replaced_or_good, during=TOKEN_TTL, message="what the Secret holds works")
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=10)
    denied = [call for call in stage.bed.vault_audit(mark) if call.path == "auth/token/renew-accessor"]
    assert len(denied) == 1, "it is not asked for with each pass"
    assert operator.log_text(since_start=True).count("a kept Vault token is not restored") == 1


@pytest.mark.long
@pytest.mark.parametrize("end", [Operator.kill, Operator.stop], ids=["killed", "stopped"])
def test_a_standby_takes_the_token_over(
    end: Callable[[Operator], Exit], team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    first = keeping(stage, "direct-unencrypted")
    args = ("--client-cache-persistence-model=direct-unencrypted", *ELECTION)
    second = stage.other(*args, setting=Setting(name="second"))
    second.start()
    try:
        second.wait_ready()
        data, mark = ready(team, role), stage.bed.mark()
        end(first)
        eventually(lambda: second.leads, timeout=20, message="the standby leads")
        stays(team, database, data, 1.5 * TOKEN_TTL)
        calls = [call.path for call in stage.bed.vault_audit(mark)]
        assert f"database/creds/{role}" not in calls
    finally:
        second.stop()
    assert "Traceback" not in second.log_text()


def test_the_entry_goes_with_the_object(team: Team, role: str, database: AnyDatabase, stage: Stage) -> None:
    keeping(stage, "accessor")
    ready(team, role)
    name = client(team)
    assert name in entries(stage)
    team.bed.kube.remove(team.manifest(KIND, "db", {}))
    eventually(lambda: name not in entries(stage), timeout=20, message="the entry is gone")
    assert database.users(role) == []


def test_an_entry_that_somebody_changed_is_refused(team: Team, role: str, stage: Stage) -> None:
    operator = keeping(stage, "direct-unencrypted")
    data = ready(team, role)
    name = client(team)
    operator.kill()
    change(stage, name, token=f"hvs.{'x' * 24}")
    operator.start()
    operator.wait_ready()
    eventually(lambda: name not in entries(stage), timeout=20, message="it is dropped")
    assert operator.log_text(since_start=True).count("an entry is refused") == 1
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=TOKEN_TTL + 10)


def change(stage: Stage, name: str, **fields: Any) -> None:
    """Write into an entry as somebody else."""
    for secret in SECRETS:
        named = secret["metadata"]["name"]
        found = stage.bed.kube.find("Secret", OPERATOR_NAMESPACE, named).get("data") or {}
        if name in found:
            entry = orjson.dumps({**orjson.loads(base64.b64decode(found[name])), **fields})
            body = {"data": {name: base64.b64encode(entry).decode()}}
            stage.bed.kube.patch("Secret", OPERATOR_NAMESPACE, named, body)


def test_a_service_account_that_was_made_anew_does_not_get_the_token_of_the_old_one(
    team: Team, role: str, stage: Stage
) -> None:
    operator = keeping(stage, "direct-unencrypted")
    data = ready(team, role)
    name = client(team)
    operator.kill()
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app", "namespace": team.ns}}
    stage.bed.kube.remove(account)
    stage.bed.kube.apply(account)
    mark = stage.bed.mark()
    operator.start()
    operator.wait_ready()
    team.wait_data(lambda now: now["username"] != data["username"], "db", timeout=TOKEN_TTL + 20)
    eventually(lambda: client(team) != name, message="the status names the token of the new one")
    assert name not in entries(stage)
    calls = [call.path for call in stage.bed.vault_audit(mark)]
    assert "auth/token/renew-self" not in calls[: calls.index("auth/kubernetes/login")]
    said = operator.log_text(since_start=True)
    assert said.count("a kept Vault token is not restored") == 1
    assert "was made anew" in said


def test_nothing_stays_behind_when_nothing_is_to_be_kept_any_more(team: Team, role: str, stage: Stage) -> None:
    operator = keeping(stage, "direct-unencrypted")
    ready(team, role)
    assert entries(stage)
    operator.kill()
    keeping(stage, "none")
    eventually(lambda: entries(stage) == {}, message="the Secrets are empty")


@pytest.mark.refused("get secrets")
def test_without_the_secrets_the_operator_works_and_says_once_what_is_missing(
    team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    stage.additions = ()
    operator = keeping(stage, "direct-unencrypted")
    data = ready(team, role)
    stays(team, database, data, 3)
    told = [
        line
        for line in operator.log_text(since_start=True).splitlines()
        if "no Vault token is kept over a restart" in line
    ]
    assert len(told) == 1
    assert "manifests/rbac/client-cache" in told[0]
    assert not any(stage.bed.kube.exists("Secret", OPERATOR_NAMESPACE, d["metadata"]["name"]) for d in SECRETS)


@pytest.mark.long
def test_without_a_labelled_vaultauth_the_accessor_is_kept(
    team: Team, role: str, database: AnyDatabase, stage: Stage
) -> None:
    operator = keeping(stage, "direct-encrypted")
    data = ready(team, role)
    assert set(entries(stage)[client(team)]) & {"token", "sealed"} == set()
    restart(operator)
    stays(team, database, data, 1.2 * TOKEN_TTL)
    assert "cacheStorageEncryption=true; it has none" in operator.log_text()
