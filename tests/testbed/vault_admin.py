"""Vault as its administrator sees it: a thin synchronous client that holds the root token and the unseal key.

Invariant: it never retries; what Vault refuses is a VaultError with Vault's own words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.testbed import local_http

Json = dict[str, Any]


class VaultError(Exception):
    """Vault refused."""

    def __init__(self, status: int, errors: list[str]) -> None:
        super().__init__(f"{status}: {'; '.join(errors)}")
        self.status = status
        self.errors = errors


@dataclass(frozen=True)
class VaultAccess:
    """Where Vault is and what opens it."""

    url: str
    token: str = field(repr=False)
    unseal_key: str = field(repr=False)


class VaultAdmin:
    """Vault's HTTP API below `/v1/`."""

    def __init__(self, access: VaultAccess) -> None:
        self.url = access.url
        self.token = access.token
        self._unseal_key = access.unseal_key
        self._client = _connect(access.url)

    def reconnect(self) -> None:
        """Forget the open connections, for a server that was started anew."""
        self._client.close()
        self._client = _connect(self.url)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def raw(self, method: str, path: str, *, token: str | None = None, **kwargs: Any) -> httpx.Response:
        """Send any request, as root or with another token ("" for none), and return whatever comes back."""
        bearer = self.token if token is None else token
        headers = {
            "X-Vault-Request": "true",
            **({"X-Vault-Token": bearer} if bearer else {}),
            **kwargs.pop("headers", {}),
        }
        return self._client.request(method, f"/v1/{path}", headers=headers, **kwargs)

    def read(self, path: str, *, token: str | None = None, **params: str) -> Json:
        """Read a path; the whole answer, with its data under `data`."""
        return _answer(self.raw("GET", path, token=token, params=params))

    def write(self, path: str, data: Json | None = None, *, token: str | None = None) -> Json:
        """Write to a path."""
        return _answer(self.raw("POST", path, token=token, json=data or {}))

    def delete(self, path: str) -> Json:
        """Delete a path."""
        return _answer(self.raw("DELETE", path))

    def list(self, path: str) -> list[str]:
        """The keys below a path; none if there is nothing."""
        response = self.raw("LIST", path)
        return [] if response.status_code == 404 else list(_answer(response)["data"]["keys"])

    def kv2_put(self, mount: str, path: str, data: Json) -> int:
        """Write a version of a KV v2 secret and return its number."""
        return int(self.write(f"{mount}/data/{path}", {"data": data})["data"]["version"])

    def policy(self, name: str, hcl: str) -> None:
        """Write a policy."""
        _answer(self.raw("PUT", f"sys/policies/acl/{name}", json={"policy": hcl}))

    def login(self, mount: str, role: str, jwt: str) -> Json:
        """Log in by JWT and return the answer's `auth`."""
        auth: Json = self.write(f"auth/{mount}/login", {"role": role, "jwt": jwt}, token="")["auth"]
        return auth

    def seal(self) -> None:
        """Seal Vault."""
        _answer(self.raw("PUT", "sys/seal"))

    def unseal(self) -> None:
        """Unseal Vault with its one key."""
        _answer(self.raw("PUT", "sys/unseal", token="", json={"key": self._unseal_key}))

    def health(self) -> Json:
        """What Vault says of itself, whatever its state."""
        return dict(self.raw("GET", "sys/health", token="").json())

    @property
    def active(self) -> bool:
        """Whether Vault is unsealed and answers requests."""
        return self.raw("GET", "sys/health", token="").status_code == 200


def initialise(url: str) -> VaultAccess:
    """Initialise a new Vault with one unseal key."""
    with _connect(url) as client:
        body = _answer(client.put("/v1/sys/init", json={"secret_shares": 1, "secret_threshold": 1}))
    return VaultAccess(url, body["root_token"], body["keys_base64"][0])


def _connect(url: str) -> httpx.Client:
    return local_http.client(url, headers={"User-Agent": "testbed-admin"})


def _answer(response: httpx.Response) -> Json:
    body = response.json() if response.content else {}
    if response.is_success:
        return dict(body)
    raise VaultError(response.status_code, list(body.get("errors") or []))
