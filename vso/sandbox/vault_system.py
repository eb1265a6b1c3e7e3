"""Vault's own paths: mounts, auth methods, policies (`sys/`).

Invariant: the mount tables and the policies live here; the core in `vault` only looks at them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from vso.core.clock import Clock
from vso.sandbox.database import Database
from vso.sandbox.database_server import DatabaseServer
from vso.sandbox.engines import NOT_FOUND, Backend, Engine, KvV1, KvV2
from vso.sandbox.leases import Leases
from vso.sandbox.objects import JsonObject, dig
from vso.sandbox.policies import DEFAULT_POLICY, ROOT, WRAPPING, WRAPPING_POLICY, PolicyError, Rule, capabilities, parse
from vso.sandbox.transit import Transit
from vso.sandbox.vault_kubernetes import KubernetesAuth, Review
from vso.sandbox.vault_tokens import Token
from vso.sandbox.vault_types import UNSUPPORTED_PATH, Answer, VaultRefusalError, VaultRequest, words


class Policies:
    """The named policies and what tokens may by them."""

    def __init__(self) -> None:
        self._texts = {"default": DEFAULT_POLICY, ROOT: ""}
        known = {"default": DEFAULT_POLICY, WRAPPING: WRAPPING_POLICY}  # the latter is on no list
        self._rules: dict[str, tuple[Rule, ...]] = {name: parse(text) for name, text in known.items()}

    def write(self, name: str, text: str) -> None:
        """Store a policy; a text that does not parse is refused."""
        try:
            self._rules[name] = parse(_plain(text))
        except PolicyError as error:
            raise VaultRefusalError(400, str(error)) from None
        self._texts[name] = _plain(text)

    def delete(self, name: str) -> None:
        """Forget a policy."""
        self._texts.pop(name, None)
        self._rules.pop(name, None)

    def names(self) -> list[str]:
        """Return the names of all policies."""
        return sorted(self._texts)

    def text(self, name: str) -> str:
        """Return the text of a policy."""
        if name not in self._texts:
            raise NOT_FOUND
        return self._texts[name]

    def capabilities(self, names: Iterable[str], path: str) -> frozenset[str]:
        """Return what the policies allow on a path."""
        names = tuple(names)
        if ROOT in names:
            return frozenset({ROOT})
        return capabilities((rule for name in names for rule in self._rules.get(name, ())), path)


def _about(engine: Engine) -> JsonObject:
    return {"type": engine.kind, "options": {"version": engine.version} if engine.version else {}}


def _plain(text: str) -> str:
    if "{" in text:
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return text


class System:
    """The `sys/` backend."""

    def __init__(self, clock: Clock, review: Review, leases: Leases) -> None:
        self._clock = clock
        self._review = review
        self.leases = leases
        self.database_server = DatabaseServer(clock)
        self.policies = Policies()
        self.mounts: dict[str, Engine] = {}
        self.auths: dict[str, KubernetesAuth] = {}

    def mount(self, path: str, version: str) -> None:
        """Mount a key-value engine."""
        self._mount(path, KvV2(self._clock) if version == "2" else KvV1())

    def _mount(self, path: str, engine: Engine) -> None:
        path = f"{path.strip('/')}/"
        if path in self.mounts:
            raise VaultRefusalError(400, f"path is already in use at {path}")
        self.mounts[path] = engine

    def enable_auth(self, path: str) -> None:
        """Enable the kubernetes method."""
        path = f"{path.strip('/')}/"
        if path in self.auths:
            raise VaultRefusalError(400, f"path is already in use at {path}")
        self.auths[path] = KubernetesAuth(path, self._review)

    def backend(self, path: str) -> tuple[str, Backend | None]:
        """Return the longest mount that the path is below, and what is mounted there."""
        table: dict[str, Backend] = {**self.mounts, **{f"auth/{mount}": auth for mount, auth in self.auths.items()}}
        mount = max((found for found in table if path.startswith(found)), key=len, default="")
        return mount, table.get(mount)

    def kind(self, path: str) -> tuple[str, str]:
        """Return the mount that the path is below, and its type."""
        if path.startswith("sys/"):
            return "sys/", "system"
        if path.startswith("auth/token/"):
            return "auth/token/", "token"
        mount, backend = self.backend(path)
        return mount, "" if backend is None else backend.kind

    def handle(self, request: VaultRequest, path: str, token: Token) -> Answer:
        """Answer a request below sys/."""
        head, _, name = path.partition("/")
        match head:
            case "mounts":
                return self._mounts(request, name)
            case "auth":
                return self._auths(request, name)
            case "policies" | "policy":
                acl = head == "policies"
                return self._policies(request, name.removeprefix("acl").strip("/") if acl else name, acl=acl)
            case "capabilities-self":
                return self._capabilities(request, token)
            case "leases":
                return self.leases.handle(request, name)
            case "sandbox":
                return self.database_server.handle(request, name)
            case "audit":
                return Answer()
            case _:
                raise VaultRefusalError(404, UNSUPPORTED_PATH)

    def _mounts(self, request: VaultRequest, name: str) -> Answer:
        if request.operation == "read":
            return Answer({path: _about(engine) for path, engine in self.mounts.items()})
        if request.operation == "delete":
            mount = f"{name.strip('/')}/"
            self.leases.revoke_below(mount)
            self.mounts.pop(mount, None)
            return Answer()
        kind = request.body.get("type")
        if kind == "database":
            self._mount(name, Database(self._clock, self.database_server))
            return Answer()
        if kind == "transit":
            self._mount(name, Transit())
            return Answer()
        if kind not in ("kv", "kv-v1", "kv-v2"):
            raise VaultRefusalError(400, f"plugin not found in the catalog: {kind}")
        version = "2" if kind == "kv-v2" else str(dig(dict(request.body), "options", "version") or "1")
        self.mount(name, version)
        return Answer()

    def _auths(self, request: VaultRequest, name: str) -> Answer:
        if request.operation == "read":
            return Answer({path: {"type": "kubernetes"} for path in self.auths} | {"token/": {"type": "token"}})
        if request.operation == "delete":
            self.auths.pop(f"{name.strip('/')}/", None)
        elif request.body.get("type") != "kubernetes":
            raise VaultRefusalError(400, f"plugin not found in the catalog: {request.body.get('type')}")
        else:
            self.enable_auth(name)
        return Answer()

    def _policies(self, request: VaultRequest, name: str, *, acl: bool) -> Answer:
        match request.operation:
            case "list":
                return Answer({"keys": self.policies.names(), "policies": self.policies.names()})
            case "read" if not name:
                return Answer({"keys": self.policies.names(), "policies": self.policies.names()})
            case "read":
                text = self.policies.text(name)
                return Answer({"name": name, "policy": text} | ({} if acl else {"rules": text}))
            case "delete":
                self.policies.delete(name)
            case _:
                self.policies.write(name, str(request.body.get("policy") or ""))
        return Answer()

    def _capabilities(self, request: VaultRequest, token: Token) -> Answer:
        paths = words(request.body.get("paths")) or words(request.body.get("path"))
        found: JsonObject = {p: sorted(self.policies.capabilities(token.grant.policies, p)) or ["deny"] for p in paths}
        return Answer(found | ({"capabilities": found[paths[0]]} if len(paths) == 1 else {}))
