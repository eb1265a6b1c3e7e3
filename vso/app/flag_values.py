"""What the text of a flag or an environment variable means.

Invariant: pure; each function raises ValueError with a text that reads well after "--flag: ".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from vso.core.durations import parse_duration
from vso.core.label_selector import label_selector

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; an empty host means every interface, port 0 any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AddressRule:
    """One entry of an allow list: what it leaves out, it does not limit."""

    scheme: str
    host: str
    """A host, or "*.domain" for every host below the domain."""
    port: int | None

    def admits(self, address: str) -> bool:
        """Tell whether a URL is one that the entry means."""
        try:
            url = urlsplit(address)
            port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        except ValueError:
            return False
        host = (url.hostname or "").lower()
        return self.scheme in {"", url.scheme} and self._admits_host(host) and self.port in {None, port}

    def _admits_host(self, host: str) -> bool:
        if self.host.startswith("*."):
            return host.endswith(self.host[1:]) and len(host) > len(self.host) - 1
        return host == self.host


def text(value: str) -> str:
    """Return the value without blanks around it."""
    return value.strip()


def boolean(value: str) -> bool:
    """Return the truth that Go's flag package sees in the value."""
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def whole(least: int = 0) -> Callable[[str], int]:
    """Return a parser of whole numbers from `least` on."""

    def parse(value: str) -> int:
        number = int(value) if re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()) else None
        if number is None or number < least:
            raise ValueError(f"{value!r} is not a whole number from {least} on")
        return number

    return parse


def number(value: str) -> float:
    """Return a decimal number; nan and the infinities are none."""
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", value.strip()):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def seconds(value: str) -> float:
    """Return a Go duration in seconds; zero is allowed."""
    return parse_duration(value).total_seconds()


def some_seconds(value: str) -> float:
    """Return a Go duration in seconds; zero is not allowed."""
    span = seconds(value)
    if span <= 0:
        raise ValueError(f"{value!r} must be longer than 0s")
    return span


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a parser of exactly these words."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"{value!r} is unknown; known: {', '.join(word for word in allowed if word)}")
        return value

    return parse


def zap_level(value: str) -> str:
    """Return the log level that a --zap-log-level means; a number is a verbosity there, 1 is debug."""
    if value.isascii() and value.isdigit() and int(value) > 0:
        return "debug"
    levels = {"": "", "debug": "debug", "info": "info", "error": "error", "panic": "error"}
    if value not in levels:
        raise ValueError(f"{value!r} is unknown; known: debug, info, error, panic or a number above 0")
    return levels[value]


def words(value: str) -> tuple[str, ...]:
    """Return the entries of a comma-separated list, each once, in their order."""
    return tuple(dict.fromkeys(word for word in (part.strip() for part in value.split(",")) if word))


def words_of(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of comma-separated lists of these words."""

    def parse(value: str) -> tuple[str, ...]:
        return tuple(one_of(*allowed)(word) for word in words(value))

    return parse


def namespace(value: str) -> str:
    """Return the name of a namespace; empty for none."""
    name = value.strip()
    if name and not _DNS_LABEL.fullmatch(name):
        raise ValueError(f"{value!r} is not the name of a namespace")
    return name


def namespaces(value: str) -> tuple[str, ...]:
    """Return a list of namespaces."""
    return tuple(namespace(name) for name in words(value))


def selector(value: str) -> str:
    """Return a label selector that can be understood."""
    label_selector(value)
    return value.strip()


def label_value(value: str) -> str:
    """Return what may be the value of a label; empty for none."""
    if not _LABEL_VALUE.fullmatch(value.strip()):
        raise ValueError(f"{value!r} is not the value of a label")
    return value.strip()


def folder(value: str) -> str:
    """Return the path of a folder; empty for none."""
    path = value.strip()
    if path and (not path.startswith("/") or ".." in path.split("/")):
        raise ValueError(f"{path!r} is not an absolute path")
    return path


def prefixes(value: str) -> tuple[str, ...]:
    """Return a list of folders, each an absolute path."""
    return tuple(folder(path) for path in words(value))


def bind_address(value: str) -> Address | None:
    """Return where to listen: "host:port" or ":port"; None for "" and "0", which switch it off."""
    if value in {"", "0"}:
        return None
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise ValueError(f"{value!r} is not host:port or :port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{value!r}: an IPv6 address is written in brackets")
    return Address(host, int(port))


def address_rules(value: str) -> tuple[AddressRule, ...]:
    """Return an allow list of addresses: entries such as https://vault.example.com:8200 or *.example.com."""
    return tuple(_address_rule(entry) for entry in words(value))


def _address_rule(entry: str) -> AddressRule:
    try:
        url = urlsplit(entry if "://" in entry else f"//{entry}")
        host, port = (url.hostname or "").lower(), url.port
    except ValueError:
        host, port = "", None
        url = urlsplit("")
    rest = url.path.strip("/") or url.query or url.fragment or url.username
    if url.scheme not in {"", "http", "https"} or rest or not re.fullmatch(r"(\*\.)?[^*\s]+", host):
        raise ValueError(f"{entry!r} is not [scheme://]host[:port]; a host may begin with '*.'")
    return AddressRule(url.scheme, host, port)
