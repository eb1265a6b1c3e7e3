"""What needs no server: memory of the cache, the order of the queue, the modules that a start imports."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import tracemalloc
from base64 import b64encode
from pathlib import Path
from time import perf_counter
from uuid import UUID

import orjson
import pytest

from tests.bench.figures import Figures
from tests.fakes.clock import FakeClock
from vso.controllers.triggers import BY_AUTH, BY_UID, reference_index, uid_index
from vso.core.backoff import Backoff
from vso.core.keys import ObjectKey
from vso.core.records import Record
from vso.kube.json import JsonObject
from vso.kube.list_watch import decode_record
from vso.runtime.rate_limiter import RateLimiter
from vso.runtime.store import StoreWriter
from vso.runtime.workqueue import Lane, WorkQueue

pytestmark = pytest.mark.bench

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = 2000
LIMIT = 1300
DUE = 10_000
UNWANTED = ("kubernetes_asyncio", "cryptography", "rich", "yaml", "vso.sandbox", "vso.gotemplate", "httpx", "OpenSSL")
# The container image has no rich; where it is installed, structlog imports it to colour its own console.
_LIST = """
import sys
sys.modules["rich"] = None
import vso.app.cli.run
# Not ru_maxrss: a child inherits the peak of the process that started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")), *sorted(sys.modules))
"""


def test_a_cached_object_costs_little(figures: Figures) -> None:
    """The difference that caching 2 000 objects makes to the allocated bytes, indexes included."""
    lines = [orjson.dumps(static_secret(number)) for number in range(OBJECTS)]
    writer: StoreWriter[ObjectKey, Record] = StoreWriter({BY_UID: uid_index, BY_AUTH: reference_index("vso-system")})
    gc.collect()
    tracemalloc.start()
    try:
        for line in lines:
            writer.apply(decode_record(orjson.loads(line)))
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / OBJECTS
    finally:
        tracemalloc.stop()
    assert len(writer.store) == OBJECTS
    figures.gate("memory per cached object", f"{each:.0f} bytes", f"{LIMIT} bytes", "15 kB")
    assert each <= LIMIT


async def test_a_new_object_goes_before_ten_thousand_due_refreshes(figures: Figures) -> None:
    clock = FakeClock()
    queue: WorkQueue[ObjectKey] = WorkQueue(clock, RateLimiter(Backoff(), random.Random(1)))
    for number in range(DUE):
        queue.add(ObjectKey("team", f"app-{number}"), Lane.REFRESH)
    new = ObjectKey("team", "new")
    queue.add(new, Lane.URGENT)
    rank = 0
    while True:
        rank += 1
        key = await queue.get()
        queue.done(key)
        if key == new:
            break
    figures.gate("a new object behind 10 000 due refreshes, its rank", f"{rank}", "2", "10 001")
    assert rank <= 2


def test_a_start_imports_nothing_that_it_does_not_need(figures: Figures) -> None:
    began = perf_counter()
    done = subprocess.run([sys.executable, "-c", _LIST], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds = perf_counter() - began
    kilobytes, *modules = done.stdout.split()
    unwanted = [
        name
        for name in modules
        if any(name == part or name.startswith(f"{part}.") for part in UNWANTED) and name != "rich"
    ]
    figures.gate(
        "modules that a start imports",
        f"{len(modules)}, none unwanted" if not unwanted else str(unwanted),
        "none unwanted",
    )
    figures.inform("resident memory, all modules imported", f"{int(kilobytes) / 1e3:.0f} MB", "60 MB")
    figures.inform("python and all imports", f"{seconds:.2f} s", "0.6 s")
    assert unwanted == []


def static_secret(number: int) -> JsonObject:
    """An object as the API server returns it: synced once, applied by kubectl."""
    name, dice = f"app-{number}", random.Random(number)
    digest = b64encode(dice.randbytes(32)).decode()
    condition = {
        "lastTransitionTime": "2026-01-01T12:00:00Z",
        "message": "the Secret holds what Vault holds",
        "observedGeneration": 1,
        "status": "True",
    }
    spec = {
        "destination": {"create": True, "name": name, "overwrite": False},
        "hmacSecretData": True,
        "mount": "kv",
        "path": f"team-{number % 50}/{name}",
        "refreshAfter": "1m",
        "type": "kv-v2",
        "vaultAuthRef": "auth",
    }
    return {
        "apiVersion": "secrets.hashicorp.com/v1beta1",
        "kind": "VaultStaticSecret",
        "metadata": {
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": orjson.dumps(spec).decode()},
            "creationTimestamp": "2026-01-01T12:00:00Z",
            "generation": 1,
            "managedFields": [{"manager": "kubectl", "fieldsV1": {f"f:{field}": {} for field in spec}}] * 2,
            "name": name,
            "namespace": f"team-{number % 50}",
            "resourceVersion": str(100_000 + number),
            "uid": str(UUID(bytes=dice.randbytes(16))),
        },
        "spec": spec,
        "status": {
            "conditions": [
                {**condition, "type": type_, "reason": type_} for type_ in ("Healthy", "Ready", "SecretSynced")
            ],
            "destination": {
                "name": name,
                "resourceVersion": str(200_000 + number),
                "uid": str(UUID(bytes=dice.randbytes(16))),
            },
            "history": [{"reason": "FirstSync", "time": "2026-01-01T12:00:00Z", "version": "1"}],
            "lastGeneration": 1,
            "lastSyncTime": "2026-01-01T12:00:00Z",
            "observedGeneration": 1,
            "rolledOutDigest": digest,
            "secretMAC": digest,
            "sourceVersion": "1",
            "vaultClientMeta": {"cacheKey": f"kubernetes-{dice.randbytes(11).hex()}", "id": dice.randbytes(32).hex()},
        },
    }
