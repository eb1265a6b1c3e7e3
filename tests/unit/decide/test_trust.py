"""Where a VaultConnection's TLS material is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from vso.api.access import VaultConnectionSpec
from vso.core.errors import ConfigError
from vso.core.keys import ObjectKey
from vso.decide.trust import ca_config_map, ca_secret, certificate_secret


def spec(**fields: Any) -> VaultConnectionSpec:
    return VaultConnectionSpec.model_validate_json(orjson.dumps({"address": "https://vault", **fields}))


MAP = {"name": "m"}


@pytest.mark.parametrize(
    ("fields", "secret", "config_map", "certificate"),
    [
        pytest.param({}, None, None, None, id="nothing"),
        pytest.param({"caCertSecretRef": "s"}, "s", None, None, id="a Secret"),
        pytest.param({"caCertConfigMapRef": MAP}, None, "m", None, id="a ConfigMap"),
        pytest.param({"caCertSecretRef": "s", "caCertConfigMapRef": MAP}, "s", None, None, id="a Secret wins"),
        pytest.param({"caCertSecretRef": "s", "caBundle": "YQ=="}, None, None, None, id="what is inline wins"),
        pytest.param({"caCertConfigMapRef": MAP, "caBundle": "YQ=="}, None, None, None, id="over a ConfigMap too"),
        pytest.param({"clientCertSecretRef": {"name": "c"}}, None, None, "c", id="a client certificate"),
        pytest.param({"clientCertPath": "/c", "clientKeyPath": "/k"}, None, None, None, id="files"),
    ],
)
def test_each_source_is_of_the_connections_namespace(
    fields: dict[str, Any], secret: str | None, config_map: str | None, certificate: str | None
) -> None:
    found = [of(spec(**fields), "team") for of in (ca_secret, ca_config_map, certificate_secret)]
    assert found == [ObjectKey("team", name) if name else None for name in (secret, config_map, certificate)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"caCertSecretRef": "s", "caCertPath": "/ca"}, "exclude each other"),
        ({"caCertSecretRef": "other/s"}, "spec.caCertSecretRef is 'other/s'"),
        ({"caCertConfigMapRef": {"name": "../m"}}, "spec.caCertConfigMapRef.name is"),
        ({"clientCertSecretRef": {"name": "C"}}, "spec.clientCertSecretRef.name is 'C'"),
    ],
)
def test_what_can_be_no_name_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _ = [of(spec(**fields), "team") for of in (ca_secret, ca_config_map, certificate_secret)]
