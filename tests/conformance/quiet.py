"""What scenarios wait for before they count what is written, and what counts as written."""

from __future__ import annotations

from tests.conformance.stage import Stage, Team
from tests.testbed.bed import ApiCall, Mark, eventually


def logins_told(team: Team, count: int = 1) -> None:
    """Wait until the VaultAuth `auth` tells who logs in by it: the one status write that follows the first logins."""
    eventually(
        lambda: team.get("VaultAuth", "auth")["status"].get("identityCount", 0) == count,
        message=f"{count} identities are told of",
    )


def changes(stage: Stage, mark: Mark, namespace: str) -> list[ApiCall]:
    """What was written in a namespace; the drift checks of who may not watch Secrets are patches that change nothing."""
    calls = [call for call in stage.bed.kube_audit(mark) if call.namespace == namespace and call.writes]
    return [call for call in calls if stage.install.full or (call.verb, call.resource) != ("patch", "secrets")]
