"""Ways into the generated schemas, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from vso.api.crds import crd
from vso.core.keys import Kind

KINDS = [pytest.param(kind, id=kind) for kind in Kind]
DURATION = r"^([0-9]+(\.[0-9]+)?(s|m|h))$"
Schema = dict[str, Any]

VC, VA, VAG = Kind.VAULT_CONNECTION, Kind.VAULT_AUTH, Kind.VAULT_AUTH_GLOBAL
VSS, VDS, VPS = Kind.VAULT_STATIC_SECRET, Kind.VAULT_DYNAMIC_SECRET, Kind.VAULT_PKI_SECRET
VST, HCPA, HVSA, CSI = (
    Kind.SECRET_TRANSFORMATION,
    Kind.HCP_AUTH,
    Kind.HCP_VAULT_SECRETS_APP,
    Kind.CSI_SECRETS,
)
WITH_DESTINATION = (VSS, VDS, VPS, HVSA)
METHODS = [
    "kubernetes",
    "jwt",
    "appRole",
    "approle",
    "aws",
    "gcp",
    "azure",
    "cert",
    "userpass",
    "ldap",
    "token",
    "generic",
]


@cache
def definition(kind: Kind) -> Schema:
    return crd(kind)


def version(kind: Kind) -> Schema:
    found: Schema = definition(kind)["spec"]["versions"][0]
    return found


def root(kind: Kind) -> Schema:
    schema: Schema = version(kind)["schema"]["openAPIV3Schema"]
    return schema


def field(kind: Kind, path: str) -> Schema:
    """The schema at a path such as spec.data[].remoteRef or spec.x.templates{}."""
    schema = root(kind)
    for step in path.replace("[]", ".[]").replace("{}", ".{}").split("."):
        schema = {"[]": lambda s: s["items"], "{}": lambda s: s["additionalProperties"]}.get(
            step, lambda s, step=step: s["properties"][step]
        )(schema)
    return schema


def walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}{{}}")
