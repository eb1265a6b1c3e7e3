"""`python -m vso.sandbox --dir D`: both servers until SIGTERM; D/ready.json says where they are."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path


async def serve(directory: Path, kube_port: int, vault_port: int) -> None:
    """Run until SIGTERM or SIGINT."""
    # aiohttp's C parser refuses the method LIST, which some of Vault's clients send; its Python twin takes it.
    os.environ.setdefault("AIOHTTP_NO_EXTENSIONS", "1")
    from vso.sandbox.sandbox import Ports, Sandbox  # noqa: PLC0415  the variable is read when aiohttp is imported

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with Sandbox(directory, Ports(kube_port, vault_port)):
        await stop.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="vso.sandbox", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="directory for certificates, kubeconfig and audit logs")
    parser.add_argument("--kube-port", type=int, default=0)
    parser.add_argument("--vault-port", type=int, default=0)
    args = parser.parse_args()
    asyncio.run(serve(args.dir.resolve(), args.kube_port, args.vault_port))


if __name__ == "__main__":
    main()
