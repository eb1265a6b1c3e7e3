"""`spec.data`: single fields of one or several sources, each under a key of its own.

Invariant: the result holds exactly the listed keys, or there is no result: everything that is
missing is named at once, by path and field and never by value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from vso.api.secrets import VaultStaticSecretSpec
from vso.api.shared import DataItem
from vso.core.errors import ConfigError, Reason
from vso.core.numbers import JsonNumber
from vso.core.sensitive import Sensitive
from vso.decide.gojson import JsonValue
from vso.decide.values import Fields, KvAnswer, KvSource, as_bytes

_INDEX = re.compile(r"[0-9]{1,9}")


def source_of(spec: VaultStaticSecretSpec, item: DataItem) -> KvSource:
    """Return where an item's value is: a field of spec.path, or with `property` of another path."""
    ref = item.remote_ref
    path = ref.key if ref.property else spec.path
    if ref.version and spec.type != "kv-v2":
        raise ConfigError(
            Reason.INVALID_SPEC, f"spec.data of key {item.secret_key!r} names a version, which only type kv-v2 has"
        )
    # A version of the whole object speaks of spec.path alone.
    version = ref.version or (spec.version if path == spec.path else 0)
    return KvSource(spec.mount, path, spec.type, version or None if spec.type == "kv-v2" else None)


def select(spec: VaultStaticSecretSpec, answers: Mapping[KvSource, KvAnswer]) -> dict[str, Sensitive]:
    """Return the listed keys; ConfigError names every field that is missing."""
    found: dict[str, Sensitive] = {}
    missing: dict[KvSource, list[str]] = {}
    for item in spec.data:
        source = source_of(spec, item)
        field = item.remote_ref.property or item.remote_ref.key
        values = _lookup(answers[source].data, item)
        if values:
            found[item.secret_key] = Sensitive(_decoded(values[0], item, f"{source} field {field!r}"))
        else:
            missing.setdefault(source, []).append(field)
    if missing:
        raise ConfigError(Reason.SOURCE_KEY_MISSING, "; ".join(_lacks(*entry) for entry in missing.items()))
    return found


def _lacks(source: KvSource, fields: Sequence[str]) -> str:
    unique = dict.fromkeys(fields)
    return f"{source} has no {'field' if len(unique) == 1 else 'fields'} {', '.join(map(repr, unique))}"


def _lookup(data: Fields, item: DataItem) -> tuple[JsonValue, ...]:
    """Return the value under the item's reference, or nothing; a value may well be None."""
    ref = item.remote_ref
    if ref.property:
        return tuple(islice(_descend(data, ref.property), 1))
    return (data[ref.key],) if ref.key in data else ()


def _descend(value: JsonValue, path: str) -> Iterator[JsonValue]:
    """Yield what a dotted path leads to; a field whose own name holds the dots comes first.

    Each nested value is met at most once, because the way to it fixes how much of the path is left.
    """
    if isinstance(value, Mapping):
        if path in value:
            yield value[path]
        dots = (at for at in range(len(path) - 1, -1, -1) if path[at] == ".")
        for at in dots:
            if path[:at] in value:
                yield from _descend(value[path[:at]], path[at + 1 :])
    elif isinstance(value, Sequence) and not isinstance(value, str):
        head, dot, rest = path.partition(".")
        if _INDEX.fullmatch(head) and int(head) < len(value):
            item = value[int(head)]
            yield from _descend(item, rest) if dot else (item,)


def _decoded(value: JsonValue, item: DataItem, where: str) -> bytes:
    strategy = item.remote_ref.decoding_strategy
    text = value if isinstance(value, str) and not isinstance(value, JsonNumber) else None
    if strategy == "None" or (strategy == "Auto" and text is None):
        return as_bytes(value)
    decoded = None if text is None else _DECODERS[strategy](text)
    if decoded is None:
        raise ConfigError(
            Reason.INVALID_SPEC,
            f"{where} is not {strategy}, which decodingStrategy of spec.data key {item.secret_key!r} says it is",
        )
    return decoded


def _standard(text: str) -> bytes | None:
    # Line breaks are what `base64` puts into long output.
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return None


def _url(text: str) -> bytes | None:
    return None if "+" in text or "/" in text else _standard(text.replace("-", "+").replace("_", "/"))


def _guessed(text: str) -> bytes:
    return next((decoded for decode in (_standard, _url) if (decoded := decode(text)) is not None), as_bytes(text))


def _padded(text: str) -> str:
    """Restore the padding that is often left off where Base64 was asked for by name; `Auto` does without."""
    bare = "".join(text.split()).rstrip("=")
    return bare + "=" * (-len(bare) % 4)


_DECODERS: Mapping[str, Callable[[str], bytes | None]] = {
    "Base64": lambda text: _standard(_padded(text)),
    "Base64URL": lambda text: _url(_padded(text)),
    "Auto": _guessed,
}
