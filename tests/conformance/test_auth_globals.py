"""VaultAuthGlobal: what VaultAuths leave out, from one place, and what an edit of that place does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conformance.quiet import logins_told
from tests.conformance.stage import AUDIENCE, GROUP, OPERATOR_NAMESPACE, Json, Stage, Team
from tests.testbed.bed import KubeError, always, eventually
from tests.testbed.proxy import Proxy, path_has

LASTS = 40

OPERATOR_ARGS = ("--backoff-initial-interval=500ms", "--backoff-max-interval=1s")
KIND = "VaultAuthGlobal"
LOGIN = path_has("/login")


def complete(team: Team, **changes: Any) -> Json:
    """The spec of a VaultAuthGlobal that says everything."""
    block = {"role": team.ns, "serviceAccount": "app", "audiences": [AUDIENCE], **changes.pop("kubernetes", {})}
    spec = {
        "vaultConnectionRef": "vault",
        "defaultAuthMethod": "kubernetes",
        "defaultMount": "kubernetes",
        "kubernetes": block,
        **changes,
    }
    return {name: value for name, value in spec.items() if value is not None}


def app(team: Team, ref: Json, *, address: str | None = None, **auth: Any) -> None:
    """A VaultConnection, a VaultAuth that refers to a global, and a VaultStaticSecret behind them."""
    team.put("app", {"password": "v1"})
    team.apply("VaultConnection", "vault", {"address": address or team.bed.vault.url})
    team.apply("VaultAuth", "auth", {"vaultAuthGlobalRef": ref, **auth})
    team.static()


def auth_condition(team: Team, type_: str, status: str = "True", reason: str | None = None) -> Json:
    return team.wait_condition(type_, status, reason, kind="VaultAuth", name="auth")


def referrers(team: Team, name: str = "defaults") -> int:
    return int(team.get(KIND, name).get("status", {}).get("referrers", 0))


def generations(team: Team) -> list[int]:
    return [team.get(kind, name)["metadata"]["generation"] for kind, name in OBJECTS]


OBJECTS = (("VaultAuth", "auth"), ("VaultStaticSecret", "app"))


@contextmanager
def operators_default(team: Team, spec: Json) -> Iterator[None]:
    """A VaultAuthGlobal named default in the operator's namespace."""
    meta = {"name": "default", "namespace": OPERATOR_NAMESPACE}
    made = {"apiVersion": GROUP, "kind": KIND, "metadata": meta, "spec": spec}
    team.bed.kube.apply(made)
    try:
        yield
    finally:
        team.bed.kube.remove(made)


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    """Vault, with the headers of the requests on record."""
    with Proxy(stage.bed.vault.url, record_headers=True) as proxy:
        yield proxy


# What is taken over.


def test_an_auth_that_says_nothing_but_where_its_defaults_are_logs_in(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team))
    app(team, {"name": "defaults"})
    team.wait_ready()
    assert team.the_data()["password"] == "v1"
    assert f"{team.ns}/defaults" in auth_condition(team, "Available", reason="VaultAuthGlobalRef")["message"]
    team.wait_ready("auth", "VaultAuth")
    assert team.get("VaultAuth", "auth")["status"]["valid"] is True
    team.wait_ready("defaults", KIND)
    assert team.get(KIND, "defaults")["status"]["valid"] is True
    eventually(lambda: referrers(team) == 1, message="the VaultAuth is counted")


def test_what_the_auth_says_itself_wins_field_by_field(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team, defaultMount="nowhere", kubernetes={"role": "nobody"}))
    app(team, {"name": "defaults"}, mount="kubernetes", kubernetes={"role": team.ns})
    team.wait_ready()


def test_a_methods_own_mount_comes_before_the_general_one(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team, defaultMount="nowhere", kubernetes={"mount": "kubernetes"}))
    app(team, {"name": "defaults"})
    team.wait_ready()


