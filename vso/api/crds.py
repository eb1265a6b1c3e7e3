"""The CustomResourceDefinitions, generated from the models.

Invariant: the output depends on the models alone; `--check` compares the files in the repository
with it, so that neither changes without the other.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from vso.api import generated
from vso.api.schema import Schema, object_schema
from vso.api.scheme import MODELS
from vso.api.yaml_text import to_yaml
from vso.core.keys import GROUP, VERSION, Kind

HEADER = generated.header("vso.api.crds")
KUSTOMIZATION = "Kustomization"
"""Without a suffix, so that `kubectl apply -f` of the folder takes the CRDs alone; kustomize knows this name too."""

SHORT_NAMES: Mapping[Kind, str] = {
    Kind.VAULT_CONNECTION: "vc",
    Kind.VAULT_AUTH: "va",
    Kind.VAULT_AUTH_GLOBAL: "vag",
    Kind.VAULT_STATIC_SECRET: "vss",
    Kind.VAULT_DYNAMIC_SECRET: "vds",
    Kind.VAULT_PKI_SECRET: "vps",
    Kind.SECRET_TRANSFORMATION: "vst",
}


def _condition_column(name: str, type_: str, field: str) -> dict[str, str]:
    return {"name": name, "type": "string", "jsonPath": f'.status.conditions[?(@.type=="{type_}")].{field}'}


_READY = _condition_column("Ready", "Ready", "status")
_REASON = _condition_column("Reason", "Ready", "reason")
_SYNCED = _condition_column("Synced", "SecretSynced", "status")
_SOURCE_VERSION = {"name": "Version", "type": "string", "jsonPath": ".status.sourceVersion"}
_VAULT_VERSION = {"name": "Version", "type": "string", "jsonPath": ".status.version"}
# Not of type date: kubectl shows a date as an age, and a moment to come as "<invalid>".
_EXPIRES = {"name": "Expires", "type": "string", "format": "date-time", "jsonPath": ".status.expires"}
_KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}
"""With a CRD everybody's objects go, and with those their Secrets: no GitOps tool takes one away with the operator."""
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}

_BETWEEN: Mapping[Kind, tuple[dict[str, str], ...]] = {
    Kind.VAULT_CONNECTION: (_VAULT_VERSION,),
    Kind.VAULT_STATIC_SECRET: (_SYNCED, _SOURCE_VERSION),
    Kind.VAULT_DYNAMIC_SECRET: (_SYNCED, _EXPIRES),
    Kind.VAULT_PKI_SECRET: (_SYNCED, _EXPIRES),
}

_API_VERSION = {"description": f"Version of the API: {GROUP}/{VERSION}.", "type": "string"}


def crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    names: dict[str, Any] = {"kind": str(kind), "listKind": f"{kind}List", "plural": kind.plural}
    names["singular"] = kind.lower()
    if kind in SHORT_NAMES:
        names["shortNames"] = [SHORT_NAMES[kind]]
    names["categories"] = ["vault"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "annotations": dict(_KEPT)},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [_version(kind)]},
    }


def _version(kind: Kind) -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_READY, _REASON, *_BETWEEN.get(kind, ()), _AGE],
        "schema": {"openAPIV3Schema": _root(kind)},
    }


def _root(kind: Kind) -> Schema:
    schema = object_schema(MODELS[kind])
    fields = schema["properties"]
    # A fresh object reads as "not seen yet" to whoever waits for it (kstatus, Argo CD).
    fields["status"]["default"] = {"observedGeneration": -1}
    schema["properties"] = {
        "apiVersion": _API_VERSION,
        "kind": {"description": f"Kind of the object: {kind}.", "type": "string"},
        "metadata": {"type": "object"},
        "spec": fields["spec"],
        "status": fields["status"],
    }
    return schema


def render(kind: Kind) -> str:
    """Return the file of a kind: YAML with a comment that says where it comes from."""
    return f"{HEADER}---\n{to_yaml(crd(kind))}"


def file_name(kind: Kind) -> str:
    """Return the name of the file of a kind."""
    return f"{GROUP}_{kind.plural}.yaml"


def files() -> generated.Files:
    """Return every file of the folder of CRDs: one of each kind, and the list of them for kustomize."""
    names = {file_name(kind): render(kind) for kind in Kind}
    listed: Schema = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(names),
    }
    return {**names, KUSTOMIZATION: HEADER + to_yaml(listed)}


if __name__ == "__main__":
    sys.exit(generated.main(sys.argv[1:], "vso.api.crds", files))
