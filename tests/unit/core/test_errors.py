from __future__ import annotations

import pytest

from vso.core.errors import REMEDIES, ConfigError, ExpiredError, Reason, TerminalError, TransientError, VsoError

IN_ORDER = {
    Reason.READY,
    Reason.HEALTHY,
    Reason.SYNCED,
    Reason.SECRET_SYNCED,
    Reason.SECRET_ROTATED,
    Reason.LEASE_RENEWED,
    Reason.ACCEPTED,
    Reason.RECOVERED,
    Reason.EVENT_WATCHER_STARTED,
    Reason.VAULT_AUTH_GLOBAL_REF,
    Reason.PROGRESSING,
    Reason.ROLLOUT_RESTART_TRIGGERED,
}


def test_every_failing_reason_has_a_remedy_and_no_other_has() -> None:
    assert set(REMEDIES) == set(Reason) - IN_ORDER


@pytest.mark.parametrize("reason", REMEDIES)
def test_a_remedy_is_one_clause_that_can_stand_in_a_sentence(reason: Reason) -> None:
    remedy = REMEDIES[reason]
    assert remedy == remedy.strip()
    assert "\n" not in remedy
    assert not remedy.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_one_word_as_conditions_want_it(reason: Reason) -> None:
    assert reason.value.isalpha()
    assert reason.value[0].isupper()


def test_an_error_tells_its_reason_message_and_remedy() -> None:
    error = ConfigError(Reason.VAULT_SEALED, "Vault at x is sealed")
    assert str(error) == "VaultSealed: Vault at x is sealed"
    assert error.remedy == "unseal Vault"
    assert VsoError(Reason.READY, "in order").remedy == ""


def test_only_what_passes_by_itself_says_how_long_to_wait() -> None:
    assert TransientError(Reason.VAULT_THROTTLED, "slow down", 3.0).retry_after == 3.0
    assert TransientError(Reason.VAULT_THROTTLED, "slow down").retry_after is None


def test_the_families_exclude_each_other() -> None:
    families: tuple[type[VsoError], ...] = (TransientError, ConfigError, TerminalError, ExpiredError)
    for family in families:
        assert [other for other in families if issubclass(family, other)] == [family]
