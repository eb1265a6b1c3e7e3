"""From what Vault answered to the data of the Secret.

Invariant: the result is whole or an error; a key that Kubernetes refuses or too large a total
rejects it as a whole, so that nothing is ever written in part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from vso.api.secrets import VaultStaticSecretSpec
from vso.api.shared import Destination, Transformation
from vso.core.errors import ConfigError, Reason, TerminalError
from vso.core.sensitive import Sensitive
from vso.decide.filters import keep_names
from vso.decide.gojson import go_json
from vso.decide.selection import select, source_of
from vso.decide.values import KvAnswer, KvSource, as_bytes

__all__ = ["KvAnswer", "KvSource", "build", "sources"]

RAW = "_raw"
MAX_BYTES = 1024 * 1024
"""The API server's limit for the sum of a Secret's values; the keys do not count."""

# The API server's rule for keys of a Secret, with its ban on "." and on ".." at the start.
_KEY = re.compile(r"(?!\.\.)(?!\.$)[-._a-zA-Z0-9]{1,253}", re.ASCII)
_NO_TRANSFORMATION = Transformation()


def sources(spec: VaultStaticSecretSpec) -> tuple[KvSource, ...]:
    """Return what has to be read for the object, each source once."""
    if not spec.data:
        version = spec.version or None if spec.type == "kv-v2" else None
        return (KvSource(spec.mount, spec.path, spec.type, version),)
    return tuple(dict.fromkeys(source_of(spec, item) for item in spec.data))


def build(
    spec: VaultStaticSecretSpec, answers: Mapping[KvSource, KvAnswer], *, exclude_raw_default: bool
) -> Mapping[str, Sensitive]:
    """Return the data of the Secret, or raise what is wrong with it.

    `answers` holds one for each of `sources`.
    """
    if spec.data:
        _understood(spec.destination)
        return _checked(select(spec, answers))
    (source,) = sources(spec)
    return build_whole(spec.destination, source, answers[source], exclude_raw_default=exclude_raw_default)


def build_whole(
    destination: Destination, source: object, answer: KvAnswer, *, exclude_raw_default: bool
) -> Mapping[str, Sensitive]:
    """Return the data of a Secret that takes all fields of one answer; `source` names it in messages."""
    transformation = _understood(destination)
    exclude_raw = exclude_raw_default or transformation.exclude_raw
    return _checked(_whole(source, answer, transformation, exclude_raw=exclude_raw))


def _understood(destination: Destination) -> Transformation:
    transformation = destination.transformation or _NO_TRANSFORMATION
    if transformation.templates or transformation.transformation_refs:
        raise TerminalError(
            Reason.NOT_IMPLEMENTED,
            "templates and transformationRefs of spec.destination.transformation are not acted on",
        )
    return transformation


def _checked(built: dict[str, Sensitive]) -> dict[str, Sensitive]:
    _check_keys(built)
    _check_size(built)
    return built


def _whole(
    source: object, answer: KvAnswer, transformation: Transformation, *, exclude_raw: bool
) -> dict[str, Sensitive]:
    built: dict[str, Sensitive] = {}
    if not exclude_raw:
        if RAW in answer.data:
            raise ConfigError(
                Reason.SECRET_KEY_INVALID,
                f"{source} has a field {RAW!r}, the key that holds Vault's whole answer unless excludeRaw is set",
            )
        built[RAW] = Sensitive(go_json(answer.raw))
    names = keep_names(answer.data, transformation.includes, transformation.excludes)
    built.update((name, Sensitive(as_bytes(answer.data[name]))) for name in names)
    return built


def _check_keys(data: Mapping[str, Sensitive]) -> None:
    refused = [name for name in data if not _KEY.fullmatch(name)]
    if refused:
        named = ", ".join(_shown(name) for name in sorted(refused))
        raise ConfigError(Reason.SECRET_KEY_INVALID, f"Kubernetes refuses these keys of a Secret: {named}")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:80]}…")


def _check_size(data: Mapping[str, Sensitive]) -> None:
    if sum(map(len, data.values())) <= MAX_BYTES:
        return
    largest = max(sorted(data), key=lambda name: len(data[name]))
    raise ConfigError(
        Reason.SECRET_TOO_LARGE, f"the values are more than 1 MiB together, that of {largest!r} the largest"
    )
