"""Manifests as they lie about: which of them are ours, and what a file says that holds something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from vso.app.manifest_files import Manifest, ManifestError, Source, manifests, sources

GROUP = "secrets.hashicorp.com/v1beta1"
CANARY = "canary-value"


def auth(name: str = "auth", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": GROUP, "kind": "VaultAuth", "metadata": {"name": name, **metadata}, "spec": {"mount": "m"}}


def read(*texts: str | bytes) -> list[Manifest]:
    given = [Source(f"{n}.yaml", text if isinstance(text, bytes) else text.encode()) for n, text in enumerate(texts)]
    return list(manifests(given, "team"))


def names(*texts: str | bytes) -> list[str]:
    return [str(manifest.name) for manifest in read(*texts)]


A, B = auth("a"), auth("b", namespace="other")
LIST = {"apiVersion": "v1", "kind": "List", "items": [A, {"apiVersion": "v1", "kind": "Secret"}, B]}
OF_KIND = {"apiVersion": GROUP, "kind": "VaultAuthList", "items": [{"metadata": {"name": "a"}, "spec": {}}, B]}
BOTH = ["VaultAuth team/a", "VaultAuth other/b"]
FOREIGN = "apiVersion: v1\nkind: ConfigMap\n"
OURS = f"apiVersion: {GROUP}\nkind: VaultAuth\nmetadata: {{name: a}}\n"
LISTED = f"apiVersion: v1\nkind: List\nitems: [{{apiVersion: v1, kind: A, a: !Ref b}}, {json.dumps(A)}]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(yaml.safe_dump_all([A, B]), BOTH, id="several documents"),
        pytest.param(json.dumps(LIST), BOTH, id="a list as JSON"),
        pytest.param(yaml.safe_dump(LIST), BOTH, id="a list as YAML"),
        pytest.param(json.dumps(OF_KIND), BOTH, id="a list of one kind"),
        pytest.param(json.dumps({**LIST, "items": [LIST]}), BOTH, id="a list of lists"),
        pytest.param(json.dumps(A, indent="\t"), BOTH[:1], id="JSON with tabs"),
        pytest.param(f"{{apiVersion: {GROUP}, kind: VaultAuth, metadata: {{name: a}}}}", BOTH[:1], id="YAML in braces"),
        pytest.param("---\n---\n# nothing\n", [], id="empty documents"),
        pytest.param("kind: Deployment\napiVersion: apps/v1\nspec: [1]\n", [], id="another group"),
        pytest.param("apiVersion: v1\nkind: ConfigMapList\nitems: []\n", [], id="a list of another group"),
        pytest.param("resources: [a.yaml]\n", [], id="a kustomization that does not say so"),
        pytest.param(f"{FOREIGN}a: !Ref b\n---\n{yaml.safe_dump(A)}", BOTH[:1], id="another group with a tag"),
        pytest.param(f"{FOREIGN}a: !Ref {{b: [c]}}\n", [], id="another group with a tag on an object"),
        pytest.param(f"{FOREIGN}a: !!binary YQ==\n", [], id="another group with bytes"),
        pytest.param(f"{FOREIGN}a: [!!int b, !!bool c, !!float d]\n", [], id="another group with tags that are wrong"),
        pytest.param(f"{FOREIGN}a: -.Inf\n", [], id="another group with no number"),
        pytest.param(f"{FOREIGN}a: {{[b]: c}}\n", [], id="another group with a list as a key"),
        pytest.param(f"{FOREIGN}a: {{<<: b}}\n", [], id="another group with a merge that is none"),
        pytest.param(f"{FOREIGN}a: &a [*a]\n", [], id="another group that holds itself"),
        pytest.param(f"{FOREIGN}a: 0x{'f' * 17}\nb: {2**64}\n", [], id="another group beyond 64 bit"),
        pytest.param(f"{FOREIGN}a: {'[' * 300}{']' * 300}\n", [], id="another group with many levels"),
        pytest.param("apiVersion: a/v1\nkind: List\nitems: !Ref b\n", [], id="a list of another group with a tag"),
        pytest.param(LISTED, BOTH[:1], id="a list with another group with a tag"),
        pytest.param(f"\ufeff{yaml.safe_dump(A)}", BOTH[:1], id="a byte order mark"),
    ],
)
def test_objects_of_ours_are_found_wherever_they_are(text: str, expected: list[str]) -> None:
    assert names(text) == expected


def test_a_moment_and_a_number_as_a_key_are_texts_as_they_are_to_kubernetes() -> None:
    (found,) = read(
        f"apiVersion: {GROUP}\nkind: VaultAuth\nmetadata:\n  name: a\n  creationTimestamp: 2026-01-01T00:00:00Z\n"
        "  annotations: {1: '2', a: =, at: 12:30:45}\n"
    )
    assert found.body["metadata"] == {
        "name": "a",
        "namespace": "team",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "annotations": {"1": "2", "a": "=", "at": "12:30:45"},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("12:30:45", "12:30:45", id="a time of day"),
        pytest.param("1:30.5", "1:30.5", id="a time with a fraction"),
        pytest.param("2026-01-01", "2026-01-01", id="a day"),
        pytest.param("!!timestamp 2026-01-01", "2026-01-01", id="a day that says so"),
        pytest.param("<<", "<<", id="a merge of nothing"),
        pytest.param("1_000", 1000, id="underscores"),
        pytest.param("-_1", -1, id="an underscore after the sign"),
        pytest.param("010", 8, id="base 8"),
        pytest.param("-010", -8, id="base 8 below zero"),
        pytest.param("0o17", 15, id="base 8 with a letter"),
        pytest.param("08", 8, id="no digit of base 8"),
        pytest.param("0X1F", 31, id="base 16"),
        pytest.param("-0b11", -3, id="base 2"),
        pytest.param("0x_", "0x_", id="base 16 without a digit"),
        pytest.param("1e3", 1000, id="an exponent"),
        pytest.param("-.5", -0.5, id="a fraction below zero"),
        pytest.param(".5_0", 0.5, id="an underscore in a fraction alone"),
        pytest.param("1.5_0", 1.5, id="an underscore in a fraction"),
        pytest.param("2.0", 2, id="a fraction of nothing"),
        pytest.param("1e999", "1e999", id="more than a number holds"),
        pytest.param("18446744073709551615", 2**64 - 1, id="64 bit"),
        pytest.param("18446744073709551616", 2.0**64, id="beyond 64 bit"),
        pytest.param("0x1ffffffffffffffffff", "0x1ffffffffffffffffff", id="beyond 64 bit in base 16"),
        pytest.param("y", True, id="y"),
        pytest.param("N", False, id="N"),
        pytest.param("On", True, id="On"),
        pytest.param("yes", True, id="yes"),
        pytest.param("'12'", "12", id="quotes"),
    ],
)
def test_a_plain_word_is_what_kubectl_makes_of_it(text: str, value: Any) -> None:
    (found,) = read(f"apiVersion: {GROUP}\nkind: VaultAuth\nmetadata: {{name: a}}\nstatus: {text}\n")
    assert found.body["status"] == value
    assert type(found.body["status"]) is type(value)


def test_what_is_given_twice_counts_once_and_two_versions_are_refused() -> None:
    assert names(yaml.safe_dump(A), yaml.safe_dump(A)) == BOTH[:1]
    with pytest.raises(ManifestError, match=r"VaultAuth team/a is in 0.yaml, document 1 and, differently, in 1.yaml"):
        read(yaml.safe_dump(A), yaml.safe_dump({**A, "spec": {"mount": "another"}}))


UNSAID = "VaultAuth a holds what JSON cannot say; correct the file"
UNTOLD = "what it is, JSON cannot say; correct the file"
SECRET = f"apiVersion: v1\nkind: Secret\nstringData:\n  a: {CANARY}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            yaml.safe_dump({**A, "spec": {"method": CANARY}}),
            r"0.yaml, document 1: VaultAuth team/a: spec.method: must be .*; correct the named field",
            id="a field that the model refuses",
        ),
        pytest.param(
            json.dumps({**LIST, "items": [B, {**A, "metadata": {}}]}),
            "document 1, item 2: VaultAuth has no metadata.name; give it a name",
            id="no name",
        ),
        pytest.param(yaml.safe_dump({**A, "metadata": [CANARY]}), "has no metadata.name", id="metadata that is none"),
        pytest.param(
            yaml.safe_dump({**A, "metadata": {"name": "a", "namespace": 5}}), "metadata.namespace", id="a number"
        ),
        pytest.param(yaml.safe_dump({**A, "kind": "VaultAuht"}), "has no kind 'VaultAuht'; the kinds", id="a typo"),
        pytest.param(
            yaml.safe_dump({**A, "apiVersion": "secrets.hashicorp.com/v2"}), "there is no .*v2; the version", id="v2"
        ),
        pytest.param(f"- {CANARY}\n", "document 1 is not an object", id="a list without a kind"),
        pytest.param(json.dumps({**LIST, "items": [CANARY]}), "item 1 is not an object", id="a list of texts"),
        pytest.param(SECRET + "  b: 'unclosed\n", r"0.yaml, line \d: this is no YAML", id="no YAML"),
        pytest.param(SECRET + "  b: {\n", r"0.yaml, line \d: this is no YAML", id="an open brace"),
        pytest.param(b"a: \xff\xfe\x00", "0.yaml.*: this is no YAML", id="no text"),
        pytest.param(f"{FOREIGN}---\n{OURS}spec: {{a: !!binary YQ==}}\n", f"document 2: {UNSAID}", id="bytes"),
        pytest.param(f"{OURS}spec: {{a: !{CANARY} b}}\n", f"document 1: {UNSAID}", id="a tag"),
        pytest.param(f"{OURS}spec: {{a: -.Inf}}\n", f"document 1: {UNSAID}", id="no number"),
        pytest.param(f"{OURS}spec: &a [*a]\n", f"document 1: {UNSAID}", id="itself"),
        pytest.param(f"{OURS}spec: {{[a]: b}}\n", f"document 1: {UNSAID}", id="a list as a key"),
        pytest.param(LISTED.replace('"m"', "!m n"), f"document 1, item 2: {UNSAID}", id="a tag in a list"),
        pytest.param(
            f"apiVersion: {GROUP}\nkind: VaultAuth\nmetadata: {{name: !{CANARY} a}}\n",
            "document 1: VaultAuth holds",
            id="a tag on the name",
        ),
        pytest.param(f"apiVersion: {GROUP}\nspec: !{CANARY} a\n", "1: an object of ours holds", id="a tag and no kind"),
        pytest.param(
            f"{OURS}---\na: b\napiVersion: !{CANARY} {GROUP}\n", f"document 2: {UNTOLD}", id="a tag on the group"
        ),
        pytest.param(
            f"apiVersion: v1\nkind: !{CANARY} List\nitems: []\n", f"document 1: {UNTOLD}", id="a tag on a kind"
        ),
        pytest.param(
            f"apiVersion: v1\nkind: List\nitems: !{CANARY} []\n", f"document 1: {UNTOLD}", id="a tag on items"
        ),
        pytest.param(f"!{CANARY} {{a: b}}\n", "document 1 is not an object", id="a tag on all"),
    ],
)
def test_what_cannot_be_read_is_one_error_without_a_value(text: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said) as caught:
        read(text)
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_its_files_of_yaml_and_json_by_name(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "d.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "e.yaml").mkdir()
    assert [source.text.decode() for source in sources(tmp_path)] == ["a.yaml", "b.yml", "c.json"]
    assert [source.text.decode() for source in sources(tmp_path / "d.txt")] == ["d.txt"]


def test_a_path_without_manifests_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no"):
        list(sources(tmp_path))
    with pytest.raises(ManifestError, match=r"missing\.yaml: No such file"):
        list(sources(tmp_path / "missing.yaml"))
