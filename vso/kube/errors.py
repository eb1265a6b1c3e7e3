"""What the API server's refusals mean, decided once.

Invariant: an error's message never carries text that the server may have copied from the body of a
Secret. For Secrets a rejection is told by the fields and reasons of its causes alone; a webhook's
words are kept, and `vso.kube.secrets` withholds them when they quote a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vso.core.errors import ConfigError, ExpiredError, Reason, TerminalError, TransientError, VsoError
from vso.core.keys import GROUP
from vso.kube.json import JsonObject, child
from vso.kube.paths import Target

_QUIET: Final = frozenset({"secrets", "serviceaccounts/token", "tokenreviews"})
"""Resources whose bodies are secret: the server's free text about them is not repeated."""

_WEBHOOK: Final = re.compile(
    r'admission webhook "([^"]+)" denied the request(?: without explanation)?:?\s*(.*)', re.DOTALL
)
_POLICY: Final = re.compile(
    r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']*' denied request:?\s*(.*)", re.DOTALL
)
_FAILED_WEBHOOK: Final = re.compile(r'failed calling webhook "([^"]+)"')
_QUOTA: Final = re.compile(r"(?:exceeded|failed) quota.*", re.DOTALL)
_RBAC: Final = re.compile(r'cannot [a-z]+ (?:resource|path) "')
_LONGEST: Final = 600


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause of a rejection; its message is left out on purpose."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that failed, in the words of RBAC."""

    verb: str
    target: Target

    def __str__(self) -> str:
        return f"{self.verb} {self.target}"


class NotFoundError(VsoError):
    """The object, its namespace or its kind does not exist (404)."""

    def __init__(self, message: str, missing: str = "") -> None:
        super().__init__(Reason.REFERENCE_NOT_FOUND, message)
        self.missing = missing
        """The resource that is missing: "namespaces" when it is the namespace itself."""


class AlreadyExistsError(VsoError):
    """An object of that name is there already (409 on a create)."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.KUBERNETES_CONFLICT, message)


class ConflictError(TransientError):
    """Somebody else wrote in between (409): look again."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(Reason.KUBERNETES_CONFLICT, message, retry_after)


class InvalidError(ConfigError):
    """The object was refused by its validation (422), or a test of a JSON Patch failed."""

    def __init__(self, message: str, causes: tuple[Cause, ...] = (), *, test_failed: bool = False) -> None:
        super().__init__(Reason.KUBERNETES_REJECTED, message)
        self.causes = causes
        self.test_failed = test_failed


class ForbiddenError(ConfigError):
    """A right is missing; the message names the rule to add."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.KUBERNETES_FORBIDDEN, message)


class UnauthorizedError(TransientError):
    """The operator's own credential was refused (401); it is read again before the next request."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.KUBERNETES_UNAVAILABLE, message)


