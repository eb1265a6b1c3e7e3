"""The floor: the requests of a first sync, sent by aiohttp alone, with nothing decided in between.

Invariant: as many requests as the operator sends for as many objects, of the same sizes, over the same
connections to the same servers, in a process of their own; what the operator needs beyond it is its own.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.bench.cost import Cost
from tests.conformance.stage import OPERATOR_NAMESPACE
from tests.testbed.bed import Bed

IN_FLIGHT = 32
NAMESPACE = "bare"
_FILLING = "x" * 400
"""What makes a Secret, a status and an event about as long as the operator's."""


def bare_requests(bed: Bed, paths: list[str]) -> Cost:
    """Read each path in Vault, and make, patch and tell of a Secret for it; all of them in a new process."""
    bed.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    access = bed.kube.access
    plan = {
        "api": access.url,
        "ca": str(access.ca),
        "token": bed.token_for(OPERATOR_NAMESPACE, "vault-secrets-operator"),
        "vault": bed.vault.url,
        "vault_token": bed.vault.token,
        "paths": paths,
    }
    command = [sys.executable, "-m", "tests.bench.bare"]
    done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    bed.kube.remove({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    return Cost(**json.loads(done.stdout))


def _requests(plan: dict[str, Any], number: int, path: str) -> Iterator[tuple[str, str, dict[str, str], Any]]:
    """The four requests of one object, as method, URL, headers and body."""
    kube = {"Authorization": f"Bearer {plan['token']}"}
    secrets = f"{plan['api']}/api/v1/namespaces/{NAMESPACE}/secrets"
    name = f"app-{number}"
    meta = {"name": name, "namespace": NAMESPACE}
    told = {"apiVersion": "v1", "kind": "Secret", "name": name, "namespace": NAMESPACE}
    yield "GET", f"{plan['vault']}/v1/{path}", {"X-Vault-Token": plan["vault_token"]}, None
    yield "POST", secrets, kube, {"metadata": meta, "stringData": {"password": _FILLING}}
    patch = {**kube, "Content-Type": "application/merge-patch+json"}
    yield "PATCH", f"{secrets}/{name}", patch, {"metadata": {"annotations": {"status": 2 * _FILLING}}}
    event = {"metadata": meta, "involvedObject": told, "reason": "Synced", "message": _FILLING, "type": "Normal"}
    yield "POST", f"{plan['api']}/api/v1/namespaces/{NAMESPACE}/events", kube, event


@asynccontextmanager
async def _sessions(plan: dict[str, Any]) -> AsyncIterator[aiohttp.ClientSession]:
    tls = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=plan["ca"]))
    async with aiohttp.ClientSession(connector=tls, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


async def _send_all(plan: dict[str, Any]) -> None:
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(session: aiohttp.ClientSession, number: int, path: str) -> None:
        async with slots:
            for method, url, headers, body in _requests(plan, number, path):
                async with session.request(method, url, headers=headers, json=body) as response:
                    await response.read()
                    response.raise_for_status()

    async with _sessions(plan) as session:
        await asyncio.gather(*(one(session, number, path) for number, path in enumerate(plan["paths"])))


def main() -> None:
    """Send what standard input says, and print what it took."""
    plan = json.load(sys.stdin)
    wall, cpu = time.perf_counter(), time.process_time()
    asyncio.run(_send_all(plan))
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
