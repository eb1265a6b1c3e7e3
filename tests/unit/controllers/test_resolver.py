from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.cluster import FakeCluster, Json
from tests.fakes.house import OPERATOR, STATIC, House, Watches, auth_spec, house
from vso.api.access import VaultAuth, VaultConnection
from vso.api.scheme import parse_as
from vso.controllers.cache import Caches
from vso.controllers.materials import FilePolicy, Materials
from vso.controllers.resolver import Resolver, connection_config
from vso.controllers.trust import TrustPolicy, TrustStore
from vso.controllers.ways import login_config
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind
from vso.vault.auth.kubernetes import KubernetesWay
from vso.vault.way import Identity

CONNECTION, AUTH = Kind.VAULT_CONNECTION, Kind.VAULT_AUTH


@pytest.fixture
async def home_() -> AsyncIterator[House]:
    async with house() as opened:
        yield opened


class Refs:
    """References alone: neither client nor session is ever asked for."""

    def __init__(self, home: House, *namespaces: str) -> None:
        self.cluster, self.watches = FakeCluster(), Watches()
        caches = self.watches.caches(namespaces=namespaces or ("",))
        self.resolver = home_resolver(home, caches)

    def auth(self, name: str = "vault", namespace: str = "app", **spec: Any) -> None:
        self.watches.show(AUTH, self.cluster.put(AUTH, name, auth_spec(**spec), namespace))

    def connection(self, name: str = "vault", namespace: str = "app", **spec: Any) -> None:
        spec = {"address": "http://vault:8200", **spec}
        self.watches.show(CONNECTION, self.cluster.put(CONNECTION, name, spec, namespace))

    def refused(self, reference: str | None = "vault", namespace: str = "app") -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.resolver.path(reference, namespace)
        return caught.value


def home_resolver(home: House, caches: Caches) -> Resolver:
    trust = TrustStore(Materials(home.kube, FilePolicy(OPERATOR)), home.clock, TrustPolicy())
    return Resolver(caches, trust, home.clients, home.sessions, OPERATOR)


async def test_a_reference_leads_through_the_auth_to_the_connection(home_: House) -> None:
    path = home_.resolver.path("vault", "app")
    assert (path.auth.metadata.name, path.connection.metadata.name) == ("vault", "vault")
    assert path.connection_name == "app/vault"
    assert home_.api.requests == []


async def test_no_reference_means_the_default_of_the_operators_namespace(home_: House) -> None:
    refs = Refs(home_)
    refs.auth("default", OPERATOR, vaultConnectionRef="")
    refs.connection("default", OPERATOR)
    assert refs.resolver.path(None, "app").connection_name == f"{OPERATOR}/default"
    assert refs.resolver.path("", "anywhere").connection_name == f"{OPERATOR}/default"


async def test_an_auth_without_a_reference_takes_the_default_connection(home_: House) -> None:
    refs = Refs(home_)
    refs.auth(vaultConnectionRef="")
    refs.connection("default", OPERATOR)
    assert refs.resolver.path("vault", "app").connection_name == f"{OPERATOR}/default"


async def test_a_connection_reference_is_seen_from_the_auth(home_: House) -> None:
    refs = Refs(home_)
    refs.auth(namespace="platform", allowedNamespaces=["*"])
    refs.connection(namespace="platform")
    assert refs.resolver.path("platform/vault", "app").connection_name == "platform/vault"


async def test_a_missing_auth_is_named_with_its_prefixed_twin(home_: House) -> None:
    refs = Refs(home_)
    refs.auth("prod-vault")
    error = refs.refused("vault")
    assert error.reason is Reason.REFERENCE_NOT_FOUND
    assert "VaultAuth app/vault" in error.message
    assert "app/prod-vault" in error.message


async def test_a_missing_connection_is_named(home_: House) -> None:
    refs = Refs(home_)
    refs.auth()
    error = refs.refused()
    assert error.reason is Reason.REFERENCE_NOT_FOUND
    assert "vaultConnectionRef names VaultConnection app/vault" in error.message


