"""The demo's hands and eyes: the administrator's access to both servers of the sandbox.

Invariant: only the demo itself goes this way; the operator has its own token and nothing of this.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import orjson

from vso.api.meta import Resource
from vso.api.scheme import parse_as
from vso.api.secrets import VaultDynamicSecret, VaultStaticSecret
from vso.app import rbac
from vso.app.demo.example import DATABASE, NAMESPACE, SECRET
from vso.app.demo.picture import Picture, SecretSeen, events_seen, secret_seen
from vso.core.clock import Clock
from vso.core.errors import Reason, TransientError
from vso.core.keys import Kind
from vso.kube.client import KubeClient
from vso.kube.config import Credentials
from vso.kube.errors import NotFoundError
from vso.kube.paths import cr_path, event_path, lease_path, secret_path, service_account_path

R = TypeVar("R", bound=Resource)

_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_TOKEN_SECONDS: Final = 86_400
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_UNREACHABLE: Final = "the sandbox's Vault does not answer"


@dataclass(frozen=True)
class Access:
    """Where the sandbox is, from its own ready.json."""

    kube_url: str
    ca: Path
    kube_token: str
    vault_url: str
    vault_token: str
    unseal_key: str

    @classmethod
    def read(cls, path: Path) -> Access:
        """Return what the file says."""
        said = orjson.loads(path.read_bytes())
        kube, vault = said["kube"], said["vault"]
        return cls(kube["url"], Path(kube["ca"]), kube["token"], vault["url"], vault["token"], vault["unseal_key"])

    def __repr__(self) -> str:
        return f"Access({self.kube_url}, {self.vault_url})"


class FixedToken:
    """One bearer token for the life of the demo."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def token(self) -> str:
        """Return the token."""
        return self._text

    def invalidate(self) -> None:
        """There is no other."""


class World:
    """Both servers, as their administrator."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self.access = access
        tls = ssl.create_default_context(cafile=access.ca)
        self._kube = KubeClient(Credentials(access.kube_url, FixedToken(access.kube_token), tls=tls), clock)
        self._vault: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self._kube.__aenter__()
        headers = {"X-Vault-Token": self.access.vault_token}
        self._vault = aiohttp.ClientSession(headers=headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._vault is not None:
            await self._vault.close()
        await self._kube.__aexit__(kind, error, at)

    async def apply(self, body: Mapping[str, Any]) -> None:
        """Create an object."""
        namespace = body["metadata"].get("namespace", "")
        await self._kube.create(collection(body["kind"], namespace), dict(body), metadata_only=True)

    async def operator_token(self) -> str:
        """Return a token of the operator's ServiceAccount."""
        path = service_account_path(rbac.NAMESPACE, rbac.NAME, "token")
        spec = {"expirationSeconds": _TOKEN_SECONDS}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str((await self._kube.create(path, body))["status"]["token"])

    async def write(self, path: str, body: Mapping[str, Any]) -> None:
        """Write to Vault."""
        await self._ask("PUT", path, body)

    async def seal(self) -> None:
        """Seal Vault."""
        await self._ask("PUT", "sys/seal", {})

    async def unseal(self) -> None:
        """Unseal Vault."""
        await self._ask("PUT", "sys/unseal", {"key": self.access.unseal_key})

    async def look(self) -> Picture:
        """Return what there is to see now."""
        sealed = bool((await self._ask("GET", "sys/seal-status"))["sealed"])
        lease = await self._object(VaultDynamicSecret, Kind.VAULT_DYNAMIC_SECRET, DATABASE)
        return Picture(
            intent=await self._object(VaultStaticSecret, Kind.VAULT_STATIC_SECRET, SECRET),
            secret=await self._secret(SECRET),
            events=events_seen(await self._kube.get(event_path(NAMESPACE))),
            leader=await self._leader(),
            sealed=sealed,
            lease=lease,
            credentials=await self._secret(DATABASE) if lease else None,
            users=await self._users() if lease and not sealed else (),
        )

    async def _object(self, model: type[R], kind: Kind, name: str) -> R | None:
        try:
            body = await self._kube.get_bytes(cr_path(kind, NAMESPACE, name))
        except NotFoundError:
            return None
        return parse_as(model, body)

    async def _secret(self, name: str) -> SecretSeen | None:
        try:
            return secret_seen(await self._kube.get(secret_path(NAMESPACE, name)))
        except NotFoundError:
            return None

    async def _users(self) -> tuple[str, ...]:
        return tuple((await self._ask("GET", "sys/sandbox/users"))["data"]["users"])

    async def _leader(self) -> str:
        try:
            lease = await self._kube.get(lease_path(rbac.NAMESPACE, rbac.LEASE))
        except NotFoundError:
            return ""
        return str(lease["spec"].get("holderIdentity") or "")

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if self._vault is None:
            raise RuntimeError("the world is not entered")
        url = f"{self.access.vault_url}/v1/{path}"
        try:
            async with self._vault.request(method, url, json=body) as answer:
                text = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransientError(Reason.VAULT_UNAVAILABLE, f"{_UNREACHABLE}: {type(error).__name__}") from None
        if answer.status >= 300:
            raise TransientError(Reason.VAULT_UNAVAILABLE, f"{method} {path}: HTTP {answer.status}")
        found: dict[str, Any] = orjson.loads(text) if text else {}
        return found


def collection(kind: str, namespace: str) -> str:
    """Return the path that an object of the kind is posted to."""
    match kind:
        case "Namespace":
            return "/api/v1/namespaces"
        case "ServiceAccount":
            return service_account_path(namespace)
        case "ClusterRole" | "ClusterRoleBinding":
            return f"{_RBAC}/{kind.lower()}s"
        case "Role" | "RoleBinding":
            return f"{_RBAC}/namespaces/{namespace}/{kind.lower()}s"
        case _:
            return cr_path(Kind(kind), namespace)
