"""Which files of the chart are generated, and what each must hold."""

from __future__ import annotations

import re
from pathlib import Path

import vso
from vso.api.crds import file_name, render
from vso.api.yaml_text import to_yaml
from vso.app.chart import gitops
from vso.app.chart.alerts import groups
from vso.app.chart.dashboard import dashboard
from vso.app.chart.docs import with_tables
from vso.app.chart.schema import schema
from vso.app.chart.templates import generated
from vso.app.chart.values import parse
from vso.core.keys import Kind

CHART = Path("vault-secrets-operator")


def expected(charts: Path) -> dict[Path, str]:
    """Return the text of every generated file of the folder of charts."""
    chart = charts / CHART
    values = parse((chart / "values.yaml").read_text(encoding="utf-8"))
    readme = charts / "README.md"
    about = chart / "Chart.yaml"
    manifests = charts.parent / "manifests"
    return {
        chart / "values.schema.json": schema(values),
        chart / "templates" / "_generated.tpl": generated(values),
        chart / "files" / "alerts.yaml": to_yaml(groups()),
        chart / "files" / "dashboard.json": dashboard(),
        chart / "templates" / "_gitops.tpl": gitops.template(manifests),
        **{chart / place: text for place, text in gitops.copies(manifests).items()},
        readme: with_tables(readme.read_text(encoding="utf-8"), values),
        about: _versioned(about.read_text(encoding="utf-8")),
        **{chart / "crds" / file_name(kind): render(kind) for kind in Kind},
    }


def differences(charts: Path) -> list[str]:
    """Name the files that are not as they would be written."""
    wanted = expected(charts)
    found = [f"{path}: {_verdict(path)}" for path, text in wanted.items() if _text(path) != text]
    chart = charts / CHART
    crds = set((chart / "crds").glob("*")) - set(wanted)
    files = {path for path in (chart / "files").rglob("*") if path.is_file()} - set(wanted)
    found += [f"{path}: belongs to no kind" for path in sorted(crds)]
    return found + [f"{path}: is no copy of anything" for path in sorted(files)]


def write(charts: Path) -> None:
    """Write every generated file."""
    for path, text in expected(charts).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _versioned(chart: str) -> str:
    return re.sub(r"(?m)^(version|appVersion): .*$", rf"\1: {vso.__version__}", chart)


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _verdict(path: Path) -> str:
    return "differs" if path.is_file() else "missing"
