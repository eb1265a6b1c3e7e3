"""Where data comes from: who shares a read, what is followed and what is not, and what goes out with each request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.stage import Json, Stage, Team
from tests.conformance.workloads import deployment
from tests.testbed.bed import Mark, always, eventually
from tests.testbed.operator import Operator, Setting
from tests.testbed.proxy import Proxy

LASTS = 20

RESTARTED = "vso.secrets.hashicorp.com/restartedAt"


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    with stage.bed.vault_proxy(record_headers=True) as proxy:
        yield proxy


def reads(team: Team, mark: Mark, path: str = "app") -> int:
    """How often the team's secret was read since the mark."""
    asked = f"kv/data/{team.ns}/{path}"
    return sum(call.operation == "read" and call.path == asked for call in team.bed.vault_audit(mark))


def polled(operator: Operator) -> tuple[float, float]:
    """How many sources are polled just now, and how many objects follow them."""
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(operator.metrics())
        for sample in family.samples
        if sample.name in {"vso_sources", "vso_source_subscribers"}
    }
    return found["vso_sources"], found["vso_source_subscribers"]


def secret_version(team: Team, name: str = "app") -> str:
    found = team.secret(name)
    assert found is not None
    return str(found["metadata"]["resourceVersion"])


def test_without_refresh_after_the_source_is_polled_unless_data_is_not_compared(team: Team, stage: Stage) -> None:
    operator = stage.operator
    team.access()
    for path in ("app", "other"):
        team.put(path, {"password": "v1"})
    spec = team.secret_spec()
    del spec["refreshAfter"]
    for left in team.bed.kube.list("VaultStaticSecret"):  # of teams whose namespaces are still going
        team.bed.kube.remove(left)
    eventually(lambda: polled(operator) == (0, 0), message="nobody else's objects are left")
    team.apply("VaultStaticSecret", "app", spec)
    team.wait_ready()
    assert polled(operator) == (1, 1)
    team.apply("VaultStaticSecret", "app", {**spec, "hmacSecretData": False})
    team.wait_ready()
    eventually(lambda: polled(operator) == (0, 0), message="nothing is polled for it any more")
    team.apply("VaultStaticSecret", "app", {**spec, "hmacSecretData": False, "refreshAfter": "1h"})
    team.wait_ready()
    eventually(
        lambda: polled(operator) == (1, 1),
        timeout=60,
        message=lambda: f"asked for, it is polled: {polled(operator)}, {team.get()}",
    )


def test_the_smallest_refresh_after_of_those_who_share_a_source_counts_for_all(team: Team) -> None:
    team.ready(refreshAfter="1h")
    team.static("quick", refreshAfter="1s")
    team.wait_ready("quick")
    team.put("app", {"password": "v2"})
    for name in ("app", "quick"):
        team.wait_data(lambda data: data["password"] == "v2", name=name, timeout=5)


def test_a_source_is_looked_at_at_leisure_again_when_the_hasty_one_has_gone(team: Team, stage: Stage) -> None:
    operator = stage.operator
    team.ready(refreshAfter="1h")
    team.static("quick", refreshAfter="1s")
    team.wait_ready("quick")
    team.bed.kube.delete("VaultStaticSecret", team.ns, "quick")
    series = f'namespace="{team.ns}",name="quick"'
    eventually(lambda: series not in operator.metrics(), message="the hasty one is forgotten")
    mark = team.bed.mark()
    always(lambda: reads(team, mark) <= 1, during=2.5, message="nobody wants it every second any more")


def test_a_change_reaches_everybody_within_one_interval(team: Team) -> None:
    team.ready()
    names = [f"app-{number}" for number in range(5)]
    for name in names:
        team.static(name)
    for name in names:
        team.wait_ready(name)
    mark = team.bed.mark()
    team.put("app", {"password": "v2"})
    for name in names:
        team.wait_data(lambda data: data["password"] == "v2", name=name, timeout=3)
    assert reads(team, mark) <= 4, "one read per interval, whoever asks"


