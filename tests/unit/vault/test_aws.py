"""Signature Version 4, and what Vault is shown of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from tests.fakes.cloud_visit import CANARY, Accounts, around, shown, text
from tests.testbed.endpoint import Asked, Said
from tests.testbed.providers import ACCOUNT, Aws, failure
from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.auth.aws import BODY, AwsWay, Unsigned, signed, sts_endpoint
from vso.vault.auth.aws_credentials import FORM, AwsKeys, OwnIdentity, SecretKeys
from vso.vault.way import Shown

T0 = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
LATER = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SESSION = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwth"
    "Ax7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAki"
    "Y9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
ID = "X-Vault-AWS-IAM-Server-ID"
EXAMPLE = "https://example.amazonaws.com/"
STS = "https://sts.amazonaws.com/"
TYPE = {"Content-Type": FORM}
SIMPLE = {"Content-Type": "application/x-www-form-urlencoded"}

# The first three are of the test suite that AWS publishes; botocore 1.44.8 signs all of them just so.
VECTORS = [
    (EXAMPLE, {}, b"", "us-east-1", "service", "", T0, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (EXAMPLE, SIMPLE, b"Param1=value1", "us-east-1", "service", "", T0, "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    (EXAMPLE, {}, b"", "us-east-1", "service", SESSION, T0, "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    (STS, TYPE, BODY, "us-east-1", "sts", "", T0, "6fb20d31f734d876c5682fdd2678d194cf68b862755f83b7ba1373c0874be25c"),
    ("https://sts.eu-central-1.amazonaws.com/", TYPE, BODY, "eu-central-1", "sts", SESSION, T0, "fb5898734da319b924d7504f9cd11ed3d7896ae0d82d76b15ee32333e69c0291"),
    (STS, {**TYPE, ID: "vault.example.com"}, BODY, "us-east-1", "sts", SESSION, T0, "7ba7e50be171671658fe44c384823c7fdf5eac232d94e43a48ced4f0dd12e82a"),
    ("http://127.0.0.1:4566/", TYPE, BODY, "us-west-2", "sts", "", LATER, "5e444d0a9ff49c9d78625d5092a272088b82a71267858f0b3b279abca7f6fc72"),
    ("https://sts.example.com:443/", TYPE, BODY, "us-west-2", "sts", "", T0, "0ae590cd9b330a61a7891efdaad6781efcdcc46c776caa9d2e821d880be72623"),
    ("https://proxy.example.com/sts/v1", TYPE, BODY, "us-west-2", "sts", "", T0, "55bcd951efbc87373571f438619678dc8f6541f683c7603f86992b7f60b8f7d5"),
    (STS, {**TYPE, ID: "  two   words "}, BODY, "us-east-1", "sts", "", T0, "dd8092908c3bc1e0de314288ada71fee1371a2b23f36a907733a6c1082b14c12"),
]  # fmt: skip


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.mark.parametrize(("url", "headers", "body", "region", "service", "session", "now", "expected"), VECTORS)
def test_requests_are_signed_as_aws_and_botocore_sign_them(
    url: str,
    headers: dict[str, str],
    body: bytes,
    region: str,
    service: str,
    session: str,
    now: datetime,
    expected: str,
) -> None:
    keys = AwsKeys(
        "AKIDEXAMPLE",
        Sensitive.of("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        Sensitive.of(session) if session else None,
        "a Secret",
    )
    found = signed(Unsigned(url, headers, body, region, service), keys, now)["Authorization"]
    assert found.rsplit("=", 1)[1] == expected
    assert f"Credential=AKIDEXAMPLE/{now:%Y%m%d}/{region}/{service}/aws4_request" in found


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", "https://sts.amazonaws.com"),
        ("eu-central-1", "https://sts.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_every_region_has_its_endpoint(region: str, expected: str) -> None:
    assert sts_endpoint(region) == expected


def sent_by_vault(found: Shown) -> Asked:
    """The request that Vault makes of what it is shown."""
    body = {name: text(value) for name, value in found.body.items()}
    url, content, headers = (
        base64.b64decode(body[f"iam_request_{name}"]).decode() for name in ("url", "body", "headers")
    )
    told = {name.lower(): values[0] for name, values in json.loads(headers).items()}
    parts = urlsplit(url)
    return Asked(body["iam_http_request_method"], parts.path, {}, {**told, "host": parts.netloc}, content.encode())


async def test_what_vault_is_shown_is_a_request_that_aws_accepts(aws: Aws) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:user/app"
    made = aws.key(arn, temporary=False)
    accounts = Accounts()
    accounts.put(
        "team-a", "keys", access_key_id=f"{made['AccessKeyId']}\n", secret_access_key=f"{made['SecretAccessKey']}\n"
    )
    way = AwsWay("app", SecretKeys("keys"), endpoint=aws.url, header_value="vault.example.com")
    found = await shown(way, around({}), accounts)
    assert found.body["role"] == "app"
    assert (found.uid, found.source) == ("uid-of-keys", "uid-of-keys@1")
    assert aws.asked == []  # nothing but Vault asks AWS
    request = sent_by_vault(found)
    assert request.headers["x-vault-aws-iam-server-id"] == "vault.example.com"
    said = aws.answer(request)
    assert (said.status, arn in str(said.body)) == (200, True)
    forged = aws.answer(Asked("POST", "/", {}, {**request.headers, "x-amz-date": "20200101T000000Z"}, request.body))
    assert b"SignatureDoesNotMatch" in forged.content
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("region", "env", "expected"),
    [
        ("", {}, "https://sts.amazonaws.com/"),
        ("", {"AWS_DEFAULT_REGION": "eu-west-1"}, "https://sts.eu-west-1.amazonaws.com/"),
        ("", {"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-west-1"}, "https://sts.eu-west-3.amazonaws.com/"),
        ("eu-west-2", {"AWS_REGION": "eu-west-3"}, "https://sts.eu-west-2.amazonaws.com/"),
    ],
)
async def test_the_region_is_the_specs_then_the_environments(region: str, env: dict[str, str], expected: str) -> None:
    accounts = Accounts()
    accounts.put("team-a", "keys", access_key_id="a", secret_access_key="s", session_token="t")
    found = await shown(AwsWay("app", SecretKeys("keys"), region=region), around(env), accounts)
    assert base64.b64decode(text(found.body["iam_request_url"])).decode() == expected


async def test_a_region_cannot_lead_to_another_host() -> None:
    with pytest.raises(ConfigError, match="not an AWS region"):
        await shown(AwsWay("app", SecretKeys("keys"), region="evil.example.com/"), around({}))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            f"error making upstream request: received error code 403 from STS: {failure(403, 'SignatureDoesNotMatch', CANARY).content.decode()}",
            "AWS does not accept the signature: SignatureDoesNotMatch",
        ),
        (f"received error code 502 from STS: {CANARY}", "AWS does not accept the signature: its answer says no more"),
        (
            f'error validating X-Vault-AWS-IAM-Server-ID header: expected "{CANARY}" but got "b"',
            "the mount expects another X-Vault-AWS-IAM-Server-ID than spec.aws.headerValue",
        ),
        ("entry for role app not found", "there is no role 'app'"),
        (
            'IAM Principal "arn:aws:iam::1:user/x" does not belong to the role "app"',
            "role 'app' is not bound to the AWS identity: "
            'IAM Principal "arn:aws:iam::1:user/x" does not belong to the role "app"',
        ),
        ("", "permission denied to role 'app'; perhaps nothing is mounted there"),
    ],
)
def test_a_refusal_of_vaults_is_told_without_what_was_shown(message: str, told: str) -> None:
    assert AwsWay("app", OwnIdentity()).pointed_at(message) == told


async def test_an_endpoint_must_be_admitted_where_addresses_are_limited(aws: Aws) -> None:
    aws.on("POST", "/", Said(500))
    way = AwsWay("app", SecretKeys("keys"), endpoint=aws.url)
    with pytest.raises(ConfigError, match="--vault-address-allow") as caught:
        await shown(way, around({}, admits="http://other"))
    assert caught.value.reason is Reason.INVALID_SPEC
