"""Which field of which kind holds the name of what, told to kustomize: its `nameReference` rules.

Invariant: generated from the marks that the models carry (`vso.api.fields.Names`), so that `namePrefix` and
`nameSuffix` reach every reference. destination.name bears no mark: the Secret is made in the cluster and not by
kustomize, and a workload's reference to it must stay the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import JsonValue

from vso.api import generated
from vso.api.docs import field_descriptions
from vso.api.fields import Names
from vso.api.meta import ApiModel
from vso.api.scheme import MODELS
from vso.api.yaml_text import to_yaml
from vso.core.keys import GROUP, Kind

ANY_KEY = "*"
"""In a path: the keys of a map, which a rule of kustomize cannot name."""
_GROUPS: Mapping[str, str] = {
    **dict.fromkeys(Kind, GROUP),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet"), "apps"),
    "Rollout": "argoproj.io",
}
_ORDER = (*Kind, "ServiceAccount", "Secret", "ConfigMap", "Deployment", "StatefulSet", "DaemonSet", "Rollout")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A text in the spec of a kind: where it is, what is said of it, and the kinds that it names objects of."""

    path: tuple[str, ...]
    description: str
    names: tuple[str, ...]


def leaves(model: type[ApiModel]) -> Iterator[Leaf]:
    """Return every text in the spec of a model."""
    return _inside(get_type_hints(model, include_extras=True)["spec"], ("spec",), "", ())


def _inside(hint: object, path: tuple[str, ...], description: str, names: tuple[str, ...]) -> Iterator[Leaf]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        marks = [extra.kinds for extra in arguments[1:] if isinstance(extra, Names)]
        yield from _inside(arguments[0], path, description, *marks or [names])
    elif origin in (Union, UnionType):
        yield from _inside(next(a for a in arguments if a is not NoneType), path, description, names)
    elif origin is tuple:
        yield from _inside(arguments[0], path, description, names)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if arguments[1] is not JsonValue:
            yield from _inside(arguments[1], (*path, ANY_KEY), description, names)
    elif isinstance(hint, type) and issubclass(hint, ApiModel):
        yield from _of_model(hint, path, names)
    elif hint is str:
        yield Leaf(path, description, names)


def _of_model(model: type[ApiModel], path: tuple[str, ...], names: tuple[str, ...]) -> Iterator[Leaf]:
    texts = field_descriptions(model)
    for name, hint in get_type_hints(model, include_extras=True).items():
        if name in model.model_fields:
            alias = model.model_fields[name].alias or name
            yield from _inside(hint, (*path, alias), texts[name], names if name == "name" else ())


def rules() -> list[dict[str, Any]]:
    """Return the rules: of each kind that is named, the fields that name it."""
    found: dict[str, list[dict[str, str]]] = {named: [] for named in _ORDER}
    for kind in Kind:
        for leaf in leaves(MODELS[kind]):
            if ANY_KEY in leaf.path:
                continue
            for named in leaf.names:
                found[named].append({"kind": kind.value, "group": GROUP, "path": "/".join(leaf.path)})
    return [_subject(named) | {"fieldSpecs": fields} for named, fields in found.items() if fields]


def _subject(kind: str) -> dict[str, Any]:
    return {"kind": str(kind)} | ({"group": _GROUPS[kind]} if kind in _GROUPS else {})


def files() -> generated.Files:
    """Return the file of the rules, and the component that brings them into a build."""
    component: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "configurations": ["name-reference.yaml"],
    }
    said: dict[str, Any] = {"nameReference": rules()}
    head = generated.header("vso.api.name_references")
    return {
        "name-reference.yaml": head + to_yaml(said),
        "kustomization.yaml": head + to_yaml(component),
    }


if __name__ == "__main__":
    sys.exit(generated.main(sys.argv[1:], "vso.api.name_references", files))
