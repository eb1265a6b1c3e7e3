"""`vso crds`: print the CustomResourceDefinitions, ready for kubectl, or apply them.

Invariant: what is printed or applied is generated from the models, the same as the files in manifests/crds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from vso.api.crds import render
from vso.core.durations import parse_duration
from vso.core.errors import VsoError
from vso.core.keys import Kind
from vso.kube.config import ACCOUNT


def main(argv: Sequence[str], account: Path = ACCOUNT) -> int:
    """Print or apply the CRDs of the named kinds, of all when none is named."""
    options = parser().parse_args(argv)
    by_name = {kind.value.lower(): kind for kind in Kind}
    unknown = [name for name in options.kinds if name.lower() not in by_name]
    if unknown:
        return _failed(f"no such kind: {', '.join(unknown)}; there are {', '.join(Kind)}", 2)
    kinds = [by_name[name.lower()] for name in options.kinds] or list(Kind)
    if not options.apply:
        sys.stdout.write("".join(f"---\n{render(kind)}" for kind in kinds))
        return 0
    try:
        asyncio.run(_apply(kinds, options, account))
    except VsoError as error:
        return _failed(f"{error.message}; {error.remedy}", 1)
    except TimeoutError as error:
        return _failed(f"not done within {options.timeout:g} s: waited for {error}", 1)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="vso crds", description="Print the CRDs, ready for kubectl, or apply them.")
    made.add_argument("kinds", nargs="*", metavar="KIND", help="these only")
    made.add_argument("--apply", action="store_true", help="make the cluster's CRDs those of this version")
    made.add_argument("--kubeconfig", metavar="FILE", help="else KUBECONFIG, else the pod's ServiceAccount")
    made.add_argument(
        "--annotation", metavar="KEY=VALUE", type=_annotation, action="append", default=[],
        help="with --apply; one for every CRD, beside ours; may be given again",
    )  # fmt: skip
    made.add_argument("--timeout", metavar="DURATION", type=_seconds, default=30.0, help="with --apply; default 30s")
    return made


def _seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


def _annotation(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _failed(text: str, code: int) -> int:
    sys.stderr.write(f"vso crds: {text}\n")
    return code


async def _apply(kinds: Sequence[Kind], options: argparse.Namespace, account: Path) -> None:
    # Who only prints does without the weight of a client.
    from vso.app.crd_install import CrdInstall  # noqa: PLC0415
    from vso.core.clock import SystemClock  # noqa: PLC0415
    from vso.kube.client import KubeClient  # noqa: PLC0415
    from vso.kube.config import load  # noqa: PLC0415

    clock = SystemClock()
    async with KubeClient(await load(options.kubeconfig, account=account), clock) as client:
        install = CrdInstall(client, clock, dict(options.annotation))
        try:
            async with asyncio.timeout(options.timeout):
                await install.apply(kinds)
        except TimeoutError:
            raise TimeoutError(install.awaited) from None
