"""The method azure: a token of Azure's, by the workload identity of a ServiceAccount, or of the operator itself.

Invariant: the token is for the resource that the method expects and is never kept; the operator's own identity
is checked for before anything is asked; what Azure says is told by its codes, never by its text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlencode

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.auth.annotated import annotated
from vso.vault.cloud_http import CloudAnswer, CloudRequest, ask, refused, unavailable
from vso.vault.json import JsonObject
from vso.vault.way import Identity, Reads, Shown, Visit, Way

_CLIENT = "azure.workload.identity/client-id"
_TENANT = "azure.workload.identity/tenant-id"
_AUDIENCE = "api://AzureADTokenExchange"
_AUTHORITY = "https://login.microsoftonline.com"
_IMDS = "http://169.254.169.254"
_RESOURCE = "https://management.azure.com/"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,99}")
_WORD = re.compile(r"[A-Za-z_]{1,64}")
_AADSTS = re.compile(r"AADSTS[0-9]{3,8}")
_UNTRUSTED = frozenset({"AADSTS70021", "AADSTS700211", "AADSTS700212", "AADSTS700213"})
_NOT_ACCEPTED = (
    "oidc: expected audience",
    "oidc: id token issued by a different provider",
    "oidc: token is expired",
    "failed to verify id token signature",
    "not authorized",
    "bound_service_principal_ids",
)
"""What the method, which answers 500 to every token that it does not accept, says of the token or the role."""
_PASSING = frozenset({"temporarily_unavailable", "server_error"})


@dataclass(frozen=True)
class _Application:
    client: str
    tenant: str
    who: str


@dataclass(frozen=True)
class AzureWay(Way):
    """A role of the method, the resource that its tokens are for, and who asks for one."""

    role: str
    resource: str = _RESOURCE
    client: str = ""
    tenant: str = ""
    """Both empty for those in the ServiceAccount's annotations, or the operator's environment."""
    namespace: str = ""
    service_account: str = ""
    """Empty for the operator's own identity."""

    RESERVED: ClassVar[frozenset[str]] = frozenset({"role", "jwt"})

    @property
    def who(self) -> str:
        """The role."""
        return f"role {self.role!r}"

    @property
    def personal(self) -> bool:
        """The operator's own identity is everybody's who may use it."""
        return bool(self.service_account)

    @property
    def speaks_for(self) -> Identity | None:
        """The ServiceAccount that asks as the application."""
        return Identity(self.namespace, self.service_account) if self.service_account else None

    @property
    def reads(self) -> Reads:
        """The ServiceAccount, unless the VaultAuth names client and tenant."""
        told = bool(self.client and self.tenant) or not self.service_account
        return Reads() if told else Reads(annotations=(self.service_account,))

    async def show(self, visit: Visit) -> Shown:
        """Get the token."""
        if self.service_account:
            return await self._of_account(visit)
        visit.surroundings.check_ambient(visit.config.name, "spec.azure.serviceAccount")
        mounted = visit.surroundings.file("AZURE_FEDERATED_TOKEN_FILE")
        if mounted is not None:
            return await self._of_operator(visit.surroundings.env, mounted)
        return await self._of_machine(visit.surroundings.env)

    def refused_by(self, failure: str) -> bool:
        """Tell a token that is not accepted from a Vault that does not work, or does not reach Azure."""
        return any(text in failure for text in _NOT_ACCEPTED)

    def pointed_at(self, message: str) -> str:
        """Return what Vault's text points at."""
        if "invalid role name" in message:
            return f"there is no role {self.role!r}"
        if "expected audience" in message:
            return f"the mount is configured for another resource than spec.azure.resource, {self.resource}"
        if "not authorized" in message:
            return f"role {self.role!r} is not bound to the identity: {message}"
        return super().pointed_at(message)

    async def _of_account(self, visit: Visit) -> Shown:
        application = await self._application(visit)
        assertion, uid = await visit.sources.jwt(Identity(self.namespace, self.service_account, (_AUDIENCE,), 600))
        token = await self._token(visit.surroundings.env, application, assertion)
        return Shown({"role": self.role, "jwt": token}, source=f"{uid} {application.client}", uid=uid)

    async def _application(self, visit: Visit) -> _Application:
        """Return whom the ServiceAccount asks as; the spec wins over its annotations."""
        client, tenant = self.client, self.tenant or visit.surroundings.env.get("AZURE_TENANT_ID", "")
        if not client or not tenant:
            wanted, instead = (_TENANT, "spec.azure.tenantID") if client else (_CLIENT, "spec.azure.clientID")
            found = await annotated(visit, self.service_account, wanted, instead)
            client, tenant = client or found[_CLIENT], self.tenant or found.get(_TENANT) or tenant
        who = f"system:serviceaccount:{self.namespace}:{self.service_account}"
        return _checked(_Application(client, tenant, who))

    async def _of_operator(self, env: Mapping[str, str], mounted: Sensitive) -> Shown:
        """Log in with the token that the workload identity webhook has mounted into the operator's pod."""
        client = self.client or env.get("AZURE_CLIENT_ID", "")
        tenant = self.tenant or env.get("AZURE_TENANT_ID", "")
        application = _checked(_Application(client, tenant, "the operator's ServiceAccount"))
        token = await self._token(env, application, mounted)
        return Shown({"role": self.role, "jwt": token}, source=f"own {application.client}")

    async def _token(self, env: Mapping[str, str], asking: _Application, assertion: Sensitive) -> Sensitive:
        form = {
            "grant_type": "client_credentials",
            "client_id": asking.client,
            # The resource as it is: a slash at its end is part of the audience, and stays one before the suffix.
            "scope": f"{self.resource}/.default",
            "client_assertion_type": _ASSERTION,
            "client_assertion": assertion.reveal_text(),
        }
        base = (env.get("AZURE_AUTHORITY_HOST") or _AUTHORITY).rstrip("/")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        url = f"{base}/{asking.tenant}/oauth2/v2.0/token"
        request = CloudRequest("Microsoft Entra ID", url, "POST", headers, urlencode(form).encode())
        answer = await ask(request, env)
        if answer.ok:
            return _text(answer.json, request.who)
        word, number = _codes(answer)
        if word in _PASSING:
            raise unavailable(request.who, word)
        raise refused(request.who, f"{number or word}: {self._pointed_at(number, asking)}")

    def _pointed_at(self, number: str, asking: _Application) -> str:
        if number in _UNTRUSTED:
            return f"no federated credential of application {asking.client} is for {asking.who}, audience {_AUDIENCE}"
        match number:
            case "AADSTS700016":
                return f"there is no application {asking.client} in tenant {asking.tenant}"
            case "AADSTS90002" | "AADSTS900023":
                return f"there is no tenant {asking.tenant}"
            case "AADSTS500011":
                return f"tenant {asking.tenant} has no resource {self.resource}"
            case _:
                return f"application {asking.client} of tenant {asking.tenant} gets no token for {self.resource}"

    async def _of_machine(self, env: Mapping[str, str]) -> Shown:
        """Log in as the managed identity of the node, and say which machine it is: roles may be bound to it."""
        asked = {"resource": self.resource, **({"client_id": self.client} if self.client else {})}
        identity = _metadata(env, "identity/oauth2/token", "2018-02-01", asked)
        answer = await ask(identity, env)
        if not answer.ok:
            word, _ = _codes(answer)
            hint = (
                f"the node has no identity {self.client}"
                if self.client
                else ("the node has no managed identity, or several: then set spec.azure.clientID to one")
            )
            raise refused(identity.who, f"{word}: {hint}")
        machine = await ask(_metadata(env, "instance/compute", "2021-02-01", {"format": "json"}), env)
        token = _text(answer.json, identity.who)
        return Shown({"role": self.role, "jwt": token, **_placed(machine.json)}, source=f"node {self.client}")


