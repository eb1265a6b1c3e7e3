from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fakes.vault_parts import LOGIN, WAY, connection, login_of
from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.config import TlsConfig, session_key


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"address": ""}, "spec.address"),
        ({"address": "vault:8200"}, "spec.address"),
        ({"address": "unix:///run/vault.sock"}, "spec.address"),
        ({"address": "https://vault:notaport"}, "spec.address"),
        ({"address": "https://user:canary@vault"}, "user name or password"),
        ({"address": "https://vault?x=1"}, "query"),
        ({"headers": (("x-vault-NAMESPACE", "other"),)}, "x-vault-NAMESPACE"),
        ({"headers": (("X-Vault-Token", "t"),)}, "X-Vault-Token"),
        ({"headers": (("A", "b\r\nC: d"),)}, "not a valid header"),
        ({"headers": (("A", "b\x01"),)}, "not a valid header"),
        ({"headers": (("A B", "c"),)}, "not a valid header"),
        ({"timeout": 0.0}, "spec.timeout"),
        ({"max_concurrency": 0}, "spec.maxConcurrency"),
        ({"rate_limit": (0.0, 1)}, "spec.rateLimit"),
    ],
)
def test_what_cannot_work_is_refused_with_the_field(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connection(changes.pop("address", "https://vault:8200"), **changes)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert told in caught.value.message
    assert "canary" not in caught.value.message


def test_reprs_show_no_header_and_no_key() -> None:
    tls = TlsConfig(client_cert_pem=b"pem", client_key=Sensitive.of("canary"))
    made = connection("https://vault:8200", headers=(("X-Api-Key", "canary"),), tls=tls)
    assert "canary" not in repr(made)
    assert "canary" not in repr(replace(LOGIN, headers=(("X-Api-Key", "canary"),)))


def test_login_headers_cannot_override_the_namespace() -> None:
    with pytest.raises(ConfigError):
        replace(LOGIN, headers=(("X-Vault-Namespace", "other"),))


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "CONNECTION", "Expect", "Accept-Encoding"]
)
def test_no_header_frames_a_request(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} cannot be overridden"):
        replace(LOGIN, headers=((name, "1"),))


def test_fields_of_the_method_are_not_for_params_to_set() -> None:
    with pytest.raises(ConfigError, match=r"spec\.params may not set jwt or role") as caught:
        replace(LOGIN, params=(("jwt", "x"), ("role", "admin"), ("a", "b")))
    assert caught.value.reason is Reason.INVALID_SPEC


def test_a_session_key_tells_configurations_apart_but_not_trust_material() -> None:
    base = connection("https://vault:8200")
    key = session_key(base, LOGIN)
    assert key == session_key(replace(base, tls=TlsConfig(ca_pem=b"another")), LOGIN)
    others = [
        session_key(replace(base, address="https://other:8200"), LOGIN),
        session_key(replace(base, generation=2), LOGIN),
        session_key(replace(base, namespace="ns"), LOGIN),
        session_key(base, replace(LOGIN, way=replace(WAY, role="other"))),
        session_key(base, login_of("team-b")),
    ]
    assert len({key, *others}) == 6
