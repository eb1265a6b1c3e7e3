"""Unpacked packages: what of apt's plan is fetched, and which server is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.testbed.debian import POSTGRESQL, SLAPD, Package, needed, programs

PLAN = """\
Reading package lists...
Inst libc6 (2.36-9 Debian:12 [amd64]) []
Inst libgcc-s1 (12.2.0 Debian:12 [amd64])
Inst zlib1g (1:1.2.13 Debian:12 [amd64])
Inst libjson-perl (4.1 Debian:12 [all])
Inst libpam-modules (1.5.2 Debian:12 [amd64])
Inst libpam0g (1.5.2 Debian:12 [amd64])
Inst postgresql-common (248 Debian:12 [all])
Inst libllvm14 (1:14.0.6 Debian:12 [amd64])
Inst libpq5 (15.20 Debian:12 [amd64])
Inst postgresql-client-15 (15.20 Debian:12 [amd64])
Inst postgresql-15 (15.20 Debian:12 [amd64])
Inst postgresql (15+248 Debian:12 [all])
Inst slapd (2.5.13 Debian:12 [amd64])
Conf libpq5 (15.20 Debian:12 [amd64])
"""


@pytest.mark.parametrize(("package", "server"), [(POSTGRESQL, "postgresql-15"), (SLAPD, "slapd")])
def test_the_server_and_its_libraries_are_fetched_and_nothing_that_sets_up_a_system(
    package: Package, server: str
) -> None:
    assert needed(PLAN, package) == ["libgcc-s1", "zlib1g", "libpam0g", "libpq5", server]


def test_what_the_machine_has_is_taken_the_newest_of_it(tmp_path: Path) -> None:
    for version in ("9.6", "15", "16"):
        folder = tmp_path / "usr/lib/postgresql" / version / "bin"
        folder.mkdir(parents=True)
        (folder / "postgres").touch()
    found = programs(POSTGRESQL, tmp_path)
    assert found.bin == tmp_path / "usr/lib/postgresql/16/bin"
    assert (found.env, found.root) == ({}, Path("/"))
