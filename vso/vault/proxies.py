"""Which HTTP proxy stands before a Vault, by the environment of the operator.

Invariant: pure; decided once for each connection and not for each request. The variables are those
that Go programs read (HTTPS_PROXY, HTTP_PROXY, NO_PROXY, in either case), and NO_PROXY means the
same: names with their subdomains, addresses, blocks in CIDR notation, each with a port or without.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def proxy_for(address: str, env: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for an http or https address; None when Vault is asked directly."""
    parts = urlsplit(address)
    found = _variable(env, f"{parts.scheme}_proxy")
    # In a CGI program HTTP_PROXY is a request header, which anybody sends; we are none, so it counts.
    if not found:
        return None
    host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
    if any(_spares(rule, host, port) for rule in _variable(env, "no_proxy").split(",")):
        return None
    return found if "://" in found else f"http://{found}"


def _variable(env: Mapping[str, str], name: str) -> str:
    return (env.get(name.upper()) or env.get(name) or "").strip()


def _spares(rule: str, host: str, port: int) -> bool:
    """Tell whether one entry of NO_PROXY names the host."""
    rule = rule.strip().lower()
    if rule == "*":
        return True
    named, only = _split_port(rule)
    if not named or (only and only != str(port)):
        return False
    address = _address(host)
    if address is not None:
        return _holds(named, address)
    suffix = named.removeprefix("*")
    return host == suffix or host.endswith(suffix if suffix.startswith(".") else f".{suffix}")


def _split_port(rule: str) -> tuple[str, str]:
    if rule.startswith("["):
        inner, _, rest = rule[1:].partition("]")
        return inner, rest.removeprefix(":")
    name, colon, port = rule.rpartition(":")
    # More than one colon without brackets is an IPv6 address.
    return (name, port) if colon and ":" not in name and port.isdigit() else (rule, "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _holds(rule: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
