"""What stands around the operator, as far as a login may use it: its environment, its own identity in a cloud.

Invariant: the operator's own identity speaks only for a VaultAuth of the operator's namespace and where the
administrator allows it, and the refusal comes before anything is asked; an endpoint that a VaultAuth names is
never one of the machine's own.
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
_METADATA = ("metadata", "metadata.google.internal", "metadata.google.internal.")
_METADATA_ADDRESSES = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("fd20:ce::254")})


@dataclass(frozen=True)
class Surroundings:
    """The operator's environment, and what of it may be used for whom."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    namespace: str = ""
    """The operator's own."""
    ambient: bool = False
    """Whether the administrator lets the operator's own identity be used at all."""
    allows_address: Callable[[str], bool] = lambda _: True

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
        """Raise a ConfigError unless the URL in the field may be asked."""
        if _STS.fullmatch(url):
            return
        if not _plain(url):
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"{name} must be http://host:port or https://host:port, and not an endpoint of the machine's own",
            )
        if not self.allows_address(url):
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"{name} is none of those that the operator's flag --vault-address-allow admits, nor an STS of AWS's",
            )


NOTHING = Surroundings()
"""No environment, and no right to an identity of the operator's own."""


def _plain(url: str) -> bool:
    """Tell whether it is an address without user, query and escapes, and none of the machine's own."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    host = (parts.hostname or "").lower()
    odd = any(char in url for char in "@?#") or not _PATH.fullmatch(parts.path)
    return parts.scheme in ("http", "https") and host not in ("", *_METADATA) and not odd and not _of_machine(host)


def _of_machine(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # 0xa9fea9fe and 2852039166 are addresses too, to those who resolve names.
        return bool(_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]))
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_link_local) or mapped in _METADATA_ADDRESSES
