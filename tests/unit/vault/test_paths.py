from __future__ import annotations

import pytest

from vso.core.errors import ConfigError, Reason
from vso.vault.paths import check_namespace, encode_path, join


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("kv/data/app/config", "kv/data/app/config"),
        ("/kv//data/app/", "kv/data/app"),
        ("kv/data/a b?c#d%2F", "kv/data/a%20b%3Fc%23d%252F"),
        ("kv/data/ü~-._", "kv/data/%C3%BC~-._"),
    ],
)
def test_every_segment_is_encoded(path: str, expected: str) -> None:
    assert encode_path(path) == expected


@pytest.mark.parametrize("path", ["", "/", "kv/../sys/raw", "kv/./x", ".."])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        encode_path(path)
    assert caught.value.reason is Reason.VAULT_REQUEST_INVALID


@pytest.mark.parametrize("namespace", ["..", "a/../b", "./a", "a\r\nX-Vault-Token: b", "a\x00"])
def test_a_namespace_that_leads_elsewhere_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_namespace(namespace)
    assert caught.value.reason is Reason.VAULT_REQUEST_INVALID


@pytest.mark.parametrize("namespace", ["", "a", "a/b/", "/a..b/.c"])
def test_a_namespace_is_taken_as_it_is(namespace: str) -> None:
    check_namespace(namespace)


def test_join_drops_empty_segments() -> None:
    assert join("/kv/", "data", "app//config/") == "kv/data/app/config"
