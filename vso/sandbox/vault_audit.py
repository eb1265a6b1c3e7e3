"""Vault's audit lines, in the shape of its file audit device.

Invariant: tokens and accessors appear as keyed hashes only, values not at all.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from vso.core.clock import Clock
from vso.sandbox.audit import AuditLog
from vso.sandbox.objects import JsonObject, timestamp
from vso.sandbox.vault_system import System
from vso.sandbox.vault_tokens import Token
from vso.sandbox.vault_types import VaultRefusalError, VaultRequest


class VaultAudit:
    """Writes the request and response lines."""

    def __init__(self, log: AuditLog, clock: Clock, system: System) -> None:
        self._log = log
        self._clock = clock
        self._system = system
        self._salt = secrets.token_bytes(16)

    def entry(self, request: VaultRequest, operation: str, token: Token | None, remote: str) -> JsonObject:
        """Return what both lines of a request say."""
        mount, kind = self._system.kind(request.path)
        about: JsonObject = {
            "id": request.id,
            "operation": operation,
            "mount_point": mount,
            "mount_type": kind,
            "namespace": {"id": "root"},
            "path": request.path,
            "remote_address": remote,
        }
        if request.token:
            about["client_token"] = self._hashed(request.token)
        if token is None:
            return {"request": about}
        return {"auth": self.about(token), "request": about | {"client_token_accessor": self._hashed(token.accessor)}}

    def about(self, token: Token) -> JsonObject:
        """Return the auth block of a token."""
        grant = token.grant
        return {
            "accessor": self._hashed(token.accessor),
            "client_token": self._hashed(token.id),
            "display_name": grant.display_name,
            "metadata": dict(grant.metadata),
            "policies": list(grant.policies),
            "token_policies": list(grant.policies),
            "token_issue_time": token.created,
            "token_ttl": int(grant.ttl),
            "token_type": grant.kind,
        }

    def write(self, kind: str, entry: JsonObject, error: VaultRefusalError | None, lease_id: str = "") -> None:
        """Append a line."""
        line: JsonObject = {"time": timestamp(self._clock.now(), micro=True), "type": kind}
        line |= entry
        if kind == "response":
            line["response"] = {key: entry["request"][key] for key in ("mount_point", "mount_type")}
            line["response"] |= {"secret": {"lease_id": lease_id}} if lease_id else {}
        if error is not None:
            line |= {"error": error.audited} if error.audited else {}
        self._log.write(line)

    def _hashed(self, value: str) -> str:
        return "hmac-sha256:" + hmac.new(self._salt, value.encode(), hashlib.sha256).hexdigest()
