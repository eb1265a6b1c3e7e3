"""`python -m vso.app.chart --write FOLDER | --check FOLDER`: the folder is the one that holds the chart."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vso.app.chart.files import differences, write


def main(arguments: Sequence[str]) -> int:
    """Write or check the files; the answer is the exit code."""
    match arguments:
        case ["--write", folder]:
            write(Path(folder))
            return 0
        case ["--check", folder]:
            found = differences(Path(folder))
            sys.stderr.writelines(f"{line}\n" for line in found)
            if found:
                sys.stderr.write(f"run: python -m vso.app.chart --write {folder}\n")
            return 1 if found else 0
        case _:
            sys.stderr.write("usage: python -m vso.app.chart --write FOLDER | --check FOLDER\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
