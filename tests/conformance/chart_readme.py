"""charts/README.md, whose commands are run as they stand.

Invariant: a block of commands has a name in a comment above it, and one test that runs it by that name.
"""

from __future__ import annotations

import re
import shlex

from tests.conformance.chart_cases import ROOT
from tests.testbed.cluster import Cluster

README = (ROOT / "charts" / "README.md").read_text()


def snippet(name: str, text: str = README) -> list[str]:
    """The commands of a code block, by the comment above it."""
    (block,) = re.findall(rf"<!-- run: {name} -->\n```console\n(.*?)```", text, re.DOTALL)
    lines = block.replace("\\\n", " ").splitlines()
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def run(cluster: Cluster, command: str) -> str:
    """Run a command as it stands, in the project's folder; a pipe leads from one to the next."""
    said = ""
    for part in command.split(" | "):
        program, *args = shlex.split(part, comments=True)
        assert program in {"helm", "kubectl"}
        said = cluster.helm(*args, cwd=ROOT) if program == "helm" else cluster.bed.kubectl(*args, stdin=said, cwd=ROOT)
    return said
