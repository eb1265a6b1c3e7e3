"""Whether the operator needs what the shipped roles of an install give it, and nothing that they do not.

Each worker tells at its end what the API server's audit log saw the operator do; the run compares the union with the
rules: what they do not give is an error, and with `--every-right` one that no scenario used is one too.
Invariant: a right counts as used only when a request that needs it was granted; one for a name only by a request for
that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import pytest

from tests.conformance.install import ACCOUNT, INSTALLS, OPERATOR_NAMESPACE, OPERATOR_USER, Install, chosen
from tests.testbed.audits import ApiCall
from tests.testbed.bed import Bed, Mark
from vso.app import rbac
from vso.sandbox.rbac import Access, allows

Right = tuple[str, str, str]
"""A resource, its subresource after a slash, a verb, and the one name that it is for, or none."""

_USED = pytest.StashKey[set[Right]]()
_BEYOND = pytest.StashKey[set[Right]]()
_EVERYWHERE = "everywhere"
_OWN = "in its own namespace"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-right", action="store_true", help="fail when a right of the shipped roles is not used")
    parser.addoption("--install", choices=list(INSTALLS), default="full", help="whose roles the scenarios play under")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_USED], config.stash[_BEYOND] = set(), set()
    lines = (
        "only_in(*installs, because): what the scenario tells is so in these installs alone",
        "beside(*names): the scenario founds teams in these namespaces beside that of its team",
        "refused(*rights): the operator lacks these, each a verb and a resource, and asks all the same; without any named, "
        "whatever it asks for",
    )
    for line in lines:
        config.addinivalue_line("markers", line)


def granted(install: Install) -> set[Right]:
    """What the roles of an install give, with restarts and kept tokens, and guarded metrics where a role can be had."""
    own = rbac.own_namespace_rules(everywhere=not install.namespaced)
    more = () if install.namespaced else rbac.metrics_auth_rules()
    team = rbac.team_rules(full=install.full, service_accounts=(ACCOUNT, rbac.NAME) if install.namespaced else ())
    rules = [*team, *own, *rbac.restart_rules(), *rbac.client_cache_rules(), *more]
    return {right for rule in rules for right in _rights(rule)}


def used(bed: Bed, install: Install) -> set[Right]:
    """The rights of the install that the operator made use of on a bed."""
    done = (_right(call) for call in _calls(bed) if call.code < 400)
    return granted(install) & {right for what, verb, name in done for right in ((what, verb, name), (what, verb, ""))}


def beyond(bed: Bed, install: Install) -> set[Right]:
    """What the operator did on a bed that no rule of the install gives it, nor one that its users add by name."""
    return {_right(call) for call in _calls(bed) if call.code < 400 and not _given(install, _access(call))}


def refused(bed: Bed, since: Mark) -> set[str]:
    """What the operator was refused for want of a right since the mark, in namespaces that are there to stay."""
    calls = [call for call in _calls(bed, since) if call.forbidden]
    if not calls:
        return set()
    staying = {ns["metadata"]["name"] for ns in bed.kube.list("Namespace") if ns["status"]["phase"] == "Active"}
    return {"{1} {0}".format(*_right(call)) for call in calls if call.namespace in {"", *staying}}


def note(config: pytest.Config, bed: Bed) -> None:
    """Remember what a bed saw; on a worker, for the run."""
    seen, more = config.stash[_USED], config.stash[_BEYOND]
    seen |= used(bed, chosen(config))
    more |= beyond(bed, chosen(config))
    if hasattr(config, "workeroutput"):
        config.workeroutput["rights"] = [sorted(seen), sorted(more)]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker saw."""
    seen, more = getattr(node, "workeroutput", {}).get("rights", ((), ()))
    node.config.stash[_USED].update(map(tuple, seen))
    node.config.stash[_BEYOND].update(map(tuple, more))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the rights that nobody used, and those that nobody gave."""
    for line in _faults(config):
        terminalreporter.write_line(line, red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A fault fails the run."""
    if list(_faults(session.config)) and not hasattr(session.config, "workeroutput"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _faults(config: pytest.Config) -> Iterator[str]:
    install, seen = chosen(config), config.stash[_USED]
    for right in sorted(granted(install) - seen) if config.getoption("--every-right") else ():
        yield f"no scenario needs the right to {_told(right)}"
    more: set[Right] = config.stash[_BEYOND]
    for right in sorted(more):
        yield f"no rule of install {install.name} gives the right to {_told(right)}"


def _told(right: Right) -> str:
    resource, verb, name = right
    return f"{verb} {resource}{name and f' named {name}'}"


def _rights(rule: rbac.Rule) -> Iterator[Right]:
    names = rule.get("resourceNames") or [""]
    return ((resource, verb, name) for resource in rule["resources"] for verb in rule["verbs"] for name in names)


def _calls(bed: Bed, since: Mark | None = None) -> Iterator[ApiCall]:
    """The operator's requests that are about a resource."""
    return (call for call in bed.kube_audit(since) if call.user == OPERATOR_USER and call.resource)


def _right(call: ApiCall) -> Right:
    return f"{call.resource}/{call.subresource}".rstrip("/"), call.verb, _name(call)


def _name(call: ApiCall) -> str:
    """The name that is asked for; what is created is named in the body, which rules do not look into."""
    return "" if call.verb == "create" and not call.subresource else call.name


def _access(call: ApiCall) -> Access:
    """What was asked for, with the namespace as far as rules tell one from another."""
    inside = _OWN if call.namespace == OPERATOR_NAMESPACE else call.namespace and "in one of a team"
    return Access(call.verb, call.group, call.resource, call.subresource, inside or _EVERYWHERE, _name(call))


@cache
def _given(install: Install, access: Access) -> bool:
    return any(allows(rule, access) for rule in _rules(install, access))


def _rules(install: Install, access: Access) -> Iterable[rbac.Rule]:
    """The shipped rules that count where something was asked for."""
    if not (install.namespaced and access.namespace == _EVERYWHERE):
        yield from rbac.team_rules(full=install.full)
        yield from rbac.restart_rules()
        yield from (rbac.credential_rule(resource) for resource in rbac.CREDENTIALS)
    if not install.namespaced:
        yield from rbac.metrics_auth_rules()
    if access.namespace == _OWN:
        yield from (
            *rbac.own_namespace_rules(everywhere=not install.namespaced),
            *rbac.client_cache_rules(),
            *rbac.scale_rules(),
        )
