"""What a list and a watch say, and what the reflector makes of it, as closed sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from vso.core.errors import VsoError

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[R_co]):
    """One page of a list; the last page's resource_version is where to watch from."""

    records: tuple[R_co, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Applied(Generic[R_co]):
    """The object was added or changed and now looks so."""

    record: R_co


@dataclass(frozen=True, slots=True)
class Deleted(Generic[R_co]):
    """The object is gone; the record is its last look, with the version of the deletion."""

    record: R_co


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing happened up to this version."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class Relisted(Generic[R_co]):
    """These objects exist and no others."""

    records: tuple[R_co, ...]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A list or a watch ended badly; it is tried again."""

    error: VsoError


WatchEvent: TypeAlias = Applied[R] | Deleted[R] | Bookmark
Delivery: TypeAlias = Relisted[R] | Applied[R] | Deleted[R] | Bookmark | Interrupted
