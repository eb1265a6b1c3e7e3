"""`vso rbac`: the least rights of the operator for a set of manifests.

Invariant: no server is asked, and nothing is printed unless all of it can be; what is not among the manifests is
named on standard error.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson

from vso.api.yaml_text import to_yaml
from vso.app import rbac
from vso.app.manifest_files import ManifestError, Source, manifests, sources
from vso.app.needs import Survey, survey
from vso.app.rbac_needs import chart_credentials, minimal_objects
from vso.app.settings import SecretsAccess, Settings, SettingsError, from_args
from vso.core.keys import GROUP, ObjectKey

_STDIN = "-"
_OPERATORS = ("secrets-access", "operator-class", "watch-label-selector", "global-vault-auth-options")
"""Flags of the operator's that decide what it asks for."""


def main(argv: Sequence[str], stdin: BinaryIO | None = None) -> int:
    """Print the rights that the objects in the named files need."""
    options = parser().parse_args(argv)
    try:
        settings = _settings(options)
        given = [source for path in options.files for source in _sources(path, stdin)]
        found = manifests(given, options.namespace)
    except (ManifestError, SettingsError) as error:
        _say(str(error))
        return 1
    surveyed = survey(found, settings)
    text = _text(surveyed, settings, options)
    if not found:
        _say(f"warning: there is no object of {GROUP} among the manifests")
    for remark in surveyed.remarks:
        _say(f"warning: {remark}")
    sys.stdout.write(text)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="vso rbac",
        description="Print the least Roles of an operator that watches the namespaces of these manifests.",
    )
    made.add_argument(
        "-f", "--filename", metavar="PATH", dest="files", action="append", required=True,
        help="file, folder with *.yaml, *.yml and *.json, or - for standard input; may be given again",
    )  # fmt: skip
    made.add_argument(
        "-o", "--output", choices=("yaml", "json", "helm"), default="yaml",
        help="default yaml; helm: values of the chart with rbac.credentials alone, what is read by name",
    )  # fmt: skip
    made.add_argument("--namespace", default="default", help="of objects that name none; default default")
    made.add_argument(
        "--operator-namespace", default=rbac.NAMESPACE, metavar="NAMESPACE", help=f"default {rbac.NAMESPACE}"
    )
    made.add_argument(
        "--service-account", default=rbac.NAME, metavar="NAME", help=f"the operator's; default {rbac.NAME}"
    )
    for name in _OPERATORS:
        made.add_argument(f"--{name}", metavar="VALUE", help="as the operator's")
    return made


def _settings(options: argparse.Namespace) -> Settings:
    """Return the operator's settings, as far as they decide what it asks for."""
    return from_args([f"--namespace={options.operator_namespace}", *_given(options)], {}, lambda _: None)


def _given(options: argparse.Namespace) -> list[str]:
    """Return the operator's flags as they were given."""
    said = {name: getattr(options, name.replace("-", "_")) for name in _OPERATORS}
    return [f"--{name}={value}" for name, value in said.items() if value is not None]


def _sources(path: str, stdin: BinaryIO | None) -> Iterator[Source]:
    if path == _STDIN:
        return iter([Source("standard input", (stdin or sys.stdin.buffer).read())])
    return sources(Path(path))


def _text(found: Survey, settings: Settings, options: argparse.Namespace) -> str:
    if options.output == "helm":
        return to_yaml({"rbac": {"credentials": chart_credentials(found.needs)}})
    operator, mode = ObjectKey(settings.namespace, options.service_account), settings.secrets_access
    objects = list(minimal_objects(found.needs, operator, full=mode is SecretsAccess.FULL))
    if options.output == "json":
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        return orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode() + "\n"
    watched = [f"--watch-namespaces={','.join(found.needs)}"] if found.needs else []
    flags = [*watched, f"--secrets-access={mode}", *(flag for flag in _given(options) if "secrets-access" not in flag)]
    head = f"# for an operator with {shlex.join(flags)}\n"
    return head + "---\n".join(map(to_yaml, objects))


def _say(text: str) -> None:
    sys.stderr.write(f"vso rbac: {text}\n")
