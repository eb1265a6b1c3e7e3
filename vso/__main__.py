"""`vso`: the operator and its tools, one module per command.

Invariant: a command's module is imported only when it is asked for, so that `vso run` starts
without the weight of the others.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

import vso

COMMANDS = {
    "run": "the operator, in a cluster or with a kubeconfig",
    "demo": "the whole story in the embedded sandbox",
    "crds": "print the CustomResourceDefinitions",
    "rbac": "print the least rights for a set of manifests",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in {"--version", "-version", "version"}:
        sys.stdout.write(f"vso {vso.__version__}\n")
        return 0
    if not arguments or arguments[0] in {"--help", "-h", "help"}:
        sys.stdout.write(usage())
        return 0
    name, rest = arguments[0], arguments[1:]
    if name.startswith("-"):
        # The reference operator's image takes flags and no command: they mean `run`.
        name, rest = "run", arguments
    if name not in COMMANDS:
        sys.stderr.write(f"vso: there is no command {name!r}; the commands are {', '.join(COMMANDS)}\n")
        return 2
    code: int = command(name).main(rest)
    return code


def command(name: str) -> ModuleType:
    """Import the module of a command, without looking for garbage meanwhile.

    An import makes next to none, and the collector would go through all that is loaded again and again:
    a sixth of the time.
    """
    gc.disable()
    try:
        return importlib.import_module(f"vso.app.cli.{name}")
    finally:
        gc.enable()


def usage() -> str:
    """Return the overview of the commands."""
    lines = (f"  {name:<8}{text}" for name, text in COMMANDS.items())
    return "\n".join(["usage: vso COMMAND [flags]; vso COMMAND --help tells its flags", "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
