from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.testbed.endpoint import Endpoint, Said
from tests.testbed.process import free_port
from vso.core.errors import ConfigError, Reason, TransientError
from vso.vault.cloud_http import CloudRequest, ask


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        running.on("GET", "/x", Said(200, "found"))
        yield running


async def test_what_is_at_hand_is_never_asked_by_way_of_a_proxy(endpoint: Endpoint) -> None:
    env = {"HTTP_PROXY": f"http://127.0.0.1:{free_port()}"}
    at_hand = CloudRequest("the node", f"{endpoint.url}/x", at_hand=True)
    assert (await ask(at_hand, env)).text == "found"
    with pytest.raises(TransientError, match="the proxy cannot be reached"):
        await ask(CloudRequest("STS", f"{endpoint.url}/x"), env)
    assert (await ask(CloudRequest("STS", f"{endpoint.url}/x"), {**env, "NO_PROXY": "127.0.0.1"})).ok


async def test_a_proxy_is_asked_for_what_is_elsewhere(endpoint: Endpoint) -> None:
    endpoint.on("GET", "/y", Said(200, "by way of it"))
    request = CloudRequest("STS", "http://sts.example.invalid/y")
    assert (await ask(request, {"http_proxy": endpoint.host})).text == "by way of it"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://nowhere.example.invalid/"])
async def test_an_endpoint_that_is_away_is_named_and_passes(url: str) -> None:
    with pytest.raises(TransientError) as caught:
        await ask(CloudRequest("Google's STS", url), {})
    assert caught.value.reason is Reason.CLOUD_UNAVAILABLE
    assert caught.value.message.startswith("Google's STS: ")
    assert caught.value.__cause__ is None


async def test_the_address_behind_a_name_is_looked_at_before_it_is_asked(endpoint: Endpoint) -> None:
    url = f"{endpoint.url.replace('127.0.0.1', 'localhost')}/x"
    looked_at = list[str]()

    def refuse(address: str) -> bool:
        looked_at.append(address)
        return False

    with pytest.raises(ConfigError, match="STS: the name leads to an endpoint of the machine's own") as caught:
        await ask(CloudRequest("STS", url, may_reach=refuse), {})
    assert caught.value.reason is Reason.INVALID_SPEC
    assert set(looked_at) <= {"127.0.0.1", "::1"}
    assert looked_at
    assert endpoint.asked == []
    assert (await ask(CloudRequest("STS", url, may_reach=lambda _: True), {})).text == "found"


async def test_a_proxy_looks_names_up_by_itself(endpoint: Endpoint) -> None:
    endpoint.on("GET", "/y", Said(200, "by way of it"))
    request = CloudRequest("STS", "http://sts.example.invalid/y", may_reach=lambda _: False)
    assert (await ask(request, {"http_proxy": endpoint.host})).text == "by way of it"


async def test_reprs_show_neither_what_is_sent_nor_what_came(endpoint: Endpoint) -> None:
    endpoint.on("POST", "/x", Said(200, {"a": "canary"}))
    request = CloudRequest("x", f"{endpoint.url}/x", "POST", {"Authorization": "canary"}, b"canary")
    answer = await ask(request, {})
    assert answer.json == {"a": "canary"}
    assert "canary" not in repr(request) + repr(answer)