def _metadata(env: Mapping[str, str], path: str, version: str, query: Mapping[str, str]) -> CloudRequest:
    base = (env.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _IMDS).rstrip("/")
    url = f"{base}/metadata/{path}?{urlencode({'api-version': version, **query})}"
    return CloudRequest("the metadata service of the node", url, headers={"Metadata": "true"}, at_hand=True)


def _placed(machine: JsonObject) -> dict[str, str]:
    """Return the fields of the login that tell the machine, as Vault calls them; one of a scale set goes by it."""
    scale_set = machine.get("vmScaleSetName")
    found = {
        "subscription_id": machine.get("subscriptionId"),
        "resource_group_name": machine.get("resourceGroupName"),
        "vmss_name" if scale_set else "vm_name": scale_set or machine.get("name"),
    }
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def _checked(application: _Application) -> _Application:
    """Refuse what is missing, and what would lead elsewhere than to a tenant."""
    for name, value in (("clientID", application.client), ("tenantID", application.tenant)):
        if not _PART.fullmatch(value):
            told = f"is {value[:100]!r}, which can be none" if value else "must be set"
            raise ConfigError(Reason.INVALID_SPEC, f"spec.azure.{name} {told} ({application.who})")
    return application


def _codes(answer: CloudAnswer) -> tuple[str, str]:
    """Return the error's word and its AADSTS number, if it has one."""
    word, told = answer.json.get("error"), answer.json.get("error_description")
    number = _AADSTS.match(told) if isinstance(told, str) else None
    known = isinstance(word, str) and _WORD.fullmatch(word)
    return str(word) if known else str(answer.status), number[0] if number else ""


def _text(body: JsonObject, who: str) -> Sensitive:
    found = body.get("access_token")
    if not isinstance(found, str) or not found:
        raise unavailable(who, "its answer holds no token")
    return Sensitive.of(found)