async def test_a_namespace_that_is_not_watched_is_said_to_be(home_: House) -> None:
    refs = Refs(home_, "app")
    error = refs.refused("platform/vault")
    assert error.reason is Reason.REFERENCE_NOT_FOUND
    assert "does not watch" in error.message


async def test_a_malformed_reference(home_: House) -> None:
    assert Refs(home_).refused("a/b/c").reason is Reason.INVALID_REFERENCE


@pytest.mark.parametrize(("admitted", "goes"), [([], False), (["other"], False), (["app"], True), (["*"], True)])
async def test_an_auth_admits_the_namespaces_that_it_names(home_: House, admitted: list[str], goes: bool) -> None:
    refs = Refs(home_)
    refs.auth(namespace="platform", allowedNamespaces=admitted)
    refs.connection(namespace="platform")
    if goes:
        assert refs.resolver.path("platform/vault", "app").connection_name == "platform/vault"
    else:
        error = refs.refused("platform/vault")
        assert error.reason is Reason.NAMESPACE_NOT_ALLOWED
        assert "VaultAuth platform/vault does not admit namespace app" in error.message


async def test_a_connection_admits_the_namespace_of_the_auth(home_: House) -> None:
    refs = Refs(home_)
    refs.auth(vaultConnectionRef="platform/vault")
    refs.connection(namespace="platform", allowedNamespaces=["other"])
    error = refs.refused()
    assert error.reason is Reason.NAMESPACE_NOT_ALLOWED
    assert "VaultConnection platform/vault does not admit namespace app" in error.message


@pytest.mark.parametrize(
    ("listed", "implied"), [(None, True), ([], False), (["other"], False)], ids=["no list", "nobody", "another"]
)
async def test_a_client_certificate_is_told_to_the_refused_where_the_refusal_implies_it_anyway(
    home_: House, listed: list[str] | None, implied: bool
) -> None:
    refs = Refs(home_)
    refs.auth(vaultConnectionRef="platform/vault")
    given: Json = {} if listed is None else {"allowedNamespaces": listed}
    refs.connection(namespace="platform", clientCertSecretRef={"name": "client"}, **given)
    error = refs.refused()
    assert error.reason is Reason.NAMESPACE_NOT_ALLOWED
    shows = ", to which it would lend its client certificate" if implied else ""
    assert error.message == f"VaultConnection platform/vault does not admit namespace app{shows}"


async def test_a_field_that_cannot_be_understood_is_said_to_be_that_of_the_object_that_has_it(home_: House) -> None:
    refs = Refs(home_)
    refs.auth(method="carrier-pigeon")
    refs.connection()
    error = refs.refused()
    assert error.reason is Reason.INVALID_SPEC
    assert error.message.startswith("VaultAuth app/vault: spec.method: must be ")
    refs.auth()
    refs.connection(timeout="1h30m")
    assert refs.refused().message.startswith("VaultConnection app/vault: spec.timeout: must be ")


@pytest.mark.parametrize("spec", [{"timeout": "0s"}, {"caCertSecretRef": "nothing"}])
async def test_what_keeps_a_connection_from_use_is_said_to_be_its_own(home_: House, spec: Json) -> None:
    with pytest.raises(ConfigError, match="VaultConnection app/vault: "):
        await home_.resolver.client(parsed_connection(**spec))


