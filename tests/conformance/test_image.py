"""The image, built by the Containerfile's own steps and run as a pod runs it: as 65532, with a root that is read-only."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from packaging.utils import canonicalize_name

from tests import sbom
from tests.conformance.stage import OPERATOR_NAMESPACE, Stage
from tests.testbed import local_http
from tests.testbed.bed import Bed
from tests.testbed.debian import python_root
from tests.testbed.image import Image, build
from tests.testbed.operator import ROOT, SERVICE_ACCOUNT
from tests.testbed.process import Command, Process, free_port
from tests.testbed.real import RealBed

pytestmark = [pytest.mark.real, pytest.mark.only_in("full", because="an image has no rights")]
LASTS = 60

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build(ROOT, python_root(), tmp_path_factory.mktemp("image"))


@pytest.fixture
def container(image: Image, prepared: RealBed, tmp_path: Path) -> Iterator[Process]:
    """The operator in a container of the image, with what kubelet mounts, under the shipped Roles."""
    Stage(prepared).use_roles()
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text(prepared.token_for(OPERATOR_NAMESPACE, SERVICE_ACCOUNT, seconds=3600))
    (account / "ca.crt").write_bytes(prepared.trusted())
    (account / "namespace").write_text(OPERATOR_NAMESPACE)
    for path in (tmp_path, account, *account.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    server, ports = urlsplit(prepared.kube.access.url), (free_port(), free_port())
    command = image.command(
        *image.config.entrypoint,
        f"--metrics-bind-address=127.0.0.1:{ports[0]}",
        f"--health-probe-bind-address=127.0.0.1:{ports[1]}",
        mounts={account: _ACCOUNT},
        env={"KUBERNETES_SERVICE_HOST": str(server.hostname), "KUBERNETES_SERVICE_PORT": str(server.port)},
    )
    process = Process(Command("container", command, tmp_path / "container.log", cwd=tmp_path))
    process.start()
    process.wait_ready(lambda: local_http.get(f"http://127.0.0.1:{ports[1]}/readyz").status_code == 200)
    yield process
    if process.running:
        process.stop()


def test_a_container_of_the_image_does_the_main_job_and_leaves_in_order(container: Process, prepared: Bed) -> None:
    team = Stage(prepared).team("in-an-image")
    team.ready()
    team.put("app", {"password": "v2"})
    team.wait_data(lambda data: data["password"] == "v2")
    assert container.stop(grace=15).code == 0
    assert "Traceback" not in container.log_text()
    team.disband()


def test_it_runs_as_nobody_in_particular_and_can_write_nowhere(image: Image) -> None:
    assert image.config.user == "65532:65532"
    assert image.config.entrypoint == ("vso", "run")
    writes = "for d in / /opt/vso /opt/vso/bin /tmp /var/tmp; do touch $d/x 2>/dev/null && echo $d; done; id -u; id -G"
    assert image.run("sh", "-c", writes).split() == ["65532", "65532"]


def test_nothing_in_it_belongs_to_its_user_or_may_be_changed_by_others(image: Image) -> None:
    loose = [
        str(path)
        for path in (image.root / "opt/vso").rglob("*")
        if not path.is_symlink() and (path.stat().st_uid != 0 or path.stat().st_mode & (stat.S_IWOTH | stat.S_ISUID))
    ]
    assert loose == []


def test_it_holds_what_the_lock_and_the_bill_of_materials_say_and_no_tools(image: Image) -> None:
    listing = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = {
        canonicalize_name(name): version for name, version in json.loads(image.run("python", "-c", listing)).items()
    }
    version = found.pop(canonicalize_name(sbom.NAME))
    bill = json.loads(sbom.text_of(sbom.bill(sbom.locked(sbom.LOCK.read_text()), version)))
    assert {entry["name"]: entry["version"] for entry in bill["components"]} == found
    assert not {"pip", "setuptools", "hatchling", "pytest", "rich"} & set(found)
    assert not (image.root / "src").exists()


def test_nothing_is_compiled_when_it_starts(image: Image) -> None:
    package = image.root / "opt/vso/lib"
    sources = [path for path in package.rglob("*.py") if "lib2to3" not in path.parts]
    stale = [path for path in sources if not [*(path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")]]
    assert len(sources) > 1000
    assert stale == []


def test_every_command_of_the_operator_is_in_the_image(image: Image) -> None:
    assert image.run("vso", "--version").startswith("vso ")
    assert image.run("vso", "crds").count("\nkind: CustomResourceDefinition") == 10
