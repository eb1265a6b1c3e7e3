"""The types that fields of the API have, with what the API server is told about them.

Owns the read-only mapping and the annotations from which `vso.api.schema` makes OpenAPI keywords.
Invariant: every value is immutable, so a parsed object can be shared without a copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, Field, JsonValue, PlainSerializer

T = TypeVar("T")
V = TypeVar("V")

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(s|m|h))$"
DURATION_PATTERN_WITH_DAYS = r"^([0-9]+(\.[0-9]+)?(s|m|h|d))$"
SECRET_KEY_PATTERN = r"^[-._a-zA-Z0-9]+$"


class FrozenMap(Mapping[str, V], Generic[V]):
    """A mapping that cannot be written to; unlike MappingProxyType it can be hashed and copied."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        # The keys alone: a nested JSON value cannot be hashed, and equal maps have equal keys.
        return hash(frozenset(self._items))

    def __deepcopy__(self, memo: object) -> FrozenMap[V]:
        return self

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"


EMPTY: FrozenMap[str] = FrozenMap()
"""No labels, no annotations, no headers."""

StringMap = Annotated[Mapping[str, str], AfterValidator(FrozenMap), PlainSerializer(dict)]
JsonMap = Annotated[Mapping[str, JsonValue], AfterValidator(FrozenMap), PlainSerializer(dict)]


@dataclass(frozen=True, slots=True)
class Keyword:
    """One keyword that the OpenAPI schema of a type carries beside its type."""

    name: str
    value: str | int | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredDefault:
    """Marks a field whose default the API server writes into the object."""


@dataclass(frozen=True, slots=True)
class Names:
    """Marks a text that names an object of one of these kinds; on a model its field `name` is that text."""

    kinds: tuple[str, ...]


def _whole_seconds(moment: datetime) -> datetime:
    # The API server keeps whole seconds; a model with more would differ from its own reading.
    return moment.astimezone(UTC).replace(microsecond=0)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Defaulted = Annotated[T, StoredDefault()]
Time = Annotated[datetime, AfterValidator(_whole_seconds), PlainSerializer(_rfc3339)]
Int32 = Annotated[int, Keyword("format", "int32")]
Int64 = Annotated[int, Keyword("format", "int64")]
Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/\s]*={0,2}\s*$")]
"""Not of format byte: the API server would refuse an empty text and lines as `base64` breaks them."""
Duration = Annotated[str, Field(pattern=DURATION_PATTERN)]
DurationWithDays = Annotated[str, Field(pattern=DURATION_PATTERN_WITH_DAYS)]
SecretKey = Annotated[str, Field(pattern=SECRET_KEY_PATTERN, min_length=1, max_length=253)]
TokenSeconds = Annotated[int, Field(ge=600), Keyword("format", "int64")]
Percent = Annotated[int, Field(ge=0, le=90)]
LoginPath = Annotated[str, Field(pattern=r"^[^/\s]+(/[^/\s]+)*$", max_length=512)]
Strings = tuple[str, ...]

# A reference to an object of the API group may also be namespace/name; the others are plain names.
SecretName = Annotated[str, Names(("Secret",))]
ConfigMapName = Annotated[str, Names(("ConfigMap",))]
ServiceAccountName = Annotated[str, Names(("ServiceAccount",))]
WorkloadName = Annotated[str, Names(("Deployment", "StatefulSet", "DaemonSet", "Rollout"))]
VaultConnectionName = Annotated[str, Names(("VaultConnection",))]
VaultAuthName = Annotated[str, Names(("VaultAuth",))]
VaultAuthGlobalName = Annotated[str, Names(("VaultAuthGlobal",))]
SecretTransformationName = Annotated[str, Names(("SecretTransformation",))]
HCPAuthName = Annotated[str, Names(("HCPAuth",))]

MAP_LIST = Keyword("x-kubernetes-list-type", "map")


def map_keys(*names: str) -> Keyword:
    """Name the fields that tell the items of a map list apart."""
    return Keyword("x-kubernetes-list-map-keys", names)


def _canonical_method(method: str) -> str:
    return "appRole" if method == "approle" else method


AuthMethod = Annotated[
    Literal[
        "kubernetes", "jwt", "appRole", "approle", "aws", "gcp", "azure", "cert", "userpass", "ldap", "token", "generic"
    ],
    AfterValidator(_canonical_method),
]
"""`approle` is read as `appRole`, so that nobody else needs to know both spellings."""
