"""Who set which label and annotation: as much of `metadata.managedFields` as a client can act on.

Invariant: a field belongs to the manager that gave it its present value by a write; a field that is
gone belongs to nobody. Other fields, and server-side apply, are not recorded.
"""

from __future__ import annotations

from datetime import datetime

from vso.sandbox.objects import JsonObject, dig, meta, timestamp

_PARTS = ("labels", "annotations")


def record(new: JsonObject, old: JsonObject | None, manager: str, now: datetime) -> None:
    """Write into the new state who set what; an unnamed manager leaves the record as it was."""
    entries = _carried(new, old)
    changed = _fields(new) - (_fields(old) if old is not None else set())
    if manager and changed:
        entries = {name: fields - _names(changed) for name, fields in entries.items()}
        entries[manager] = entries.get(manager, set()) | _names(changed)
    times = {entry["manager"]: entry["time"] for entry in meta(old or {}).get("managedFields") or ()}
    if manager and changed:
        times[manager] = timestamp(now)
    made = [_entry(new, name, fields, times[name]) for name, fields in entries.items() if fields]
    if made:
        meta(new)["managedFields"] = made
    else:
        meta(new).pop("managedFields", None)


def _fields(obj: JsonObject) -> set[tuple[str, str, str]]:
    return {(part, key, value) for part in _PARTS for key, value in (meta(obj).get(part) or {}).items()}


def _names(fields: set[tuple[str, str, str]]) -> set[tuple[str, str]]:
    return {(part, key) for part, key, _ in fields}


def _carried(new: JsonObject, old: JsonObject | None) -> dict[str, set[tuple[str, str]]]:
    """Return what each manager set before and is still there."""
    there = _names(_fields(new))
    found: dict[str, set[tuple[str, str]]] = {}
    for entry in meta(old or {}).get("managedFields") or ():
        owned = dig(entry, "fieldsV1", "f:metadata") or {}
        names = {(part, key[2:]) for part in _PARTS for key in owned.get(f"f:{part}", {}) if key.startswith("f:")}
        found[entry["manager"]] = names & there
    return found


def _entry(obj: JsonObject, manager: str, fields: set[tuple[str, str]], time: str) -> JsonObject:
    owned: JsonObject = {}
    for part, key in sorted(fields):
        owned.setdefault(f"f:{part}", {})[f"f:{key}"] = {}
    about = {"manager": manager, "operation": "Update", "apiVersion": obj["apiVersion"], "time": time}
    return about | {"fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": owned}}
