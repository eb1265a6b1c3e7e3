"""What every object has: metadata, conditions, and the base of all models.

Invariant: a model is frozen, names its fields as Python does and its JSON as the API does, ignores
fields that it does not know, and never shows input in an error.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.alias_generators import to_camel

from vso.api.fields import EMPTY, MAP_LIST, Int32, Int64, StringMap, Strings, Time, map_keys


class ApiModel(BaseModel):
    """Base of every model of the API."""

    # Building a validator costs more than the class: deferred to the first object of that kind.
    model_config = ConfigDict(
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="ignore",
        defer_build=True,
        hide_input_in_errors=True,
    )


class StatusModel(ApiModel):
    """Base of what is written to a status: a field at its default is left out, as Go's omitempty does."""

    ALWAYS: ClassVar[frozenset[str]] = frozenset()
    """JSON names that are written even at their default, because the reference operator always has them."""

    @model_serializer(mode="wrap")
    def _omit_empty(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = serialize(self)
        for name, alias, default, wanted in _omittable(type(self)):
            value = getattr(self, name)
            if value is None or (not wanted and value == default):
                written.pop(alias, None)
        return written


@cache
def _omittable(model: type[StatusModel]) -> tuple[tuple[str, str, Any, bool], ...]:
    """Return of each field its name, its JSON name, its default, and whether it is written even at that."""
    return tuple(
        (name, alias := field.alias or name, field.default, alias in model.ALWAYS or field.is_required())
        for name, field in model.model_fields.items()
    )


@cache
def always_written(model: type[StatusModel]) -> frozenset[str]:
    """Return the fields that are written even at their default."""
    return frozenset(name for name, _, _, wanted in _omittable(model) if wanted)


class OwnerReference(ApiModel):
    """Who owns an object; the garbage collector follows it."""

    api_version: str = ""
    """Group and version of the owner."""
    kind: str = ""
    """Kind of the owner."""
    name: str = ""
    """Name of the owner, in the same namespace."""
    uid: str = ""
    """Identity of the owner."""
    controller: bool | None = None
    """Whether the owner is the managing controller."""


class ObjectMeta(ApiModel):
    """The metadata that the operator looks at."""

    name: str = ""
    """Name of the object."""
    namespace: str = ""
    """Namespace of the object."""
    uid: str = ""
    """Identity of the object; a new one after it was deleted and created again."""
    resource_version: str = ""
    """The version that a guarded write names."""
    generation: int = 0
    """Counts the changes of spec."""
    labels: StringMap = EMPTY
    """Labels of the object."""
    annotations: StringMap = EMPTY
    """Annotations of the object."""
    creation_timestamp: Time | None = None
    """When the object was created."""
    deletion_timestamp: Time | None = None
    """When deletion was asked for; the object goes once its finalizers are gone."""
    finalizers: Strings = ()
    """What has to happen before the object may go."""
    owner_references: tuple[OwnerReference, ...] = ()
    """Who owns the object."""


class Condition(StatusModel):
    """One aspect of the state of an object."""

    ALWAYS = frozenset({"message"})

    type: str
    """Which aspect, for example Ready, Healthy, Reconciling or Stalled; once per list."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = ""
    """Why, as one word of a documented list."""
    message: str = ""
    """Why, in a sentence, with the remedy where there is one."""
    observed_generation: Int64 = 0
    """Generation of the object that this was said about."""
    last_transition_time: Time | None = None
    """When status last changed from one value to another."""


Conditions = Annotated[tuple[Condition, ...], MAP_LIST, map_keys("type")]


class Status(StatusModel):
    """What every kind's status has."""

    ALWAYS = frozenset({"observedGeneration"})

    observed_generation: Int64 = -1
    """Generation of spec that the conditions speak of; -1 until the operator has seen the object."""
    conditions: Conditions = ()
    """State of the object: Ready and Healthy, Reconciling or Stalled while something is amiss, and more by kind."""


class Resource(ApiModel):
    """An object of the API group."""

    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    """Name, namespace, labels and the rest of what every object has."""
    status: Status = Field(default_factory=Status)
    """What the operator has found and done; each kind has its own."""


class Referred(Status):
    """Status of a kind that others refer to."""

    referrers: Int32 = 0
    """How many objects refer to this one."""
