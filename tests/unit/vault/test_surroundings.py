from __future__ import annotations

import pytest

from vso.core.errors import ConfigError, Reason
from vso.vault.surroundings import Surroundings

FIELD = "spec.aws.stsEndpoint"


@pytest.mark.parametrize(
    "url",
    [
        "https://sts.amazonaws.com",
        "https://sts.eu-central-1.amazonaws.com/",
        "https://sts.cn-north-1.amazonaws.com.cn",
        "https://vpce-0123.sts.eu-west-1.vpce.amazonaws.com",
    ],
)
def test_the_clouds_own_hosts_may_be_asked_whatever_is_admitted(url: str) -> None:
    Surroundings(allows_address=lambda _: False).check_endpoint(url, FIELD)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4566",
        "https://sts.example.com/path",
        "https://[2001:db8::1]/",
        "https://evil.example.com/.amazonaws.com",
        "https://sts.amazonaws.com.example.com",
        "http://sts.amazonaws.com",
    ],
)
def test_another_host_may_be_asked_where_addresses_are_not_limited(url: str) -> None:
    Surroundings().check_endpoint(url, FIELD)
    with pytest.raises(ConfigError, match="--vault-address-allow"):
        Surroundings(allows_address=lambda _: False).check_endpoint(url, FIELD)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254",
        "http://169.254.170.23/v1/credentials",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://169.254.43518/",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://metadata/",
        "https://user:canary@sts.example.com",
        "https://sts.example.com?x=canary",
        "https://sts.example.com/%2e%2e",
        "https://sts.example.com:port",
        "ftp://sts.example.com",
        "sts.amazonaws.com",
        "https://evil.example.com/.amazonaws.com?",
    ],
)
def test_what_is_no_plain_address_or_the_machines_own_is_never_asked(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Surroundings().check_endpoint(url, FIELD)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert FIELD in caught.value.message
    assert "canary" not in caught.value.message


def test_the_repr_shows_no_environment() -> None:
    assert "canary" not in repr(Surroundings({"AWS_CONTAINER_AUTHORIZATION_TOKEN": "canary"}))
