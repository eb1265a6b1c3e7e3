"""What follows from a write: owner garbage collection, emptying namespaces, serving definitions.

Invariant: at once and synchronous, where a real cluster takes a controller and a moment.
"""

from __future__ import annotations

import copy
from typing import Protocol

from vso.sandbox.objects import JsonObject, meta
from vso.sandbox.resources import CRDS, NAMESPACES, SERVICE_ACCOUNTS, Registry, Resource
from vso.sandbox.storage import Ref, Storage, owner_uids


class Verbs(Protocol):
    """What consequences need of the registry's verbs."""

    def create(self, resource: Resource, namespace: str, body: JsonObject) -> object:
        """Store a new object."""
        ...

    def discard(self, ref: Ref) -> JsonObject | None:
        """Take an object away, or mark it where finalizers keep it."""
        ...


class Lifecycle:
    """The controllers of the sandbox."""

    def __init__(self, storage: Storage, registry: Registry, verbs: Verbs) -> None:
        self._storage = storage
        self._registry = registry
        self._verbs = verbs

    def created(self, resource: Resource, ref: Ref, obj: JsonObject) -> None:
        """Follow up on a new object."""
        if resource is NAMESPACES:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self._verbs.create(SERVICE_ACCOUNTS, ref.name, account)
        self.updated(resource, ref, obj)

    def updated(self, resource: Resource, ref: Ref, obj: JsonObject) -> None:
        """Follow up on a changed object."""
        if resource is CRDS:
            self._establish(ref, obj)
        self._collect(ref)

    def removed(self, ref: Ref, last: JsonObject) -> None:
        """Follow up on an object that is gone."""
        if ref.resource == CRDS.qualified:
            self._retire(ref.name)
        for dependent in self._storage.dependents(meta(last)["uid"]):
            self._collect(dependent)
        if ref.namespace:
            self._finish_namespace(ref.namespace)

    def orphan(self, uid: str) -> None:
        """Cut an owner out of its dependents, so that they outlive it."""
        for ref in self._storage.dependents(uid):
            obj = copy.deepcopy(self._storage.get(ref) or {})
            meta(obj)["ownerReferences"] = [o for o in meta(obj)["ownerReferences"] if o.get("uid") != uid]
            self._storage.put(ref, obj)

    def empty_namespace(self, name: str) -> None:
        """Delete everything in a namespace that is being terminated."""
        for ref in self._storage.refs(name):
            self._verbs.discard(ref)
        self._finish_namespace(name)

    def _finish_namespace(self, name: str) -> None:
        ref = Ref(NAMESPACES.qualified, "", name)
        namespace = self._storage.get(ref)
        if namespace and meta(namespace).get("deletionTimestamp") and not self._storage.refs(name):
            self._storage.remove(ref)

    def _collect(self, ref: Ref) -> None:
        obj = self._storage.get(ref)
        owners = owner_uids(obj)
        if owners and not any(self._storage.by_uid(uid) for uid in owners):
            self._verbs.discard(ref)

    def _establish(self, ref: Ref, crd: JsonObject) -> None:
        self._registry.install(crd)
        at = meta(crd)["creationTimestamp"]
        conditions = [
            {"type": kind, "status": "True", "reason": reason, "message": text, "lastTransitionTime": at}
            for kind, reason, text in (
                ("NamesAccepted", "NoConflicts", "no conflicts found"),
                ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            )
        ]
        stored = [version["name"] for version in crd["spec"]["versions"] if version.get("storage")]
        status = {"conditions": conditions, "acceptedNames": crd["spec"]["names"], "storedVersions": stored}
        if crd.get("status") != status:
            self._storage.put(ref, crd | {"status": status})

    def _retire(self, qualified: str) -> None:
        for obj in self._storage.objects(qualified):
            self._verbs.discard(Ref(qualified, meta(obj).get("namespace", ""), meta(obj)["name"]))
        self._registry.uninstall(qualified)
