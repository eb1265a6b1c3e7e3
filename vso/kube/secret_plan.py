"""The Secret that is wanted beside the Secret that is there, of which only metadata is known.

Invariant: pure values and comparisons. Our own metadata is made right, foreign labels and
annotations stay; the list of owner references is ours as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from vso.core.keys import OwnerRef
from vso.core.sensitive import Sensitive
from vso.kube.json import JsonObject, child, encode, moment
from vso.kube.labels import FIELD_MANAGER, owner_labels

Outcome: TypeAlias = Literal["created", "adopted", "taken-over", "patched"]


@dataclass(frozen=True)
class SecretPlan:
    """The Secret that one of our objects asks for."""

    namespace: str
    name: str
    type: str
    data: Mapping[str, Sensitive] = field(repr=False)
    labels: Mapping[str, str]
    """Those of the destination; the four owner labels are added here and always win."""
    annotations: Mapping[str, str]
    owner: OwnerRef | None
    """None: the Secret outlives its owner, and is known as ours by the label alone."""
    owner_uid: str
    own: bool
    """False: the Secret is somebody else's and only its data is ours."""
    overwrite: bool
    mark: tuple[str, str] | None = None
    """An annotation that says where the data comes from: it changes in the same request as the data, so that
    whoever reads the one knows the other."""
    mark_adopted: bool = False
    """Mark also what is adopted; otherwise that gets its mark with the first change, and is not touched before."""

    def wanted_annotations(self) -> dict[str, str]:
        """Return the annotations that the Secret must have; others may stay."""
        own = dict(self.annotations) if self.own else {}
        return {**own, self.mark[0]: self.mark[1]} if self.mark else own

    def wanted_labels(self) -> dict[str, str]:
        """Return the labels that the Secret must have; others may stay."""
        return {**self.labels, **owner_labels(self.owner_uid)}

    def wanted_owners(self) -> list[JsonObject]:
        """Return the whole list of owner references."""
        ref = self.owner
        if ref is None:
            return []
        return [{"apiVersion": ref.api_version, "kind": str(ref.kind), "name": ref.name, "uid": ref.uid}]

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Seen:
    """The metadata of a Secret, as an answer to a write tells it."""

    uid: str
    resource_version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[JsonObject, ...] = ()
    deleting: bool = False
    set_labels: frozenset[str] = frozenset()
    """The labels that we set ourselves earlier, by the server's record of field managers."""
    set_annotations: frozenset[str] = frozenset()
    foreign_data: bool = False
    """The server's record names somebody else as the last to set a key of the data."""
    foreign_at: datetime | None = None
    """When those others last gave anything a value; None when that is not told of each."""
    data_at: datetime | None = None
    """The same of all whose data is there, us included."""
    set_at: datetime | None = None
    """When we last gave a piece of data, or a label or annotation, a value; None when no data is ours."""

    def foreign_since(self, moment: datetime | None) -> bool:
        """Tell whether somebody else may have set data since that moment; times are told in whole seconds.

        A value that a write of ours left as it was stays another's for good, and is no sign of anybody.
        """
        if not self.foreign_data or moment is None or self.foreign_at is None:
            return self.foreign_data
        return self.foreign_at >= moment


@dataclass(frozen=True, slots=True)
class Recorded:
    """The destination as the status remembers it."""

    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Written:
    """A Secret that now is as it was asked for."""

    name: str
    uid: str
    resource_version: str
    outcome: Outcome
    meta_digest: str
    set_at: datetime | None = None
    """When that became so, by the server's clock: a write that is repeated and changes nothing tells the same."""


def metadata_patch(seen: Seen, plan: SecretPlan) -> JsonObject | None:
    """Return the merge patch that makes our own metadata right; None when it is.

    Foreign labels and annotations stay. One that we set earlier and that is no longer asked for
    goes: the server's record of field managers tells which those are.
    """
    labels = _difference(plan.wanted_labels(), seen.labels, seen.set_labels)
    annotations = _difference(plan.wanted_annotations(), seen.annotations, seen.set_annotations)
    changed: JsonObject = {}
    if labels:
        changed["labels"] = labels
    if annotations:
        changed["annotations"] = annotations
    if list(seen.owners) != plan.wanted_owners():
        changed["ownerReferences"] = plan.wanted_owners() or None
    return {"metadata": {"uid": seen.uid, **changed}} if changed else None


def _difference(
    wanted: Mapping[str, str], there: Mapping[str, str], set_by_us: frozenset[str]
) -> dict[str, str | None]:
    changed: dict[str, str | None] = {key: value for key, value in wanted.items() if there.get(key) != value}
    changed.update({key: None for key in set_by_us if key in there and key not in wanted})
    return changed


def seen_in(answer: JsonObject) -> Seen:
    """Return what an answer to a write tells of the Secret."""
    meta = child(answer, "metadata")
    managed: list[JsonObject] = meta.get("managedFields") or []
    entries = [entry for entry in managed if _is_ours(entry)]
    mine = [child(entry, "fieldsV1", "f:metadata") for entry in entries]
    holders = [entry for entry in managed if _owns_data(entry)]
    strangers = [entry for entry in holders if not _is_ours(entry)]
    return Seen(
        uid=str(meta.get("uid", "")),
        resource_version=str(meta.get("resourceVersion", "")),
        labels=child(meta, "labels"),
        annotations=child(meta, "annotations"),
        owners=tuple(meta.get("ownerReferences") or ()),
        deleting="deletionTimestamp" in meta,
        set_labels=_field_names(mine, "f:labels"),
        set_annotations=_field_names(mine, "f:annotations"),
        set_at=max(filter(None, (moment(entry.get("time")) for entry in entries if _owns_data(entry))), default=None),
        foreign_data=bool(strangers),
        foreign_at=_latest(strangers),
        data_at=_latest(holders),
    )


def _is_ours(entry: JsonObject) -> bool:
    return entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Update"


def _owns_data(entry: JsonObject) -> bool:
    return bool(child(entry, "fieldsV1", "f:data"))


def _latest(entries: list[JsonObject]) -> datetime | None:
    times = [moment(entry.get("time")) for entry in entries]
    return max(filter(None, times), default=None) if all(times) else None


def _field_names(entries: list[JsonObject], part: str) -> frozenset[str]:
    names = (name for entry in entries for name in child(entry, part))
    return frozenset(name.removeprefix("f:") for name in names if name.startswith("f:"))


def meta_digest(plan: SecretPlan) -> str:
    """Return a digest of everything but the data; nothing of it is secret."""
    wanted = [plan.type, sorted(plan.wanted_labels().items()), sorted(plan.annotations.items()), plan.wanted_owners()]
    return hashlib.blake2b(encode(wanted), digest_size=16).hexdigest()
