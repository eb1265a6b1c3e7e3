"""Stand-ins for what three clouds answer to a login: AWS, Google Cloud, Microsoft Entra ID.

Each verifies what it is shown as the cloud does: the signature of a request is computed anew from what came
over the wire, and a token must be the one that was handed out before.
Invariant: keys and tokens begin with "canary", so that a search finds them wherever they should not be.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.testbed.endpoint import Asked, Endpoint, Said
from tests.testbed.pki import KeyPair

Json = dict[str, Any]
ACCOUNT = "123456789012"
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})")


def claims_of(jwt: str) -> Json:
    """What a token claims."""
    payload = jwt.split(".")[1]
    claims: Json = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


class Aws(Endpoint):
    """STS, the metadata service of a node and the credentials endpoint of a pod, of one account."""

    def __init__(self, tls: KeyPair | None = None) -> None:
        super().__init__(tls)
        self.keys: dict[str, tuple[str, str, str]] = {}  # by access key id: secret, session token, ARN
        self.trusted: dict[str, tuple[str, str]] = {}  # by role ARN: subject and audience
        self._numbers = itertools.count(1)
        self.on("POST", "/", self._sts)
        self.on("PUT", "/latest/api/token", Said(200, "canary-imds-session"))

    @property
    def env(self) -> dict[str, str]:
        """How a program finds the metadata service."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}

    def key(self, arn: str, *, temporary: bool = True) -> Json:
        """Make keys of an identity, as AWS's JSON has them."""
        number = next(self._numbers)
        key, secret, session = (f"canary-{what}-{number}" for what in ("id", "secret", "session"))
        self.keys[key] = (secret, session if temporary else "", arn)
        return {"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret, "Token": session}

    def trust(self, name: str, subject: str, audience: str = "sts.amazonaws.com") -> str:
        """Have a role that a ServiceAccount may assume; its ARN."""
        arn = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        self.trusted[arn] = (subject, audience)
        return arn

    def node(self, role: str) -> None:
        """Have a node with a role."""
        path = "/latest/meta-data/iam/security-credentials/"
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/i-0123456789abcdef0"
        for place, answer in ((path, Said(200, role)), (f"{path}{role}", Said(200, self.key(arn)))):
            self.on("GET", place, partial(self._of_node, answer))

    def pod(self, role: str, token: str) -> str:
        """Have a pod with a role; the URL of its credentials."""
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/eks-cluster-operator"
        answer = Said(200, self.key(arn))
        self.on("GET", "/v1/credentials", lambda a: answer if a.headers.get("authorization") == token else Said(401))
        return f"{self.url}/v1/credentials"

    @staticmethod
    def _of_node(answer: Said, asked: Asked) -> Said:
        return answer if asked.headers.get("x-aws-ec2-metadata-token") == "canary-imds-session" else Said(401)

    def _sts(self, asked: Asked) -> Said:
        match asked.form.get("Action"):
            case "AssumeRoleWithWebIdentity":
                return self._assume(asked.form)
            case "GetCallerIdentity":
                return self._caller(asked)
            case _:
                return failure(400, "InvalidAction")

    def _assume(self, form: Mapping[str, str]) -> Said:
        claims, role = claims_of(form["WebIdentityToken"]), form["RoleArn"]
        subject, audience = self.trusted.get(role, ("", ""))
        if claims["sub"] != subject or audience not in claims["aud"]:
            return failure(403, "AccessDenied", f"Not authorized: {form['WebIdentityToken']}")
        name, session = role.rpartition("/")[2], form["RoleSessionName"]
        made = self.key(f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}")
        keys = "".join(f"<{n}>{made[n]}</{n}>" for n in ("AccessKeyId", "SecretAccessKey"))
        return Said(200, f"<R><Credentials>{keys}<SessionToken>{made['Token']}</SessionToken></Credentials></R>")

    def _caller(self, asked: Asked) -> Said:
        found = _SIGNED.fullmatch(asked.headers.get("authorization", ""))
        if found is None or found[1] not in self.keys:
            return failure(403, "InvalidClientTokenId")
        secret, session, arn = self.keys[found[1]]
        if asked.headers.get("x-amz-security-token", "") != session:
            return failure(403, "InvalidClientTokenId")
        if signature(asked, secret, found[2], found[3]) != found[4]:
            return failure(403, "SignatureDoesNotMatch", f"The request was: {dict(asked.headers)}")
        told = f"<Arn>{arn}</Arn><UserId>AIDACANARY</UserId><Account>{ACCOUNT}</Account>"
        result = f"<GetCallerIdentityResult>{told}</GetCallerIdentityResult>"
        return Said(
            200, f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>", {"Content-Type": "text/xml"}
        )


def signature(asked: Asked, secret: str, scope: str, names: str) -> str:
    """The Signature Version 4 that a request of that scope must have, from the request as it arrived."""
    told = [f"{name}:{' '.join(asked.headers[name].split())}\n" for name in names.split(";")]
    body = hashlib.sha256(asked.body).hexdigest()
    canonical = f"{asked.method}\n{asked.path}\n\n{''.join(told)}\n{names}\n{body}"
    text = f"AWS4-HMAC-SHA256\n{asked.headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def failure(status: int, code: str, text: str = "") -> Said:
    """An error of AWS's."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>"
    return Said(status, f"<ErrorResponse>{error}</ErrorResponse>", {"Content-Type": "text/xml"})


class Signer:
    """Signs ID tokens."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._key = rsa.generate_private_key(65537, 2048)

    def jwt(self, **claims: Any) -> str:
        """A token that lives for ten minutes."""
        now = int(time.time())
        header = {"alg": "RS256", "kid": self.kid, "typ": "JWT"}
        parts = (header, {"iat": now, "nbf": now - 5, "exp": now + 600, **claims})
        text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        return f"{text}.{_base64(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    @property
    def certificate(self) -> str:
        """The public key as Google publishes it."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.kid)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self._key.public_key())
        builder = builder.serial_number(1).not_valid_before(now - timedelta(hours=1))
        made = builder.not_valid_after(now + timedelta(days=1)).sign(self._key, hashes.SHA256())
        return made.public_bytes(Encoding.PEM).decode()

    @property
    def jwks(self) -> Json:
        """The public key as a set of JSON Web Keys."""
        numbers = self._key.public_key().public_numbers()
        n, e = (_base64(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": n, "e": e}]}


class Google(Endpoint):
    """The metadata server, STS and IAM of one project with one cluster, and what Vault asks to verify a token."""

    PROJECT, LOCATION, CLUSTER = "acme-prod", "europe-west1", "blue"

    def __init__(self) -> None:
        super().__init__()
        self.signer = Signer("google-1")
        self.users: dict[str, str] = {}  # by e-mail: who may act as it
        self._access: dict[str, str] = {}  # by access token: whose it is
        self._numbers = itertools.count(1)
        known = {
            "project/project-id": self.PROJECT,
            "instance/attributes/cluster-location": self.LOCATION,
            "instance/attributes/cluster-name": self.CLUSTER,
        }
        for path, value in known.items():
            self.on("GET", f"/computeMetadata/v1/{path}", partial(self._metadata, value))
        self.on("POST", "/v1/token", self._token)
        self.on("GET", "/oauth2/v1/certs", Said(200, {self.signer.kid: self.signer.certificate}))

    @property
    def env(self) -> dict[str, str]:
        """How a program finds them."""
        names = ("STS", "IAMCREDENTIALS")
        overrides = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{self.url}/" for name in names}
        return {"GCE_METADATA_HOST": self.host, **overrides}

    def account(self, email: str, user: str) -> None:
        """Have a Google service account that a ServiceAccount (namespace/name) may act as."""
        self.users[email] = user
        self.on("POST", f"/v1/projects/-/serviceAccounts/{email}:generateIdToken", lambda a: self._id_token(a, email))
        known = {"email": email, "uniqueId": "113", "projectId": self.PROJECT, "name": email}
        for project in ("-", self.PROJECT):
            self.on("GET", f"/v1/projects/{project}/serviceAccounts/{email}", Said(200, known))
            self.on("GET", f"/v1/projects/{project}/serviceAccounts/113", Said(200, known))
        token = {"access_token": "of-the-node", "token_type": "Bearer", "expires_in": 3600}
        self.on("GET", "/computeMetadata/v1/instance/service-accounts/default/token", Said(200, token))

    def machine(self, email: str) -> None:
        """Have a node with a Google service account, whose tokens its metadata server gives to whoever asks."""
        place = "/computeMetadata/v1/instance/service-accounts"
        access = f"canary-of-the-node-{email}"
        self._access[access] = self.users[email]
        token = {"access_token": access, "token_type": "Bearer", "expires_in": 3600}
        for name in ("default", email):
            self.on("GET", f"{place}/{name}/email", partial(self._metadata, email))
            self.on("GET", f"{place}/{name}/token", partial(self._metadata, json.dumps(token)))
            self.on(
                "GET",
                f"{place}/{name}/identity",
                lambda asked: self._metadata(self._signed(asked.query["audience"], email), asked),
            )

    @staticmethod
    def _metadata(value: str, asked: Asked) -> Said:
        right = asked.headers.get("metadata-flavor") == "Google"
        return Said(200, value, {"Metadata-Flavor": "Google"}) if right else Said(403)

    def _token(self, asked: Asked) -> Said:
        said = asked.json
        claims = claims_of(said["subjectToken"])
        pool = f"{self.PROJECT}.svc.id.goog"
        place = f"projects/{self.PROJECT}/locations/{self.LOCATION}/clusters/{self.CLUSTER}"
        audience = f"identitynamespace:{pool}:https://container.googleapis.com/v1/{place}"
        if claims["aud"] != [pool] or said["audience"] != audience:
            return Said(400, {"error": "invalid_grant", "error_description": f"canary {said['subjectToken']}"})
        access = f"canary-access-{next(self._numbers)}"
        self._access[access] = claims["sub"].removeprefix("system:serviceaccount:").replace(":", "/")
        return Said(200, {"access_token": access, "token_type": "Bearer", "expires_in": 3600})

    def _id_token(self, asked: Asked, email: str) -> Said:
        bearer = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self._access.get(bearer) != self.users[email]:
            return Said(403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": f"canary {bearer}"}})
        return Said(200, {"token": self._signed(asked.json["audience"], email)})

    def _signed(self, audience: str, email: str) -> str:
        return self.signer.jwt(
            iss="https://accounts.google.com", aud=audience, sub="113", email=email, email_verified=True
        )


class Entra(Endpoint):
    """Token service and keys of one tenant, and the metadata service of a virtual machine."""

    TENANT, RESOURCE = "7f6c-tenant", "api://vault"
    SUBSCRIPTION = "33333333-3333-4333-8333-333333333333"

    def __init__(self, tls: KeyPair | None = None, *, tenant: str = TENANT, resource: str = RESOURCE) -> None:
        super().__init__(tls)
        self.tenant, self.resource = tenant, resource
        self.signer = Signer("entra-1")
        self.applications: dict[str, str] = {}  # by client id: the subject that may ask for its tokens
        self.on("POST", f"/{tenant}/oauth2/v2.0/token", self._token)
        self.on("GET", f"/{tenant}/.well-known/openid-configuration", self._discovery)
        self.on("GET", "/keys", Said(200, self.signer.jwks))

    @property
    def env(self) -> dict[str, str]:
        """How a program finds them."""
        return {"AZURE_AUTHORITY_HOST": f"{self.url}/", "AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url}

    @property
    def issuer(self) -> str:
        """Who signs."""
        return f"https://sts.windows.net/{self.tenant}/"

    def machine(self, client: str) -> None:
        """Have a machine with one identity."""
        self.on("GET", "/metadata/identity/oauth2/token", lambda asked: self._of_machine(asked, client))
        compute = {
            "subscriptionId": self.SUBSCRIPTION,
            "resourceGroupName": "rg-1",
            "name": "vm-1",
            "vmScaleSetName": "",
        }
        self.on("GET", "/metadata/instance/compute", Said(200, compute))

    def token(self, client: str, audience: str) -> str:
        """A token of an application."""
        return self.signer.jwt(
            iss=self.issuer, aud=audience, sub=f"object-{client}", oid=f"object-{client}", appid=client
        )

    def _discovery(self, _: Asked) -> Said:
        return Said(200, {"issuer": self.issuer, "jwks_uri": f"{self.url}/keys"})

    def _of_machine(self, asked: Asked, client: str) -> Said:
        if asked.headers.get("metadata") != "true" or asked.query.get("client_id", client) != client:
            return Said(400, {"error": "invalid_request", "error_description": "Identity not found"})
        return Said(200, {"access_token": self.token(client, asked.query["resource"])})

    def _token(self, asked: Asked) -> Said:
        form = asked.form
        claims = claims_of(form["client_assertion"])
        expected = self.applications.get(form["client_id"])
        if expected is None:
            return _denied("unauthorized_client", "AADSTS700016", form)
        if claims["sub"] != expected or claims["aud"] != ["api://AzureADTokenExchange"]:
            return _denied("invalid_client", "AADSTS700213", form)
        if form["scope"] != f"{self.resource}/.default":
            return _denied("invalid_resource", "AADSTS500011", form)
        return Said(200, {"token_type": "Bearer", "access_token": self.token(form["client_id"], self.resource)})


def _denied(word: str, number: str, form: Mapping[str, str]) -> Said:
    told = f"{number}: canary of {form['client_assertion']}"
    return Said(401, {"error": word, "error_description": told, "error_codes": [int(number[6:])]})


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
