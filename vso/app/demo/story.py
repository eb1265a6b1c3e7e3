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
from vso.decide.conditions import find_condition

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


async def _issue(world: World) -> None:
    for path, body in example.database_writes():
        await world.write(path, body)
    await world.apply(example.dynamic_intent())


async def _wait(_world: World) -> None:
    """Nothing is done: a lease ends by itself."""


def issued(now: Picture) -> str:
    """Say what keeps live credentials from being in the Secret, alone."""
    if now.lease is None or now.credentials is None:
        return "there are no credentials"
    status = now.lease.status
    ready = find_condition(status.conditions, "Ready")
    if ready is None or ready.status != "True" or status.expires is None:
        return "the condition Ready is not True"
    if username(now) not in now.users:
        return "the database does not know the user in the Secret"
    return "" if len(now.users) == 1 else "another user lives still"


def replaced(before: Picture, now: Picture) -> str:
    """Say what keeps the credentials from having been replaced, and the old ones from being gone."""
    return issued(now) or ("" if username(now) != username(before) else "they are the same as before")


def username(now: Picture) -> str:
    """Return the name of the user in the Secret."""
    found = now.credentials.values.get("username") if now.credentials else None
    return "" if found is None else found.reveal_text()


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
    Step(
        "A fourth object asks for credentials of a database, which live as long as their lease",
        _issue,
        lambda _before, now: issued(now),
        lambda _now: f"Secret {example.NAMESPACE}/{example.DATABASE}; renewed before every {example.LEASE[0]} are over",
    ),
    Step(
        "No renewal goes beyond the longest life: new credentials come first, then the old ones go",
        _wait,
        replaced,
        lambda _now: f"one user in the database again, at the latest {example.LEASE[1]} after the first",
    ),
)
