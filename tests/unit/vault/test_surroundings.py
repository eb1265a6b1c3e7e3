from __future__ import annotations

from pathlib import Path

import pytest

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.surroundings import Surroundings

FIELD = "spec.aws.stsEndpoint"


@pytest.mark.parametrize(
    "url",
    [
        "https://sts.amazonaws.com",
        "https://sts.eu-central-1.amazonaws.com/",
        "https://sts.cn-north-1.amazonaws.com.cn",
        "https://sts.us-gov-west-1.amazonaws.com:443/",
        "https://sts-fips.us-east-1.amazonaws.com",
    ],
)
def test_the_clouds_own_token_services_may_be_asked_whatever_is_admitted(url: str) -> None:
    Surroundings(allows_address=lambda _: False).check_endpoint(url, FIELD)


@pytest.mark.parametrize(
    "url",
    [
        "https://sts.example.com/path",
        "https://[2001:db8::1]/",
        "https://evil.example.com/.amazonaws.com",
        "https://sts.amazonaws.com.example.com",
        "http://sts.amazonaws.com",
        "https://abc123.execute-api.eu-west-1.amazonaws.com",
        "https://ec2-198-51-100-1.compute-1.amazonaws.com",
        "https://bucket.s3.amazonaws.com/",
        "https://sts.s3.amazonaws.com/",
        "https://sts.s3-us-west-2.amazonaws.com/",
        "https://vpce-0123.sts.eu-west-1.vpce.amazonaws.com",
        "https://sts.amazonaws.com:8443",
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
        "http://[fd00:ec2::23]/v1/credentials",
        "http://168.63.129.16/machine",
        "http://[::ffff:168.63.129.16]/",
        "http://100.100.100.200/",
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
        Surroundings(allows_address=lambda _: True).check_endpoint(url, FIELD)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert FIELD in caught.value.message
    assert "canary" not in caught.value.message


NEAR = ["127.0.0.1", "127.8.9.1", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "localhost", "a.LocalHost."]


@pytest.mark.parametrize("host", NEAR)
def test_the_operators_own_pod_is_asked_only_where_the_administrator_names_it(host: str) -> None:
    url = f"http://{host}:4566"
    with pytest.raises(ConfigError, match="--vault-address-allow"):
        Surroundings().check_endpoint(url, FIELD)
    with pytest.raises(ConfigError, match="--vault-address-allow"):
        Surroundings(allows_address=lambda address: address != url).check_endpoint(url, FIELD)
    Surroundings(allows_address=lambda address: address == url).check_endpoint(url, FIELD)


@pytest.mark.parametrize(
    ("address", "unlimited", "admitted"),
    [
        ("203.0.113.1", True, True),
        ("10.0.0.1", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("fd00:ec2::254", False, False),
        ("168.63.129.16", False, False),
    ],
)
def test_a_name_may_lead_nowhere_else_than_an_address_may(address: str, unlimited: bool, admitted: bool) -> None:
    url = "https://sts.example.com"
    assert Surroundings().may_reach(url)(address) is unlimited
    assert Surroundings(allows_address=lambda given: given == url).may_reach(url)(address) is admitted


def test_the_repr_shows_no_environment() -> None:
    assert "canary" not in repr(Surroundings({"AWS_CONTAINER_AUTHORIZATION_TOKEN": "canary"}))


def test_a_file_of_the_environment_is_read_anew_and_named_by_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "token"
    around = Surroundings({"TOKEN_FILE": str(file)})
    assert around.file("OTHER") is None
    file.write_text("canary-1\n")
    assert around.file("TOKEN_FILE") == Sensitive.of("canary-1")
    file.write_bytes(b"canary\xff")
    with pytest.raises(ConfigError, match="TOKEN_FILE names cannot be read: it is not text") as caught:
        around.file("TOKEN_FILE")
    assert "canary" not in str(caught.value)
    file.unlink()
    with pytest.raises(ConfigError, match="TOKEN_FILE names cannot be read: No such file"):
        around.file("TOKEN_FILE")
