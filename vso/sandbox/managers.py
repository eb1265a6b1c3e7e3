"""Who set which label, annotation, piece of data or status: as much of `metadata.managedFields` as a client can use.

Invariant: a field belongs to the manager that gave it its present value by a write; a field that is
gone belongs to nobody. A manager's time is that of its latest write that gave a field a value: one
that changes nothing, or only takes fields away, leaves it. Other fields, and server-side apply, are
not recorded.
"""

from __future__ import annotations

from datetime import datetime

from vso.sandbox.objects import JsonObject, dig, meta, timestamp

_Field = tuple[tuple[str, ...], str]

_PARTS: tuple[tuple[str, ...], ...] = (("metadata", "labels"), ("metadata", "annotations"), ("data",), ("status",))


def record(new: JsonObject, old: JsonObject | None, manager: str, now: datetime) -> None:
    """Write into the new state who set what; an unnamed manager leaves the record as it was."""
    entries = _carried(new, old)
    before, after = _fields(old or {}), _fields(new)
    changed = {field for field, value in after.items() if before.get(field) != value}
    times = {entry["manager"]: entry["time"] for entry in meta(old or {}).get("managedFields") or ()}
    if manager and changed:
        entries = {name: fields - changed for name, fields in entries.items()}
        entries[manager] = entries.get(manager, set()) | changed
        times[manager] = timestamp(now)
    made = [_entry(new, name, fields, times[name]) for name, fields in entries.items() if fields]
    if made:
        meta(new)["managedFields"] = made
    else:
        meta(new).pop("managedFields", None)


def _fields(obj: JsonObject) -> dict[_Field, object]:
    found = ((part, dig(obj, *part)) for part in _PARTS)
    return {(part, key): value for part, held in found if isinstance(held, dict) for key, value in held.items()}


def _carried(new: JsonObject, old: JsonObject | None) -> dict[str, set[_Field]]:
    """Return what each manager set before and is still there."""
    there = _fields(new).keys()
    return {entry["manager"]: _owned(entry) & there for entry in meta(old or {}).get("managedFields") or ()}


def _owned(entry: JsonObject) -> set[_Field]:
    found = ((part, dig(entry, "fieldsV1", *(f"f:{name}" for name in part)) or {}) for part in _PARTS)
    return {(part, key[2:]) for part, keys in found for key in keys if key.startswith("f:")}


def _entry(obj: JsonObject, manager: str, fields: set[_Field], time: str) -> JsonObject:
    owned: JsonObject = {}
    for part, key in sorted(fields):
        place = owned
        for name in part:
            place = place.setdefault(f"f:{name}", {})
        place[f"f:{key}"] = {}
    about = {"manager": manager, "operation": "Update", "apiVersion": obj["apiVersion"], "time": time}
    return about | {"fieldsType": "FieldsV1", "fieldsV1": owned}
