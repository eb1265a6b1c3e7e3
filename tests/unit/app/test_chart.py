"""The chart's generated files, its values as documentation, and the reference's values keys."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import vso
from vso.app.chart.__main__ import main
from vso.app.chart.docs import with_tables
from vso.app.chart.schema import schema
from vso.app.chart.templates import generated
from vso.app.chart.values import Section, ValuesError, parse
from vso.app.settings import from_args

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "vault-secrets-operator"
VALUES = parse((CHART / "values.yaml").read_text())

# Every key that the reference operator's chart knows, in version 1.4.1.
REFERENCE = (Path(__file__).parent / "reference_values.txt").read_text().split()


def admits(node: dict[str, Any], path: list[str]) -> bool:
    """Whether the schema lets a key be set at the path."""
    if not path:
        return True
    properties = node.get("properties", {})
    if path[0] in properties:
        return admits(properties[path[0]], path[1:])
    return bool(node.get("additionalProperties", True))


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


@pytest.mark.parametrize("key", REFERENCE)
def test_a_key_of_the_references_chart_is_admitted(written: dict[str, Any], key: str) -> None:
    assert admits(written, key.split("."))


@pytest.mark.parametrize("key", ["controler", "controller.manager.loging", "rbac.mod", "hooks.upgradeCRD.enabled"])
def test_a_misspelt_key_is_refused(written: dict[str, Any], key: str) -> None:
    assert not admits(written, key.split("."))


def test_the_generated_files_are_as_they_would_be_written() -> None:
    assert main(["--check", str(ROOT / "charts")]) == 0


def test_a_stale_file_and_a_foreign_crd_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    charts = tmp_path / "charts"
    shutil.copytree(ROOT / "charts", charts)
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    chart = charts / "vault-secrets-operator"
    (chart / "values.schema.json").write_text("{}")
    (chart / "crds" / "foreign.yaml").write_text("")
    (chart / "files" / "argocd" / "foreign.lua").write_text("")
    (chart / "templates" / "_generated.tpl").unlink()
    assert main(["--check", str(charts)]) == 1
    said = capsys.readouterr().err
    assert "values.schema.json: differs" in said
    assert "_generated.tpl: missing" in said
    assert "foreign.yaml: belongs to no kind" in said
    assert "foreign.lua: is no copy of anything" in said
    (chart / "files" / "argocd" / "foreign.lua").unlink()
    (chart / "crds" / "foreign.yaml").unlink()
    assert main(["--write", str(charts)]) == 0
    assert main(["--check", str(charts)]) == 0


def test_the_charts_crds_are_those_of_the_manifests() -> None:
    of_chart, of_manifests = (
        {path.name: path.read_text() for path in folder.glob("*.yaml")}
        for folder in (CHART / "crds", ROOT / "manifests/crds")
    )
    assert of_chart == of_manifests


def test_the_chart_is_the_version_of_the_operator() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == vso.__version__


def test_every_template_begins_with_the_defaults_that_an_older_release_lacks() -> None:
    templates = [path for path in (CHART / "templates").iterdir() if not path.name.startswith("_")]
    assert "NOTES.txt" in {path.name for path in templates}
    begin = '{{- include "vso.fill" . '
    assert [path.name for path in templates if not path.read_text().startswith(begin)] == []


def test_the_defaults_are_those_of_the_flags() -> None:
    flags = from_args([], {}, lambda _path: None)
    given = {value.name: value.default for value in VALUES.values()}
    assert flags.health_probe_bind_address is not None
    assert (given["metrics.secure"], given["metrics.auth"]) == (flags.metrics_secure, flags.metrics_auth)
    assert given["health.port"] == flags.health_probe_bind_address.port
    assert given["rbac.mode"] == flags.secrets_access
    assert given["controller.manager.backoffOnSecretSourceError.multiplier"] == flags.backoff.multiplier
    assert given["controller.manager.backoffOnSecretSourceError.randomizationFactor"] == flags.backoff.randomization
    assert given["controller.manager.globalVaultAuthOptions.allowDefaultGlobals"] == flags.allow_default_globals


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\n", "a: a comment is missing"),
        ("# @type integer\na: 1\n", "a: no word says what it is"),
        ("# Something.\na: null\n", "a: null tells no type"),
        ("s:\n  # Something.\n  a: 1\n  b: 2\n", "s.b: a comment is missing"),
        ("- 1\n", "not a map"),
    ],
)
def test_what_is_not_documented_is_an_error(text: str, error: str) -> None:
    with pytest.raises(ValuesError, match=error):
        parse(text)


SMALL = """
# A header, apart.

# Level of
# something.
# @enum a b ""
level: a
# Nothing else.
# @enum true
kept: true
# Who may be read.
# @form credentials
readable: []
# As it is.
free:
  x: 1
deep:
  # @inert for a reason
  # @harmless 0 0s
  gone: ""
  # How many.
  # @type integer null
  count: null
  # How long.
  # @pattern ^[0-9]+ ?s$
  span: 3s
"""


def test_values_are_read_with_their_comments() -> None:
    root = parse(SMALL)
    level, _, _, free, gone, count, _ = root.values()
    assert (level.name, level.text, level.words("enum")) == ("level", "Level of something.", ("a", "b", ""))
    assert (free.name, free.default) == ("free", {"x": 1})
    assert (gone.name, gone.inert, gone.words("harmless")) == ("deep.gone", "for a reason", ("0", "0s"))
    assert count.default is None
    assert isinstance(root.entries["deep"], Section)


def test_the_schema_admits_what_the_comments_say() -> None:
    properties = json.loads(schema(parse(SMALL)))["properties"]
    assert properties["level"]["enum"] == ["a", "b", ""]
    assert properties["kept"]["enum"] == [True]
    assert properties["readable"]["items"]["required"] == ["namespace"]
    assert properties["global"] == {"type": "object", "additionalProperties": True}
    assert properties["free"] == {"description": "As it is.", "type": "object"}
    assert properties["deep"]["additionalProperties"] is False
    assert "type" not in properties["deep"]["properties"]["gone"]
    assert properties["deep"]["properties"]["count"]["type"] == ["integer", "null"]
    assert properties["deep"]["properties"]["span"]["pattern"] == "^[0-9]+ ?s$"


def test_a_key_without_effect_has_a_warning_and_a_line_in_a_table_of_its_own() -> None:
    root = parse(SMALL)
    warning = generated(root).rpartition("vso.warnings")[2]
    assert "WARNING: deep.gone: for a reason" in warning
    assert '(list "0" "0s")' in warning
    assert "level" not in warning
    readme = with_tables(
        "before\n<!-- values: written by `python -m vso.app.chart --write` -->\nold\n<!-- end of values -->\nafter\n",
        root,
    )
    assert "old" not in readme
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert "| `deep.gone` | for a reason |" in readme
