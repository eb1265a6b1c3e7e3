from __future__ import annotations

import base64

import pytest

from tests.unit.sandbox.client import Client

PLAIN = base64.b64encode(b"hvs.canary").decode()


async def test_what_goes_in_comes_out_and_nothing_else_is_opened(vault: Client) -> None:
    await vault("POST", "sys/mounts/transit", {"type": "transit"})
    _, sealed = await vault("PUT", "transit/encrypt/k", {"plaintext": PLAIN})
    _, again = await vault("PUT", "transit/encrypt/k", {"plaintext": PLAIN})
    text = sealed["data"]["ciphertext"]
    assert text.startswith("vault:v1:")
    assert text != again["data"]["ciphertext"]
    _, opened = await vault("PUT", "transit/decrypt/k", {"ciphertext": text})
    assert opened["data"]["plaintext"] == PLAIN
    await vault("PUT", "transit/encrypt/other", {"plaintext": PLAIN})
    assert (await vault("PUT", "transit/decrypt/other", {"ciphertext": text}))[0] == 400
    assert (await vault("POST", "transit/keys/k", {}))[1]["data"]["name"] == "k"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("transit/decrypt/none", {"ciphertext": "vault:v1:x"}, 400),
        ("transit/decrypt/k", {"ciphertext": "x"}, 400),
        ("transit/decrypt/k", {"ciphertext": "vault:v1:%"}, 400),
        ("transit/encrypt/k", {"plaintext": "%"}, 400),
        ("transit/sign/k", {}, 404),
    ],
)
async def test_what_makes_no_sense_is_refused(vault: Client, path: str, body: dict[str, str], code: int) -> None:
    await vault("POST", "sys/mounts/transit", {"type": "transit"})
    await vault("POST", "transit/keys/k", {})
    assert (await vault("PUT", path, body))[0] == code
