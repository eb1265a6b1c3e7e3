from __future__ import annotations

from typing import Any

import pytest

from vso.core.errors import ConfigError, Reason, TransientError
from vso.vault.errors import (
    Asked,
    BehindError,
    FailedError,
    InvalidTokenError,
    NothingThereError,
    PermissionDeniedError,
    VaultDownError,
    error_for,
    stable,
)

ASKED = Asked("Vault at https://vault:8200", "GET", "kv/data/app/config")


@pytest.mark.parametrize(
    ("status", "body", "family", "reason", "told"),
    [
        pytest.param(403, {"errors": ["permission denied"]}, PermissionDeniedError, Reason.VAULT_PERMISSION_DENIED, "'read'", id="denied"),
        pytest.param(403, {"errors": ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}, InvalidTokenError, Reason.VAULT_PERMISSION_DENIED, "token", id="invalid-token"),
        pytest.param(404, {"errors": []}, NothingThereError, Reason.SOURCE_NOT_FOUND, "nothing at kv/data/app/config", id="nothing"),
        pytest.param(404, {"errors": ["no handler for route \"x\". route entry not found."]}, NothingThereError, Reason.SOURCE_NOT_FOUND, "no secrets engine", id="no-mount"),
        pytest.param(404, {"errors": ["1 error occurred:\n\t* unsupported path\n\n"]}, ConfigError, Reason.VAULT_REQUEST_INVALID, "unsupported path", id="unsupported"),
        pytest.param(404, {"message": "no such page"}, TransientError, Reason.VAULT_ANSWER_INVALID, "404", id="another-json"),
        pytest.param(404, None, TransientError, Reason.VAULT_ANSWER_INVALID, "404", id="html-404"),
        pytest.param(403, None, TransientError, Reason.VAULT_ANSWER_INVALID, "403", id="html-403"),
        pytest.param(429, {"errors": ["request path \"x\": rate limit quota exceeded"]}, TransientError, Reason.VAULT_THROTTLED, "429", id="throttled"),
        pytest.param(412, {"errors": ["required index state not present"]}, BehindError, Reason.VAULT_UNAVAILABLE, "412", id="behind"),
        pytest.param(400, {"errors": ["missing \"x\""]}, ConfigError, Reason.VAULT_REQUEST_INVALID, "missing", id="bad-request"),
        pytest.param(500, {"errors": ["1 error occurred:\n\t* internal error\n\n"]}, FailedError, Reason.VAULT_UNAVAILABLE, "internal error", id="engine-500"),
        pytest.param(500, {"errors": ["local node not active but active cluster node not found"]}, VaultDownError, Reason.VAULT_STANDBY, "standby", id="standby"),
        pytest.param(503, {"errors": ["Vault is sealed"]}, VaultDownError, Reason.VAULT_SEALED, "sealed", id="sealed"),
        pytest.param(503, None, VaultDownError, Reason.VAULT_UNAVAILABLE, "503 Service Unavailable", id="proxy-503"),
        pytest.param(502, None, VaultDownError, Reason.VAULT_UNAVAILABLE, "502 Bad Gateway", id="proxy-502"),
        pytest.param(504, {"errors": []}, VaultDownError, Reason.VAULT_UNAVAILABLE, "504", id="gateway-timeout"),
    ],
)  # fmt: skip
def test_every_answer_has_its_reason(
    status: int, body: dict[str, Any] | None, family: type, reason: Reason, told: str
) -> None:
    error = error_for(ASKED, status, body, 3.0)
    assert type(error) is family
    assert error.reason is reason
    assert told in error.message


def test_an_engines_500_says_nothing_about_the_whole_vault() -> None:
    assert not isinstance(error_for(ASKED, 500, {"errors": ["boom"]}), VaultDownError)


def test_retry_after_is_kept_and_not_told() -> None:
    first, second = (error_for(ASKED, 429, {"errors": ["x"]}, seconds) for seconds in (3.0, 7.0))
    assert isinstance(first, TransientError)
    assert first.retry_after == 3.0
    assert first.message == second.message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("read tcp 10.0.0.1:52344->10.0.0.2:443: i/o timeout", "read tcp 10.0.0.9:40001->10.0.0.2:443: i/o timeout"),
        ("dial tcp 10.1.2.3:54321: refused", "dial tcp 10.1.2.3:54322: refused"),
        ("token expired at 2026-01-02T03:04:05.123Z", "token expired at 2026-01-02T03:05:05.999Z"),
        ("lease 0f8fad5b-d9cb-469f-a165-70867728950e gone", "lease 7c9e6679-7425-40de-944b-e07fc1f90ae7 gone"),
    ],
)
def test_texts_are_the_same_from_try_to_try(first: str, second: str) -> None:
    assert stable(first) == stable(second)


def test_texts_are_one_bounded_line() -> None:
    assert stable("1 error occurred:\n\t* a\n\tb\n\n") == "a b"
    assert len(stable("x" * 5000)) < 320