class UnreachableError(TransientError):
    """The connection could not be made, or broke before the answer."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.KUBERNETES_UNAVAILABLE, message)


def error_for(status: int, body: JsonObject | None, asked: Asked, retry_after: float | None = None) -> VsoError:
    """Return the error that an answer outside 2xx stands for."""
    said = body or {}
    admission = _admission(_text(said), asked)
    if admission is not None and status < 500:
        return admission
    match status:
        case 401:
            return UnauthorizedError(f"{asked}: the API server does not accept the operator's credential")
        case 403:
            return _forbidden(said, asked)
        case 404:
            return _not_found(said, asked)
        case 409:
            return _conflict(said, asked, retry_after)
        case 410:
            return ExpiredError(f"{asked}: the resourceVersion is too old")
        case 400 | 422:
            return _invalid(status, said, asked)
        case _:
            return _other(status, said, asked, retry_after)


def missing_rule(asked: Asked) -> str:
    """Return the RBAC rule that a request needs, as one line of YAML; by name where a rule for one name is of use."""
    target = asked.target
    if target.is_path:
        return f'nonResourceURLs: ["{target}"], verbs: ["{asked.verb}"]'
    named = target.name and asked.verb != "create" and target.resource != "events" and target.group != GROUP
    names = f', resourceNames: ["{target.name}"]' if named or target.subresource == "token" else ""
    return f'apiGroups: ["{target.group}"], resources: ["{target.full_resource}"], verbs: ["{asked.verb}"]{names}'


def _admission(text: str, asked: Asked) -> ConfigError | None:
    webhook = _WEBHOOK.search(text)
    if webhook is not None:
        return ConfigError(Reason.ADMISSION_DENIED, f"{asked}: webhook {webhook[1]} refused: {_cut(webhook[2])}")
    policy = _POLICY.search(text)
    if policy is not None:
        return ConfigError(Reason.ADMISSION_DENIED, f"{asked}: policy {policy[1]} refused: {_cut(policy[2])}")
    return None


def _forbidden(said: JsonObject, asked: Asked) -> VsoError:
    text, namespace = _text(said), asked.target.namespace
    if any(cause.reason == "NamespaceTerminating" for cause in _causes(said)):
        return TerminalError(Reason.NAMESPACE_TERMINATING, f"{asked}: namespace {namespace} is being deleted")
    quota = _QUOTA.search(text)
    if quota is not None:
        return ConfigError(Reason.QUOTA_EXCEEDED, f"{asked}: {_cut(quota[0])}")
    if _RBAC.search(text) or not text:
        where = f"in namespace {namespace}" if namespace else "in the whole cluster"
        return ForbiddenError(f"{asked}: a right is missing {where}; the rule is {{{missing_rule(asked)}}}")
    return ConfigError(Reason.KUBERNETES_REJECTED, f"{asked}: forbidden{_free_text(said, asked)}")


def _not_found(said: JsonObject, asked: Asked) -> VsoError:
    missing = str(child(said, "details").get("kind") or asked.target.resource)
    if missing == "namespaces":
        return NotFoundError(f"{asked}: namespace {asked.target.namespace} does not exist", missing)
    return NotFoundError(f"{asked}: not found", missing)


def _conflict(said: JsonObject, asked: Asked, retry_after: float | None) -> VsoError:
    if said.get("reason") == "AlreadyExists":
        return AlreadyExistsError(f"{asked}: it exists already")
    return ConflictError(f"{asked}: somebody else wrote in between", retry_after)


def _invalid(status: int, said: JsonObject, asked: Asked) -> VsoError:
    causes = tuple(_causes(said))
    # A patch that cannot be applied is answered by a bare 422. Ours always can be, but for their test.
    test_failed = status == 422 and asked.verb == "patch" and not any(cause.field for cause in causes)
    if test_failed:
        detail = ": a test of the patch failed"
    elif asked.target.full_resource in _QUIET:
        detail = ": " + "; ".join(dict.fromkeys(map(str, causes))) if causes else ""
    else:
        detail = _free_text(said, asked)
    return InvalidError(f"{asked}: rejected ({status}){detail}", causes, test_failed=test_failed)


def _other(status: int, said: JsonObject, asked: Asked, retry_after: float | None) -> VsoError:
    seconds = child(said, "details").get("retryAfterSeconds")
    if retry_after is None and isinstance(seconds, int) and seconds > 0:
        retry_after = float(seconds)
    webhook = _FAILED_WEBHOOK.search(_text(said))
    told = f": webhook {webhook[1]} does not answer" if webhook else ""
    if status == 429 or status >= 500:
        return TransientError(Reason.KUBERNETES_UNAVAILABLE, f"{asked}: answer {status}{told}", retry_after)
    return ConfigError(Reason.KUBERNETES_REJECTED, f"{asked}: answer {status}{_free_text(said, asked)}")


def _causes(said: JsonObject) -> Iterable[Cause]:
    causes = child(said, "details").get("causes")
    for cause in causes if isinstance(causes, list) else ():
        yield Cause(_cut(str(cause.get("field", ""))), str(cause.get("reason", "")))


def _free_text(said: JsonObject, asked: Asked) -> str:
    text = "" if asked.target.full_resource in _QUIET else _text(said)
    return f": {_cut(text)}" if text else ""


def _text(said: JsonObject) -> str:
    message = said.get("message")
    return message if isinstance(message, str) else ""


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
