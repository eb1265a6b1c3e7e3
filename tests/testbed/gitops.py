"""The tools of GitOps as programs: kustomize, and the verdict of Flux's libraries on objects.

Invariant: both are the real ones, built into the cache; nothing is judged here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.testbed.build import binaries
from tests.testbed.kube_admin import Json


class ToolError(Exception):
    """A tool refused; the message is what it said."""


@dataclass(frozen=True)
class FluxVerdict:
    """What Flux makes of an object: by kstatus, and by the expressions for its kind (empty where there are none)."""

    kstatus: str
    cel: str


def kustomize(folder: Path) -> list[Json]:
    """The objects that kustomize builds from a folder."""
    return [found for found in yaml.safe_load_all(_run(binaries().kustomize, "build", str(folder))) if found]


def flux_verdicts(kustomizations: Sequence[Json], objects: Sequence[Json]) -> list[FluxVerdict]:
    """The verdict on each of the objects, with the expressions of the Flux Kustomizations."""
    lines = "".join(f"{json.dumps(obj)}\n" for obj in (*kustomizations, *objects))
    said = _run(binaries().verdicts, stdin=lines).splitlines()
    return [FluxVerdict(**json.loads(line)) for line in said[len(kustomizations) :]]


def _run(program: Path, *arguments: str, stdin: str = "") -> str:
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    done = subprocess.run(
        [program, *arguments], input=stdin, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        raise ToolError(f"{program.name} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