@pytest.mark.parametrize(
    ("strategy", "own", "seen"),
    [
        (None, {"x-own": "a"}, {"x-own": "a"}),
        ("none", {}, {}),
        ("union", {"x-own": "a", "x-both": "own"}, {"x-own": "a", "x-both": "own", "x-method": "m", "x-all": "g"}),
        ("replace", {"x-own": "a"}, {"x-own": "a"}),
        ("replace", {}, {"x-both": "method", "x-method": "m"}),
    ],
)
def test_vault_sees_the_headers_that_the_strategy_leaves(
    team: Team, proxy: Proxy, strategy: str | None, own: Json, seen: Json
) -> None:
    method = {"headers": {"x-both": "method", "x-method": "m"}}
    team.apply(KIND, "defaults", complete(team, headers={"x-both": "all", "x-all": "g"}, kubernetes=method))
    merging = {} if strategy is None else {"mergeStrategy": {"headers": strategy}}
    app(team, {"name": "defaults", **merging}, address=proxy.url, headers=own)
    team.wait_ready()
    sent = [
        {name.lower(): value for name, value in headers.items()}
        for (_, path), headers in zip(proxy.requests, proxy.headers, strict=True)
        if LOGIN("PUT", path)
    ]
    named = {"x-own", "x-both", "x-method", "x-all"}
    assert [{name: value for name, value in headers.items() if name in named} for headers in sent] == [seen]


@pytest.mark.parametrize(
    ("strategy", "own", "general", "goes"),
    [
        (None, False, True, False),
        ("none", False, True, False),
        ("none", True, False, True),
        ("union", False, True, True),
        ("union", True, False, True),
        ("replace", False, True, True),
    ],
)
def test_vault_sees_the_params_that_the_strategy_leaves(
    team: Team, strategy: str | None, own: bool, general: bool, goes: bool
) -> None:
    """The role is a param of the login here: it is let in with the team's, and with no other."""
    mine, other = {"role": team.ns}, {"role": "nobody"}
    defaults = {"defaultAuthMethod": "generic", "params": mine if general else other}
    team.apply(KIND, "defaults", complete(team, **defaults, kubernetes={"role": "nobody"}))
    merging = {} if strategy is None else {"mergeStrategy": {"params": strategy}}
    jwt = team.bed.token_for(team.ns, "app", [AUDIENCE])
    app(team, {"name": "defaults", **merging}, generic={"body": {"jwt": jwt}}, params=mine if own else {})
    if goes:
        team.wait_ready()
    else:
        assert "missing role" in team.wait_condition("Stalled", reason="VaultLoginRefused")["message"]


def test_a_param_that_is_the_methods_own_is_refused_with_both_names(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team, params={"role": "admin"}))
    app(team, {"name": "defaults", "mergeStrategy": {"params": "union"}})
    message = auth_condition(team, "Stalled", reason="InvalidSpec")["message"]
    assert "spec.params may not set role" in message
    assert f"VaultAuth {team.ns}/auth" in message
    assert f"VaultAuthGlobal {team.ns}/defaults" in message
    team.wait_condition("Stalled", reason="InvalidSpec")


def test_what_neither_says_is_named_and_both_are(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team, kubernetes={"role": ""}))
    app(team, {"name": "defaults"})
    message = auth_condition(team, "Stalled", reason="InvalidSpec")["message"]
    assert "spec.kubernetes.role must be set" in message
    assert f"with the defaults of VaultAuthGlobal {team.ns}/defaults" in message


# Which one is meant, and who may have it.


def test_the_default_of_its_own_namespace_comes_before_the_operators(team: Team) -> None:
    team.apply(KIND, "default", complete(team))
    with operators_default(team, complete(team, kubernetes={"role": "nobody"})):
        app(team, {"allowDefault": True})
        team.wait_ready()


def test_the_default_of_the_operators_namespace_serves_everyone_and_yields_to_a_nearer_one(team: Team) -> None:
    kube, connection = team.bed.kube, {"vaultConnectionRef": f"{team.ns}/vault"}
    with operators_default(team, complete(team, **connection)):
        app(team, {"allowDefault": True})
        team.wait_ready()

        def count() -> int:
            found = kube.find(KIND, OPERATOR_NAMESPACE, "default")
            return int(found.get("status", {}).get("referrers", 0))

        eventually(lambda: count() == 1, message="the operator's default counts the VaultAuth")
        before = generations(team)
        team.apply(KIND, "default", complete(team, kubernetes={"role": ""}))
        auth_condition(team, "Stalled", reason="InvalidSpec")
        eventually(lambda: count() == 0, message="the nearer default has taken it")
        team.bed.kube.delete(KIND, team.ns, "default")
        team.wait_ready("auth", "VaultAuth")
        team.wait_ready()
        eventually(lambda: count() == 1, message="it is back")
        assert generations(team) == before


def test_a_default_is_not_taken_by_who_does_not_ask_for_it(team: Team) -> None:
    team.apply(KIND, "default", complete(team))
    app(team, {"allowDefault": False})
    message = auth_condition(team, "Stalled", reason="InvalidSpec")["message"]
    assert "spec.vaultAuthGlobalRef.name" in message


