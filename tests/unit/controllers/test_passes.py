"""Every failing pass is one line in the log, whoever raised the failure."""

from __future__ import annotations

import random

import pytest
import structlog

from vso.controllers.passes import NamedPasses
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey
from vso.runtime.reconcile import Result

KEY = ObjectKey("app", "db")


class Failing:
    async def reconcile(self, key: ObjectKey) -> Result:
        raise ConfigError(Reason.INVALID_SPEC, f"{key} cannot be parsed")


class Good:
    async def reconcile(self, key: ObjectKey) -> Result:
        structlog.get_logger("vso.reconcile").info("looked")
        return Result(requeue_after=1.0)


async def test_a_failing_pass_is_logged_with_its_reason_and_raised_on() -> None:
    passes = NamedPasses(Kind.VAULT_STATIC_SECRET, Failing(), random.Random(1))
    with structlog.testing.capture_logs() as lines, pytest.raises(ConfigError):
        await passes.reconcile(KEY)
    assert [(line["event"], line["reason"], line["error"]) for line in lines] == [
        ("pass failed", "InvalidSpec", "app/db cannot be parsed")
    ]


async def test_a_good_pass_is_passed_on_under_a_name_of_its_own() -> None:
    passes = NamedPasses(Kind.VAULT_STATIC_SECRET, Good(), random.Random(1))
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        assert await passes.reconcile(KEY) == Result(requeue_after=1.0)
        await passes.reconcile(KEY)
    assert [line["object"] for line in lines] == ["app/db", "app/db"]
    assert len({line["pass"] for line in lines}) == 2