@pytest.mark.parametrize(
    ("listed", "told"),
    [(None, False), ([], False), (["other"], False), ("app", False), (["app"], True), (["*"], True)],
)
async def test_what_is_wrong_with_an_auth_is_told_to_whom_it_admits(home_: House, listed: object, told: bool) -> None:
    refs = Refs(home_)
    given: Json = {} if listed is None else {"allowedNamespaces": listed}
    refs.auth(namespace="platform", method="carrier-pigeon", **given)
    error = refs.refused("platform/vault")
    if told:
        assert error.message.startswith("VaultAuth platform/vault: spec.method: must be ")
    else:
        assert error.reason is Reason.NAMESPACE_NOT_ALLOWED
        assert error.message == "VaultAuth platform/vault does not admit namespace app"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, True),
        ({"allowedNamespaces": ["app"]}, True),
        ({"allowedNamespaces": []}, False),
        ({"allowedNamespaces": "app"}, False),
        ({"clientCertPath": "/tls"}, False),
        ({"clientCertSecretRef": {"name": 5}}, False),
    ],
)
async def test_what_is_wrong_with_a_connection_is_told_to_whom_it_admits(home_: House, spec: Json, told: bool) -> None:
    refs = Refs(home_)
    refs.auth(vaultConnectionRef="platform/vault")
    refs.connection(namespace="platform", timeout="1h30m", **spec)
    error = refs.refused()
    assert error.message.startswith("VaultConnection platform/vault: spec.timeout: must be ") is told
    assert (error.reason is Reason.NAMESPACE_NOT_ALLOWED) is not told
    assert "timeout" not in error.message or told


@pytest.mark.parametrize(
    ("listed", "reader", "told"),
    [
        (["app"], "app", True),
        (["app"], "team-c", False),
        (["app", "team-c"], "team-c", True),
        (["*"], "team-c", True),
        (None, "team-c", True),
    ],
)
async def test_what_is_wrong_with_a_connection_is_told_to_no_reader_whom_it_does_not_admit(
    home_: House, listed: object, reader: str, told: bool
) -> None:
    refs = Refs(home_)
    given: Json = {} if listed is None else {"allowedNamespaces": listed}
    refs.connection(namespace="platform", timeout="1h30m", **given)
    refs.auth("shared", vaultConnectionRef="platform/vault", allowedNamespaces=["*"])
    error = refs.refused("app/shared", reader)
    assert error.reason is Reason.INVALID_SPEC
    if told:
        assert error.message.startswith("VaultConnection platform/vault: spec.timeout: must be ")
    else:
        assert error.message == "VaultConnection platform/vault cannot be understood; its own status says why"


async def test_no_name_of_another_namespace_is_told(home_: House) -> None:
    refs = Refs(home_)
    refs.auth("prod-vault", "platform")
    refs.connection("prod-vault", "platform")
    assert "prod" not in refs.refused("platform/vault").message
    refs.auth(vaultConnectionRef="platform/vault")
    assert "prod" not in refs.refused("vault").message
    # A VaultAuth that it may use, whose own reference dangles: who reads that is elsewhere.
    refs.auth("shared", "platform", allowedNamespaces=["app"])
    assert "prod" not in refs.refused("platform/shared").message
    assert "platform/prod-vault does" in refs.refused("shared", "platform").message


# Sessions.


async def test_the_service_account_is_of_the_consumers_namespace(home_: House) -> None:
    record = home_.cluster.put(AUTH, "vault", auth_spec(allowedNamespaces=["*"]))
    home_.watches.show(AUTH, record)
    path = home_.resolver.path("app/vault", "team-b")
    session = await home_.resolver.session(path, "team-b")
    assert session.login.consumer == "team-b"
    assert session.login.way == KubernetesWay("app", Identity("team-b", "app", ("vault",)))
    assert await home_.resolver.session(path, "team-b") is session
    assert await home_.resolver.session(path, "team-c") is not session
    assert home_.api.requests == []
    assert home_.vault.seen == []


async def test_a_connection_has_one_client(home_: House) -> None:
    connection = home_.resolver.path("vault", "app").connection
    assert await home_.resolver.client(connection) is await home_.resolver.client(connection, renew=True)


# From objects to settings.


def parsed_auth(**spec: Any) -> VaultAuth:
    full = {name: value for name, value in auth_spec(**spec).items() if value is not None}
    return parse_as(VaultAuth, FakeCluster().put(AUTH, "vault", full).body)


