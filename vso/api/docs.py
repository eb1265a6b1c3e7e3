"""The descriptions of fields: the string that stands below each field in the source.

Invariant: read only while CRDs are generated; at run time these strings are not even kept by the
compiler, so they cost the operator neither memory nor start-up time.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from vso.api.meta import ApiModel


def field_descriptions(model: type[ApiModel]) -> Mapping[str, str]:
    """Return the description of each field by its Python name, inherited ones too."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, ApiModel):
            found.update(_in_module(inspect.getfile(base)).get(base.__name__, {}))
    return found


def class_description(model: type[ApiModel]) -> str:
    """Return the description of the object itself."""
    return _one_line(model.__doc__ or "")


@cache
def _in_module(path: str) -> Mapping[str, Mapping[str, str]]:
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return {node.name: _in_class(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _in_class(node: ast.ClassDef) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for statement, following in zip(node.body, node.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = _one_line(text)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
