"""What a write that left the Secret alone means: neither a rotation, nor a repair, nor a restart."""

from __future__ import annotations

from typing import Any

from tests.fakes.house import House
from vso.core.errors import Reason


def resync(home: House, value: str, **changes: Any) -> None:
    home.static(metadata={"annotations": {"vso.hashicorp.com/resync": value}}, **changes)


def under_another_key(home: House, *fields: str) -> None:
    """Have the status say what a MAC key that is lost made of the same data."""
    home.status().update(dict.fromkeys(fields, "bWFkZSBieSBhIGtleSB0aGF0IGlzIGdvbmU="))
    home.restarted()


async def test_a_mac_key_made_anew_is_no_rotation_and_restarts_nothing(home: House) -> None:
    targets = [{"kind": "Deployment", "name": "web"}]
    home.static(rolloutRestartTargets=targets)
    await home.pass_over()
    before = home.status()["history"]
    under_another_key(home, "secretMAC", "rolledOutDigest")
    resync(home, "1", rolloutRestartTargets=targets)
    await home.pass_over()
    assert home.requests("PATCH", "/deployments/") == []
    assert home.status()["history"] == before
    assert home.status()["rolledOutDigest"] == home.status()["secretMAC"]


async def test_a_restart_that_is_owed_is_not_forgotten(home: House) -> None:
    targets = [{"kind": "Deployment", "name": "web"}]
    home.cluster.workload("/apis/apps/v1/namespaces/app/deployments", "web")
    home.static(rolloutRestartTargets=targets)
    await home.pass_over()
    under_another_key(home, "rolledOutDigest")
    await home.pass_over()
    assert len(home.requests("PATCH", "/deployments/")) == 1


async def test_a_foreign_label_is_no_drift_to_report(home: House) -> None:
    await home.pass_over()
    home.cluster.edit_secret("db")
    await home.pass_over()
    assert await home.told() == [Reason.SECRET_SYNCED]


async def test_our_own_write_that_no_status_tells_is_no_drift_to_report(home: House) -> None:
    await home.pass_over()
    told = dict(home.status())
    home.holds({"password": "s3cret-2"}, version=2)
    await home.clock.advance(10)
    home.notes().source_changed = True
    await home.pass_over()
    home.status().clear()
    home.status().update(told)  # the process died between the Secret and the status
    home.restarted()
    await home.pass_over()
    assert Reason.DESTINATION_DRIFTED not in await home.told()
    assert home.status()["sourceVersion"] == "2"
