"""A canary value is nowhere but in the Secret; no right is used that was not given."""

from __future__ import annotations

import base64
import json
import re

from tests.conformance.stage import OPERATOR_NAMESPACE, OPERATOR_USER, Stage, Team
from tests.testbed.proxy import Proxy, Status, path_has

LASTS = 15

JWT = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.")
CANARY = "canary-7f3a9c1e5b"
OPERATOR_ARGS = ("--log-level=debug", "--backoff-initial-interval=1s", "--backoff-max-interval=3s")


def everything_but_secrets(team: Team, stage: Stage) -> str:
    """What the operator has said, wherever it says something."""
    kube, operator = stage.bed.kube, stage.operator
    objects = [kube.list(kind, team.ns) for kind in ("VaultStaticSecret", "VaultAuth", "VaultConnection", "Event")]
    logs = operator.log_text() + operator.metrics()
    audits = (stage.bed.directory / "kube-audit.log").read_text()
    return json.dumps(objects) + logs + audits


def forms(value: str) -> list[str]:
    return [value, base64.b64encode(value.encode()).decode().rstrip("=")]


def test_a_canary_appears_nowhere_but_in_the_secret(team: Team, stage: Stage) -> None:
    team.access()
    team.put("app", {"password": CANARY, "other": {"deep": CANARY}})
    team.static()
    team.wait_data(lambda data: data["password"] == CANARY)
    team.put("app", {"password": f"{CANARY}-2", "bad key": CANARY})
    team.wait_condition("Stalled", reason="SecretKeyInvalid")
    team.put("app", {"password": f"{CANARY}-3"})
    team.wait_data(lambda data: data["password"] == f"{CANARY}-3")
    said = everything_but_secrets(team, stage)
    assert team.ns in said
    for form in forms(CANARY):
        assert form not in said


def test_a_canary_in_answers_that_cannot_be_used_appears_nowhere(team: Team, stage: Stage) -> None:
    with Proxy(stage.bed.vault.url) as proxy:
        team.access(address=proxy.url)
        team.put("app", {"password": "v1"})
        team.static()
        team.wait_ready()
        for answer in (
            Status(200, f'{{"data": {{"data": {{"password": "{CANARY}"'),
            Status(200, {"data": {"data": [CANARY], "metadata": {"version": 2}}}),
            Status(500, {"errors": [], "data": {"password": CANARY}}),
        ):
            fault = proxy.fault(answer, path_has("/v1/kv/"))
            team.wait_condition("Healthy", "False")
            assert fault.hits
            proxy.lift(fault)
            team.wait_condition("Healthy", timeout=30)
        said = everything_but_secrets(team, stage)
        for form in forms(CANARY):
            assert form not in said


def test_neither_tokens_nor_jwts_are_logged(team: Team, stage: Stage) -> None:
    with Proxy(stage.bed.vault.url, record_headers=True) as proxy:
        team.access(address=proxy.url)
        team.put("app", {"password": "v1"})
        team.static()
        team.wait_ready()
        tokens = {
            value for headers in proxy.headers for name, value in headers.items() if name.lower() == "x-vault-token"
        }
        assert tokens
        said = everything_but_secrets(team, stage)
        assert JWT.search(said) is None  # a list's continue token begins alike, but has no dot
        for token in tokens:
            assert token not in said


def test_every_request_of_the_operator_is_within_its_roles(team: Team, stage: Stage) -> None:
    mark = stage.bed.mark()
    team.access()
    team.put("app", {"password": "v1"})
    team.static()
    team.wait_ready()
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    ours = {team.ns, OPERATOR_NAMESPACE, ""}  # the namespace of an earlier scenario refuses what is new while it goes
    calls = [call for call in stage.bed.kube_audit(mark) if call.user == OPERATOR_USER and call.namespace in ours]
    assert calls
    assert [call for call in calls if call.code == 403] == []
    assert not [
        call for call in calls if call.resource == "secrets" and call.verb == "get" and call.namespace == team.ns
    ]


def test_a_redirect_does_not_carry_the_token_to_another_host(team: Team, stage: Stage) -> None:
    with Proxy(stage.bed.vault.url, record_headers=True) as elsewhere, Proxy(stage.bed.vault.url) as proxy:
        team.access(address=proxy.url)
        team.put("app", {"password": "v1"})
        team.static()
        team.wait_ready()
        location = f"{elsewhere.url}/v1/kv/data/{team.ns}/app"
        proxy.fault(Status(307, "", {"Location": location}), path_has("/v1/kv/"))
        team.wait_condition("Healthy", "False")
        assert [headers for headers in elsewhere.headers if "x-vault-token" in {n.lower() for n in headers}] == []
