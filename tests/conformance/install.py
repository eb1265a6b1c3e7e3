"""The installs that are shipped, and the roles of each as its files say them.

Invariant: what the operator may do under an install is what manifests/rbac says, with nothing changed but the two
things that its users fill in: the namespace, and the ServiceAccounts whose tokens may be requested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
OPERATOR_NAMESPACE = "vso-system"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:vault-secrets-operator"
ACCOUNT = "app"
"""The ServiceAccount of the teams."""


def documents(path: Path) -> list[Json]:
    """The objects of a YAML file."""
    return [document for document in yaml.load_all(path.read_text(), yaml.CSafeLoader) if document]


def shipped(folder: str) -> list[Json]:
    """The RBAC objects of a folder in manifests/rbac."""
    every = (d for path in sorted((MANIFESTS / "rbac" / folder).glob("*.yaml")) for d in documents(path))
    return [d for d in every if d["kind"] != "Kustomization"]


def moved(document: Json, namespace: str) -> Json:
    """A role or binding as an operator in another namespace has it, beside the first one's."""
    meta = dict(document["metadata"])
    inside = meta.get("namespace") == OPERATOR_NAMESPACE
    if inside:
        meta["namespace"] = namespace
    else:
        meta["name"] += f"-{namespace}"
    found = {**document, "metadata": meta}
    if "roleRef" in document:
        found["subjects"] = [{**subject, "namespace": namespace} for subject in document["subjects"]]
        found["roleRef"] = {**document["roleRef"], "name": meta["name"]}
    return found


@dataclass(frozen=True)
class Install:
    """A way to install the operator: what it may do with Secrets, and where."""

    full: bool
    namespaced: bool

    @property
    def mode(self) -> str:
        """The value of --secrets-access."""
        return "full" if self.full else "write-only"

    @property
    def name(self) -> str:
        """How `--install` names it."""
        return f"namespaced-{self.mode}" if self.namespaced else self.mode

    def in_mode(self, mode: str) -> Install:
        """The install of the same scope in another mode."""
        return replace(self, full=mode == "full")

    def flags(self, namespaces: Sequence[str]) -> tuple[str, ...]:
        """What the operator is started with."""
        watched = (f"--watch-namespaces={','.join(namespaces)}",) if self.namespaced else ()
        return (f"--secrets-access={self.mode}", *watched)

    def roles(self, namespaces: Sequence[str]) -> list[Json]:
        """The shipped roles and bindings, for these namespaces where the install is for some."""
        if not self.namespaced:
            return shipped(self.mode)
        return [*shipped("namespaced/operator"), *(role for ns in namespaces for role in self._inside(ns))]

    def _inside(self, namespace: str) -> list[Json]:
        found = shipped(f"namespaced/{self.mode}")
        for document in found:
            document["metadata"]["namespace"] = namespace
            for rule in document.get("rules", ()):
                if rule["resources"] == ["serviceaccounts/token"]:
                    rule["resourceNames"] = [ACCOUNT]
        return found


INSTALLS: Mapping[str, Install] = {
    install.name: install
    for namespaced in (False, True)
    for install in (Install(True, namespaced), Install(False, namespaced))
}
FULL = INSTALLS["full"]
ADDITIONS = ("client-cache", "storage-login", "metrics-auth")
"""Folders of manifests/rbac with what single features need beside an install's roles."""


def chosen(config: pytest.Config) -> Install:
    """The install that the run was asked for."""
    return INSTALLS[config.getoption("--install")]


def unwanted(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether a scenario is of other installs only."""
    return any(not _holds(mark, chosen(config).name) for mark in item.iter_markers("only_in"))


def _holds(mark: pytest.Mark, install: str) -> bool:
    assert mark.kwargs["because"], "an only_in says why"
    assert set(mark.args) <= set(INSTALLS), f"only_in of no install: {mark.args}"
    return install in mark.args
