"""Which Secrets may be asked for at all.

Invariant: pure; what is refused is refused before anything is read or issued for it.
"""

from __future__ import annotations

from typing import Final

from vso.api.shared import Destination
from vso.core.errors import ConfigError, Reason
from vso.decide.names import object_name

_ISSUING: Final = frozenset({"kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
"""Types that have the cluster issue a token, or take one for its own: who may not make such a Secret is not to
have it made by naming a type."""


def check_destination(destination: Destination) -> None:
    """Raise a ConfigError that names the field where the Secret can be none, or must not be."""
    object_name(destination.name, "spec.destination.name")
    if destination.create and destination.type in _ISSUING:
        raise ConfigError(
            Reason.INVALID_SPEC,
            f"spec.destination.type is {destination.type}, which is a credential of the cluster and made of no data",
        )
