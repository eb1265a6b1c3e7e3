"""Counts at scale: 1 000 VaultStaticSecrets over 50 identities, on the real servers.

`make bench` runs it, or `pytest -s tests/bench -m bench --bed real`. The tests are one story and run
in this order: create, restart, coalesce, idle. Requests are counted in the audit logs of both servers and
are gates; processor time, wall time and memory are shown beside the reference's and decide nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.bench.bare import bare_requests
from tests.bench.figures import Figures
from tests.bench.fleet import CROWD, EACH, IDENTITIES, KIND, Fleet, Meter
from tests.testbed.bed import always

pytestmark = pytest.mark.bench

PERIOD, PERIODS = 5, 3


def test_creating_a_thousand_costs_two_requests_and_an_event_each(fleet: Fleet, figures: Figures) -> None:
    floor = bare_requests(fleet.bed, fleet.paths())
    mark = fleet.bed.mark()
    meter = Meter(fleet.operator)
    fleet.create(fleet.manifests())
    fleet.wait_ready(KIND, fleet.size)
    cost = meter.read()
    fleet.wait_told()
    fleet.wait_for_identities()
    calls, reads, logins = fleet.calls(mark), fleet.reads(mark), fleet.logins(mark)
    own = calls[("create", "serviceaccounts/token")] + calls[("patch", "vaultauths/status")]
    figures.gate(
        "first create, Kubernetes requests",
        f"{(calls.total() - own) / fleet.size:g}",
        "2 + 1 event",
        "11 + events",
    )
    figures.gate("first create, Vault reads", f"{reads.total() / fleet.size:g}", "1 per unique source", "2")
    figures.gate("logins for 1 000 objects, 50 identities", f"{logins}", f"{IDENTITIES}", "50 + 50 renewals")
    figures.inform("the same requests by aiohttp alone, CPU", f"{floor.cpu:.1f} s, {floor.wall:.1f} s wall", "1.1 s")
    figures.inform("first create of 1 000, operator CPU", cost.beside(floor.cpu), "1.5 s, 1.4 x", "5.7 s")
    figures.inform("first create of 1 000, wall, their creation included", f"{cost.wall:.1f} s", "5 s", "17 s")
    passes = fleet.metric("controller_runtime_reconcile_total", controller="vaultstaticsecrets")
    figures.inform("first create, passes", f"{passes / fleet.size:g}", "1")
    figures.inform("resident memory, 1 000 secrets", f"{fleet.operator.rss() / 1e6:.0f} MB", "62 MB", "99 MB")
    assert calls == {
        ("create", "secrets"): fleet.size,
        ("patch", "vaultstaticsecrets/status"): fleet.size,
        ("create", "events"): fleet.size,
        ("create", "serviceaccounts/token"): IDENTITIES,
        ("patch", "vaultauths/status"): IDENTITIES,
    }
    assert set(reads.values()) == {1}
    assert len(reads) == fleet.size
    assert logins == IDENTITIES


def test_a_restart_inside_the_refresh_period_asks_for_nothing(fleet: Fleet, figures: Figures) -> None:
    fleet.operator.stop()
    mark = fleet.bed.mark()
    fleet.operator.start()
    meter = Meter(fleet.operator)
    fleet.operator.wait_ready()
    cost = meter.read()
    always(lambda: True, during=5)
    calls, reads, logins = fleet.calls(mark), fleet.reads(mark), fleet.logins(mark)
    figures.gate(
        "restart inside the refresh period",
        f"{calls.total()} requests + {reads.total()} reads + {logins} logins",
        "0 + 0 + 0",
        "1 get + 1 status write + 1 read per object",
    )
    figures.inform("start until ready, 1 000 secrets", f"{cost.wall:.1f} s, {cost.cpu:.1f} s CPU", "0.6 s", "0.7 s")
    assert calls.total() == 0
    assert reads.total() == 0
    assert logins == 0


def test_a_hundred_objects_on_one_path_make_one_read(fleet: Fleet, figures: Figures) -> None:
    mark = fleet.bed.mark()
    fleet.create(fleet.crowd())
    fleet.wait_ready(KIND, fleet.size + CROWD)
    fleet.wait_told()
    reads = fleet.reads(mark)
    figures.gate("100 objects on one path, Vault reads", f"{reads.total()}", "1", "200")
    assert reads == {"kv/data/bench-00/shared": 1}


def test_an_idle_fleet_reads_each_source_once_a_period_and_asks_kubernetes_for_nothing(
    fleet: Fleet, figures: Figures
) -> None:
    team = fleet.teams[0]
    fleet.refresh_every(f"{PERIOD}s", fleet.manifests())
    team.patch({"spec": {"refreshAfter": f"{PERIOD}s"}}, name="crowd-0")
    team.wait_ready("crowd-0", timeout=60)
    team.wait_ready(f"app-{EACH - 1}", timeout=60)
    fleet.wait_ready(KIND, fleet.size + CROWD)
    fleet.wait_told()
    fleet.wait_polled(PERIOD)
    mark, meter, began = fleet.bed.mark(), Meter(fleet.operator), datetime.now(UTC)
    always(lambda: True, during=PERIOD * PERIODS + 0.5)
    cost = meter.read()
    calls, reads = fleet.calls(mark), fleet.reads(mark, began + timedelta(seconds=PERIOD * PERIODS))
    sources = fleet.size + 1
    figures.gate("idle refresh, Kubernetes requests", f"{calls.total()}", "0", "1 get + 1 status + 0.4-0.9 events")
    figures.gate(
        f"idle, reads per source in {PERIODS} periods",
        f"{reads.total() / sources:.2f}",
        f"{PERIODS}",
        f"{PERIODS} per object",
    )
    per_minute = cost.cpu / PERIODS
    figures.inform("idle minute at 1 000, refresh 60 s, operator CPU", f"{per_minute:.2f} s", "0.5 s", "2.8 s")
    assert calls.total() == 0
    assert len(reads) == sources, "every source is looked at"
    # A look may fall on either side of the first and the last moment, and a busy machine delays some.
    assert abs(reads.total() - sources * PERIODS) <= sources * 0.05 * PERIODS
    assert all(PERIODS - 1 <= count <= PERIODS + 1 for count in reads.values())
