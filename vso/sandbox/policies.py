"""Vault's policies: simple HCL, globs, and which capabilities they add up to.

Invariant: the most specific pattern decides alone; among equal patterns the capabilities add up and
`deny` wins.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

ROOT = "root"
DEFAULT_POLICY = """
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }
path "sys/renew" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/tools/hash" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
"""
WRAPPING = "response-wrapping"
WRAPPING_POLICY = 'path "sys/wrapping/unwrap" { capabilities = ["update"] }'
_CAPABILITIES = {"create", "read", "update", "patch", "delete", "list", "sudo", "deny", "subscribe", "recover"}
_BLOCK = re.compile(r'\s*path\s+"([^"]*)"\s*\{([^{}]*)\}')
_LIST = re.compile(r"capabilities\s*=\s*\[([^\]]*)\]")


class PolicyError(Exception):
    """A policy text that does not parse."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One path block."""

    path: str
    capabilities: frozenset[str]


def parse(text: str) -> tuple[Rule, ...]:
    """Return the rules of a policy text."""
    plain = re.sub(r'("[^"]*")|(?:#|//)[^\n]*|/\*.*?\*/', lambda m: m[1] or "", text, flags=re.DOTALL)
    rules, at = [], 0
    while plain[at:].strip():
        block = _BLOCK.match(plain, at)
        listed = _LIST.search(block[2]) if block else None
        if block is None or listed is None:
            raise PolicyError("failed to parse policy: expected path blocks with capabilities")
        found = frozenset(re.findall(r'"([^"]*)"', listed[1]))
        if found - _CAPABILITIES:
            raise PolicyError(f'failed to parse policy: path "{block[1]}": invalid capability')
        rules.append(Rule(block[1].removeprefix("/"), found))
        at = block.end()
    return tuple(rules)


@functools.lru_cache(maxsize=4096)
def _pattern(path: str) -> re.Pattern[str]:
    glob = path.endswith("*")
    parts = ("[^/]+" if part == "+" else re.escape(part) for part in path.removesuffix("*").split("/"))
    return re.compile("/".join(parts) + (".*" if glob else ""))


def _priority(path: str) -> tuple[bool, int, bool, int, int, str]:
    wild = re.search(r"(?:^|/)\+(?:/|$)|\*$", path)
    plus = path.split("/").count("+")
    return (wild is None, wild.start() if wild else 0, not path.endswith("*"), -plus, len(path), path)


def capabilities(rules: Iterable[Rule], path: str) -> frozenset[str]:
    """Return what the rules allow on a path."""
    matching = [rule for rule in rules if _pattern(rule.path).fullmatch(path)]
    if not matching:
        return frozenset()
    best = max((rule.path for rule in matching), key=_priority)
    found = frozenset[str]().union(*(rule.capabilities for rule in matching if rule.path == best))
    return frozenset({"deny"}) if "deny" in found else found
