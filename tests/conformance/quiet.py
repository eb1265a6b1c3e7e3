"""What scenarios wait for before they count that nothing more is written."""

from __future__ import annotations

from tests.conformance.stage import Team
from tests.testbed.bed import eventually


def logins_told(team: Team, count: int = 1) -> None:
    """Wait until the VaultAuth `auth` tells who logs in by it: the one status write that follows the first logins."""
    eventually(
        lambda: team.get("VaultAuth", "auth")["status"].get("identityCount", 0) == count,
        message=f"{count} identities are told of",
    )
