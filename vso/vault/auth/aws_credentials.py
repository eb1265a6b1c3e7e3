"""Where the keys of an AWS login come from: a Secret, a ServiceAccount that AWS trusts, or the operator itself.

Invariant: keys are fetched for one login and never kept; what AWS says is told by its code alone, since its
texts may quote what was sent; the operator's own identity is checked for before anything is asked.
"""

from __future__ import annotations

import html
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import quote, urlencode

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.auth.annotated import annotated
from vso.vault.auth.entries import entry
from vso.vault.cloud_http import CloudAnswer, CloudRequest, ask, refused, unavailable
from vso.vault.json import JsonObject
from vso.vault.surroundings import Surroundings
from vso.vault.way import Identity, Reads, SecretData, Visit

FORM = "application/x-www-form-urlencoded; charset=utf-8"
VERSION = "2011-06-15"

_ROLE = "eks.amazonaws.com/role-arn"
_AUDIENCE = "eks.amazonaws.com/audience"
_EXPIRATION = "eks.amazonaws.com/token-expiration"
_USUAL_AUDIENCE = "sts.amazonaws.com"
_USUAL_EXPIRATION = 86400
_SHORTEST = 600
_CODE = re.compile(r"<Code>([A-Za-z]{1,64}(?:\.[A-Za-z]{1,64})?)</Code>")
_PASSING = frozenset({"IDPCommunicationError", "Throttling", "ThrottlingException", "RequestLimitExceeded"})
_NOT_IN_SESSION = re.compile(r"[^\w+=,.@-]", re.ASCII)
_ECS = "http://169.254.170.2"
_IMDS = "http://169.254.169.254"
INSTEAD = "spec.aws.secretRef or spec.aws.irsaServiceAccount"


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """Keys that sign, and what they are of."""

    access_key_id: str = field(repr=False)
    secret_access_key: Sensitive
    session_token: Sensitive | None
    source: str
    """Names the credential and changes with it."""
    uid: str = ""
    """uid of the Kubernetes object behind them."""


@dataclass(frozen=True)
class KeySource(ABC):
    """One place that keys come from."""

    PERSONAL: ClassVar[bool] = True
    """Whether it is of the consumer's namespace."""

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount whose identity the keys have."""
        return None

    @property
    def reads(self) -> Reads:
        """What the keys are made of, in the consumer's namespace."""
        return Reads()

    @abstractmethod
    async def keys(self, visit: Visit, endpoint: str) -> AwsKeys:
        """Fetch the keys, from the STS at `endpoint` where a token is exchanged for them."""


@dataclass(frozen=True)
class SecretKeys(KeySource):
    """A Secret with keys that somebody has made."""

    secret: str

    @property
    def reads(self) -> Reads:
        """The Secret."""
        return Reads((self.secret,))

    async def keys(self, visit: Visit, endpoint: str) -> AwsKeys:
        """Read the Secret."""
        del endpoint
        found = await visit.sources.secret(visit.config.consumer, self.secret)
        token = _text(found, "session_token") if "session_token" in found.entries else None
        access_key_id, secret = _text(found, "access_key_id"), _text(found, "secret_access_key")
        return AwsKeys(access_key_id.reveal_text(), secret, token, f"{found.uid}@{found.version}", found.uid)


