"""The loops of Argo CD and Flux, stood in for: what they apply, what they call drift, and what they prune.

Invariant: kubectl applies in their names, as both do at heart; what differs is computed here by their rules alone.
Argo CD compares by a three-way merge with what it applied last (JSON merge for kinds that it has no schema of: a list
counts as one value), Flux by a dry run of server-side apply.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.testbed.bed import Bed, Json, KubeError
from tests.testbed.kube_admin import path_of

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TRACKING_ID = "argocd.argoproj.io/tracking-id"
INSTANCE = "app.kubernetes.io/instance"
_OWN = "argocd-controller"
_SERVERS = ("resourceVersion", "generation", "managedFields", "uid", "creationTimestamp")


@dataclass(frozen=True)
class ArgoApplication:
    """One Application with automated prune and self-heal."""

    bed: Bed
    name: str
    namespace: str
    tracking: Literal["annotation", "label"] = "annotation"
    server_side: bool = False
    ignored_managers: Sequence[str] = ()
    pruned_kinds: Sequence[str] = field(default=("Secret", "ConfigMap", "Deployment", "VaultStaticSecret"))

    def sync(self, manifests: Iterable[Json]) -> None:
        """Apply what Git holds."""
        options = ["--server-side", "--force-conflicts"] if self.server_side else []
        said = json.dumps({"apiVersion": "v1", "kind": "List", "items": [self._tracked(obj) for obj in manifests]})
        self.bed.kubectl("apply", f"--field-manager={_OWN}", *options, "-f", "-", stdin=said)

    def drift(self, manifests: Iterable[Json]) -> dict[str, list[str]]:
        """What differs between the cluster and Git, by `Kind/name`: what is there beside what is expected."""
        found = {}
        for obj in map(self._tracked, manifests):
            live = self.bed.kube.get(path_of(obj))
            wanted = self._predicted(obj, live)
            managed = live["metadata"].get("managedFields", ())
            left_out = [entry["fieldsV1"] for entry in managed if entry["manager"] in self.ignored_managers]
            found[_name(obj)] = [*_differences(_without(live, left_out), _without(wanted, left_out))]
        return {name: differs for name, differs in found.items() if differs}

    def heal(self, manifests: Sequence[Json]) -> bool:
        """Sync again where something has drifted; tell whether it had."""
        drifted = bool(self.drift(manifests))
        if drifted:
            self.sync(manifests)
        return drifted

    def extraneous(self, manifests: Iterable[Json]) -> list[str]:
        """What a sync with prune would delete: all that bears the tracking of the Application and is not in Git."""
        kept = {(obj["kind"], obj["metadata"]["name"]) for obj in manifests}
        there = [obj | {"kind": kind} for kind in self.pruned_kinds for obj in self.bed.kube.list(kind, self.namespace)]
        names = [(obj["kind"], obj["metadata"]["name"]) for obj in there if self._is_mine(obj)]
        return [f"{kind}/{name}" for kind, name in names if (kind, name) not in kept]

    def _is_mine(self, obj: Json) -> bool:
        meta = obj["metadata"]
        if self.tracking == "label":
            return bool(meta.get("labels", {}).get(INSTANCE) == self.name)
        # As Argo CD before 3: the identity in it is not compared, so that a copied annotation counts.
        return str(meta.get("annotations", {}).get(TRACKING_ID, "")).startswith(f"{self.name}:")

    def _tracked(self, obj: Json) -> Json:
        obj = copy.deepcopy(obj)
        meta = obj["metadata"]
        group = obj["apiVersion"].partition("/")[0] if "/" in obj["apiVersion"] else ""
        if self.tracking == "label":
            meta.setdefault("labels", {})[INSTANCE] = self.name
        else:
            mark = f"{self.name}:{group}/{obj['kind']}:{meta['namespace']}/{meta['name']}"
            meta.setdefault("annotations", {})[TRACKING_ID] = mark
        return obj

    def _predicted(self, obj: Json, live: Json) -> Json:
        """The object as it would be after another sync."""
        if self.server_side or "secrets.hashicorp.com" not in obj["apiVersion"]:
            options = ["--server-side", "--force-conflicts"] if self.server_side else []
            asked = ("apply", f"--field-manager={_OWN}", "--dry-run=server", "-o", "json", *options, "-f", "-")
            found: Json = json.loads(self.bed.kubectl(*asked, stdin=json.dumps(obj)))
            return found
        applied = json.loads(live["metadata"].get("annotations", {}).get(LAST_APPLIED, "{}"))
        predicted: Json = _merged(live, _three_way(applied, obj, live))
        return predicted


@dataclass(frozen=True)
class FluxKustomization:
    """One Kustomization of Flux's, which applies by server-side apply and corrects what has drifted."""

    bed: Bed
    manager: str = "kustomize-controller"

    def apply(self, manifests: Iterable[Json], *, dry_run: bool = False) -> list[Json]:
        """Apply each, or show what it would become."""
        options = ("--dry-run=server",) if dry_run else ()
        server_side = ("apply", "--server-side", "--force-conflicts", f"--field-manager={self.manager}", "-o", "json")
        said = [self.bed.kubectl(*server_side, *options, "-f", "-", stdin=json.dumps(obj)) for obj in manifests]
        return [json.loads(one) for one in said]

    def drift(self, manifests: Sequence[Json]) -> dict[str, list[str]]:
        """What a dry run would change, by `Kind/name`."""
        found = {}
        for obj, wanted in zip(manifests, self.apply(manifests, dry_run=True), strict=True):
            try:
                live = self.bed.kube.get(path_of(obj))
            except KubeError as error:
                if error.status != 404:
                    raise
                live = {"metadata": {}}
            found[_name(obj)] = [*_differences(_bare(live), _bare(wanted))]
        return {name: differs for name, differs in found.items() if differs}


