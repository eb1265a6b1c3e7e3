"""Manifests of our kinds, as files of YAML or JSON hold them: one object or several, or a list as kubectl prints it.

Invariant: what is there is read whole or refused whole, by one error that names file and object and repeats no value;
objects of other groups are passed over, whatever they hold: only ours have to be what JSON can say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

from vso.api.scheme import parse
from vso.core.errors import ConfigError
from vso.core.keys import API_VERSION, GROUP, Kind, KindKey, ObjectKey

if TYPE_CHECKING:
    import yaml

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_TAG: Final = "tag:yaml.org,2002:"
_OTHERWISE: Final = frozenset(f"{_TAG}{name}" for name in ("timestamp", "value", "int", "float"))
"""What kubectl does not read as YAML 1.1 says: the first two are texts to it, the others have rules of their own."""
_WHOLE: Final = re.compile(r"[-+]?(?:0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]{0,19})")
_FRACTION: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_ENDLESS: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_BASE_8: Final = re.compile(r"^([-+]?0)(?=[0-7])")
_NUMBER: Final = "!number"
"""What may be one; nobody else's tag, since a file that writes it has the number that it asks for."""
_UNSAYABLE: Final = object()
"""What stands where a file holds something that no JSON can."""
_LIST: Final = "List"

Json = dict[str, Any]


class ManifestError(Exception):
    """Something that cannot be read, and what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}; {remedy}")


@dataclass(frozen=True, slots=True)
class Source:
    """A text with manifests, and what to call it."""

    name: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of ours."""

    name: KindKey
    body: Json
    where: str


def sources(path: Path) -> Iterator[Source]:
    """Return the file at a path, or those in the folder that it is, by name."""
    try:
        if not path.is_dir():
            yield Source(str(path), path.read_bytes())
            return
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        yield from (Source(str(file), file.read_bytes()) for file in files)
    except OSError as error:
        raise ManifestError(f"{error.filename}: {error.strerror}", "name a file or a folder that can be read") from None
    if not files:
        raise ManifestError(f"{path} holds no *.yaml, *.yml or *.json", "name a folder with manifests, or a file")


def manifests(found: Iterable[Source], namespace: str) -> Sequence[Manifest]:
    """Return the objects of our kinds; one that names no namespace is of the one that is given."""
    known: dict[KindKey, Manifest] = {}
    for source in found:
        for where, value in _objects(source):
            manifest = _manifest(where, _json(where, value), namespace)
            before = known.setdefault(manifest.name, manifest)
            if before.body != manifest.body:
                told = f"{manifest.name} is in {before.where} and, differently, in {where}"
                raise ManifestError(told, "give it once, for instance as kustomize builds it")
    return tuple(known.values())


def _objects(source: Source) -> Iterator[tuple[str, Json]]:
    """Return the objects of our group, and where each was found."""
    for number, document in enumerate(_documents(source), 1):
        where = f"{source.name}, document {number}"
        if document is None:
            continue
        if not isinstance(document, dict):
            raise ManifestError(f"{where} is not an object", "give manifests of Kubernetes objects")
        yield from _ours(where, document)


def _ours(where: str, value: Json) -> Iterator[tuple[str, Json]]:
    """Return the object if it is of our group, those of a list one by one."""
    version, kind, items = (value.get(key) or "" for key in ("apiVersion", "kind", "items"))
    group = str(version).rpartition("/")[0]
    is_list = str(kind).endswith(_LIST) and (version == "v1" or group == GROUP)
    if _UNSAYABLE in (version, kind) or (is_list and items is _UNSAYABLE):
        raise ManifestError(f"{where}: what it is, JSON cannot say", "correct the file")
    if is_list and isinstance(items, list):
        # The items of a list of one kind need not repeat what they are.
        told = {"apiVersion": version, "kind": str(kind).removesuffix(_LIST)} if group else {}
        for number, item in enumerate(items, 1):
            if not isinstance(item, dict):
                raise ManifestError(f"{where}, item {number} is not an object", "give a list of Kubernetes objects")
            yield from _ours(f"{where}, item {number}", {**told, **item})
    elif group == GROUP:
        yield where, value


