"""`vso crds --apply`: make the cluster's CRDs those of this version.

Invariant: the whole spec is replaced, so that nothing of an older version lingers in a schema; of labels and
annotations ours are set and those of others stay; the objects themselves are left alone. Returns when the API server
serves what was applied: each CRD is established, and its schema has every field. `awaited` says what is missing yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from vso.api.crds import crd
from vso.core.clock import Clock
from vso.core.errors import TransientError
from vso.core.keys import GROUP, VERSION, Kind
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import ForbiddenError, NotFoundError
from vso.kube.json import JsonObject, child
from vso.kube.paths import crd_path, schema_path

_POLL: Final = 0.2
_SERVED: Final = ".".join((*reversed(GROUP.split(".")), VERSION))
_FIELDS: Final = ("spec", "status")
_WORDS: Final = ("annotations", "labels")

_log = structlog.get_logger("vso.crds")


class CrdInstall:
    """One run of it; `annotations` are further ones for every CRD, and win over ours."""

    def __init__(self, client: KubeClient, clock: Clock, annotations: Mapping[str, str] | None = None) -> None:
        self.awaited = "an answer of the API server"
        self._client = client
        self._clock = clock
        self._annotations = dict(annotations or {})

    async def apply(self, kinds: Iterable[Kind]) -> None:
        """Apply the CRDs of the kinds, then wait until each is served as it was applied."""
        answers = {kind: await self._put(kind) for kind in kinds}
        for kind, answer in answers.items():
            await self._established(kind, answer)
        await self._served(list(answers))
        for kind in answers:
            _log.info("CRD applied", kind=kind.value)

    async def _put(self, kind: Kind) -> JsonObject:
        wanted = self._wanted(kind)
        ours: JsonObject = {"metadata": {key: words for key, words in wanted["metadata"].items() if key in _WORDS}}
        spec: JsonObject = {"op": "replace", "path": "/spec", "value": wanted["spec"]}
        try:
            await self._client.patch(_path(kind), ours, content_type=PatchType.MERGE, metadata_only=True)
            return await self._client.patch(_path(kind), [spec], content_type=PatchType.JSON)
        except NotFoundError:
            return await self._client.create(crd_path(), wanted)

    def _wanted(self, kind: Kind) -> dict[str, Any]:
        wanted = crd(kind)
        wanted["metadata"]["annotations"] |= self._annotations
        return wanted

    async def _established(self, kind: Kind, found: JsonObject) -> None:
        while not _is_true(found, "Established"):
            self.awaited = f"the CRD {kind.plural}.{GROUP} to be established{_refusal(found)}"
            await self._clock.sleep(_POLL)
            found = await self._get(_path(kind))

    async def _served(self, kinds: list[Kind]) -> None:
        """Wait until the schema that the API server tells clients of has the fields of ours, no more and no less."""
        self.awaited = _schemas_of(kinds)
        while stale := [kind for kind, fields in (await self._told(kinds)).items() if fields != _fields_of(kind)]:
            self.awaited = _schemas_of(stale)
            await self._clock.sleep(_POLL)

    async def _get(self, path: str) -> JsonObject:
        """Return what is there; an API server that has no time is asked again for as long as there is."""
        awaited = self.awaited
        while True:
            try:
                return await self._client.get(path)
            except TransientError as error:
                self.awaited = f"{awaited} ({error.message})"
                await self._clock.sleep(max(_POLL, error.retry_after or 0.0))

    async def _told(self, kinds: list[Kind]) -> dict[Kind, object]:
        try:
            told = await self._get(schema_path())
        except NotFoundError:  # not one of the kinds is served yet
            return dict.fromkeys(kinds)
        except ForbiddenError as error:
            _log.warning("whether the new schema is served yet cannot be asked", error=error.message)
            return {}
        schemas = child(child(told, "components"), "schemas")
        return {kind: _fields(child(schemas, f"{_SERVED}.{kind}")) for kind in kinds}


def _schemas_of(kinds: Iterable[Kind]) -> str:
    return f"the API server to serve the new schema of {', '.join(kinds)}"


def _path(kind: Kind) -> str:
    return crd_path(f"{kind.plural}.{GROUP}")


def _is_true(found: JsonObject, type_: str) -> bool:
    return any(c["type"] == type_ and c["status"] == "True" for c in _conditions(found))


def _conditions(found: JsonObject) -> Iterable[Mapping[str, Any]]:
    return child(found, "status").get("conditions") or ()


def _refusal(found: JsonObject) -> str:
    """Why a CRD is not established: its names may be another's."""
    said = [f"{c['reason']}: {c['message']}" for c in _conditions(found) if c["status"] == "False" and c.get("message")]
    return f" ({'; '.join(said)})" if said else ""


def _fields_of(kind: Kind) -> object:
    return _fields(crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def _fields(root: Mapping[str, Any]) -> object:
    """The names of all fields below spec and status: what else a server tells of them is its own affair."""
    properties = root.get("properties", {})
    return {part: _names(properties[part]) for part in _FIELDS if part in properties}


def _names(schema: Mapping[str, Any]) -> object:
    below = schema.get("items", schema)
    return {name: _names(field) for name, field in below.get("properties", {}).items()}
