"""Where AWS keys come from, and what is said when they do not come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.cloud_visit import CANARY, OPERATOR, Accounts, around, shown
from tests.fakes.vault_parts import SA_UID
from tests.testbed.endpoint import Said
from tests.testbed.providers import Aws, claims_of, failure
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.vault.auth.aws import AwsWay
from vso.vault.auth.aws_credentials import KeySource, OwnIdentity, PodIdentity, SecretKeys, WebIdentity
from vso.vault.surroundings import Surroundings
from vso.vault.way import Identity, Shown

IRSA = WebIdentity("team-a", "app")
OWN = f"{OPERATOR}/auth"
ROLES = "/latest/meta-data/iam/security-credentials/"


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


async def login(
    aws: Aws,
    source: KeySource,
    surroundings: Surroundings | None = None,
    accounts: Accounts | None = None,
    auth: str = "team-a/auth",
) -> Shown:
    way = AwsWay("app", source, endpoint=aws.url)
    return await shown(way, surroundings or around(aws.env), accounts, auth=auth)


async def refused(
    aws: Aws,
    source: KeySource,
    surroundings: Surroundings | None = None,
    accounts: Accounts | None = None,
    auth: str = "team-a/auth",
) -> VsoError:
    with pytest.raises(VsoError) as caught:
        await login(aws, source, surroundings, accounts, auth)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def annotated(**annotations: str) -> Accounts:
    names = {"role": "role-arn", "audience": "audience", "expiration": "token-expiration"}
    found = {f"eks.amazonaws.com/{names[name]}": value for name, value in annotations.items()}
    return Accounts(annotated={"team-a/app": found})


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"access_key_id": "canary"}, "Secret team-a/keys has no key 'secret_access_key'; its keys: access_key_id"),
        ({"secret_access_key": "canary"}, "Secret team-a/keys has no key 'access_key_id'; its keys: secret_access_key"),
        ({"access_key_id": "canary", "secret_access_key": " \n"}, "Secret team-a/keys: the value of key 'secret_access_key' can be no key of AWS's"),
        ({"access_key_id": "canäry", "secret_access_key": "x"}, "Secret team-a/keys: the value of key 'access_key_id' can be no key of AWS's"),
        ({"access_key_id": "canary", "secret_access_key": ""}, "Secret team-a/keys: the value of key 'secret_access_key' is empty"),
    ],
)  # fmt: skip
async def test_half_a_pair_of_keys_is_named(aws: Aws, entries: dict[str, str], told: str) -> None:
    accounts = Accounts()
    accounts.put("team-a", "keys", **entries)
    assert (await refused(aws, SecretKeys("keys"), accounts=accounts)).message == told


async def test_a_role_is_assumed_with_a_token_of_the_service_account(aws: Aws) -> None:
    arn = aws.trust("reader", "system:serviceaccount:team-a:app")
    accounts = annotated(role=arn)
    found = await login(aws, IRSA, accounts=accounts)
    assert accounts.asked == [Identity("team-a", "app", ("sts.amazonaws.com",), 86400)]
    (asked,) = aws.asked
    assert asked.form["RoleSessionName"] == "vso-team-a-app"
    assert claims_of(asked.form["WebIdentityToken"])["sub"] == "system:serviceaccount:team-a:app"
    assert (found.uid, found.source) == (SA_UID, f"{SA_UID} {arn}")


async def test_the_annotations_say_audience_and_life_of_the_token(aws: Aws) -> None:
    arn = aws.trust("reader", "system:serviceaccount:team-a:app", "mine")
    accounts = annotated(role=arn, audience="mine", expiration="3600")
    await login(aws, WebIdentity("team-a", "app", session_name="a b/c"), accounts=accounts)
    assert accounts.asked == [Identity("team-a", "app", ("mine",), 3600)]
    assert aws.asked[0].form["RoleSessionName"] == "a-b-c"


async def test_a_role_in_the_spec_needs_no_look_at_the_service_account(aws: Aws) -> None:
    arn = aws.trust("reader", "system:serviceaccount:team-a:app")
    await login(aws, WebIdentity("team-a", "app", arn), accounts=Accounts(unreadable=True))


@pytest.mark.parametrize(
    ("accounts", "told"),
    [
        (annotated(audience="x"), "has no annotation eks.amazonaws.com/role-arn; its annotations: eks.amazonaws.com/audience; or set spec.aws.roleARN"),
        (annotated(), "its annotations: none"),
        (annotated(role="arn", expiration="1h"), "annotation eks.amazonaws.com/token-expiration is not a number of seconds"),
        (Accounts(unreadable=True), "or set spec.aws.roleARN, and ServiceAccount team-a/app is not read"),
    ],
)  # fmt: skip
async def test_what_the_service_account_lacks_is_named(aws: Aws, accounts: Accounts, told: str) -> None:
    error = await refused(aws, IRSA, accounts=accounts)
    assert isinstance(error, ConfigError)
    assert told in error.message
    assert aws.asked == []


async def test_a_role_that_does_not_trust_the_service_account_is_named(aws: Aws) -> None:
    arn = aws.trust("reader", "system:serviceaccount:team-b:app")
    error = await refused(aws, WebIdentity("team-a", "app", arn))
    assert error.reason is Reason.CLOUD_REFUSED
    assert f"AccessDenied: role {arn} does not trust system:serviceaccount:team-a:app" in error.message


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (failure(400, "InvalidIdentityToken", CANARY), ConfigError, "no OpenID Connect provider"),
        (failure(400, "ExpiredTokenException", CANARY), ConfigError, "the clocks"),
        (failure(400, "ValidationError", CANARY), ConfigError, "malformed"),
        (failure(400, "Canary.eyJ-not-a-code", CANARY), ConfigError, "400: role arn is not assumed"),
        (failure(400, "IDPCommunicationError", CANARY), TransientError, "IDPCommunicationError"),
        (failure(400, "Throttling", CANARY), TransientError, "Throttling"),
        (failure(503, "ServiceUnavailable", CANARY), TransientError, "it answers 503"),
        (Said(429, CANARY, {"Retry-After": "7"}), TransientError, "it answers 429"),
        (Said(200, "<R/>"), TransientError, "holds no credentials"),
        (Said(302, CANARY, {"Location": "http://127.0.0.1:1/"}), ConfigError, "redirects (302)"),
        (Said(200, b"x" * 300_000), ConfigError, "longer than"),
    ],
)
async def test_what_sts_says_is_told_by_its_code(aws: Aws, said: Said, kind: type[VsoError], told: str) -> None:
    aws.on("POST", "/", said)
    error = await refused(aws, WebIdentity("team-a", "app", "arn"))
    assert type(error) is kind
    assert told in error.message
    assert getattr(error, "retry_after", None) == (7 if said.status == 429 else None)


@pytest.mark.parametrize("source", [OwnIdentity(), PodIdentity()])
@pytest.mark.parametrize(
    ("auth", "ambient"), [("team-a/auth", True), ("team-a/auth", False), (OWN, False), (f"{OPERATOR}x/auth", True)]
)
async def test_the_operators_identity_is_refused_before_anything_is_asked(
    aws: Aws, source: KeySource, auth: str, ambient: bool
) -> None:
    aws.node("node")
    env = {**aws.env, "AWS_CONTAINER_CREDENTIALS_FULL_URI": aws.pod("pod", "canary-pod"), "AWS_CONTAINER_AUTHORIZATION_TOKEN": "canary-pod"}  # fmt: skip
    error = await refused(aws, source, around(env, ambient=ambient), auth=auth)
    assert error.reason is Reason.INVALID_SPEC
    for part in (auth, OPERATOR, "--allowed-file-prefixes", "spec.aws.secretRef or spec.aws.irsaServiceAccount"):
        assert part in error.message
    assert aws.asked == []


async def test_the_nodes_role_is_taken_by_imds_version_2(aws: Aws) -> None:
    aws.node("node-role")
    found = await login(aws, OwnIdentity(), auth=OWN)
    assert [asked.method for asked in aws.asked] == ["PUT", "GET", "GET"]
    assert (found.source, found.uid) == ("node node-role", "")


@pytest.mark.parametrize(
    ("path", "method", "told"),
    [
        ("/latest/api/token", "PUT", "hop limit"),
        (ROLES, "GET", "no instance profile"),
        (f"{ROLES}node-role", "GET", "no credentials for role node-role"),
    ],
)
async def test_a_node_without_a_role_says_where_it_ends(aws: Aws, path: str, method: str, told: str) -> None:
    aws.node("node-role")
    aws.on(method, path, Said(404))
    error = await refused(aws, OwnIdentity(), auth=OWN)
    assert error.reason is Reason.CLOUD_REFUSED
    assert told in error.message


async def test_metadata_that_may_not_be_asked_is_not_asked(aws: Aws) -> None:
    env = {**aws.env, "AWS_EC2_METADATA_DISABLED": "true"}
    assert "AWS_EC2_METADATA_DISABLED" in (await refused(aws, OwnIdentity(), around(env), auth=OWN)).message
    assert aws.asked == []


@pytest.mark.parametrize("source", [OwnIdentity(), PodIdentity()])
async def test_the_pods_identity_comes_before_the_nodes(aws: Aws, source: KeySource, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("canary-pod\n")
    aws.node("node-role")
    env = {
        **aws.env,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": aws.pod("pod", "canary-pod"),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }
    found = await login(aws, source, around(env), auth=OWN)
    assert [asked.path for asked in aws.asked] == ["/v1/credentials"]
    assert found.source == "own pod identity"
    token.write_text("rotated")
    assert "it answers 401" in (await refused(aws, source, around(env), auth=OWN)).message


async def test_a_pod_without_an_association_says_so(aws: Aws) -> None:
    error = await refused(aws, PodIdentity(), auth=OWN)
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set" in error.message
    assert aws.asked == []


async def test_the_operators_own_role_comes_first(aws: Aws, tmp_path: Path) -> None:
    accounts, mounted = Accounts(), tmp_path / "token"
    jwt, _ = await accounts.jwt(Identity(OPERATOR, "operator", ("sts.amazonaws.com",)))
    mounted.write_bytes(jwt.reveal())
    arn = aws.trust("own", f"system:serviceaccount:{OPERATOR}:operator")
    env = {**aws.env, "AWS_ROLE_ARN": arn, "AWS_WEB_IDENTITY_TOKEN_FILE": str(mounted)}
    assert (await login(aws, OwnIdentity(), around(env), auth=OWN)).source == f"own {arn}"
    mounted.unlink()
    assert (
        "AWS_WEB_IDENTITY_TOKEN_FILE names cannot be read"
        in (await refused(aws, OwnIdentity(), around(env), auth=OWN)).message
    )


async def test_a_metadata_service_that_is_away_is_told_and_passes(aws: Aws) -> None:
    env = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}
    error = await refused(aws, OwnIdentity(), around(env), auth=OWN)
    assert isinstance(error, TransientError)
    assert error.reason is Reason.CLOUD_UNAVAILABLE
    assert "hop limit" in error.message