def parsed_connection(**spec: Any) -> VaultConnection:
    record = FakeCluster().put(CONNECTION, "vault", {"address": "http://vault:8200", **spec})
    return parse_as(VaultConnection, record.body)


def test_a_login_takes_over_what_the_auth_says() -> None:
    kubernetes = {"role": "r", "serviceAccount": "sa", "audiences": ["a", "b"], "tokenExpirationSeconds": 900}
    login = login_config(
        parsed_auth(kubernetes=kubernetes, namespace="ns1", headers={"B": "2", "A": "1"}, params={"p": "q"}), "team"
    )
    assert login.way == KubernetesWay("r", Identity("team", "sa", ("a", "b"), 900))
    assert (login.name, login.uid, login.generation) == ("app/vault", "uid-of-vault", 1)
    assert (login.path, login.consumer, login.namespace) == ("auth/kubernetes/login", "team", "ns1")
    assert login.headers == (("A", "1"), ("B", "2"))
    assert login.params == (("p", "q"),)


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        pytest.param({"method": None}, Reason.INVALID_SPEC, "spec.method is empty", id="no-method"),
        pytest.param({"method": "aws"}, Reason.INVALID_SPEC, "spec.aws.role must", id="another-method"),
        pytest.param({"mount": ""}, Reason.INVALID_SPEC, "spec.mount must", id="no-mount"),
        pytest.param(
            {"kubernetes": None},
            Reason.INVALID_SPEC,
            "spec.kubernetes.role and spec.kubernetes.serviceAccount must",
            id="no-kubernetes",
        ),
        pytest.param(
            {"kubernetes": {"role": "r"}}, Reason.INVALID_SPEC, "spec.kubernetes.serviceAccount must", id="no-account"
        ),
        pytest.param(
            {"kubernetes": {"role": "r", "serviceAccount": "../../other/serviceaccounts/admin"}},
            Reason.INVALID_SPEC,
            "spec.kubernetes.serviceAccount is",
            id="a-path-for-an-account",
        ),
        pytest.param({"headers": {"X-Vault-Token": "t"}}, Reason.INVALID_SPEC, "", id="reserved-header"),
    ],
)
def test_what_a_login_lacks_is_named(spec: Json, reason: Reason, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        login_config(parsed_auth(**spec), "app")
    assert caught.value.reason is reason
    assert words in caught.value.message


def test_a_connection_takes_over_what_the_object_says() -> None:
    config = connection_config(
        parsed_connection(
            timeout="90s", maxConcurrency=4, rateLimit={"requestsPerSecond": 5, "burst": 9}, namespace="ns1"
        )
    )
    assert (config.name, config.uid, config.timeout) == ("app/vault", "uid-of-vault", 90.0)
    assert (config.max_concurrency, config.rate_limit, config.namespace) == (4, (5.0, 9), "ns1")
    plain = connection_config(parsed_connection())
    assert (plain.timeout, plain.max_concurrency, plain.rate_limit) == (60.0, 16, None)


@pytest.mark.parametrize(
    "spec",
    [{"address": "ftp://vault"}, {"address": "vault:8200"}, {"timeout": "0s"}, {"headers": {"X-Vault-Token": "t"}}],
)
def test_a_connection_that_cannot_work_is_refused(spec: Json) -> None:
    with pytest.raises(ConfigError) as caught:
        connection_config(parsed_connection(**spec))
    assert caught.value.reason is Reason.INVALID_SPEC


async def test_who_refers_is_found_by_the_index(home_: House) -> None:
    home_.static()
    home_.watches.show(STATIC, home_.cluster.record(STATIC, "db"))
    assert [str(key) for key in home_.caches[STATIC].by_index("auth", "app/vault")] == ["app/db"]
    assert [str(key) for key in home_.caches[AUTH].by_index("connection", "app/vault")] == ["app/vault"]
