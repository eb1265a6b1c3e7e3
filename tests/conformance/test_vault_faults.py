"""Vault away, sealed, slow, wrong or lying: the Secret stays, the status says why, and work resumes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.stage import Stage, Team
from tests.testbed.bed import always, eventually
from tests.testbed.proxy import BlackHole, Proxy, Reset, Status, path_has
from tests.testbed.real import RealBed

LASTS = 100

SEALED = Status(503, {"errors": ["Vault is sealed"]})
THROTTLED = Status(429, {"errors": ["request path: rate limit quota exceeded"]}, {"Retry-After": "4"})
LONELY = Status(500, {"errors": ["local node not active but active cluster node not found"]})
INVALID_TOKEN = Status(403, {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]})
OPERATOR_ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=3s")


@pytest.fixture
def proxy(stage: Stage) -> Iterator[Proxy]:
    with Proxy(stage.bed.vault.url) as proxy:
        yield proxy


def ready(team: Team, proxy: Proxy, **changes: Any) -> None:
    team.ready(address=proxy.url, connection={"timeout": "2s"}, **changes)


def holds_with(team: Team, reason: str, timeout: float = 20) -> None:
    team.wait_condition("Healthy", "False", reason, timeout=timeout)
    assert team.condition("Ready")["status"] == "True"
    assert team.condition("Stalled") == {}
    assert team.the_data()["password"] == "v1"


def recovers(team: Team) -> None:
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", timeout=30)
    team.wait_condition("Healthy", timeout=30)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (SEALED, "VaultSealed"),
        (Status(500, {"errors": ["internal error"]}), "VaultUnavailable"),
        (Status(502, "<html><body>Bad Gateway</body></html>"), "VaultUnavailable"),
        (Status(200, "<html><body>please log in</body></html>"), "VaultAnswerInvalid"),
        (Status(200, "not json"), "VaultAnswerInvalid"),
    ],
    ids=["sealed", "500", "502-html", "200-html", "200-no-json"],
)
def test_an_answer_that_is_no_secret_keeps_the_secret_and_is_named(
    team: Team, proxy: Proxy, answer: Status, reason: str
) -> None:
    ready(team, proxy)
    proxy.fault(answer, path_has("/v1/kv/"))
    holds_with(team, reason)
    proxy.clear()
    recovers(team)


def test_a_vault_that_refuses_connections_keeps_the_secret(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    proxy.stop()
    holds_with(team, "VaultUnavailable")
    proxy.start()
    recovers(team)


def test_connections_that_break_keep_the_secret(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    proxy.fault(Reset())
    holds_with(team, "VaultUnavailable")
    proxy.clear()
    recovers(team)


@pytest.mark.beside("b")
def test_a_black_hole_keeps_the_secret_and_delays_no_other_vault(team: Team, proxy: Proxy, stage: Stage) -> None:
    ready(team, proxy)
    other = stage.team(f"{team.ns}-b")
    try:
        other.access()
        other.put("app", {"password": "b1"})
        other.static()
        other.wait_ready()
        proxy.fault(BlackHole())
        holds_with(team, "VaultUnavailable", timeout=40)
        other.put("app", {"password": "b2"})
        other.wait_data(lambda data: data["password"] == "b2", timeout=5)
        proxy.clear()
        recovers(team)
    finally:
        other.disband()


def test_429_with_retry_after_is_obeyed(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    proxy.fault(THROTTLED, path_has("/v1/kv/"))
    holds_with(team, "VaultThrottled")
    seen = proxy.count(path_has("/v1/kv/"))
    always(lambda: proxy.count(path_has("/v1/kv/")) <= seen + 1, during=3, message="Retry-After is obeyed")
    proxy.clear()
    recovers(team)


def test_after_a_429_nothing_is_asked_on_the_whole_connection_until_the_time_is_over(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    team.put("other", {"password": "v1"})
    team.static("other", path="other")
    team.wait_ready("other")
    reads = path_has("/v1/kv/")
    fault = proxy.fault(Status(429, THROTTLED.body, {"Retry-After": "10"}), reads, times=1)
    eventually(lambda: fault.spent, message="one read is throttled")
    always(lambda: True, during=0.5)  # what was on its way before the answer arrived may still come
    seen = proxy.count(reads)
    for name in ("app", "other"):
        team.put(name, {"password": "v2"})
    always(lambda: proxy.count(reads) == seen, during=4, message="no read while the connection is held back")
    for name in ("app", "other"):
        team.wait_data(lambda data: data["password"] == "v2", name)
        team.wait_condition("Healthy", name=name)


@pytest.mark.long
def test_a_standby_that_says_it_is_well_and_serves_nothing_is_tried_rarely_and_no_status_flaps(
    team: Team, proxy: Proxy
) -> None:
    def other_than_health(_method: str, path: str) -> bool:
        return "/v1/sys/health" not in path

    ready(team, proxy)
    proxy.fault(LONELY, other_than_health)
    holds_with(team, "VaultStandby")
    team.wait_condition("Healthy", "False", "VaultStandby", kind="VaultConnection", name="vault")
    asked, statuses = proxy.count(other_than_health), written(team)
    always(lambda: written(team) == statuses, during=10, message="no status is written again")
    assert proxy.count(other_than_health) - asked <= 12  # four trials of three requests
    proxy.clear()
    recovers(team)
    team.wait_condition("Healthy", kind="VaultConnection", name="vault", timeout=30)


def written(team: Team) -> list[str]:
    """The versions of the secret and of its connection."""
    found = (team.get(), team.get("VaultConnection", "vault"))
    return [each["metadata"]["resourceVersion"] for each in found]


def test_a_failing_first_sync_is_reconciling_not_stalled_and_then_succeeds(team: Team, proxy: Proxy) -> None:
    proxy.fault(SEALED)
    team.access(address=proxy.url)
    team.put("app", {"password": "v1"})
    team.static()
    condition = team.wait_condition("Reconciling", reason="VaultSealed")
    assert "unseal" in condition["message"]
    assert team.condition("Ready")["status"] == "False"
    assert team.secret() is None
    proxy.clear()
    team.wait_ready(timeout=30)


def test_stale_data_ends_ready_and_fresh_data_restores_it(team: Team, proxy: Proxy) -> None:
    ready(team, proxy, staleAfter="3s")
    proxy.stop()
    team.wait_condition("Ready", "False", timeout=30)
    assert team.condition("Reconciling")["status"] == "True"
    assert team.the_data()["password"] == "v1"
    proxy.start()
    team.wait_ready(timeout=30)


def test_while_the_breaker_is_open_only_health_is_asked_once_a_second(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    proxy.fault(SEALED)
    holds_with(team, "VaultSealed")
    eventually(lambda: proxy.count(path_has("/v1/sys/health")) >= 2, message="health is probed")
    reads = proxy.count(path_has("/v1/kv/"))
    health = proxy.count(path_has("/v1/sys/health"))
    always(lambda: proxy.count(path_has("/v1/kv/")) == reads, during=3, message="no read while the breaker is open")
    assert proxy.count(path_has("/v1/sys/health")) - health <= 8  # a loaded machine looks for longer than 3 s
    proxy.clear()
    recovers(team)


def test_a_sealed_vault_shows_in_the_connection(team: Team, stage: Stage) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    stage.bed.vault.seal()
    try:
        holds_with(team, "VaultSealed")
        team.wait_condition("Healthy", "False", "VaultSealed", kind="VaultConnection", name="vault")
        assert team.condition("Ready", "VaultConnection", "vault")["status"] == "True"
        status = team.get("VaultConnection", "vault")["status"]
        assert (status["sealed"], status["valid"]) == (True, True)
    finally:
        stage.bed.vault.unseal()
    eventually(lambda: stage.bed.vault.active, message="Vault is back")
    recovers(team)
    team.wait_condition("Healthy", kind="VaultConnection", name="vault", timeout=30)
    assert team.get("VaultConnection", "vault")["status"]["sealed"] is False


@pytest.mark.real
def test_a_vault_that_is_stopped_and_started_sealed_is_waited_for(team: Team, real_bed: RealBed) -> None:
    team.access()
    names = [f"app-{number}" for number in range(5)]
    for name in names:
        team.put(name, {"password": "v1"})
        team.static(name, path=name, refreshAfter="1h" if name == "app-0" else "1s")
    for name in names:
        team.wait_ready(name)
    mark = real_bed.mark()
    real_bed.stop_server("vault")
    for name in names[1:]:
        told = team.wait_condition("Healthy", "False", name=name)
        assert told["reason"] in {"VaultUnavailable", "VaultSealed"}  # it seals itself before it goes
        assert team.the_data(name) == {"password": "v1", "_raw": team.the_data(name)["_raw"]}
    team.wait_condition("Healthy", "False", "VaultUnavailable", kind="VaultConnection", name="vault", timeout=40)
    real_bed.start_server("vault")  # sealed for a moment, then unsealed
    for name in names:
        team.wait_condition("Healthy", name=name, timeout=30)
    team.put("app-1", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2", "app-1")
    writes = [c for c in real_bed.kube_audit(mark) if c.namespace == team.ns and c.writes and c.resource == "secrets"]
    assert {c.name for c in writes} == {"app-1"}
    assert team.condition("Healthy", name="app-0")["status"] == "True"


@pytest.mark.real
def test_a_killed_vault_that_forgot_nothing_is_no_outage_for_an_idle_secret(team: Team, real_bed: RealBed) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(refreshAfter="1h")
    team.wait_ready()
    mark = real_bed.mark()
    real_bed.kill_server("vault")
    real_bed.start_server("vault")
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    eventually(lambda: team.get()["status"].get("lastHandledResync") == "1", message="the resync is handled")
    writes = [c for c in real_bed.kube_audit(mark) if c.namespace == team.ns and c.writes and c.resource == "secrets"]
    assert writes == []


def test_a_secret_that_never_was_is_source_not_found(team: Team) -> None:
    team.access()
    team.static()
    condition = team.wait_condition("Stalled", reason="SourceNotFound")
    assert f"{team.ns}/app" in condition["message"]


def test_a_deleted_version_keeps_the_data_and_an_undelete_resumes(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    team.bed.vault.delete(f"kv/data/{team.ns}/app")
    team.wait_condition("Stalled", reason="SourceDeleted")
    assert team.the_data()["password"] == "v1"
    team.bed.vault.write(f"kv/undelete/{team.ns}/app", {"versions": [1]})
    team.wait_ready()


def test_deleted_metadata_of_a_synced_secret_is_source_deleted(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    team.bed.vault.delete(f"kv/metadata/{team.ns}/app")
    team.wait_condition("Stalled", reason="SourceDeleted")
    assert team.the_data()["password"] == "v1"


@pytest.mark.only_in("full", "namespaced-full", because="write-only deletes nothing")
def test_on_source_deleted_delete_takes_the_secret_away(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.static(onSourceDeleted="Delete")
    team.wait_ready()
    team.bed.vault.delete(f"kv/data/{team.ns}/app")
    eventually(lambda: team.secret() is None, message="the Secret goes with its source")
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")


def test_a_wrong_role_is_refused_and_named(team: Team) -> None:
    team.access(auth={"kubernetes": {"role": "no-such-role"}})
    team.put("app", {"password": "v1"})
    team.static()
    condition = team.wait_condition("Stalled", reason="VaultLoginRefused")
    assert "no-such-role" in condition["message"]


def test_a_wrong_audience_is_refused_and_named(team: Team) -> None:
    team.access(auth={"kubernetes": {"audiences": ["somebody-else"]}})
    team.put("app", {"password": "v1"})
    team.static()
    condition = team.wait_condition("Stalled", reason="VaultLoginRefused")
    assert "audience" in condition["message"]


def test_refused_logins_are_limited(team: Team, proxy: Proxy) -> None:
    team.access(address=proxy.url, auth={"kubernetes": {"role": "no-such-role"}})
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_condition("Stalled", reason="VaultLoginRefused")
    always(lambda: proxy.count(path_has("/login")) <= 4, during=3, message="at most four refused logins")


def test_a_granted_capability_is_noticed_without_any_kubernetes_event(team: Team) -> None:
    team.access()
    team.put("app", {"password": "v1"})
    team.policy('path "kv/data/elsewhere" { capabilities = ["read"] }')
    team.static()
    team.wait_condition("Stalled", reason="VaultPermissionDenied")
    team.policy(f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}')
    team.wait_ready(timeout=30)


def test_a_revoked_token_leads_to_one_new_login(team: Team, proxy: Proxy) -> None:
    ready(team, proxy)
    proxy.fault(INVALID_TOKEN, path_has("/v1/kv/"), times=1)
    logins = proxy.count(path_has("/login"))
    eventually(lambda: proxy.count(path_has("/login")) == logins + 1, message="one login replaces the token")
    recovers(team)
    assert proxy.count(path_has("/login")) == logins + 1
