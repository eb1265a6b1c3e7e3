"""The labels that mark a Secret as ours, spelled as the reference operator spells them.

Invariant: exactly these four; written like that, either operator recognises the other's Secrets.
"""

from __future__ import annotations

from typing import Final

FIELD_MANAGER: Final = "vault-secrets-operator"
"""Our name in the server's record of who set which field."""

OWNER_UID_LABEL: Final = "secrets.hashicorp.com/vso-ownerRefUID"

SOURCE_ANNOTATION: Final = "vso.hashicorp.com/source"
"""On a Secret of static data: mount/path@version, as of when the data changed last."""

LEASE_ANNOTATION: Final = "vso.hashicorp.com/lease"
"""On a Secret of dynamic data: a keyed hash of the lease's id."""

CONSTANT_LABELS: Final = {
    "app.kubernetes.io/name": "vault-secrets-operator",
    "app.kubernetes.io/managed-by": "hashicorp-vso",
    "app.kubernetes.io/component": "secret-sync",
}

OWNED_SELECTOR: Final = ",".join(f"{name}={value}" for name, value in sorted(CONSTANT_LABELS.items()))
"""Selects every Secret that either operator has written, in a list or a watch."""


def owner_labels(uid: str) -> dict[str, str]:
    """Return the four labels of a Secret that belongs to the object with that uid."""
    return {**CONSTANT_LABELS, OWNER_UID_LABEL: uid}
