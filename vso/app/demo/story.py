"""The story: what is done to the example, and what must then be seen.

Invariant: a step has happened only when `missing` finds nothing missing in a picture taken through
the API server; no step believes the operator's log.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from vso.app.demo import example
from vso.app.demo.picture import Picture
from vso.app.demo.world import World
from vso.core.errors import Reason

PASSWORDS: Final = ("sesame-the-first", "sesame-the-second", "sesame-the-third")
"""One per version in Vault; made up, and still never shown."""


@dataclass(frozen=True)
class Step:
    """One thing that is done, and how to see that it has worked."""

    title: str
    act: Callable[[World], Awaitable[None]]
    missing: Callable[[Picture, Picture], str]
    """From the pictures before and now, what has not come true yet; empty when everything has."""
    outcome: Callable[[Picture], str]
    """One line about what has come true."""


def expected(version: int) -> Mapping[str, str]:
    """Return what the Secret holds while Vault has that version, counted from 1."""
    _, body = example.vault_values(PASSWORDS[version - 1])
    return {key: body["data"][field] for key, field in example.KEYS.items()}


async def _apply(world: World) -> None:
    for path, body in (*example.vault_writes(), example.vault_values(PASSWORDS[0])):
        await world.write(path, body)
    for found in (*example.ground(), *example.intent(world.access.vault_url)):
        await world.apply(found)


async def _change(world: World) -> None:
    await world.write(*example.vault_values(PASSWORDS[1]))


async def _seal(world: World) -> None:
    await world.seal()


async def _unseal(world: World) -> None:
    await world.unseal()
    await world.write(*example.vault_values(PASSWORDS[2]))


def synced(now: Picture, version: int) -> str:
    """Say what keeps the Secret from being that version of Vault's, with a status that says so."""
    if now.secret is None:
        return "there is no Secret"
    if not now.secret.holds(expected(version)):
        return f"the Secret does not hold version {version}"
    for type_ in ("Ready", "Healthy", "SecretSynced"):
        if not now.says(type_, "True"):
            return f"the condition {type_} is not True"
    return ""


def followed(before: Picture, now: Picture, version: int) -> str:
    """Say what keeps the same Secret from having moved on to that version."""
    if before.secret is not None and now.secret is not None and before.secret.uid != now.secret.uid:
        return "the Secret is not the same object as before"
    return synced(now, version)


def kept(before: Picture, now: Picture) -> str:
    """Say what is wrong with the Secret or the status while Vault is sealed."""
    if not now.sealed:
        return "Vault is not sealed"
    if now.secret is None or before.secret is None:
        return "there is no Secret"
    if (now.secret.uid, now.secret.resource_version) != (before.secret.uid, before.secret.resource_version):
        return "the Secret was touched"
    if not now.says("Healthy", "False", Reason.VAULT_SEALED):
        return f"the condition Healthy does not say {Reason.VAULT_SEALED}"
    return "" if now.says("Ready", "True") else "the condition Ready is not True, although the data is fresh"


def _keys(now: Picture) -> str:
    return ", ".join(now.secret.keys) if now.secret else ""


def _why(now: Picture) -> str:
    found = now.condition("Healthy")
    return f"{found.reason}: {found.message}" if found else ""


STORY: Final = (
    Step(
        "Three objects are applied, and the Secret is there",
        _apply,
        lambda _before, now: synced(now, 1),
        lambda now: f"Secret {example.NAMESPACE}/{example.SECRET} with {_keys(now)}",
    ),
    Step(
        "The password changes in Vault, and the Secret follows",
        _change,
        lambda before, now: followed(before, now, 2),
        lambda _now: f"refreshAfter is {example.REFRESH}; the same Secret, patched",
    ),
    Step(
        "Vault is sealed; the Secret stays, and the status says why",
        _seal,
        kept,
        _why,
    ),
    Step(
        "Vault is unsealed with a new password, and all is well again",
        _unseal,
        lambda before, now: followed(before, now, 3),
        lambda _now: "nobody had to touch anything in Kubernetes",
    ),
)