def test_two_versions_of_one_path_are_two_sources(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.put("app", {"password": "v2"})
    mark = team.bed.mark()
    team.static("old", refreshAfter="1h", version=1)
    team.static("new", refreshAfter="1h", version=2)
    team.static("twin", refreshAfter="1h", version=2)
    for name in ("old", "new", "twin"):
        team.wait_ready(name)
    assert [team.the_data(name)["password"] for name in ("old", "new", "twin")] == ["v1", "v2", "v2"]
    assert reads(team, mark) == 2


def test_a_pinned_version_does_not_follow(team: Team) -> None:
    team.ready(version=1)
    team.static("latest")
    team.wait_ready("latest")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", name="latest")
    always(lambda: team.the_data()["password"] == "v1", during=1.5)
    assert team.get()["status"]["sourceVersion"] == "1"


def test_changes_in_kv_v1_are_followed(team: Team) -> None:
    team.access()
    team.put_v1("app", {"password": "v1"})
    team.static(mount="kv1", type="kv-v1")
    team.wait_ready()
    team.put_v1("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", timeout=5)
    assert team.get()["status"].get("sourceVersion", "") == ""


def test_without_comparison_no_digest_is_kept_and_nothing_restarted(team: Team) -> None:
    team.bed.kube.apply(deployment(team.ns))
    targets = [{"kind": "Deployment", "name": "app"}]
    team.ready(hmacSecretData=False, rolloutRestartTargets=targets)
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", timeout=5)
    team.wait_ready()
    status = team.get()["status"]
    assert status.get("secretMAC", "") == ""
    assert status.get("rolledOutDigest", "") == ""
    template = team.bed.kube.find("Deployment", team.ns, "app")["spec"]["template"]
    assert RESTARTED not in template["metadata"].get("annotations", {})


def test_without_comparison_an_unchanged_source_is_not_written_again(team: Team) -> None:
    team.ready(hmacSecretData=False)
    version, object_version = secret_version(team), team.get()["metadata"]["resourceVersion"]
    always(lambda: secret_version(team) == version, during=2.5)
    assert team.get()["metadata"]["resourceVersion"] == object_version


def test_a_source_that_was_deleted_and_restored_does_not_write_the_secret(team: Team) -> None:
    team.ready()
    version = secret_version(team)
    team.bed.vault.delete(f"kv/data/{team.ns}/app")
    condition = team.wait_condition("Healthy", "False", "SourceDeleted")
    assert "version 1" in condition["message"]
    team.bed.vault.write(f"kv/undelete/{team.ns}/app", {"versions": [1]})
    team.wait_condition("Healthy")
    assert secret_version(team) == version
    assert [entry["version"] for entry in team.get()["status"]["history"]] == ["1"]


def test_a_new_version_with_the_same_data_does_not_write_the_secret_without_raw(team: Team) -> None:
    team.ready(destination={"transformation": {"excludeRaw": True}})
    version = secret_version(team)
    team.put("app", {"password": "v1"})
    eventually(lambda: team.get()["status"]["sourceVersion"] == "2", message="the new version is noted")
    assert secret_version(team) == version


@pytest.mark.parametrize(
    ("secret", "auth", "connection", "at_login", "at_read"),
    [
        ("", "", "", None, None),
        ("", "", "of-connection", "of-connection", "of-connection"),
        ("", "of-auth", "of-connection", "of-auth", "of-auth"),
        ("of-secret", "of-auth", "of-connection", "of-auth", "of-secret"),
        ("of-secret", "", "", None, "of-secret"),
    ],
    ids=["none", "connection", "auth", "secret", "secret-alone"],
)
def test_the_nearest_vault_namespace_goes_out(
    team: Team, proxy: Proxy, secret: str, auth: str, connection: str, at_login: str | None, at_read: str | None
) -> None:
    team.put("app", {"password": "v1"})
    team.access(address=proxy.url, connection=named(connection), auth=named(auth))
    team.static(**named(secret))
    team.wait_ready()
    assert {headers.get("x-vault-namespace") for headers in sent(proxy, "/login")} == {at_login}
    assert {headers.get("x-vault-namespace") for headers in sent(proxy, "/v1/kv/")} == {at_read}


def test_headers_of_the_connection_always_go_out_and_those_of_the_auth_only_at_login(team: Team, proxy: Proxy) -> None:
    team.put("app", {"password": "v1"})
    of_connection: Json = {"headers": {"X-Route": "blue"}}
    team.access(address=proxy.url, connection=of_connection, auth={"headers": {"X-Login": "once"}})
    team.static()
    team.wait_ready()
    login, read = sent(proxy, "/login"), sent(proxy, "/v1/kv/")
    assert {headers.get("x-route") for headers in (*login, *read)} == {"blue"}
    assert {headers.get("x-login") for headers in login} == {"once"}
    assert {headers.get("x-login") for headers in read} == {None}
    assert {headers.get("x-vault-request") for headers in (*login, *read)} == {"true"}
    assert all("x-vault-token" not in headers for headers in login)
    assert all(headers["user-agent"].startswith("vso") for headers in (*login, *read))


@pytest.fixture
def proxied(stage: Stage, proxy: Proxy) -> Iterator[Operator]:
    """The operator with HTTP_PROXY in its environment, in place of the module's."""
    setting = Setting(name="proxied", env={"HTTP_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"})
    operator = stage.other("--leader-elect=false", setting=setting)
    stage.operator.stop()
    operator.start()
    operator.wait_ready()
    yield operator
    operator.stop()
    stage.operator.start()
    stage.operator.wait_ready()


def test_http_proxy_and_no_proxy_are_honoured(team: Team, proxy: Proxy, proxied: Operator) -> None:
    team.put("app", {"password": "v1"})
    team.access(address="http://vault.invalid:8200")
    team.static()
    team.wait_ready()
    assert {target.split("/v1/")[0] for _, target in proxy.requests} == {"http://vault.invalid:8200"}
    seen = len(proxy.requests)
    team.patch({"spec": {"address": team.bed.vault.url, "timeout": "5s"}}, kind="VaultConnection", name="vault")
    team.wait_ready("vault", "VaultConnection")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", timeout=5)
    assert len([target for _, target in proxy.requests[seen:] if "vault.invalid" not in target]) == 0


def sent(proxy: Proxy, part: str) -> list[dict[str, str]]:
    """The headers, in lower case, of the requests whose path has the part."""
    found = [
        {name.lower(): value for name, value in headers.items()}
        for (_, path), headers in zip(proxy.requests, proxy.headers, strict=False)
        if part in path
    ]
    assert found, f"no request has {part}"
    return found


def named(namespace: str) -> Json:
    return {"namespace": namespace} if namespace else {}
