"""The software bill of materials of the image: CycloneDX 1.6, made from the lock that the image is built from.

`python -m tests.sbom FILE` writes it. Invariant: every package of the lock that the image's platform takes is in it, with the
hashes that its download must have, and nothing else; the same lock gives the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "operator.txt"
NAME = "vault-secrets-operator"
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
# The image is Linux and CPython, whoever writes the bill.
_PLATFORM = {"platform_python_implementation": "CPython", "implementation_name": "cpython", "sys_platform": "linux"}


@dataclass(frozen=True)
class Locked:
    """A package of the lock, and the hashes that one of its files must have."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked(text: str) -> list[Locked]:
    """Return the packages of a lock that the image's platform takes."""
    entries = (entry for entry in re.split(r"\n(?=\S)", text) if entry and not entry.startswith("#"))
    return [package for entry in entries if (package := _package(entry)) is not None]


def _package(entry: str) -> Locked | None:
    line = entry.partition("--hash")[0].replace("\\\n", " ")
    requirement = Requirement(line.strip().rstrip("\\").strip())
    if requirement.marker is not None and not requirement.marker.evaluate(_PLATFORM):
        return None
    (version,) = requirement.specifier
    return Locked(canonicalize_name(requirement.name), version.version, tuple(_HASH.findall(entry)))


def bill(packages: list[Locked], version: str) -> Bom:
    """Return the bill of an operator of a version that is made of these packages."""
    operator = Component(
        name=NAME,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=NAME,
        purl=PackageURL("pypi", None, NAME, version),
        licenses=_licences(NAME),
    )
    components = {package.name: _component(package) for package in packages}
    bom = Bom(components=components.values())
    bom.metadata.component = operator
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the same lock, the same bill
    bom.register_dependency(operator, [components[name] for name in _needs(NAME) if name in components])
    for name, component in components.items():
        bom.register_dependency(component, [components[need] for need in _needs(name) if need in components])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, repr((version, packages)))
    return bom


def _component(package: Locked) -> Component:
    purl = PackageURL("pypi", None, package.name, package.version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=found) for found in package.hashes]
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        licenses=_licences(package.name),
        # Any of these files may be what is installed, by platform; where from is the builder's affair.
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(str(purl)), hashes=hashes)
        ],
    )


def _licences(name: str) -> list[License]:
    said = importlib.metadata.metadata(name)
    texts = [said[field] for field in ("License-Expression", "License") if field in said]
    texts += [line.rpartition(" :: ")[2] for line in said.get_all("Classifier", ()) if line.startswith("License :: ")]
    # Some put the whole text of the licence there.
    return [LicenseFactory().make_from_string(text) for text in texts if "\n" not in text][:1]


def _needs(name: str) -> Iterator[str]:
    for line in importlib.metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({**_PLATFORM, "extra": ""}):
            yield canonicalize_name(requirement.name)


def text_of(bom: Bom) -> str:
    """Return the bill as JSON; raise ValueError where it is not of the schema."""
    # It compiles 39 grammars as it is imported: three seconds, which each process that collects tests would pay.
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    text = JsonV1Dot6(bom).output_as_string(indent=2)
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem:
        raise ValueError(f"this is not CycloneDX 1.6: {problem}")
    return text + "\n"


def main(argv: list[str]) -> int:
    """Write the bill of this tree."""
    target = Path(argv[0])
    target.parent.mkdir(parents=True, exist_ok=True)
    packages = locked(LOCK.read_text())
    target.write_text(text_of(bill(packages, importlib.metadata.version(NAME))))
    print(f"{target}: {len(packages)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
