"""The method gcp: a Google service account, by the workload identity of a ServiceAccount.

Invariant: a ServiceAccount's token becomes Google's, and that one an ID token for this Vault role alone; none
of them is kept, and what Google says is told by its code, never by its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from vso.core.sensitive import Sensitive
from vso.vault.auth.annotated import annotated
from vso.vault.cloud_http import CloudAnswer, CloudRequest, ask, refused, unavailable, unreached
from vso.vault.json import JsonObject
from vso.vault.way import Identity, Reads, Shown, Visit, Way

_ACCOUNT = "iam.gke.io/gcp-service-account"
_STS = "https://sts.googleapis.com"
_IAM = "https://iamcredentials.googleapis.com"
_METADATA = "metadata.google.internal"
_WORD = re.compile(r"[A-Za-z_]{1,64}")
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class _Cluster:
    project: str
    location: str
    name: str

    @property
    def pool(self) -> str:
        return f"{self.project}.svc.id.goog"

    @property
    def audience(self) -> str:
        place = f"projects/{self.project}/locations/{self.location}/clusters/{self.name}"
        return f"identitynamespace:{self.pool}:https://container.googleapis.com/v1/{place}"


@dataclass(frozen=True)
class GcpWay(Way):
    """A role of the method, the ServiceAccount that acts as a Google one, and the cluster that it is of."""

    role: str
    namespace: str
    service_account: str
    email: str = ""
    """Of the Google service account; empty for the one in the ServiceAccount's annotation."""
    project: str = ""
    location: str = ""
    cluster: str = ""
    """Each is asked of the metadata server where it is empty."""

    RESERVED: ClassVar[frozenset[str]] = frozenset({"role", "jwt"})

    @property
    def who(self) -> str:
        """The role."""
        return f"role {self.role!r}"

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount that acts as the Google one."""
        return Identity(self.namespace, self.service_account)

    @property
    def reads(self) -> Reads:
        """The ServiceAccount, unless the VaultAuth names the Google one."""
        return Reads() if self.email else Reads(annotations=(self.service_account,))

    async def show(self, visit: Visit) -> Shown:
        """Exchange the ServiceAccount's token twice."""
        email = self.email or await self._annotation(visit)
        cluster = await self._cluster(visit.surroundings.env)
        jwt, uid = await visit.sources.jwt(Identity(self.namespace, self.service_account, (cluster.pool,), 600))
        access = await self._exchanged(visit, cluster, jwt)
        token = await self._id_token(visit, cluster, email, access)
        return Shown({"role": self.role, "jwt": token}, source=f"{uid} {email}", uid=uid)

    def passes(self, refusal: str) -> bool:
        """Tell a Vault that does not reach Google from a refusal: both are answered 400."""
        return unreached(refusal)

    def pointed_at(self, message: str) -> str:
        """Return what Vault's text points at."""
        if "role" in message.lower() and "not found" in message.lower():
            return f"there is no role {self.role!r}"
        return super().pointed_at(message)

    async def _annotation(self, visit: Visit) -> str:
        return (await annotated(visit, self.service_account, _ACCOUNT, "spec.gcp.serviceAccountEmail"))[_ACCOUNT]

    async def _cluster(self, env: Mapping[str, str]) -> _Cluster:
        return _Cluster(
            self.project or await _metadata(env, "project/project-id", "spec.gcp.projectID"),
            self.location or await _metadata(env, "instance/attributes/cluster-location", "spec.gcp.region"),
            self.cluster or await _metadata(env, "instance/attributes/cluster-name", "spec.gcp.clusterName"),
        )

    async def _exchanged(self, visit: Visit, cluster: _Cluster, jwt: Sensitive) -> Sensitive:
        env = visit.surroundings.env
        base = env.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS") or _STS
        body = {
            "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
            "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
            "scope": "https://www.googleapis.com/auth/iam",
            "audience": cluster.audience,
            "subjectToken": jwt.reveal_text(),
        }
        request = CloudRequest("Google's STS", f"{base.rstrip('/')}/v1/token", "POST", _JSON, json.dumps(body).encode())
        answer = await ask(request, env)
        if not answer.ok:
            raise refused(request.who, f"{_code(answer)}: it does not know the workload identity of {cluster.audience}")
        return _text(answer.json, "access_token", request.who)

    async def _id_token(self, visit: Visit, cluster: _Cluster, email: str, access: Sensitive) -> Sensitive:
        env = visit.surroundings.env
        base = env.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS") or _IAM
        url = f"{base.rstrip('/')}/v1/projects/-/serviceAccounts/{quote(email, safe='@')}:generateIdToken"
        headers = {**_JSON, "Authorization": f"Bearer {access.reveal_text()}"}
        body = json.dumps({"audience": f"https://vault/{self.role}", "includeEmail": True}).encode()
        request = CloudRequest("Google's IAM", url, "POST", headers, body)
        answer = await ask(request, env)
        if answer.ok:
            return _text(answer.json, "token", request.who)
        if answer.status == 404:
            raise refused(request.who, f"{_code(answer)}: there is no Google service account {email}")
        raise refused(
            request.who,
            f"{_code(answer)}: grant roles/iam.workloadIdentityUser on {email} to "
            f"serviceAccount:{cluster.pool}[{self.namespace}/{self.service_account}]",
        )


async def _metadata(env: Mapping[str, str], path: str, field: str) -> str:
    host = env.get("GCE_METADATA_HOST") or _METADATA
    who = f"the metadata server of the node, asked for {path.rpartition('/')[2]} since {field} is empty"
    url = f"http://{host}/computeMetadata/v1/{path}"
    answer = await ask(CloudRequest(who, url, headers={"Metadata-Flavor": "Google"}, at_hand=True), env)
    if not answer.ok or not answer.text:
        raise refused(who, f"it does not know it ({answer.status})")
    return answer.text


def _code(answer: CloudAnswer) -> str:
    """Return the code of an error, which Google's two services spell in two ways."""
    error = answer.json.get("error")
    found = error.get("status") if isinstance(error, dict) else error
    return found if isinstance(found, str) and _WORD.fullmatch(found) else str(answer.status)


def _text(body: JsonObject, name: str, who: str) -> Sensitive:
    found = body.get(name)
    if not isinstance(found, str) or not found:
        raise unavailable(who, "its answer holds no token")
    return Sensitive.of(found)