def _name(obj: Json) -> str:
    return f"{obj['kind']}/{obj['metadata']['name']}"


def _differences(there: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """Yield where two objects differ; a list is one value."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        for name in sorted({*there, *wanted}):
            yield from _differences(there.get(name), wanted.get(name), f"{path}.{name}".lstrip("."))
    elif there != wanted:
        yield f"{path}: {there} -> {wanted}"


def _bare(obj: Json) -> Json:
    """What is compared: all but the status and what the server keeps."""
    obj = copy.deepcopy({name: value for name, value in obj.items() if name != "status"})
    for name in _SERVERS:
        obj["metadata"].pop(name, None)
    annotations = obj["metadata"].get("annotations", {})
    annotations.pop(LAST_APPLIED, None)
    if not annotations:
        obj["metadata"].pop("annotations", None)
    return obj


def _three_way(applied: Json, wanted: Json, live: Json) -> Json:
    """The JSON merge patch from the live object: what Git says, and nulls for what it said before and says no more."""
    patch: Json = {name: None for name in applied if name not in wanted and name in live}
    for name, value in wanted.items():
        there, before = live.get(name), applied.get(name)
        if isinstance(value, dict) and isinstance(there, dict):
            inner = _three_way(before if isinstance(before, dict) else {}, value, there)
            if inner:
                patch[name] = inner
        elif value != there:
            patch[name] = value
    return patch


def _merged(obj: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(obj) if isinstance(obj, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _without(obj: Json, left_out: Iterable[Json]) -> Json:
    """What is compared, without the fields that managers of the live object own."""
    obj = _bare(obj)
    for fields in left_out:
        _take_out(obj, fields)
    return obj


def _take_out(obj: Any, fields: Json) -> None:
    """Take the fields out, of maps alone."""
    for name, inner in fields.items():
        key = name.removeprefix("f:")
        if name == key or not isinstance(obj, dict) or key not in obj:
            continue
        if inner:
            _take_out(obj[key], inner)
        if not inner or obj[key] == {}:
            del obj[key]
