"""What the secret kinds have in common: where a Secret goes, what goes in, who restarts.

Invariant: nothing here knows which engine of Vault the data comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from vso.api.fields import (
    EMPTY,
    MAP_LIST,
    Defaulted,
    FrozenMap,
    Int64,
    Keyword,
    Names,
    SecretKey,
    SecretTransformationName,
    StringMap,
    Strings,
    Time,
    WorkloadName,
    map_keys,
)
from vso.api.meta import ApiModel, Status, StatusModel

Delimiter = Annotated[str, Field(max_length=32)]


class KeyRef(ApiModel):
    """One key of a ConfigMap or Secret."""

    name: str
    """Name of the object, in the namespace of this one."""
    key: str
    """Key in its data."""


class Template(ApiModel):
    """A template that makes one key of the Secret."""

    name: str = ""
    """Name by which other templates call this one; made from namespace, object and key when empty."""
    text: str | None = None
    """The template, in Go's text/template language."""
    config_map_key_ref: Annotated[KeyRef, Names(("ConfigMap",))] | None = None
    """Key of a ConfigMap that holds the template, instead of text."""


class NamedTemplate(ApiModel):
    """A template of a SecretTransformation."""

    name: str = ""
    """Name by which other templates call this one; made from namespace, object and key when empty."""
    text: str
    """The template, in Go's text/template language."""


class TemplateRef(ApiModel):
    """One template of a SecretTransformation."""

    name: str
    """Key of the template in the SecretTransformation."""
    key_override: str = ""
    """Key of the Secret that it makes, if it is to differ from the template's."""


class TransformationRef(ApiModel):
    """A SecretTransformation to use."""

    name: SecretTransformationName
    """Name of the SecretTransformation."""
    namespace: str = ""
    """Its namespace; that of this object when empty."""
    template_refs: tuple[TemplateRef, ...] = ()
    """Templates to take from it; all when empty."""
    ignore_includes: bool = False
    """Leave the includes of the SecretTransformation aside."""
    ignore_excludes: bool = False
    """Leave the excludes of the SecretTransformation aside."""


Templates = Annotated[Mapping[str, Template], AfterValidator(FrozenMap), PlainSerializer(dict)]
NamedTemplates = Annotated[Mapping[str, NamedTemplate], AfterValidator(FrozenMap), PlainSerializer(dict)]


class Transformation(ApiModel):
    """What becomes of the data of Vault on its way into the Secret."""

    templates: Templates = FrozenMap()
    """Templates by the key of the Secret that each makes."""
    transformation_refs: tuple[TransformationRef, ...] = ()
    """SecretTransformations whose templates and filters are added."""
    includes: Strings = ()
    """Regular expressions (RE2): a field of Vault goes in only if one of them matches its name."""
    excludes: Strings = ()
    """Regular expressions (RE2): a field of Vault stays out if one matches its name; stronger than includes."""
    exclude_raw: bool = False
    """Leave out the key _raw, which holds Vault's whole answer as JSON."""
    left_delim: Delimiter = ""
    """What opens an action in the templates; two braces when empty."""
    right_delim: Delimiter = ""
    """What closes an action in the templates; two braces when empty."""


class Destination(ApiModel):
    """The Kubernetes Secret that is written."""

    name: str
    """Name of the Secret, in the namespace of this object."""
    create: Defaulted[bool] = False
    """Create and own the Secret; otherwise it must exist, and only its data is replaced."""
    overwrite: Defaulted[bool] = False
    """With create: take over a Secret of that name which belongs to nobody."""
    labels: StringMap = EMPTY
    """Labels of the Secret, with create."""
    annotations: StringMap = EMPTY
    """Annotations of the Secret, with create."""
    type: str = ""
    """Type of the Secret, with create; Opaque when empty."""
    transformation: Transformation | None = None
    """What becomes of the data of Vault on its way into the Secret."""
    on_delete: Defaulted[Literal["Delete", "Retain"]] = "Delete"
    """What becomes of a created Secret when this object goes: Delete it, or Retain it, then without an owner."""


class RolloutTarget(ApiModel):
    """A workload that is restarted when the data of the Secret has changed."""

    kind: Literal["Deployment", "DaemonSet", "StatefulSet", "argo.Rollout"]
    """Kind of the workload."""
    name: WorkloadName
    """Name of the workload, in the namespace of this object."""


class RemoteRef(ApiModel):
    """One field of a secret in Vault."""

    key: Annotated[str, Field(min_length=1, max_length=1024)]
    """Field of the secret at spec.path; with property, the path of another secret below the same mount."""
    property: Annotated[str, Field(max_length=1024)] = ""
    """Field of the secret at key; dots and indices descend into nested values, as in a.b.0."""
    version: Annotated[int, Field(ge=1)] | None = None
    """Version of the secret (KV version 2); the latest when not given."""
    decoding_strategy: Literal["None", "Base64", "Base64URL", "Auto"] = "None"
    """How the value is decoded before it goes into the Secret: None (the default) not at all; Auto decodes what is
    Base64 and leaves the rest."""


class DataItem(ApiModel):
    """One key of the Secret and where its value comes from."""

    secret_key: SecretKey
    """Key of the Secret."""
    remote_ref: RemoteRef
    """Where the value is in Vault."""


DataItems = Annotated[tuple[DataItem, ...], MAP_LIST, map_keys("secretKey"), Field(max_length=1024)]


class SyncConfig(ApiModel):
    """How changes are noticed."""

    instant_updates: bool = False
    """Listen for Vault's events besides looking at intervals (Vault Enterprise)."""


class VaultClientMeta(StatusModel):
    """Which Vault session served the object."""

    cache_key: str = ""
    """Names the combination of VaultConnection, VaultAuth and identity."""
    id: str = ""
    """Tells one login of that combination from the next."""


class DestinationStatus(StatusModel):
    """The Secret that was written last."""

    name: str = ""
    """Name of the Secret."""
    uid: str = ""
    """Its identity."""
    resource_version: str = ""
    """Its version after the last write; another one means that somebody else wrote."""


class HistoryEntry(StatusModel):
    """One rotation; never a value."""

    time: Time | None = None
    """When the Secret was written."""
    version: str = ""
    """Version of the source, where it has one."""
    lease: str = ""
    """Keyed hash of the lease, where there is one."""
    reason: str = ""
    """What asked for it."""
    restart: str = ""
    """What became of the restarts."""


class SecretStatus(Status):
    """What the status of every secret kind has."""

    ALWAYS = frozenset({"observedGeneration", "lastGeneration"})

    last_generation: Int64 = 0
    """Generation of spec that was synced last with success."""
    secret_mac: str = Field(default="", alias="secretMAC")
    """Keyed digest of the data that the Secret holds."""
    last_sync_time: Time | None = None
    """When the Secret was last changed."""
    source_version: str = ""
    """Version of the source that the Secret shows, where it has one."""
    destination: DestinationStatus | None = None
    """The Secret that was written last."""
    rolled_out_digest: str = ""
    """Digest of the data with which the rollout targets were last restarted."""
    last_handled_resync: str = ""
    """Value of the resync annotation that was handled last."""
    last_handled_restart: str = ""
    """Value of the restart annotation that was handled last."""
    history: tuple[HistoryEntry, ...] = ()
    """The last five rotations, the newest first."""


OPAQUE_OBJECT = Keyword("x-kubernetes-preserve-unknown-fields", value=True)