def _json(where: str, value: Json) -> Json:
    """Return an object of ours as JSON has it."""
    try:
        return orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))  # type: ignore[no-any-return]
    except (TypeError, ValueError):
        kind, meta = value.get("kind"), value.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        called = " ".join(said for said in (kind, name) if isinstance(said, str)) or "an object of ours"
    raise ManifestError(f"{where}: {called} holds what JSON cannot say", "correct the file")


def _documents(source: Source) -> Sequence[Any]:
    """Return what a text holds; of YAML it may be more than JSON can say."""
    if source.text.lstrip()[:1] == b"{":
        try:
            return (orjson.loads(source.text),)
        except orjson.JSONDecodeError:
            pass  # YAML may begin so too, and tells where it is wrong
    return _yaml_documents(source)


def _yaml_documents(source: Source) -> Sequence[Any]:
    import yaml  # noqa: PLC0415  nobody else needs it

    try:
        return list(yaml.load_all(source.text, _loader()))
    except yaml.YAMLError as error:
        # Its own text quotes the line, which may be one of a Secret.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        told = f"{source.name}{place}: this is no YAML: {problem or 'a character that it cannot hold'}"
    except (ValueError, RecursionError):
        told = f"{source.name}: this is no YAML that can be read"
    raise ManifestError(told, "correct the file")


@cache
def _loader() -> type[yaml.SafeLoader]:
    import yaml  # noqa: PLC0415  nobody else needs it

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """The safe one, with plain words as kubectl reads them: go-yaml v2, below sigs.k8s.io/yaml."""

        bool_values: ClassVar = {**yaml.SafeLoader.bool_values, "y": True, "n": False}

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401  as its own
            """Return what a node says. One that says nothing fails nobody before it is known whose it is."""
            try:
                # Deep, so that what a node holds fails here and not after it was returned.
                return super().construct_object(node, deep=True)
            except (yaml.constructor.ConstructorError, LookupError, TypeError, ValueError, RecursionError):
                return _UNSAYABLE

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OTHERWISE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"[yYnN]$"), list("yYnN"))
    Loader.add_implicit_resolver(_NUMBER, re.compile(""), list("-+.0123456789"))
    Loader.add_constructor(_NUMBER, lambda loader, node: _number(loader.construct_scalar(node)))
    for tag in ("timestamp", "merge"):
        Loader.add_constructor(f"{_TAG}{tag}", Loader.construct_yaml_str)
    return Loader


def _number(text: str) -> int | float | str:
    """Return the number that a plain word is to kubectl, which knows none to base 60; a text, where it is none."""
    plain = text.replace("_", "")
    if _WHOLE.fullmatch(plain) and -(2**63) <= (whole := int(_BASE_8.sub(r"\1o", plain), 0)) < 2**64:
        return whole
    if _FRACTION.fullmatch(plain) and isfinite(value := float(plain)):
        # As Go writes it: JSON does not tell 1.0 from 1.
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if _ENDLESS.fullmatch(text):
        raise ValueError
    return text


def _manifest(where: str, value: Json, namespace: str) -> Manifest:
    """Return the object; its model has understood it."""
    kind, meta = _kind(where, value), value.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str) or not meta["name"]:
        raise ManifestError(f"{where}: {kind} has no metadata.name", "give it a name")
    body = {**value, "metadata": {**meta, "namespace": meta.get("namespace") or namespace}}
    key = ObjectKey(str(body["metadata"]["namespace"]), meta["name"])
    name = KindKey(kind, key)
    try:
        parse(kind, orjson.dumps(body))
    except ConfigError as error:
        told, remedy = f"{where}: {name}: {error.message}", error.remedy
    else:
        return Manifest(name, body, where)
    raise ManifestError(told, remedy)


def _kind(where: str, value: Json) -> Kind:
    """Return the kind of an object of our group."""
    if value["apiVersion"] != API_VERSION:
        raise ManifestError(f"{where}: there is no {value['apiVersion']}", f"the version is {API_VERSION}")
    try:
        return Kind(value.get("kind") or "")
    except ValueError:
        told = f"{where}: {API_VERSION} has no kind {value.get('kind')!r}"
    raise ManifestError(told, f"the kinds are {', '.join(Kind)}")
