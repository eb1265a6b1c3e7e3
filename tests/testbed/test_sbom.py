"""The bill of materials: what of a lock is in it, in which form, and that it is the same every time."""

from __future__ import annotations

import json

import pytest

from tests import sbom

LOCK = """\
# What stands here.
alpha-beta==1.2 \\
    --hash=sha256:{0} \\
    --hash=sha256:{1}
cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\
    --hash=sha256:{0}
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:{1}
""".format("a" * 64, "b" * 64)


def test_the_packages_of_the_platform_are_taken_with_all_their_hashes() -> None:
    assert sbom.locked(LOCK) == [
        sbom.Locked("alpha-beta", "1.2", ("a" * 64, "b" * 64)),
        sbom.Locked("cffi", "2.1.1", ("a" * 64,)),
    ]


@pytest.fixture(scope="module")
def text() -> str:
    return of_this_lock()


def of_this_lock() -> str:
    return sbom.text_of(sbom.bill(sbom.locked(sbom.LOCK.read_text()), "1.0"))


def test_the_bill_of_this_lock_has_every_package_with_its_hashes_and_licence(text: str) -> None:
    found = json.loads(text)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    assert found["metadata"]["component"]["purl"] == "pkg:pypi/vault-secrets-operator@1.0"
    by_name = {entry["name"]: entry for entry in found["components"]}
    for package in sbom.locked(sbom.LOCK.read_text()):
        entry = by_name.pop(package.name)
        assert entry["version"] == package.version
        (reference,) = entry["externalReferences"]
        assert {hashed["content"] for hashed in reference["hashes"]} == set(package.hashes)
        assert entry["licenses"]
    assert by_name == {}


def test_the_same_lock_gives_the_same_bill(text: str) -> None:
    assert of_this_lock() == text


def test_what_needs_what_is_told(text: str) -> None:
    dependencies = json.loads(text)["dependencies"]
    needs = {entry["ref"].partition("@")[0]: entry.get("dependsOn", []) for entry in dependencies}
    assert {ref.partition("@")[0] for ref in needs[sbom.NAME]} >= {"pkg:pypi/aiohttp", "pkg:pypi/pydantic"}
    assert [ref.partition("@")[0] for ref in needs["pkg:pypi/cffi"]] == ["pkg:pypi/pycparser"]
