"""Unpacked packages: what of apt's plan is fetched."""

from __future__ import annotations

from tests.testbed.debian import needed

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
Conf libpq5 (15.20 Debian:12 [amd64])
"""


def test_the_server_and_its_libraries_are_fetched_and_nothing_that_sets_up_a_system() -> None:
    assert needed(PLAN) == ["libgcc-s1", "zlib1g", "libpam0g", "libpq5", "postgresql-15"]
