"""The chart as helm renders it, case by case: whole for the defaults, and what each other case changes in that.

`python -m tests.conformance.chart_cases` writes the goldens anew. Invariant: one case for each file in the chart's
folder ci, rendered by the real helm; the order of helm's output and the labels that every object has do not count.
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import vso
from tests.testbed.helm import Helm

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "vault-secrets-operator"
GOLDENS = Path(__file__).parent / "chart"
CASES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
FILES = {path.read_text(): f"<{path.relative_to(CHART)}>" for path in sorted((CHART / "files").rglob("*.*"))}
NAMESPACE = "vso-system"
LABELS = {
    "app.kubernetes.io/name": "vault-secrets-operator",
    "app.kubernetes.io/instance": "vso",
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/version": vso.__version__,
    "helm.sh/chart": f"vault-secrets-operator-{vso.__version__}",
}
"""What helm's users look for on every object."""


def values_of(case: str) -> tuple[str, ...]:
    """The arguments that choose a case."""
    return ("-f", str(CASES[case]))


def render(helm: Helm, case: str, *args: str) -> list[Json]:
    """What helm makes of a case, hooks included and CRDs not, in an order of our own."""
    text = helm("template", "vso", CHART, "--namespace", NAMESPACE, *values_of(case), *args)
    documents = [document for document in yaml.safe_load_all(text) if document]
    return sorted(documents, key=_place)


def goldens(rendered: Mapping[str, list[Json]]) -> dict[str, str]:
    """The text of every golden, by file name."""
    default = text_of(rendered["default"])
    changed = {f"{case}.diff": _difference(default, text_of(objects)) for case, objects in rendered.items()}
    del changed["default.diff"]
    return {"default.yaml": default, **changed}


def of_kind(objects: list[Json], *kinds: str) -> list[Json]:
    """The objects of these kinds."""
    return [found for found in objects if found["kind"] in kinds]


def operator_of(objects: list[Json]) -> Json:
    """The operator's container."""
    (deployment,) = of_kind(objects, "Deployment")
    found: Json = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def rules(objects: list[Json], kind: str, name: str, namespace: str | None = None) -> list[Json]:
    """The rules of the one role of a kind, name and namespace."""
    (found,) = [
        role
        for role in of_kind(objects, kind)
        if (role["metadata"]["name"], role["metadata"].get("namespace")) == (name, namespace)
    ]
    return list(found["rules"])


def text_of(objects: list[Json]) -> str:
    """Objects as text in one way only, without the labels that all have."""
    return yaml.safe_dump_all([_bare(found) for found in objects], sort_keys=True, width=120)


def _bare(document: Json) -> Json:
    meta = document["metadata"]
    if meta["name"].endswith(("-argocd", "-flux")):  # copies of files of manifests, which a test of its own compares
        document = {**document, "data": dict.fromkeys(document["data"], "...")}
    labels = {key: value for key, value in meta.get("labels", {}).items() if LABELS.get(key) != value}
    kept = {key: value for key, value in meta.items() if key != "labels"}
    bare = {**document, "metadata": {**kept, **({"labels": labels} if labels else {})}}
    if "data" in document:  # what a file of the chart says need not be said again
        bare["data"] = {key: FILES.get(text, text) for key, text in document["data"].items()}
    return bare


def _difference(default: str, text: str) -> str:
    lines = difflib.unified_diff(default.splitlines(), text.splitlines(), "default", "this case", n=2, lineterm="")
    # Where in the file a change stands says nothing about it.
    return "".join(f"{'@@' if line.startswith('@@') else line}\n" for line in lines)


def _place(document: Json) -> tuple[str, str, str]:
    return document["kind"], document["metadata"].get("namespace", ""), document["metadata"]["name"]


def main() -> None:
    """Write the goldens and remove those of no case."""
    with tempfile.TemporaryDirectory() as home:
        helm = Helm(Path(home))
        written = goldens({case: render(helm, case) for case in CASES})
    GOLDENS.mkdir(exist_ok=True)
    for path in GOLDENS.iterdir():
        if path.name not in written:
            path.unlink()
    for name, text in written.items():
        (GOLDENS / name).write_text(text)


if __name__ == "__main__":
    main()