@dataclass(frozen=True)
class WebIdentity(KeySource):
    """A ServiceAccount of the consumer's that an AWS role trusts (IRSA)."""

    namespace: str
    service_account: str
    role_arn: str = ""
    """Empty for the one in the ServiceAccount's annotation."""
    session_name: str = ""

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount that the role trusts."""
        return Identity(self.namespace, self.service_account)

    @property
    def reads(self) -> Reads:
        """The ServiceAccount, unless the VaultAuth names the role."""
        return Reads() if self.role_arn else Reads(annotations=(self.service_account,))

    async def keys(self, visit: Visit, endpoint: str) -> AwsKeys:
        """Mint a token and assume the role with it."""
        role, audience, seconds = await self._trust(visit)
        token, uid = await visit.sources.jwt(Identity(self.namespace, self.service_account, (audience,), seconds))
        session = self.session_name or f"vso-{self.namespace}-{self.service_account}"
        who = f"system:serviceaccount:{self.namespace}:{self.service_account}"
        asked = _Assumption(role, session, token, who, f"audience {audience}")
        return await _assumed(visit, endpoint, asked, f"{uid} {role}", uid)

    async def _trust(self, visit: Visit) -> tuple[str, str, int]:
        """Return the role, the audience and the life of the token, as the ServiceAccount says unless the spec does."""
        if self.role_arn:
            return self.role_arn, _USUAL_AUDIENCE, _USUAL_EXPIRATION
        found = await annotated(visit, self.service_account, _ROLE, "spec.aws.roleARN")
        return found[_ROLE], found.get(_AUDIENCE) or _USUAL_AUDIENCE, self._expiration(found)

    def _expiration(self, found: Mapping[str, str]) -> int:
        text = found.get(_EXPIRATION) or str(_USUAL_EXPIRATION)
        if not re.fullmatch(r"[0-9]{1,9}", text):
            where = f"ServiceAccount {self.namespace}/{self.service_account}"
            raise ConfigError(Reason.INVALID_SPEC, f"{where}: annotation {_EXPIRATION} is not a number of seconds")
        return max(_SHORTEST, int(text))


@dataclass(frozen=True)
class PodIdentity(KeySource):
    """The operator's own pod, by EKS Pod Identity."""

    PERSONAL: ClassVar[bool] = False

    async def keys(self, visit: Visit, endpoint: str) -> AwsKeys:
        """Ask the agent that the pod's environment names."""
        del endpoint
        visit.surroundings.check_ambient(visit.config.name, INSTEAD)
        found = await _of_container(visit.surroundings)
        if found is None:
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"VaultAuth {visit.config.name}: the operator's pod has no EKS Pod Identity: "
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set; associate its ServiceAccount and restart it",
            )
        return found


@dataclass(frozen=True)
class OwnIdentity(KeySource):
    """The operator's own: its ServiceAccount's role, else EKS Pod Identity, else the role of its node."""

    session_name: str = ""

    PERSONAL: ClassVar[bool] = False

    async def keys(self, visit: Visit, endpoint: str) -> AwsKeys:
        """Take the first that the environment of the operator's pod speaks of."""
        visit.surroundings.check_ambient(visit.config.name, INSTEAD)
        env = visit.surroundings.env
        role, token = env.get("AWS_ROLE_ARN", ""), visit.surroundings.file("AWS_WEB_IDENTITY_TOKEN_FILE")
        if role and token is not None:
            session = self.session_name or env.get("AWS_ROLE_SESSION_NAME") or "vso"
            asked = _Assumption(role, session, token, "the operator's ServiceAccount", "the audience of its token")
            return await _assumed(visit, endpoint, asked, f"own {role}")
        return await _of_container(visit.surroundings) or await _of_node(env)


@dataclass(frozen=True)
class _Assumption:
    role: str
    session: str
    token: Sensitive
    who: str
    audience: str


