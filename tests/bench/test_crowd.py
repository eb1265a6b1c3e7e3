"""Ten thousand VaultStaticSecrets on the real servers: memory at half of them, an outage, and a newcomer.

One story in this order; creating them takes most of its time. Counts are gates; times and resident
memory are shown beside what is wanted and decide nothing.
"""

from __future__ import annotations

import pytest

from tests.bench.figures import Figures
from tests.bench.hall import Hall
from tests.conformance.newcomer import IN_FLIGHT, Newcomer
from tests.conformance.outage import suffer
from tests.testbed.bed import always

pytestmark = pytest.mark.bench

SIZE = 10_000
HALF = SIZE // 2
PATIENCE = 1800.0


def test_five_thousand_objects_take_little_memory(hall: Hall, figures: Figures) -> None:
    hall.crowd.grow(HALF, timeout=PATIENCE)
    created = hall.operator.rss()
    hall.restart()
    always(lambda: True, during=5)
    figures.inform(
        f"resident memory, {HALF:,} secrets, after their creation".replace(",", " "),
        f"{created / 1e6:.0f} MB",
        "68 MB",
        "176 MB",
    )
    figures.inform("the same after a restart", f"{hall.operator.rss() / 1e6:.0f} MB", "68 MB")


def test_an_outage_costs_two_status_writes_each_and_leaves_vault_alone(hall: Hall, figures: Figures) -> None:
    hall.crowd.grow(SIZE, timeout=PATIENCE)
    outage = suffer(hall.crowd, hall.proxy, stays=60, timeout=PATIENCE)
    most, others = max(outage.told.values()), outage.asked.total() - outage.probes
    figures.gate(f"outage with {SIZE} secrets, status writes per secret", f"{most}", "2")
    figures.gate(
        "the same, requests to Vault while its breaker is open",
        f"{outage.probes} probes in {outage.seconds:.0f} s, {others} others",
        "1 probe a second",
    )
    figures.inform(
        "the same, in order again after Vault's return",
        f"50 % {outage.share_in_order(0.5):.0f} s, 95 % {outage.share_in_order(0.95):.0f} s, all {outage.recovered[-1]:.0f} s",
        "95 % within 30 s",
    )
    assert outage.told == dict.fromkeys(hall.crowd.names, 2)
    assert others == 0
    assert outage.probes <= outage.seconds + 1


def test_a_new_object_goes_before_ten_thousand_due_refreshes(hall: Hall, figures: Figures) -> None:
    rank = Newcomer(hall.crowd.team, hall.proxy).rank(behind=SIZE * 0.9, timeout=PATIENCE)
    figures.gate(
        f"a new secret behind {SIZE} due refreshes, its place among the reads",
        f"{rank}",
        f"2 and {IN_FLIGHT} in flight",
        "10 001",
    )
    assert rank <= 2 + IN_FLIGHT
