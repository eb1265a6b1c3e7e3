"""Where a pod's variables and volumes come from: fields of the pod itself, and data of Secrets and ConfigMaps.

Invariant: pure, over plain JSON.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

Json = dict[str, Any]

_FIELDS = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "metadata.uid": ("metadata", "uid"),
    "spec.nodeName": ("spec", "nodeName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
}
_ONE = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_WHOLE = ("metadata.labels", "metadata.annotations")


class Unsupported(Exception):  # noqa: N818  a verdict, not an accident
    """The pod asks for something that the stand-in does not do."""


class NotThere(Exception):  # noqa: N818
    """What the pod refers to is not there yet."""


def known_field(path: str, *, in_volume: bool = False) -> bool:
    """Whether the field can be told; a volume shows all labels too."""
    return path in _FIELDS or _ONE.fullmatch(path) is not None or (in_volume and path in _WHOLE)


def field(pod: Json, path: str) -> str:
    """Return a field of the pod as text."""
    if one := _ONE.fullmatch(path):
        return str(pod["metadata"].get(one[1], {}).get(one[2], ""))
    if path in _WHOLE:
        entries = pod["metadata"].get(path.removeprefix("metadata."), {})
        return "\n".join(f"{key}={json.dumps(value)}" for key, value in sorted(entries.items()))
    part, name = _FIELDS[path]
    return str(pod[part].get(name, "default"))


def plain(found: Json) -> dict[str, bytes]:
    """The data of a Secret or a ConfigMap."""
    encoded = found.get("data") or {}
    if found.get("kind") == "ConfigMap":
        texts = {key: value.encode() for key, value in encoded.items()}
        return texts | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return {key: base64.b64decode(value) for key, value in encoded.items()}
