"""The method aws: a request to AWS that only its owner could have signed, which Vault sends in our place.

Invariant: nothing but the signed GetCallerIdentity goes to Vault, never a key; a refusal tells the code of AWS
alone, for its text repeats the request, and with it the session token.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.auth.aws_credentials import FORM, VERSION, AwsKeys, KeySource, error_code
from vso.vault.cloud_http import unreached
from vso.vault.way import Identity, Reads, Shown, Visit, Way

BODY = f"Action=GetCallerIdentity&Version={VERSION}".encode()
SERVER_ID = "X-Vault-AWS-IAM-Server-ID"
_USUAL_REGION = "us-east-1"
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_ALGORITHM = "AWS4-HMAC-SHA256"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class AwsWay(Way):
    """A role of the method, whose keys sign, and where AWS is asked."""

    role: str
    source: KeySource
    region: str = ""
    """Empty for the operator's own, else us-east-1."""
    endpoint: str = ""
    """STS; empty for that of the region."""
    header_value: str = ""

    RESERVED: ClassVar[frozenset[str]] = frozenset(
        {"role", "iam_http_request_method", "iam_request_url", "iam_request_headers", "iam_request_body"}
    )

    @property
    def who(self) -> str:
        """The role."""
        return f"role {self.role!r}"

    @property
    def personal(self) -> bool:
        """The operator's own identity is everybody's who may use it."""
        return self.source.PERSONAL

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount that the AWS role trusts, if the keys are of one."""
        return self.source.speaks_for

    @property
    def reads(self) -> Reads:
        """What the keys are made of."""
        return self.source.reads

    async def show(self, visit: Visit) -> Shown:
        """Fetch the keys and sign."""
        region = self._region(visit.surroundings.env)
        endpoint = self.endpoint or sts_endpoint(region)
        visit.surroundings.check_endpoint(endpoint, "spec.aws.stsEndpoint")
        keys = await self.source.keys(visit, endpoint)
        headers = {"Content-Type": FORM, **({SERVER_ID: self.header_value} if self.header_value else {})}
        unsigned = Unsigned(endpoint if urlsplit(endpoint).path else f"{endpoint}/", headers, BODY, region)
        return Shown(self._body(unsigned.url, signed(unsigned, keys, visit.clock.now())), keys.source, keys.uid)

    def passes(self, refusal: str) -> bool:
        """Tell a Vault that does not reach AWS from a refusal: both are answered 400."""
        return unreached(refusal)

    def pointed_at(self, message: str) -> str:
        """Return what Vault's text points at."""
        lower = message.lower()
        if "body of getcalleridentity is invalid" in lower:
            return "what the mount's sts_endpoint answers is not AWS's"
        if "<code>" in lower or "upstream request" in lower or "from sts" in lower:
            return f"AWS does not accept the signature: {error_code(message) or 'its answer says no more'}"
        if SERVER_ID.lower() in lower:
            return f"the mount expects another {SERVER_ID} than spec.aws.headerValue"
        if "entry for role" in lower and "not found" in lower:
            return f"there is no role {self.role!r}"
        if "does not belong to the role" in lower:
            return f"role {self.role!r} is not bound to the AWS identity: {message}"
        return super().pointed_at(message)

    def _region(self, env: Mapping[str, str]) -> str:
        region = self.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or _USUAL_REGION
        if not _REGION.fullmatch(region):
            raise ConfigError(Reason.INVALID_SPEC, f"{region!r} is not an AWS region")
        return region

    def _body(self, url: str, headers: Mapping[str, str]) -> dict[str, str | Sensitive]:
        listed = json.dumps({name: [value] for name, value in headers.items()})
        return {
            "role": self.role,
            "iam_http_request_method": "POST",
            "iam_request_url": _base64(url.encode()),
            "iam_request_headers": Sensitive.of(_base64(listed.encode())),
            "iam_request_body": _base64(BODY),
        }


def sts_endpoint(region: str) -> str:
    """Return the STS of a region; that of us-east-1 is the global one, which Vault asks unless told otherwise."""
    if region == _USUAL_REGION:
        return "https://sts.amazonaws.com"
    return f"https://sts.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


@dataclass(frozen=True)
class Unsigned:
    """A POST to AWS; the path of its URL has nothing to escape."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    region: str
    service: str = "sts"


def signed(request: Unsigned, keys: AwsKeys, now: datetime) -> dict[str, str]:
    """Return the headers with the signature (AWS Signature Version 4)."""
    parts = urlsplit(request.url)
    stamp = f"{now:%Y%m%dT%H%M%SZ}"
    headers = {**request.headers, "X-Amz-Date": stamp}
    if keys.session_token is not None:
        headers["X-Amz-Security-Token"] = keys.session_token.reveal_text()
    host = parts.netloc if parts.port != _PORTS[parts.scheme] else str(parts.hostname)
    told = sorted((name.lower(), " ".join(value.split())) for name, value in {**headers, "Host": host}.items())
    names = ";".join(name for name, _ in told)
    lines = ["POST", parts.path or "/", "", *(f"{name}:{value}" for name, value in told), "", names]
    canonical = "\n".join([*lines, hashlib.sha256(request.body).hexdigest()])
    scope = f"{stamp[:8]}/{request.region}/{request.service}/aws4_request"
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = _digest(_signing_key(keys.secret_access_key, scope), text).hex()
    credential = f"{keys.access_key_id}/{scope}"
    headers["Authorization"] = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers


def _signing_key(secret: Sensitive, scope: str) -> bytes:
    key = b"AWS4" + secret.reveal()
    for part in scope.split("/"):
        key = _digest(key, part)
    return key


def _digest(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
