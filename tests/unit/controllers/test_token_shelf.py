"""Kept tokens in their Secrets: what is written when, and what becomes of what an earlier process left."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import structlog

from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster, Json
from tests.fakes.house import MAC_KEY
from tests.fakes.kube_transport import FakeApiServer, Reply, connected, serving, status
from vso.controllers.token_entries import SECRETS, Entry, Model, decode, encode, secret_of
from vso.controllers.token_shelf import ShelfConfig, TokenShelf
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.vault.keeping import KeptToken

PREFIX = "/api/v1/namespaces/vso-system/secrets/"
KEPT = KeptToken("session", "sa", 300, accessor="canary-accessor", token=Sensitive.of("hvs.canary"))
STORED = Entry("session", "sa", 300, "canary-accessor")
KEY = MAC_KEY.reveal()


@dataclass
class Cipher:
    """Turns tokens around."""

    failure: VsoError | None = None
    used: int = 0

    async def seal(self, plain: Sensitive) -> str:
        self._ask()
        return f"vault:v1:{plain.reveal_text()[::-1]}"

    async def open(self, sealed: str) -> Sensitive:
        self._ask()
        return Sensitive.of(sealed.removeprefix("vault:v1:")[::-1])

    def _ask(self) -> None:
        self.used += 1
        if self.failure is not None:
            raise self.failure


@dataclass
class Bench:
    api: FakeApiServer
    cluster: FakeCluster
    kube: KubeClient
    clock: FakeClock
    cipher: Cipher = field(default_factory=Cipher)

    def install(self) -> None:
        """Make the empty Secrets."""
        for name in SECRETS:
            self.cluster.workloads[PREFIX + name] = {"metadata": {"name": name}}

    async def shelf(self, model: Model = Model.CLEAR) -> TokenShelf:
        """The shelf of a process that has just begun to lead."""
        made = TokenShelf(self.kube, self.clock, ShelfConfig("vso-system", model, MAC_KEY), self.cipher)
        await made.load()
        return made

    def write(self, entry: Entry, name: str = "", key: bytes = KEY) -> None:
        """Put an entry where it belongs, as an earlier process did."""
        name = name or entry.id
        secret = self.cluster.workloads[PREFIX + secret_of(name)]
        secret.setdefault("data", {})[name] = base64.b64encode(encode(entry, key)).decode()

    @property
    def stored(self) -> dict[str, Entry]:
        """All entries, read anew."""
        found: Json = {n: self.cluster.workloads[PREFIX + n].get("data") or {} for n in SECRETS}
        every = ((secret, name, value) for secret, data in found.items() for name, value in data.items())
        return {name: decode((secret, name), base64.b64decode(value), KEY) for secret, name, value in every}

    @property
    def writes(self) -> int:
        return len([seen for seen in self.api.requests if seen.method == "PATCH"])


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock, cluster = FakeClock(), FakeCluster()
    async with serving(cluster) as api, connected(api, clock=clock) as kube:
        made = Bench(api, cluster, kube, clock)
        made.install()
        yield made


@pytest.mark.parametrize(
    ("model", "token", "sealed"),
    [
        (Model.ACCESSOR, "", ""),
        (Model.CLEAR, "hvs.canary", ""),
        (Model.ENCRYPTED, "", "vault:v1:yranac.svh"),
    ],
)
async def test_a_token_is_kept_as_the_model_says_and_found_by_the_next_process(
    bench: Bench, model: Model, token: str, sealed: str
) -> None:
    shelf = await bench.shelf(model)
    assert await shelf.put(KEPT)
    assert await shelf.put(KEPT)
    assert bench.writes == 1
    assert bench.stored == {KEPT.id: Entry("session", "sa", 300, "canary-accessor", token, sealed)}
    found = await (await bench.shelf(model)).find(KEPT.id, "session")
    assert found is not None
    assert (found.accessor, found.token) == (KEPT.accessor, None if model is Model.ACCESSOR else KEPT.token)


async def test_the_answers_to_writes_show_no_data(bench: Bench) -> None:
    await (await bench.shelf()).put(KEPT)
    (write,) = [seen for seen in bench.api.requests if seen.method == "PATCH"]
    assert "as=PartialObjectMetadata" in write.headers["Accept"]
    assert set(write.json) == {"data"}
    assert set(write.json["data"]) == {KEPT.id}


async def test_another_session_finds_nothing(bench: Bench) -> None:
    bench.write(STORED)
    shelf = await bench.shelf()
    assert await shelf.find(KEPT.id, "another") is None
    assert await shelf.find("0" * 64, "session") is None


async def test_without_transit_the_accessor_is_kept_and_the_rest_later(bench: Bench) -> None:
    shelf = await bench.shelf(Model.ENCRYPTED)
    bench.cipher.failure = TransientError(Reason.VAULT_UNAVAILABLE, "away")
    assert not await shelf.put(KEPT)
    assert bench.stored == {KEPT.id: STORED}
    bench.cipher.failure = None
    assert await shelf.put(KEPT)
    assert bench.stored[KEPT.id].sealed


async def test_what_transit_does_not_open_has_its_accessor_still(bench: Bench) -> None:
    await (await bench.shelf(Model.ENCRYPTED)).put(KEPT)
    bench.cipher.failure = ConfigError(Reason.VAULT_PERMISSION_DENIED, "no")
    found = await (await bench.shelf(Model.ENCRYPTED)).find(KEPT.id, "session")
    assert found is not None
    assert (found.token, found.accessor) == (None, KEPT.accessor)


async def test_a_token_dropped_by_its_own_process_is_gone(bench: Bench) -> None:
    shelf = await bench.shelf()
    await shelf.put(KEPT)
    await shelf.drop(KEPT.id, ended=False)
    await shelf.drop("0" * 64, ended=True)
    assert (bench.stored, bench.writes) == ({}, 2)
    await shelf.put(KEPT)
    assert set(bench.stored) == {KEPT.id}


async def test_what_an_earlier_process_kept_waits_an_hour_for_whoever_asks(bench: Bench) -> None:
    other = Entry("session", "sa", 300, "accessor-of-nobody")
    bench.write(STORED)
    bench.write(other)
    shelf = await bench.shelf(Model.ACCESSOR)
    running = asyncio.ensure_future(shelf.run())
    await shelf.put(KEPT)
    await shelf.drop(KEPT.id, ended=False)
    assert set(bench.stored) == {STORED.id, other.id}, "others may hang on it"
    await shelf.put(KEPT)
    await bench.clock.advance(3590)
    assert set(bench.stored) == {STORED.id, other.id}
    await shelf.sweep()
    assert set(bench.stored) == {STORED.id}
    await shelf.drop(KEPT.id, ended=False)
    assert bench.stored == {}
    running.cancel()
    await asyncio.wait((running,))


async def test_one_that_has_ended_goes_at_once(bench: Bench) -> None:
    bench.write(STORED)
    await (await bench.shelf()).drop(KEPT.id, ended=True)
    assert bench.stored == {}


@pytest.mark.parametrize(
    ("entry", "name", "key"),
    [
        pytest.param(STORED, "", b"fedcba9876543210", id="another-key"),
        pytest.param(STORED, "0" * 64, KEY, id="another-place"),
    ],
)
async def test_an_entry_that_is_not_ours_is_refused_and_goes(bench: Bench, entry: Entry, name: str, key: bytes) -> None:
    bench.write(entry, name, key)
    with structlog.testing.capture_logs() as logs:
        shelf = await bench.shelf()
    assert await shelf.find(name or entry.id, "session") is None
    assert bench.stored == {}
    assert [line["log_level"] for line in logs] == ["warning", "info"]
    assert "canary" not in str(logs)


@pytest.mark.parametrize("model", [Model.ACCESSOR, Model.ENCRYPTED])
async def test_what_the_model_does_not_keep_goes_at_the_start(bench: Bench, model: Model) -> None:
    await (await bench.shelf(Model.CLEAR)).put(KEPT)
    await bench.shelf(model)
    assert bench.stored == {KEPT.id: STORED}


async def test_with_nothing_to_keep_everything_is_cleared_unread(bench: Bench) -> None:
    bench.write(STORED)
    shelf = await bench.shelf(Model.NONE)
    assert (bench.stored, bench.writes) == ({}, len(SECRETS))
    assert await shelf.put(KEPT)
    assert await shelf.find(KEPT.id, "session") is None
    assert not [seen for seen in bench.api.requests if seen.method == "GET"]
    assert bench.writes == len(SECRETS)


@pytest.mark.parametrize("code", [403, 404])
async def test_without_the_secrets_nothing_is_kept_and_one_line_says_so(bench: Bench, code: int) -> None:
    bench.cluster.refuse = lambda _: status(code, "Forbidden" if code == 403 else "NotFound")
    with structlog.testing.capture_logs() as logs:
        shelf = await bench.shelf()
        assert await shelf.put(KEPT)
        assert await shelf.find(KEPT.id, "session") is None
        await shelf.drop(KEPT.id, ended=True)
    (line,) = logs
    assert (line["log_level"], line["event"]) == ("warning", "no Vault token is kept over a restart")
    assert "vso-client-cache-0" in line["secrets"]
    assert "manifests/rbac/client-cache" in line["remedy"]
    assert len(bench.api.requests) == 1
    with structlog.testing.capture_logs() as logs:
        await bench.shelf(Model.NONE)
    assert logs == [], "whoever wants nothing to be kept misses nothing"


async def test_where_nothing_is_said_nothing_is_asked_for(bench: Bench) -> None:
    shelf = await bench.shelf(Model.UNSAID)
    assert await shelf.put(KEPT)
    assert await shelf.find(KEPT.id, "session") is None
    await shelf.drop(KEPT.id, ended=True)
    assert bench.api.requests == []


async def test_an_api_server_that_fails_is_asked_again(bench: Bench) -> None:
    bench.write(STORED)
    bench.cluster.refuse = lambda _: status(500, "InternalError")
    shelf = await bench.shelf(Model.ACCESSOR)
    assert not await shelf.put(KEPT)
    running = asyncio.ensure_future(shelf.run())
    bench.cluster.refuse = None
    await bench.clock.advance(11)
    assert await shelf.find(KEPT.id, "session") is not None
    running.cancel()
    await asyncio.wait((running,))


async def test_a_write_that_fails_is_told_once_and_not_taken_for_done(bench: Bench) -> None:
    shelf = await bench.shelf()
    bench.cluster.refuse = lambda seen: status(500, "InternalError") if seen.method == "PATCH" else None
    with structlog.testing.capture_logs() as logs:
        assert not await shelf.put(KEPT)
        assert not await shelf.put(KEPT)
    assert len(logs) == 1
    assert "canary" not in str(logs)
    bench.cluster.refuse = None
    assert await shelf.put(KEPT)


async def test_an_api_server_that_never_answers_holds_nobody_up(bench: Bench) -> None:
    shelf = await bench.shelf()
    bench.cluster.refuse = lambda seen: Reply(hang=True) if seen.method == "PATCH" else None
    putting = asyncio.ensure_future(shelf.put(KEPT))
    await bench.clock.advance(6)
    assert not await putting


@pytest.mark.parametrize("model", [Model.NONE, Model.ACCESSOR])
async def test_an_api_server_that_never_answers_does_not_hold_up_the_start(bench: Bench, model: Model) -> None:
    bench.cluster.refuse = lambda _: Reply(hang=True)
    starting = asyncio.ensure_future(bench.shelf(model))
    await bench.clock.advance(6)
    assert await (await starting).put(KEPT) is (model is Model.NONE)
