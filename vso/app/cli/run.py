"""`vso run`: the operator, in a cluster or with a kubeconfig.

Invariant: exit code 0 after SIGTERM or a `--once` that left everything in order, 1 after a failure
or a `--once` that did not, 2 for flags that cannot be understood.
"""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import os
import random
import signal
import socket
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import structlog

import vso
from vso.app.admin_server import AdminServer, Guard
from vso.app.health import Probes
from vso.app.logs import configure
from vso.app.metrics import Metrics
from vso.app.metrics_gate import MetricsGate
from vso.app.operator import Operator, mac_key
from vso.app.serving import FolderCertificate, OwnCertificate, server_context
from vso.app.settings import Settings, SettingsError, from_args
from vso.app.uninstall import stop, uninstall
from vso.app.wiring import USER_AGENT, Base
from vso.core.clock import SystemClock
from vso.core.errors import VsoError
from vso.kube.client import KubeClient
from vso.kube.config import ACCOUNT, load
from vso.kube.reviews import Reviewer

# asyncio keeps 256 kB for each TLS connection, of which some forty wait here; a TLS record has 16 kB at most.
asyncio.sslproto.SSLProtocol.max_size = 32 * 1024


def main(argv: Sequence[str], account: Path = ACCOUNT) -> int:
    """Parse flags and environment, then run until stopped; `account` is where a pod finds its credentials."""
    try:
        settings = from_args(argv, os.environ)
    except SettingsError as error:
        sys.stderr.write(f"vso run: {error}\n")
        return 1
    if settings.version:
        sys.stdout.write(version_text(settings.output))
        return 0
    configure(settings, sys.stderr)
    for warning in settings.warnings:
        structlog.get_logger("vso").warning("a setting changes nothing", warning=warning)
    try:
        return asyncio.run(_run(settings, account))
    except VsoError as error:
        structlog.get_logger("vso").error(
            "stopped", reason=error.reason.value, error=error.message, remedy=error.remedy
        )
        return 1


def identity(settings: Settings) -> str:
    """Return a name of this process that no other has: the host's, and the pod's uid or a random one."""
    return f"{socket.gethostname()}_{settings.pod_uid or uuid.uuid4()}"


def version_text(form: str) -> str:
    """Return the version, plain or as JSON or YAML (of which JSON is a part)."""
    return f"vso {vso.__version__}\n" if not form else f'{{"version": "{vso.__version__}"}}\n'


async def _run(settings: Settings, account: Path) -> int:
    clock, stop = SystemClock(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics(settings)
    credentials = await load(settings.kubeconfig, account=account)
    limit = settings.kube_max_in_flight
    async with KubeClient(
        credentials, clock, user_agent=USER_AGENT, max_in_flight=limit, observer=metrics.kube
    ) as kube:
        if settings.uninstall:
            return await _leave(settings, clock, kube)
        return await _operate(settings, clock, stop, kube, metrics)


async def _leave(settings: Settings, clock: SystemClock, kube: KubeClient) -> int:
    try:
        async with clock.limit(settings.pre_delete_hook_timeout_seconds):
            if settings.uninstall_deployment:
                await stop(kube, clock, settings.namespace, settings.uninstall_deployment)
            if await uninstall(kube, settings.watch_namespaces, settings.is_mine):
                return 0
            error, remedy = "some objects keep their finalizers", "mend what the lines before this one name"
    except TimeoutError:
        seconds = settings.pre_delete_hook_timeout_seconds
        error = f"not every finalizer could be taken off within {seconds:g} s"
        remedy = "see whether the API server answers and the Deployment's pods end, or allow for more time"
    structlog.get_logger("vso").error("stopped", error=error, remedy=f"{remedy}, and uninstall again")
    return 1


async def _operate(
    settings: Settings, clock: SystemClock, stop: asyncio.Event, kube: KubeClient, metrics: Metrics
) -> int:
    probes = Probes()
    async with AdminServer(settings, probes, metrics, _guard(settings, clock, kube)):
        key = await mac_key(kube, settings.namespace, clock, stop)
        if key is None:
            return 0
        rng = random.Random()  # noqa: S311  jitter, not secrets
        operator = Operator(Base(settings, clock, rng, kube, metrics, key, identity(settings)), stop)
        probes.follow(operator.health)
        in_order = await operator.run()
    return 0 if in_order or not settings.once else 1


def _guard(settings: Settings, clock: SystemClock, kube: KubeClient) -> Guard:
    """Return what stands before the metrics."""
    if not settings.metrics_secure or settings.metrics_bind_address is None:
        return Guard()
    folder = settings.metrics_cert_dir
    certificate = FolderCertificate(Path(folder)) if folder else OwnCertificate(clock)
    gate = MetricsGate(Reviewer(kube), clock) if settings.metrics_auth else None
    return Guard(server_context(certificate), gate)
