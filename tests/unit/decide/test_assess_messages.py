"""What is said to people: events at transitions, and messages that name the remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.assessed import (
    AWAY,
    DANGLING,
    FORBIDDEN,
    GONE,
    HELD,
    MINUTE,
    NEW,
    POLICY,
    SEALED,
    STALE,
    STUCK,
    SYNCED,
    THROTTLED,
    UNSUPPORTED,
)
from tests.fakes.clock import T0
from vso.api.meta import Status
from vso.core.errors import Reason
from vso.decide.assess import News, assess
from vso.decide.conditions import find_condition
from vso.decide.outcome import Cure, Failing, InOrder, Outcome, Suspended


@pytest.mark.parametrize(
    ("outcome", "previous", "expected"),
    [
        pytest.param(InOrder(), NEW, None, id="first-sync"),
        pytest.param(InOrder(), SYNCED, None, id="still-in-order"),
        pytest.param(InOrder(), HELD, ("Normal", Reason.RECOVERED), id="recovered"),
        pytest.param(AWAY, SYNCED, ("Warning", Reason.VAULT_UNAVAILABLE), id="fails"),
        pytest.param(AWAY, NEW, ("Warning", Reason.VAULT_UNAVAILABLE), id="fails-at-first"),
        pytest.param(AWAY, HELD, None, id="goes-on-failing"),
        pytest.param(AWAY, STALE, None, id="goes-on-failing-when-stale"),
        pytest.param(THROTTLED, HELD, ("Warning", Reason.VAULT_THROTTLED), id="fails-otherwise"),
        pytest.param(SEALED, HELD, None, id="an-outage-with-another-cause"),
        pytest.param(Suspended(), STUCK, None, id="suspended"),
    ],
)
def test_a_transition_is_news(outcome: Outcome, previous: Status, expected: tuple[str, Reason] | None) -> None:
    news = assess(outcome, previous, 1, T0 + 2 * MINUTE, POLICY).news
    assert (None if news is None else (news.type, news.reason)) == expected


RETRIED = "tried again by itself, after about 5s at first and every 1m later on"
RECHECKED = "looked at again every 5m and when an object that it depends on changes"


@pytest.mark.parametrize(
    ("outcome", "previous", "type_", "expected"),
    [
        pytest.param(InOrder(), NEW, "Ready", "in order", id="in-order"),
        pytest.param(
            InOrder("version 3 of kv/app"), NEW, "Healthy", "version 3 of kv/app", id="in-order-in-its-own-words"
        ),
        pytest.param(
            AWAY,
            NEW,
            "Reconciling",
            "Vault at https://vault:8200 does not answer; check that Vault runs and that its address is reachable from "
            f"the operator; {RETRIED}; the VaultConnection's status tells how it is now",
            id="an-outage",
        ),
        pytest.param(
            THROTTLED,
            NEW,
            "Reconciling",
            f"slow down (429); raise Vault's rate limit quota or lengthen refreshAfter; {RETRIED}",
            id="passing",
        ),
        pytest.param(
            AWAY,
            SYNCED,
            "Ready",
            "in use until the last good look is older than 10m; Healthy says what is wrong",
            id="held",
        ),
        pytest.param(
            replace(AWAY, remaining=MINUTE),
            SYNCED,
            "Ready",
            "in use until its lease or certificate ends; Healthy says what is wrong",
            id="held-by-a-lease",
        ),
        pytest.param(
            FORBIDDEN,
            SYNCED,
            "Stalled",
            "read on kv/data/app is denied; grant the capability on the path in the Vault policy of the role; "
            f"{RECHECKED}",
            id="human",
        ),
        pytest.param(
            DANGLING,
            NEW,
            "Ready",
            "vaultAuthRef names VaultAuth a/va, which does not exist; create the named object or correct the reference; "
            "waited for during 30s, then looked at again every 5m and on every change",
            id="dangling",
        ),
        pytest.param(
            UNSUPPORTED,
            NEW,
            "Stalled",
            "HCPAuth has no controller; use another kind; this one has no controller and will have none; "
            "not looked at again before this object changes",
            id="terminal",
        ),
        pytest.param(
            GONE,
            SYNCED,
            "SecretSynced",
            "nothing at kv/app; undelete or write the secret in Vault; the Secret keeps its last good data; "
            f"{RECHECKED}",
            id="deleted",
        ),
        pytest.param(
            Suspended(),
            NEW,
            "Ready",
            "suspended before the first sync; set spec.suspend to false to resume",
            id="suspended",
        ),
    ],
)
def test_messages_say_what_where_the_remedy_and_how_it_goes_on(
    outcome: Outcome, previous: Status, type_: str, expected: str
) -> None:
    condition = find_condition(assess(outcome, previous, 1, T0 + MINUTE, POLICY).conditions, type_)
    assert condition is not None
    assert condition.message == expected


def test_a_long_message_is_cut_before_the_remedy() -> None:
    endless = Failing(Reason.SOURCE_KEY_MISSING, "x" * 5000, Cure.CHANGE)
    (stuck, *_) = assess(endless, NEW, 1, T0, POLICY).conditions
    assert len(stuck.message) < 1300
    assert stuck.message.endswith(RECHECKED)


def test_news_is_a_plain_value() -> None:
    found = assess(InOrder(), HELD, 1, T0, POLICY)
    assert found.news == News("Normal", Reason.RECOVERED, "in order again")
