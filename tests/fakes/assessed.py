"""Statuses that series of passes leave behind, for the tables of what is said."""

from __future__ import annotations

from datetime import timedelta

from tests.fakes.clock import T0
from vso.api.access import VaultConnectionStatus
from vso.api.meta import Status
from vso.api.secrets import VaultStaticSecretStatus
from vso.core.errors import ConfigError, Reason, TerminalError, TransientError
from vso.decide.assess import assess
from vso.decide.outcome import Failing, InOrder, Outcome, Policy

POLICY = Policy(stale_after=timedelta(minutes=10))
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
AWAY = Failing.of(TransientError(Reason.VAULT_UNAVAILABLE, "Vault at https://vault:8200 does not answer"))
SEALED = Failing.of(TransientError(Reason.VAULT_SEALED, "Vault at https://vault:8200 is sealed"))
THROTTLED = Failing.of(TransientError(Reason.VAULT_THROTTLED, "slow down (429)"))
DANGLING = Failing.of(
    ConfigError(Reason.REFERENCE_NOT_FOUND, "vaultAuthRef names VaultAuth a/va, which does not exist")
)
FORBIDDEN = Failing.of(ConfigError(Reason.VAULT_PERMISSION_DENIED, "read on kv/data/app is denied"))
MISSING = Failing.of(ConfigError(Reason.SOURCE_KEY_MISSING, "kv/app has no field 'x'"))
UNSUPPORTED = Failing.of(TerminalError(Reason.UNSUPPORTED, "HCPAuth has no controller"))
GONE = Failing.of(ConfigError(Reason.SOURCE_NOT_FOUND, "nothing at kv/app"))
NEW = VaultStaticSecretStatus()


def after(*steps: tuple[Outcome, timedelta], start: Status = NEW, generation: int = 1) -> Status:
    """Return the status that a series of passes leaves, each so long after T0."""
    status = start
    for outcome, at in steps:
        status = assess(outcome, status, generation, T0 + at, POLICY).on(status)
    return status


SYNCED = after((InOrder(), timedelta(0)))
HELD = after((AWAY, MINUTE), start=SYNCED)
STALE = after((AWAY, 12 * MINUTE), start=HELD)
STUCK = after((FORBIDDEN, MINUTE), start=SYNCED)
VALID = VaultConnectionStatus()