@pytest.mark.beside("p")
def test_a_namespace_that_the_global_does_not_admit_is_stalled_until_it_does(team: Team, stage: Stage) -> None:
    platform = stage.team(f"{team.ns}-p")
    try:
        platform.apply(KIND, "defaults", complete(team, allowedNamespaces=["somebody"]))
        app(team, {"name": "defaults", "namespace": platform.ns})
        message = auth_condition(team, "Stalled", reason="NamespaceNotAllowed")["message"]
        assert f"{platform.ns}/defaults" in message
        assert auth_condition(team, "Available", "False", "VaultAuthGlobalRef")
        team.wait_condition("Stalled", reason="NamespaceNotAllowed")
        before = generations(team)
        platform.patch({"spec": {"allowedNamespaces": [team.ns]}}, KIND, "defaults")
        team.wait_ready("auth", "VaultAuth")
        team.wait_ready()
        assert generations(team) == before
    finally:
        platform.disband()


def test_a_dangling_reference_names_its_prefixed_twin(team: Team) -> None:
    team.apply(KIND, "prod-defaults", complete(team))
    app(team, {"name": "defaults"})
    message = auth_condition(team, "Ready", "False", "ReferenceNotFound")["message"]
    assert f"{team.ns}/prod-defaults" in message
    assert "nameReference" in message
    team.wait_condition("Ready", "False", "ReferenceNotFound")


# Edits and deletions.


def tokens(proxy: Proxy) -> list[str]:
    """The tokens that were sent, in the order of their first use."""
    sent = [value for headers in proxy.headers for name, value in headers.items() if name.lower() == "x-vault-token"]
    return list(dict.fromkeys(sent))


def looked_up(team: Team, token: str) -> Json:
    """What Vault knows of a token; nothing of one that does not live."""
    answer = team.bed.vault.raw("GET", "auth/token/lookup-self", token=token)
    return dict(answer.json()["data"]) if answer.status_code == 200 else {}


def test_an_edit_moves_everybody_to_a_new_login_and_gives_the_old_token_back(team: Team, proxy: Proxy) -> None:
    team.apply(KIND, "defaults", complete(team))
    app(team, {"name": "defaults"}, address=proxy.url)
    team.wait_ready()
    (old,) = tokens(proxy)
    assert looked_up(team, old)["meta"]["role"] == team.ns
    spec_hash = team.get("VaultAuth", "auth")["status"]["specHash"]
    before = generations(team)
    role = {
        "bound_service_account_names": "app",
        "bound_service_account_namespaces": team.ns,
        "token_policies": team.ns,
    }
    team.bed.vault.write(f"auth/kubernetes/role/{team.ns}-two", role)
    team.patch({"spec": {"kubernetes": {"role": f"{team.ns}-two"}}}, KIND, "defaults")
    eventually(lambda: len(tokens(proxy)) == 2, message="it logs in anew")
    assert looked_up(team, tokens(proxy)[1])["meta"]["role"] == f"{team.ns}-two"
    eventually(lambda: looked_up(team, old) == {}, message="the old token is given back")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    assert len(tokens(proxy)) == proxy.count(LOGIN) == 2
    assert team.get("VaultAuth", "auth")["status"]["specHash"] != spec_hash
    assert generations(team) == before


def test_an_edit_takes_no_live_credentials_away(team: Team, proxy: Proxy, stage: Stage) -> None:
    database = stage.bed.database()
    database.role(team.ns, default_ttl="1h", max_ttl="24h")
    team.policy(f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}')
    team.apply(KIND, "defaults", complete(team, headers={"x-edit": "1"}))
    team.apply("VaultConnection", "vault", {"address": proxy.url})
    ref = {"name": "defaults", "mergeStrategy": {"headers": "union"}}
    team.apply("VaultAuth", "auth", {"vaultAuthGlobalRef": ref})
    spec = {
        "vaultAuthRef": "auth",
        "mount": database.mount,
        "path": f"creds/{team.ns}",
        "destination": {"name": "db", "create": True},
    }
    team.apply("VaultDynamicSecret", "db", spec)
    team.wait_ready("db", "VaultDynamicSecret", timeout=30)
    user, (old,) = team.the_data("db")["username"], tokens(proxy)
    team.wait_ready("auth", "VaultAuth")
    spec_hash = team.get("VaultAuth", "auth")["status"]["specHash"]
    team.patch({"spec": {"headers": {"x-edit": "2"}}}, KIND, "defaults")
    eventually(lambda: team.get("VaultAuth", "auth")["status"]["specHash"] != spec_hash, message="the edit is seen")
    always(lambda: user in database.users(team.ns) and looked_up(team, old) != {}, during=8)
    current = team.the_data("db")["username"]
    assert current in database.users(team.ns)


