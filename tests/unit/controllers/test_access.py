"""VaultAuth: what is accepted without a login, and what is said; and what both kinds of access have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.fakes.access_desk import AUTH, CONNECTION, Desk
from tests.fakes.cluster import Json, key
from tests.fakes.house import auth_spec, house
from vso.core.errors import ConfigError, TransientError
from vso.core.keys import Kind
from vso.runtime.reconcile import Result


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with house() as opened:
        yield Desk(opened)


# VaultAuth.


async def test_an_auth_whose_references_resolve_is_accepted_without_a_login(desk: Desk) -> None:
    assert await desk.look(AUTH) == Result()
    await desk.look(AUTH)
    status = desk.status(AUTH)
    assert status["valid"] is True
    assert len(status["specHash"]) == 64
    assert desk.condition(AUTH, "Ready")["status"] == "True"
    assert desk.writes == 1
    assert desk.home.vault.seen == []


async def test_the_spec_hash_follows_the_spec(desk: Desk) -> None:
    await desk.look(AUTH)
    before = desk.status(AUTH)["specHash"]
    desk.put(AUTH, auth_spec(mount="other"))
    await desk.look(AUTH)
    assert desk.status(AUTH)["specHash"] != before


async def test_an_auth_whose_connection_is_missing_waits_and_then_stalls(desk: Desk) -> None:
    desk.put(AUTH, auth_spec(vaultConnectionRef="nowhere"))
    assert isinstance(await desk.fails(AUTH), TransientError)
    await desk.home.clock.advance(31)
    assert isinstance(await desk.fails(AUTH), ConfigError)
    assert "nowhere" in desk.condition(AUTH, "Stalled")["message"]


async def test_an_auth_that_lacks_a_field_stalls_at_once(desk: Desk) -> None:
    desk.put(AUTH, auth_spec(mount=""))
    assert isinstance(await desk.fails(AUTH), ConfigError)
    assert desk.condition(AUTH, "Stalled")["reason"] == "InvalidSpec"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"mount": ""}, "VaultAuth app/vault: spec.mount must be set for method kubernetes", id="a-field"),
        pytest.param({"method": "carrier-pigeon"}, "spec.method: must be ", id="not-understood"),
        pytest.param({"vaultConnectionRef": "nowhere"}, "names VaultConnection app/nowhere", id="a-reference"),
    ],
)
async def test_an_auth_that_cannot_be_used_is_not_valid_and_says_why_until_it_is_mended(
    desk: Desk, changes: Json, told: str
) -> None:
    await desk.look(AUTH)
    desk.put(AUTH, auth_spec(**changes))
    await desk.fails(AUTH)
    assert desk.status(AUTH)["valid"] is False
    assert told in desk.status(AUTH)["error"]
    desk.put(AUTH, auth_spec())
    await desk.look(AUTH)
    assert desk.status(AUTH)["valid"] is True
    assert "error" not in desk.status(AUTH)


def defaults(desk: Desk, **spec: Any) -> None:
    kind = Kind.VAULT_AUTH_GLOBAL
    desk.home.watches.show(kind, desk.home.cluster.put(kind, "g", spec))


async def test_an_auth_tells_whether_it_has_its_defaults(desk: Desk) -> None:
    desk.put(AUTH, auth_spec(vaultAuthGlobalRef={"name": "g"}, mount=""))
    await desk.fails(AUTH)
    available = desk.condition(AUTH, "Available")
    assert (available["status"], available["reason"]) == ("False", "VaultAuthGlobalRef")
    assert "VaultAuthGlobal app/g, which does not exist" in available["message"]
    assert desk.condition(AUTH, "Ready")["reason"] == "ReferenceNotFound"
    defaults(desk)
    await desk.fails(AUTH)
    assert desk.condition(AUTH, "Available")["status"] == "True"
    assert desk.condition(AUTH, "Ready")["reason"] == "InvalidSpec"
    assert desk.status(AUTH)["error"].startswith("VaultAuth app/vault with the defaults of VaultAuthGlobal app/g: ")
    defaults(desk, defaultMount="kubernetes")
    await desk.look(AUTH)
    assert desk.condition(AUTH, "Available")["status"] == "True"
    assert desk.condition(AUTH, "Ready")["status"] == "True"
    desk.put(AUTH, auth_spec())
    await desk.look(AUTH)
    assert desk.condition(AUTH, "Available") == {}


@pytest.mark.parametrize("spec", [{"mount": ""}, {"method": "carrier-pigeon"}])
async def test_an_auth_that_fails_without_asking_for_defaults_says_nothing_of_them(desk: Desk, spec: Json) -> None:
    desk.put(AUTH, auth_spec(**spec))
    await desk.fails(AUTH)
    assert desk.condition(AUTH, "Available") == {}


async def test_the_spec_hash_follows_the_defaults(desk: Desk) -> None:
    desk.put(AUTH, auth_spec(vaultAuthGlobalRef={"name": "g"}, mount=""))
    hashes = []
    for mount in ("one", "two", "one"):
        defaults(desk, defaultMount=mount)
        await desk.look(AUTH)
        hashes.append(desk.status(AUTH)["specHash"])
    assert hashes[0] == hashes[2] != hashes[1]
    assert desk.writes == 3


@pytest.mark.parametrize("method", ["aws", "kubernetes"])
async def test_a_field_that_changes_nothing_is_warned_of_where_it_counts(desk: Desk, method: str) -> None:
    block = {"role": "r", "secretRef": "keys", "iamEndpoint": "https://iam.example.com"}
    desk.put(AUTH, auth_spec(method=method, aws=block))
    await desk.look(AUTH)
    warned = "spec.aws.iamEndpoint changes nothing: a login asks STS alone, at spec.aws.stsEndpoint"
    assert desk.status(AUTH).get("warnings", []) == ([warned] if method == "aws" else [])
    assert desk.condition(AUTH, "Ready")["status"] == "True"
    assert (warned in desk.condition(AUTH, "Ready")["message"]) is (method == "aws")
    await desk.look(AUTH)
    assert desk.writes == 1
    desk.put(AUTH, auth_spec())
    await desk.look(AUTH)
    assert "warnings" not in desk.status(AUTH)


# Both.


@pytest.mark.parametrize("kind", [CONNECTION, AUTH])
async def test_the_references_finalizer_goes_in_the_same_pass(desk: Desk, kind: Kind) -> None:
    spec = desk.home.cluster.objects[f"/apis/secrets.hashicorp.com/v1beta1/namespaces/app/{kind.plural}/vault"]["spec"]
    desk.put(kind, spec, finalizers=[f"{kind.lower()}.secrets.hashicorp.com/finalizer"])
    await desk.look(kind)
    assert desk.condition(kind, "Ready")["status"] == "True"


@pytest.mark.parametrize("kind", [CONNECTION, AUTH])
async def test_an_object_on_its_way_out_is_left_alone(desk: Desk, kind: Kind) -> None:
    spec = desk.home.cluster.objects[f"/apis/secrets.hashicorp.com/v1beta1/namespaces/app/{kind.plural}/vault"]["spec"]
    desk.put(kind, spec, deletionTimestamp="2026-01-01T12:00:00Z")
    assert await desk.look(kind) == Result()
    assert desk.home.api.requests == []
    desk.home.watches.writers[kind].delete(key("vault"))
    assert await desk.look(kind) == Result()
