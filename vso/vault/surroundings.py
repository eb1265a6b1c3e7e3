"""What stands around the operator, as far as a login may use it: its environment, its own identity in a cloud.

Invariant: the operator's own identity speaks only for a VaultAuth of the operator's namespace and where the
administrator allows it, and the refusal comes before anything is asked; an endpoint that a VaultAuth names is
never one of the machine's own, and of the operator's pod only where the administrator names it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive

_STS = re.compile(r"https://sts(-fips)?(\.[a-z]{2,}(-[a-z]+)+-[0-9]{1,2})?\.amazonaws\.com(\.cn)?(:443)?/?")
"""AWS's own hosts for logins alone: many another host of that domain is a customer's (an API, a bucket, a machine)."""
_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_METADATA = frozenset({"metadata", "metadata.google.internal"})
_METADATA_NETWORKS = tuple(
    # AWS's own services on a machine, Google's metadata, Azure's host, Alibaba's metadata; the rest is link-local.
    ipaddress.ip_network(network)
    for network in ("fd00:ec2::/32", "fd20:ce::254/128", "168.63.129.16/32", "100.100.100.200/32")
)


@dataclass(frozen=True)
class Surroundings:
    """The operator's environment, and what of it may be used for whom."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    namespace: str = ""
    """The operator's own."""
    ambient: bool = False
    """Whether the administrator lets the operator's own identity be used at all."""
    allows_address: Callable[[str], bool] | None = None
    """What --vault-address-allow admits; None where it is not set: then all but the operator's own pod."""

    def check_ambient(self, auth: str, instead: str) -> None:
        """Raise a ConfigError unless the VaultAuth (namespace/name) may use the operator's own identity."""
        if not self.ambient or auth.partition("/")[0] != self.namespace:
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"VaultAuth {auth}: the operator's own identity in the cloud is used only for a VaultAuth in "
                f"namespace {self.namespace} and with --allowed-file-prefixes set; else set {instead}",
            )

    def file(self, variable: str) -> Sensitive | None:
        """Return the content, stripped, of the file that a variable names; None where it is not set."""
        path = self.env.get(variable, "")
        if not path:
            return None
        try:
            return Sensitive.of(Path(path).read_text(encoding="utf-8").strip())
        except OSError as error:
            text = str(error.strerror)
        except UnicodeDecodeError:
            text = "it is not text"
        raise ConfigError(Reason.INVALID_SPEC, f"the file that {variable} names cannot be read: {text}")

    def check_endpoint(self, url: str, name: str) -> None:
        """Raise a ConfigError unless the URL in the field may be asked, as far as its text tells."""
        if _STS.fullmatch(url):
            return
        host = _plain_host(url)
        if not host or _is_metadata(host):
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"{name} must be http://host:port or https://host:port, and not an endpoint of the machine's own",
            )
        if not (self._admits(url) or (self.allows_address is None and not _is_near(host))):
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"{name} is none of those that the operator's flag --vault-address-allow admits, nor an STS of AWS's",
            )

    def may_reach(self, url: str) -> Callable[[str], bool]:
        """Return which addresses may stand behind the URL's host: a name says nothing of where it leads."""
        near = self._admits(url)
        return lambda address: not _is_metadata(address) and (near or not _is_near(address))

    def _admits(self, url: str) -> bool:
        return self.allows_address is not None and self.allows_address(url)


NOTHING = Surroundings()
"""No environment, and no right to an identity of the operator's own."""


def _plain_host(url: str) -> str:
    """Return the host of an address without user, query and escapes; empty for any other."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ""
    odd = any(char in url for char in "@?#") or not _PATH.fullmatch(parts.path)
    return "" if odd or parts.scheme not in ("http", "https") else (parts.hostname or "").lower().rstrip(".")


def _is_metadata(host: str) -> bool:
    """Tell whether it is, or may be, where a machine speaks of itself to whoever runs on it."""
    address = _address(host)
    if address is None:
        # 0xa9fea9fe and 2852039166 are addresses too, to those who resolve names.
        return host in _METADATA or bool(_NUMBER.fullmatch(host.rpartition(".")[2]))
    return address.is_link_local or any(address in network for network in _METADATA_NETWORKS)


def _is_near(host: str) -> bool:
    """Tell whether it is the operator's own pod."""
    address = _address(host)
    if address is None:
        return host.rpartition(".")[2] == "localhost"
    return address.is_loopback or address.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
