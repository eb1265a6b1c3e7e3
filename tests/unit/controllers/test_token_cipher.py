"""The VaultAuth by which kept tokens are encrypted: exactly one, and what is said where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.house import House, auth_spec, house
from tests.fakes.vault_server import Reply
from vso.controllers.token_cipher import TransitCipher
from vso.core.errors import ConfigError
from vso.core.keys import Kind
from vso.core.sensitive import Sensitive

AUTH = Kind.VAULT_AUTH
TRANSIT = {"mount": "transit", "keyName": "vso"}
LABELS = {"cacheStorageEncryption": "true"}


def cipher(home: House) -> TransitCipher:
    return TransitCipher(home.caches[AUTH], lambda: home.resolver, "app")


def auth(home: House, name: str, labels: dict[str, str], **changes: Any) -> None:
    home.watches.show(AUTH, home.cluster.put(AUTH, name, auth_spec(**changes), labels=labels))


async def test_tokens_go_through_the_labelled_one() -> None:
    async with house() as home:
        auth(home, "transit", LABELS, storageEncryption=TRANSIT)
        home.vault.on("PUT", "transit/encrypt/vso", Reply(200, {"data": {"ciphertext": "vault:v1:x"}}))
        home.vault.on("PUT", "transit/decrypt/vso", Reply(200, {"data": {"plaintext": "aHZz"}}))
        assert await cipher(home).seal(Sensitive.of("hvs")) == "vault:v1:x"
        assert (await cipher(home).open("vault:v1:x")).reveal() == b"hvs"


@pytest.mark.parametrize(
    ("auths", "said"),
    [
        pytest.param({}, "must have the label cacheStorageEncryption=true; it has none", id="none"),
        pytest.param({"a": {"cacheStorageEncryption": "false"}}, "it has none", id="another-value"),
        pytest.param({"b": LABELS, "a": LABELS}, "it has a, b", id="several"),
    ],
)
async def test_none_or_several_are_told(auths: dict[str, dict[str, str]], said: str) -> None:
    async with house() as home:
        for name, labels in auths.items():
            auth(home, name, labels, storageEncryption=TRANSIT)
        with pytest.raises(ConfigError) as caught:
            await cipher(home).seal(Sensitive.of("hvs"))
        assert said in caught.value.message


async def test_a_label_in_another_namespace_counts_for_nothing() -> None:
    async with house() as home:
        forged = home.cluster.put(AUTH, "transit", auth_spec(storageEncryption=TRANSIT), "tenant", labels=LABELS)
        home.watches.show(AUTH, forged)
        with pytest.raises(ConfigError, match="it has none"):
            await cipher(home).seal(Sensitive.of("hvs"))
        auth(home, "transit", LABELS, storageEncryption=TRANSIT)
        home.vault.on("PUT", "transit/encrypt/vso", Reply(200, {"data": {"ciphertext": "vault:v1:x"}}))
        assert await cipher(home).seal(Sensitive.of("hvs")) == "vault:v1:x"


async def test_one_without_a_key_is_told() -> None:
    async with house() as home:
        auth(home, "transit", LABELS)
        with pytest.raises(ConfigError, match=r"VaultAuth app/transit: spec.storageEncryption is empty"):
            await cipher(home).seal(Sensitive.of("hvs"))