async def _assumed(visit: Visit, endpoint: str, asked: _Assumption, source: str, uid: str = "") -> AwsKeys:
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": VERSION,
        "RoleArn": asked.role,
        "RoleSessionName": _NOT_IN_SESSION.sub("-", asked.session)[:64],
        "WebIdentityToken": asked.token.reveal_text(),
    }
    request = CloudRequest(
        f"AWS STS at {endpoint}",
        endpoint,
        "POST",
        {"Content-Type": FORM},
        urlencode(form).encode(),
        may_reach=visit.surroundings.may_reach(endpoint),
    )
    answer = await ask(request, visit.surroundings.env)
    if not answer.ok:
        code = error_code(answer.text) or str(answer.status)
        if code in _PASSING:
            raise unavailable(request.who, code)
        raise refused(request.who, f"{code}: {_pointed_at(code, asked)}")
    keys = {name: _element(answer, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
    return _keys(keys, request.who, "SessionToken", source, uid)


def error_code(text: str) -> str:
    """Return the code of an error of AWS's in XML; empty where there is none."""
    found = _CODE.search(text)
    return found[1] if found else ""


def _pointed_at(code: str, asked: _Assumption) -> str:
    match code:
        case "AccessDenied":
            return (
                f"role {asked.role} does not trust {asked.who}: its trust policy must allow "
                f"sts:AssumeRoleWithWebIdentity to it, with {asked.audience}"
            )
        case "InvalidIdentityToken":
            return (
                "AWS has no OpenID Connect provider for the issuer of the cluster's tokens, "
                f"or the provider does not know {asked.audience}"
            )
        case "ExpiredTokenException":
            return "the token of the ServiceAccount is over; the clocks of cluster and AWS differ"
        case "ValidationError":
            return f"role {asked.role!r} or session name {asked.session!r} is malformed"
        case _:
            return f"role {asked.role} is not assumed by {asked.who}"


def _element(answer: CloudAnswer, name: str) -> str:
    # Not an XML parser: three flat texts, and no entity is ever expanded.
    found = re.search(rf"<{name}>([^<]+)</{name}>", answer.text)
    return html.unescape(found[1]).strip() if found else ""


async def _of_container(around: Surroundings) -> AwsKeys | None:
    """Return the keys of the pod's own agent; None where the environment speaks of none."""
    env = around.env
    relative = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")
    url = f"{_ECS}{relative}" if relative else env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if not url:
        return None
    mounted = around.file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "") if mounted is None else mounted.reveal_text()
    headers = {"Authorization": token} if token else {}
    request = CloudRequest("the credentials endpoint of the operator's pod", url, headers=headers, at_hand=True)
    answer = await ask(request, env)
    if not answer.ok:
        raise refused(request.who, f"it answers {answer.status}; is its ServiceAccount associated with an AWS role?")
    return _keys(answer.json, request.who, "Token", "own pod identity")


async def _of_node(env: Mapping[str, str]) -> AwsKeys:
    """Return the keys of the node's role, by IMDSv2 alone."""
    who = "the metadata service of the node"
    if env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise refused(who, "AWS_EC2_METADATA_DISABLED forbids to ask it, and the pod has no other AWS identity")
    base = (env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _IMDS).rstrip("/")
    session = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    # Where the hop limit of the node is 1, the answer does not reach a pod: told of every failure of this request.
    asking = f"{who} (to pods it answers with a hop limit of 2 or more)"
    token = await ask(CloudRequest(asking, f"{base}/latest/api/token", "PUT", session, at_hand=True), env)
    if not token.ok:
        raise refused(asking, f"it gives no session ({token.status})")
    shown = {"X-aws-ec2-metadata-token": token.text}
    roles = f"{base}/latest/meta-data/iam/security-credentials/"
    found = await ask(CloudRequest(who, roles, headers=shown, at_hand=True), env)
    role = found.text.partition("\n")[0].strip() if found.ok else ""
    if not role:
        raise refused(who, "the node has no instance profile, hence no AWS role")
    answer = await ask(CloudRequest(who, f"{roles}{quote(role, safe='')}", headers=shown, at_hand=True), env)
    if not answer.ok or answer.json.get("Code", "Success") != "Success":
        raise refused(who, f"it has no credentials for role {role}")
    return _keys(answer.json, who, "Token", f"node {role}")


def _keys(found: JsonObject, who: str, token: str, source: str, uid: str = "") -> AwsKeys:
    values = [found.get(name) for name in ("AccessKeyId", "SecretAccessKey", token)]
    access_key_id, secret, session = (value if isinstance(value, str) else "" for value in values)
    if not access_key_id or not secret or not session:
        raise unavailable(who, "its answer holds no credentials")
    return AwsKeys(access_key_id, Sensitive.of(secret), Sensitive.of(session), source, uid)


def _text(secret: SecretData, key: str) -> Sensitive:
    """Return an entry without the whitespace around it; a ConfigError says that it can be no key."""
    value = entry(secret, key).reveal().strip()
    if not value or not value.isascii():
        raise ConfigError(Reason.INVALID_SPEC, f"Secret {secret.name}: the value of key {key!r} can be no key of AWS's")
    return Sensitive(value)
