"""The volumes of a pod: Secrets, ConfigMaps, fields of the pod and tokens as files, and empty folders.

Invariant: a volume's files change all at once, as `mounted.py` says, and only when what they show has changed.
A token is another one when four fifths of its life are over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed.mounted import Mounted
from tests.testbed.pod_fields import NotThere, Unsupported, field, known_field, plain
from tests.testbed.pods import Look

Json = dict[str, Any]
Files = Mapping[str, bytes]
Tokens = Callable[[str, int], str]
"""Audience ("" for the API server's own) and seconds -> a token of the pod's ServiceAccount that is bound to the pod."""

_KINDS = {"secret": "Secret", "configMap": "ConfigMap"}
_KNOWN = frozenset({*_KINDS, "projected", "downwardAPI", "emptyDir"})
_RENEW_AT = 0.8


def check_volumes(pod: Json) -> None:
    """Refuse what cannot be shown."""
    for volume in pod["spec"].get("volumes", ()):
        if found := sorted(set(volume) - _KNOWN - {"name"}):
            raise Unsupported(f"volumes with {', '.join(found)}")
        for item in _fields_of(volume):
            if not known_field(item.get("fieldRef", {}).get("fieldPath", ""), in_volume=True):
                raise Unsupported(f"a file {item['path']} from {sorted(set(item) - {'path'})}")


def _fields_of(volume: Json) -> list[Json]:
    sources = [volume, *volume.get("projected", {}).get("sources", ())]
    if found := sorted(
        {key for source in sources[1:] for key in source} - {*_KINDS, "downwardAPI", "serviceAccountToken"}
    ):
        raise Unsupported(f"projected volumes with {', '.join(found)}")
    return [item for source in sources for item in source.get("downwardAPI", {}).get("items", ())]


def files_of(volume: Json, pod: Json, look: Look, tokens: Tokens) -> Files:
    """Return what a volume holds now."""
    files: dict[str, bytes] = {}
    for source in volume["projected"].get("sources", ()) if "projected" in volume else (volume,):
        if "serviceAccountToken" in source:
            said = source["serviceAccountToken"]
            files[said["path"]] = tokens(said.get("audience", ""), said.get("expirationSeconds", 3600)).encode()
        elif "downwardAPI" in source:
            items = source["downwardAPI"].get("items", ())
            files |= {item["path"]: field(pod, item["fieldRef"]["fieldPath"]).encode() for item in items}
        else:
            files |= _data(source, look)
    return files


def _data(source: Json, look: Look) -> Files:
    """The keys of a Secret or ConfigMap, under their names or those that the items say."""
    ((kind, said),) = [(_KINDS[key], value) for key, value in source.items() if key in _KINDS]
    name = said.get("secretName") or said.get("name")
    found = look(kind, name)
    if found is None and not said.get("optional"):
        raise NotThere(f"there is no {kind} {name}")
    data = plain(found or {})
    if "items" not in said:
        return data
    if missing := [item["key"] for item in said["items"] if item["key"] not in data and not said.get("optional")]:
        raise NotThere(f"{kind} {name} has no key {', '.join(missing)}")
    return {item["path"]: data[item["key"]] for item in said["items"] if item["key"] in data}


@dataclass(frozen=True)
class _Token:
    text: str
    renew_at: float


class PodVolumes:
    """The folders of a pod's volumes on the node."""

    def __init__(self, pod: Json, home: Path, look: Look, tokens: Tokens) -> None:
        self._pod = pod
        self._look = look
        self._ask = tokens
        self._tokens: dict[tuple[str, int], _Token] = {}
        self._mounted: dict[str, Mounted] = {}
        self._shown: dict[str, Files] = {}
        self.folders = {volume["name"]: home / volume["name"] for volume in pod["spec"].get("volumes", ())}

    def refresh(self) -> None:
        """Bring every volume up to date; NotThere tells what one that must be shown still lacks."""
        for volume in self._pod["spec"].get("volumes", ()):
            name = volume["name"]
            if "emptyDir" in volume:
                self.folders[name].mkdir(parents=True, exist_ok=True)
                continue
            files = files_of(volume, self._pod, self._look, self._token)
            if name not in self._mounted:
                self._mounted[name] = Mounted(self.folders[name])
            if self._shown.get(name) != files:
                self._mounted[name].show(files)
                self._shown[name] = files

    def _token(self, audience: str, seconds: int) -> str:
        held = self._tokens.get((audience, seconds))
        if held is None or time.monotonic() >= held.renew_at:
            held = _Token(self._ask(audience, seconds), time.monotonic() + seconds * _RENEW_AT)
            self._tokens[audience, seconds] = held
        return held.text