def test_a_deletion_is_told_and_the_secret_stays_until_the_global_is_back(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team))
    app(team, {"name": "defaults"})
    team.wait_ready()
    before = generations(team)
    team.bed.kube.delete(KIND, team.ns, "defaults")
    message = auth_condition(team, "Ready", "False", "ReferenceNotFound")["message"]
    assert f"VaultAuthGlobal {team.ns}/defaults" in message
    auth_condition(team, "Available", "False", "VaultAuthGlobalRef")
    team.wait_condition("Healthy", "False", "ReferenceNotFound")
    assert team.get("VaultAuth", "auth")["status"]["valid"] is False
    assert team.the_data()["password"] == "v1"
    team.put("app", {"password": "v2"})
    team.apply(KIND, "defaults", complete(team))
    team.wait_data(lambda data: data["password"] == "v2")
    team.wait_ready("auth", "VaultAuth")
    team.wait_ready()
    auth_condition(team, "Available")
    assert generations(team) == before


def test_a_connection_that_the_global_names_may_come_last_and_go(team: Team) -> None:
    team.put("app", {"password": "v1"})
    team.apply(KIND, "defaults", complete(team, vaultConnectionRef="late"))
    team.apply("VaultAuth", "auth", {"vaultAuthGlobalRef": {"name": "defaults"}})
    team.static()
    auth_condition(team, "Ready", "False", "ReferenceNotFound")
    team.apply("VaultConnection", "late", {"address": team.bed.vault.url})
    team.wait_ready("auth", "VaultAuth", timeout=10)
    team.wait_ready(timeout=10)
    team.bed.kube.delete("VaultConnection", team.ns, "late")
    team.wait_condition("Healthy", "False", "ReferenceNotFound")


def test_an_auth_that_goes_is_counted_no_more(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team))
    app(team, {"name": "defaults"})
    eventually(lambda: referrers(team) == 1, message="it is counted")
    team.patch({"spec": {"vaultAuthGlobalRef": {"name": "other"}}}, "VaultAuth", "auth")
    eventually(lambda: referrers(team) == 0, message="it refers to another")
    team.patch({"spec": {"vaultAuthGlobalRef": {"name": "defaults"}}}, "VaultAuth", "auth")
    eventually(lambda: referrers(team) == 1, message="it is back")
    team.bed.kube.delete("VaultAuth", team.ns, "auth")
    eventually(lambda: referrers(team) == 0, message="it is gone")


# Its own status.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"headers": {"X-Vault-Namespace": "n"}}, "spec.headers: X-Vault-Namespace cannot be overridden"),
        ({"kubernetes": {"params": {"jwt": "x"}}}, "spec.kubernetes.params may not set jwt"),
    ],
)
def test_a_global_that_nobody_could_use_is_stalled_until_it_is_mended(team: Team, change: Json, words: str) -> None:
    team.apply(KIND, "defaults", complete(team, **change))
    message = team.wait_condition("Stalled", reason="InvalidSpec", kind=KIND, name="defaults")["message"]
    assert words in message
    status = team.get(KIND, "defaults")["status"]
    assert status["valid"] is False
    assert words in status["error"]
    team.apply(KIND, "defaults", complete(team))
    team.wait_ready("defaults", KIND)
    assert team.get(KIND, "defaults")["status"]["valid"] is True


def test_an_idle_global_is_not_written(team: Team) -> None:
    team.apply(KIND, "defaults", complete(team))
    app(team, {"name": "defaults"})
    team.wait_ready()
    team.wait_ready("auth", "VaultAuth")
    eventually(lambda: referrers(team) == 1, message="the VaultAuth is counted")
    logins_told(team)

    def versions() -> list[str]:
        named = (("VaultAuth", "auth"), (KIND, "defaults"))
        return [team.get(kind, name)["metadata"]["resourceVersion"] for kind, name in named]

    before = versions()
    always(lambda: versions() == before, during=3)


def test_a_strategy_that_is_none_of_the_three_is_refused_by_the_api_server(team: Team) -> None:
    with pytest.raises(KubeError) as caught:
        team.apply("VaultAuth", "auth", {"vaultAuthGlobalRef": {"name": "g", "mergeStrategy": {"params": "both"}}})
    assert caught.value.status == 422
