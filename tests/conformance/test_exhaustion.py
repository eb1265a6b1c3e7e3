"""A Vault of a tenant's own that answers what no Vault would: too much, too deep, too slowly, or out of all bounds.

Each answer is named in the status and never written; the operator stays as small as it was, and others go on.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.conformance.stage import Json, Stage, Team
from tests.testbed.bed import eventually
from tests.testbed.endpoint import Answer, Asked, Endpoint, Said

LASTS = 20
pytestmark = pytest.mark.long  # on the sandbox: `make test` has the other attacks
OPERATOR_ARGS = ("--backoff-initial-interval=1s", "--backoff-max-interval=2s")
MIB = 1024 * 1024
ROOM = 150 * MIB
TOKEN = {"client_token": "hvs.of-the-tenants-own", "lease_duration": 3600, "renewable": False, "policies": ["default"]}
VAST = 10**400


def deep(levels: int, leaf: str = "1") -> str:
    return '{"a":' * levels + leaf + "}" * levels


def secret(data: str) -> str:
    return '{"data": {"data": ' + data + ', "metadata": {"version": 1}}}'


def bomb() -> bytes:
    """A gigabyte of blanks and an object, in a megabyte."""
    packed = gzip.compress(b" " * (64 * MIB))
    return packed * 16 + gzip.compress(secret('{"password": "x"}').encode())


@pytest.fixture
def trap() -> Iterator[Endpoint]:
    """The tenant's Vault: it lets everybody in."""
    with Endpoint() as trap:
        trap.on("GET", "/v1/sys/health", Said(200, {"initialized": True, "sealed": False, "version": "1.21.0"}))
        trap.on("PUT", "/v1/auth/kubernetes/login", Said(200, {"auth": TOKEN}))
        yield trap


def asks(team: Team, trap: Endpoint, answer: Answer) -> None:
    """Have the tenant's secret read from the trap."""
    trap.on("GET", f"/v1/kv/data/{team.ns}/app", answer)
    team.access(address=trap.url)
    team.static()


# Made where they are needed: every process that collects scenarios would hold them.
ANSWERS: Mapping[str, tuple[Callable[[], Said], str]] = {
    "thirty-three megabytes": (lambda: Said(200, b" " * (33 * MIB)), "VaultAnswerInvalid"),
    "a gigabyte in a megabyte": (lambda: Said(200, bomb(), {"Content-Encoding": "gzip"}), "VaultAnswerInvalid"),
    "deeper than can be read": (lambda: Said(200, secret(deep(200_000))), "VaultAnswerInvalid"),
    "deeper than can be walked": (lambda: Said(200, secret(deep(3_000))), "VaultAnswerInvalid"),
    "deep with a lone surrogate": (lambda: Said(200, secret(deep(3_000, '"\\ud800"'))), "VaultAnswerInvalid"),
    "a thousand and a hundred levels": (lambda: Said(200, secret(deep(1_100))), "VaultAnswerInvalid"),
    "an error of ten megabytes": (lambda: Said(400, {"errors": ["x" * 10 * MIB]}), "VaultRequestInvalid"),
    "fifty thousand errors": (lambda: Said(403, {"errors": ["no"] * 50_000}), "VaultPermissionDenied"),
    "errors that are none": (lambda: Said(403, {"errors": {"a": [1, None]}}), "VaultPermissionDenied"),
    "a header of a megabyte": (lambda: Said(200, secret("{}"), {"X-Long": "x" * MIB}), "VaultUnavailable"),
    "a version that is none": (
        lambda: Said(200, {"data": {"data": {"a": "b"}, "metadata": {"version": {"x": 1}}}}),
        "",
    ),
    "a version beyond all numbers": (
        lambda: Said(200, f'{{"data":{{"data":{{"a":"b"}},"metadata":{{"version":{VAST}}}}}}}'),
        "",
    ),
}


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_what_no_vault_would_answer_is_named_and_costs_little(
    team: Team, stage: Stage, trap: Endpoint, answer: Callable[[], Said], reason: str
) -> None:
    before = stage.operator.rss()
    asks(team, trap, answer())
    if reason:
        told = team.wait_condition("Ready", "False", reason, timeout=30)
        assert len(told["message"]) < 2048
        assert team.secret() is None
    else:
        eventually(lambda: team.get()["status"].get("conditions"), message="something is told")
    assert stage.operator.rss() < before + ROOM
    assert {asked.headers["accept-encoding"] for asked in trap.asked} == {"identity"}


TOKENS = {
    "a life beyond all numbers": {"lease_duration": VAST},
    "a life that is none": {"lease_duration": "soon"},
    "a life before its beginning": {"lease_duration": -5},
    "a life of an object": {"lease_duration": {"a": 1}},
    "no token": {"client_token": ""},
    "a token that is none": {"client_token": ["a"]},
    "a token that breaks a header": {"client_token": "a\r\nX-Evil: 1"},
    "a token of a megabyte": {"client_token": "x" * MIB},
    "uses that are none": {"num_uses": "many"},
    "an accessor that is none": {"accessor": {"a": 1}},
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_login_that_answers_nonsense_is_told(team: Team, trap: Endpoint, token: Json) -> None:
    body = json.dumps({"auth": {**TOKEN, **token}})
    trap.on("PUT", "/v1/auth/kubernetes/login", Said(200, body))
    asks(team, trap, Said(200, secret('{"password": "x"}')))
    eventually(lambda: team.get()["status"].get("conditions"), timeout=30, message="something is told")
    assert not [asked for asked in trap.asked if "x-evil" in asked.headers]


def test_as_many_keys_as_fit_into_a_megabyte_are_written_or_refused_by_name(team: Team, trap: Endpoint) -> None:
    asks(team, trap, Said(200, secret(json.dumps({f"k{number:05}": "" for number in range(60_000)}))))
    told = eventually(lambda: team.get()["status"].get("conditions"), timeout=40, message="something is told")
    assert max(len(condition["message"]) for condition in told) < 2048


@pytest.mark.beside("other")
def test_an_answer_that_never_ends_holds_nobody_else_up(team: Team, stage: Stage, trap: Endpoint) -> None:
    def endless(_: Asked) -> Said:
        return Said(200, b"{", {"Content-Length": "1000000"})

    asks(team, trap, endless)
    other = stage.team(f"{team.ns}-other")
    other.ready()
    other.disband()
    team.wait_condition("Ready", "False", "VaultUnavailable", timeout=30)
