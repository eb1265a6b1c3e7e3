"""Whether the operator needs what the shipped Roles give it: with `--every-right`, one that no scenario used is an error.

Each worker tells at its end what the API server's audit log saw the operator do; the run compares the union with the
rules. Invariant: a right counts as used only when a request that needs it was granted.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.testbed.bed import Bed
from vso.app import rbac

Right = tuple[str, str]
"""A resource, its subresource after a slash, and a verb."""

_USED = pytest.StashKey[set[Right]]()
_OPERATOR = f"system:serviceaccount:{rbac.NAMESPACE}:{rbac.NAME}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-right", action="store_true", help="fail when a right of the shipped Roles is not used")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_USED] = set()


def granted() -> set[Right]:
    """What the Roles of mode full give, with restarts, kept tokens and guarded metrics."""
    more = (*rbac.restart_rules(), *rbac.client_cache_rules(), *rbac.metrics_auth_rules())
    rules = [*rbac.cluster_rules(full=True), *rbac.own_namespace_rules(), *more]
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def used(bed: Bed) -> set[Right]:
    """What the operator did, and was let do, on a bed."""
    calls = (call for call in bed.kube_audit() if call.user == _OPERATOR and call.code < 400)
    return {(f"{call.resource}/{call.subresource}".rstrip("/"), call.verb) for call in calls}


def note(config: pytest.Config, bed: Bed) -> None:
    """Remember what a bed saw; on a worker, for the run."""
    seen: set[Right] = config.stash[_USED]
    seen |= used(bed)
    if hasattr(config, "workeroutput"):
        config.workeroutput["rights"] = sorted(seen)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker saw."""
    found = getattr(node, "workeroutput", {}).get("rights", ())
    seen: set[Right] = node.config.stash[_USED]
    seen |= {(resource, verb) for resource, verb in found}


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the rights that nobody used."""
    for resource, verb in _unused(config):
        terminalreporter.write_line(f"no scenario needs the right to {verb} {resource}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """An unused right fails the run."""
    if _unused(session.config) and not hasattr(session.config, "workeroutput"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unused(config: pytest.Config) -> list[Right]:
    seen: set[Right] = config.stash[_USED]
    return sorted(granted() - seen) if config.getoption("--every-right") else []
