"""Create, read, update, patch and delete on the storage, as the API server's registry does it.

Invariant: synchronous from first look to last write, so a request is atomic without locks. What
follows from a write (garbage collection, namespaces, definitions) is `lifecycle`'s.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from vso.core.clock import Clock
from vso.sandbox import admission, lifecycle, managers
from vso.sandbox.objects import JsonObject, dig, meta, timestamp
from vso.sandbox.resources import CRDS, NAMESPACES, Registry, Resource
from vso.sandbox.status import (
    FieldError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from vso.sandbox.storage import Ref, Storage

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_SERVERS_OWN = (
    *("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion"),
    "managedFields",
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks for besides its object."""

    dry_run: bool = False
    validation: admission.Validation = "Warn"
    subresource: str = ""
    manager: str = ""
    """In whose name the fields are set; empty leaves no record."""


@dataclass(frozen=True, slots=True)
class Written:
    """The state after a write, and what the client should be warned of."""

    object: JsonObject
    warnings: tuple[str, ...] = ()


class Rest:
    """The verbs, over one storage and one registry."""

    def __init__(self, storage: Storage, registry: Registry, clock: Clock, rng: random.Random) -> None:
        self.storage = storage
        self.registry = registry
        self._clock = clock
        self._rng = rng
        self._lifecycle = lifecycle.Lifecycle(storage, registry, self)

    def get(self, resource: Resource, namespace: str, name: str) -> JsonObject:
        """Return an object or refuse with 404."""
        found = self.storage.get(Ref(resource.qualified, namespace, name))
        if found is None:
            raise not_found(resource, name)
        return found

    def create(self, resource: Resource, namespace: str, body: JsonObject, options: Options = Options()) -> Written:
        """Store a new object."""
        admission.check_kind(resource, body)
        obj = copy.deepcopy(body)
        self._stamp_new(resource, namespace, obj)
        self._check_namespace(resource, namespace, meta(obj).get("name", ""))
        if resource.status:
            obj.pop("status", None)
        warnings = admission.prepare(resource, obj, None, options.validation)
        ref = Ref(resource.qualified, namespace, meta(obj)["name"])
        existing = self.storage.get(ref)
        if existing is not None and resource is not CRDS:
            raise already_exists(resource, ref.name)
        if existing is not None:  # a definition that the sandbox brought along gives way to the one applied
            meta(obj)["uid"] = meta(existing)["uid"]
        managers.record(obj, None, options.manager, self._clock.now())
        if options.dry_run:
            return Written(obj, tuple(warnings))
        stored = self.storage.put(ref, obj)
        self._lifecycle.created(resource, ref, stored)
        return Written(stored, tuple(warnings))

    def update(self, resource: Resource, ref: Ref, body: JsonObject, options: Options = Options()) -> Written:
        """Replace an object by a whole new state (PUT)."""
        admission.check_kind(resource, body)
        old = self.get(resource, ref.namespace, ref.name)
        if not resource.unconditional and not meta(body).get("resourceVersion"):
            text = "Invalid value: 0: must be specified for an update"
            raise invalid(resource, ref.name, [FieldError("metadata.resourceVersion", text)], resource.plural)
        uid = meta(body).get("uid") or meta(old)["uid"]
        if uid != meta(old)["uid"]:
            text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta(old)['uid']}"
            raise conflict(resource, ref.name, text)
        return self._replace(resource, ref, old, copy.deepcopy(body), options)

    def patch(
        self, resource: Resource, ref: Ref, change: Callable[[JsonObject], JsonObject], options: Options = Options()
    ) -> Written:
        """Replace an object by what a patch makes of it."""
        old = self.get(resource, ref.namespace, ref.name)
        new = copy.deepcopy(change(old))
        if not isinstance(new, dict):
            raise bad_request("the patch leaves no object")
        admission.check_kind(resource, new)
        return self._replace(resource, ref, old, new, options)

    def delete(self, resource: Resource, ref: Ref, body: JsonObject, *, dry_run: bool = False) -> JsonObject | None:
        """Delete an object; the answer is the object if finalizers keep it, else None."""
        old = self.get(resource, ref.namespace, ref.name)
        for key, value in (body.get("preconditions") or {}).items():
            if value and value != meta(old).get(key):
                label = "UID" if key == "uid" else "ResourceVersion"
                text = f"the {label} in the precondition ({value}) does not match the {label} in record"
                raise conflict(resource, ref.name, f"{text} ({meta(old).get(key)})")
        if dry_run:
            return None
        if body.get("propagationPolicy") == "Orphan" or body.get("orphanDependents"):
            self._lifecycle.orphan(meta(old)["uid"])
        return self.discard(ref)

    def discard(self, ref: Ref) -> JsonObject | None:
        """Take an object away, or mark it where finalizers (or a namespace's content) keep it."""
        old = self.storage.get(ref)
        if old is None:
            return None
        kept = meta(old).get("finalizers") or ref.resource == NAMESPACES.qualified
        if not kept:
            self._lifecycle.removed(ref, self.storage.remove(ref))
            return None
        if not meta(old).get("deletionTimestamp"):
            new = copy.deepcopy(old)
            meta(new).update(deletionTimestamp=timestamp(self._clock.now()), deletionGracePeriodSeconds=0)
            if ref.resource == NAMESPACES.qualified:
                new["status"] = {"phase": "Terminating"}
            self.storage.put(ref, new)
        if ref.resource == NAMESPACES.qualified:
            self._lifecycle.empty_namespace(ref.name)
        return self.storage.get(ref) or old

    def _stamp_new(self, resource: Resource, namespace: str, obj: JsonObject) -> None:
        found = meta(obj)
        if found.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if resource.namespaced and found.setdefault("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if not found.get("name") and found.get("generateName"):
            found["name"] = found["generateName"] + "".join(self._rng.choices(_SUFFIX, k=5))
        found.pop("managedFields", None)
        found.pop("deletionTimestamp", None)
        _drop_empty(found)
        found["uid"] = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        found["creationTimestamp"] = timestamp(self._clock.now())
        if resource.generation:
            found["generation"] = 1

    def _check_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        if not resource.namespaced:
            return
        if dig(self.get(NAMESPACES, "", namespace), "metadata", "deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            text = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": text, "field": "metadata.namespace"}
            raise forbidden(resource, name, why, causes=[cause])

    def _replace(self, resource: Resource, ref: Ref, old: JsonObject, new: JsonObject, options: Options) -> Written:
        self._check_identity(resource, old, new)
        new = _carry_over(resource, old, new, options.subresource)
        warnings = tuple(admission.prepare(resource, new, old, options.validation))
        if resource.generation and _intent(new) != _intent(old):
            meta(new)["generation"] = meta(old).get("generation", 0) + 1
        if new == old:
            return Written(old, warnings)
        managers.record(new, old, options.manager, self._clock.now())
        if options.dry_run:
            return Written(new, warnings)
        stored = self.storage.put(ref, new)
        if meta(stored).get("deletionTimestamp") and not meta(stored).get("finalizers"):
            self.discard(ref)
        else:
            self._lifecycle.updated(resource, ref, stored)
        return Written(stored, warnings)

    def _check_identity(self, resource: Resource, old: JsonObject, new: JsonObject) -> None:
        name, found = meta(old)["name"], meta(new)
        if found.get("name", name) != name:
            raise bad_request(f"the name of the object ({found['name']}) does not match the name on the URL ({name})")
        if found.get("uid") not in (None, "", meta(old)["uid"]):
            text = f'Invalid value: "{found["uid"]}": field is immutable'
            raise invalid(resource, name, [FieldError("metadata.uid", text)])
        if found.get("resourceVersion") not in (None, "", "0", meta(old)["resourceVersion"]):
            raise conflict(resource, name)


def _intent(obj: JsonObject) -> JsonObject:
    """Return what the generation counts: all but metadata and status."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _carry_over(resource: Resource, old: JsonObject, new: JsonObject, subresource: str) -> JsonObject:
    if subresource == "status":
        return copy.deepcopy(old) | ({"status": new["status"]} if "status" in new else {})
    if resource.status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = copy.deepcopy(old["status"])
    found = meta(new)
    for key in _SERVERS_OWN:
        found.pop(key, None)
        if key in meta(old):
            found[key] = meta(old)[key]
    _drop_empty(found)
    return new


def _drop_empty(found: JsonObject) -> None:
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        if key in found and not found[key]:
            del found[key]
