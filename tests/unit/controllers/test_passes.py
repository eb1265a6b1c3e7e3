"""Each pass has a name, and what is logged during it carries the name."""

from __future__ import annotations

import random

import pytest
import structlog
from structlog.contextvars import clear_contextvars, get_contextvars

from vso.controllers.passes import NamedPasses
from vso.core.keys import Kind, ObjectKey
from vso.runtime.reconcile import Result

KEY = ObjectKey("team", "app")


class Listening:
    """A reconciler that notes what a line of its pass would carry."""

    def __init__(self) -> None:
        self.heard: list[dict[str, object]] = []

    async def reconcile(self, key: ObjectKey) -> Result:
        self.heard.append(dict(get_contextvars()))
        return Result(requeue_after=7)


@pytest.fixture(autouse=True)
def _bare() -> None:
    clear_contextvars()
    structlog.reset_defaults()


async def test_a_pass_has_an_id_of_its_own_and_says_which_object_it_is_about() -> None:
    inner = Listening()
    passes = NamedPasses(Kind.VAULT_STATIC_SECRET, inner, random.Random(1))
    for _ in range(3):
        assert await passes.reconcile(KEY) == Result(requeue_after=7)
    assert {(line["kind"], line["object"]) for line in inner.heard} == {("VaultStaticSecret", "team/app")}
    names = [str(line["pass"]) for line in inner.heard]
    assert len(set(names)) == 3
    assert {len(name) for name in names} == {12}


async def test_what_the_worker_says_after_the_pass_still_belongs_to_it() -> None:
    inner = Listening()
    await NamedPasses(Kind.VAULT_AUTH, inner, random.Random(1)).reconcile(KEY)
    assert get_contextvars() == inner.heard[-1]
