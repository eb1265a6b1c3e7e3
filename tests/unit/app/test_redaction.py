"""Nothing secret passes the last line of defence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
from pydantic import BaseModel, ValidationError

from vso.app.redaction import describe, redact, scrub
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, KindKey, ObjectKey
from vso.core.sensitive import Sensitive

CANARY = "hunter2-canary"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"


@dataclass
class Holder:
    value: bytes = CANARY.encode()


class Model(BaseModel):
    value: int


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"x": Sensitive.of(CANARY)}, id="sensitive"),
        pytest.param({"x": CANARY.encode()}, id="bytes"),
        pytest.param({"x": bytearray(CANARY.encode())}, id="bytearray"),
        pytest.param({"x": memoryview(CANARY.encode())}, id="memoryview"),
        pytest.param({"token": CANARY}, id="token"),
        pytest.param({"Password": CANARY}, id="any-case"),
        pytest.param({"secret-id": CANARY}, id="dashes"),
        pytest.param({"vault_client_token": CANARY}, id="telling-end"),
        pytest.param({"jwt": CANARY}, id="jwt"),
        pytest.param({"data": {"a": CANARY}}, id="data"),
        pytest.param({"x": {"y": {"password": CANARY}}}, id="nested"),
        pytest.param({"x": MappingProxyType({"data": CANARY})}, id="read-only-mapping"),
        pytest.param({"x": [(Sensitive.of(CANARY),), {CANARY.encode()}]}, id="in-lists"),
        pytest.param({"x": {"a": {"b": {"c": {"d": {"e": CANARY}}}}}}, id="too-deep"),
        pytest.param({"x": Holder()}, id="unknown-object"),
        pytest.param({"x": ValueError(CANARY)}, id="foreign-exception"),
        pytest.param({"x": f"header Bearer {CANARY}"}, id="bearer"),
    ],
)
def test_what_must_not_be_seen_is_not(event: dict[str, object]) -> None:
    assert CANARY not in str(redact(None, "info", dict(event)))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("hvs.CAESIJ0123456789abcdefghij", id="service"),
        pytest.param("hvb.AAAAAQ0123456789abcdefghij", id="batch"),
        pytest.param("s.0123456789abcdefghijABCD", id="old"),
        pytest.param(JWT, id="jwt"),
        pytest.param(JWT.rpartition(".")[0], id="jwt-without-signature"),
    ],
)
def test_tokens_are_recognised_in_texts(text: str) -> None:
    assert scrub(f"login with {text} failed") == "login with *** failed"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("synced kv/app/config", "synced kv/app/config", id="text"),
        pytest.param(3, 3, id="number"),
        pytest.param(None, None, id="none"),
        pytest.param(True, True, id="truth"),
        pytest.param(ObjectKey("a", "b"), "a/b", id="key"),
        pytest.param(KindKey(Kind.VAULT_AUTH, ObjectKey("a", "b")), "VaultAuth a/b", id="kind-and-key"),
        pytest.param(Reason.SYNCED, "Synced", id="reason"),
        pytest.param(Path("/etc/ca.crt"), "/etc/ca.crt", id="path"),
        pytest.param(timedelta(seconds=5), "0:00:05", id="span"),
        pytest.param(datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00", id="moment"),
        pytest.param(ConfigError(Reason.SOURCE_NOT_FOUND, "kv/x"), "SourceNotFound: kv/x", id="our-error"),
        pytest.param(("a", 1), ["a", 1], id="tuple"),
        pytest.param({"ttl": 3, "token_ttl": 4}, {"ttl": 3, "token_ttl": 4}, id="harmless-names"),
    ],
)
def test_everything_else_stays(value: object, expected: object) -> None:
    assert redact(None, "info", {"x": value}) == {"x": expected}


def fail(error: Exception, cause: Exception | None) -> None:
    secret_local = CANARY
    assert secret_local
    raise error from cause


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    with pytest.raises(type(error)) as caught:
        fail(error, cause)
    return caught.value


def test_a_traceback_names_places_and_types_and_quotes_no_value() -> None:
    text = describe(raised(RuntimeError(CANARY), KeyError(CANARY)))
    assert CANARY not in text
    assert "in fail" in text
    assert text.index("KeyError") < text.index("which led to") < text.index("RuntimeError")


def test_a_validation_error_does_not_show_its_input() -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({"value": CANARY})
    assert CANARY not in describe(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(ConfigError(Reason.SOURCE_NOT_FOUND, "kv/x"), "ConfigError: SourceNotFound: kv/x", id="ours"),
        pytest.param(FileNotFoundError(2, "gone", "/ca"), "FileNotFoundError: [Errno 2] gone: '/ca'", id="system"),
        pytest.param(TypeError("NoneType is not callable"), "TypeError: NoneType is not callable", id="types"),
        pytest.param(ValueError(CANARY), "ValueError", id="values"),
    ],
)
def test_texts_that_name_no_value_stay(error: Exception, expected: str) -> None:
    assert describe(error) == expected


def test_every_exception_of_a_group_is_shown() -> None:
    text = describe(ExceptionGroup(CANARY, [OSError("first"), ValueError(CANARY)]))
    assert "OSError: first" in text
    assert text.endswith("ValueError")
    assert CANARY not in text


def test_an_endless_chain_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__context__, second.__context__ = second, first
    assert describe(first).count("ValueError") < 10
