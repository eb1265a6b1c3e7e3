"""The rules by which kustomize renames references: one for every field that names an object."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import pytest

from vso.api.fields import Names
from vso.api.generated import differences
from vso.api.meta import ApiModel
from vso.api.name_references import Leaf, files, leaves, rules
from vso.api.scheme import MODELS
from vso.core.keys import Kind

ROOT = Path(__file__).resolve().parents[3]
# A field whose name or description speaks of another object, and that names none which kustomize could rename.
NO_RULE = {
    "destination/name": "the Secret is made in the cluster, and workloads refer to it by this very name",
    "issuerRef": "an issuer in Vault",
    "templateRefs/name": "a key of the SecretTransformation",
    "templates/*/configMapKeyRef/name": "below the keys of a map, which no rule can name",
}
_OWN = "|".join(Kind)
BY_NAME = re.compile(r"(Refs?|[sS]erviceAccount|Targets?)(/name)?$")
BY_TEXT = re.compile(rf"(TLS )?(Name of the )?(Secret|ConfigMap|ServiceAccount|workload|{_OWN})\b")


def refers(leaf: Leaf) -> bool:
    """Whether a field looks like a reference to an object of the cluster."""
    return bool(BY_NAME.search("/".join(leaf.path)) or BY_TEXT.match(leaf.description))


def excepted(leaf: Leaf) -> list[str]:
    return [end for end in NO_RULE if "/".join(leaf.path).endswith(f"/{end}")]


def without_rule(model: type[ApiModel]) -> list[str]:
    """The fields of a model that look like references and bear no mark."""
    return ["/".join(leaf.path) for leaf in leaves(model) if refers(leaf) and not leaf.names and not excepted(leaf)]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_that_refers_to_an_object_has_a_rule(kind: Kind) -> None:
    assert without_rule(MODELS[kind]) == []


class NewSpec(ApiModel):
    """A spec with fields that somebody has just added."""

    other_ref: str = ""
    """A thing."""
    account: str = ""
    """ServiceAccount in the namespace of this object."""
    marked_ref: Annotated[str, Names(("Secret",))] = ""
    """A thing with a mark."""
    plain: str = ""
    """Path in Vault."""


class NewKind(ApiModel):
    """A kind with a new reference."""

    spec: NewSpec
    """What is wanted."""


def test_a_new_reference_without_a_rule_is_found() -> None:
    assert without_rule(NewKind) == ["spec/otherRef", "spec/account"]
    assert [leaf.names for leaf in leaves(NewKind) if leaf.path[-1] == "markedRef"] == [("Secret",)]


def test_no_exception_is_left_over() -> None:
    met = {end for kind in Kind for leaf in leaves(MODELS[kind]) if not leaf.names for end in excepted(leaf)}
    marked = {end for kind in Kind for leaf in leaves(MODELS[kind]) if "*" in leaf.path for end in excepted(leaf)}
    assert met | marked == NO_RULE.keys()


def test_the_rules_say_what_is_renamed_where() -> None:
    said = {
        (rule["kind"], rule.get("group", ""), spec["kind"], spec["path"])
        for rule in rules()
        for spec in rule["fieldSpecs"]
    }
    assert {
        ("VaultConnection", "secrets.hashicorp.com", "VaultAuth", "spec/vaultConnectionRef"),
        ("VaultAuthGlobal", "secrets.hashicorp.com", "VaultAuth", "spec/vaultAuthGlobalRef/name"),
        ("VaultAuth", "secrets.hashicorp.com", "CSISecrets", "spec/vaultAuthRef/name"),
        ("ServiceAccount", "", "VaultAuth", "spec/kubernetes/serviceAccount"),
        ("Secret", "", "VaultAuth", "spec/generic/bodyFrom/secretRef"),
        ("Secret", "", "VaultConnection", "spec/clientCertSecretRef/name"),
        ("Secret", "", "VaultPKISecret", "spec/keystores/pkcs12/passwordSecretRef/name"),
        ("ConfigMap", "", "VaultConnection", "spec/caCertConfigMapRef/name"),
        ("Rollout", "argoproj.io", "VaultDynamicSecret", "spec/rolloutRestartTargets/name"),
    } <= said
    assert not any("destination/name" in path or "*" in path for _, _, _, path in said)


def test_the_files_in_the_repository_are_the_generated_ones() -> None:
    assert list(differences(ROOT / "manifests" / "name-reference", files())) == []
