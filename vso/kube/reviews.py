"""Who a bearer token speaks for, and what its owner may do, as the API server answers it.

Invariant: only a plain yes of the API server is one. The token leaves this module in the one request that
asks about it, and is in no message. A question changes nothing, so one that broke on the way is asked once more.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient
from vso.kube.errors import UnreachableError
from vso.kube.json import JsonObject, child
from vso.kube.paths import access_review_path, token_review_path
from vso.runtime.attempts import attempt


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whom the API server knows, in its own words."""

    name: str
    info: JsonObject
    """What an access review is told: user, groups, uid, extra."""


class Reviewer:
    """Asks the API server about others."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def caller(self, token: Sensitive) -> Caller | None:
        """Return whose token it is, or None when it is nobody's."""
        spec: JsonObject = {"token": token.reveal_text()}
        status = await self._ask(token_review_path(), "authentication.k8s.io/v1", "TokenReview", spec)
        user = child(status, "user")
        name = user.get("username")
        if status.get("authenticated") is not True or not isinstance(name, str) or not name:
            return None
        more = {key: user[key] for key in ("groups", "uid", "extra") if user.get(key)}
        return Caller(name, {"user": name, **more})

    async def may_get(self, caller: Caller, path: str) -> bool:
        """Tell whether the caller may GET a path that belongs to no resource."""
        spec = {**caller.info, "nonResourceAttributes": {"path": path, "verb": "get"}}
        status = await self._ask(access_review_path(), "authorization.k8s.io/v1", "SubjectAccessReview", spec)
        return status.get("allowed") is True and status.get("denied") is not True

    async def _ask(self, path: str, version: str, kind: str, spec: JsonObject) -> JsonObject:
        body: JsonObject = {"apiVersion": version, "kind": kind, "spec": spec}
        return child(await attempt(_once_more, UnreachableError, self._client.create, path, body), "status")


def _once_more() -> AsyncRetrying:
    return AsyncRetrying(stop=stop_after_attempt(2), retry=retry_if_exception_type(UnreachableError), reraise=True)
