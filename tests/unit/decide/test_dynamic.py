"""What is asked of Vault, when, and which lease a status tells of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.clock import T0
from vso.api.secrets import SecretLease, VaultDynamicSecretSpec, VaultDynamicSecretStatus
from vso.decide import dynamic
from vso.decide.dynamic import Asked, Facts, lease_of, plan_issue, request_of, shape_of
from vso.decide.lease import Because, Lease

MINUTE = timedelta(minutes=1)
BASE: dict[str, Any] = {"mount": "database", "path": "creds/app", "destination": {"name": "db", "create": True}}
IN_ORDER = Facts(
    issued=True, shape="a", recorded_shape="a", resync_asked=False, secret_missing=False, secret_drifted=False
)


def spec(**changes: Any) -> VaultDynamicSecretSpec:
    return VaultDynamicSecretSpec.model_validate({**BASE, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, Asked("GET", None), id="plain"),
        pytest.param({"requestHTTPMethod": "GET"}, Asked("GET", None), id="get"),
        pytest.param({"requestHTTPMethod": "POST"}, Asked("PUT", None), id="post"),
        pytest.param({"requestHTTPMethod": "PUT"}, Asked("PUT", None), id="put"),
        pytest.param({"params": {"ttl": "5m"}}, Asked("PUT", {"ttl": "5m"}), id="parameters-make-it-a-put"),
        pytest.param(
            {"params": {"a": "b"}, "requestHTTPMethod": "GET"}, Asked("PUT", {"a": "b"}), id="whatever-the-method"
        ),
        pytest.param({"paramsJSON": {"a": {"b": [1]}}}, Asked("PUT", {"a": {"b": [1]}}), id="nested"),
    ],
)
def test_the_request(changes: dict[str, Any], expected: Asked) -> None:
    assert request_of(spec(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        pytest.param({"renewalPercent": 50}, True, id="renewal"),
        pytest.param({"overlap": "1m"}, True, id="overlap"),
        pytest.param({"suspend": True}, True, id="suspended"),
        pytest.param({"rolloutRestartTargets": [{"kind": "Deployment", "name": "web"}]}, True, id="targets"),
        pytest.param({"destination": {**BASE["destination"], "labels": {"a": "b"}}}, True, id="labels"),
        pytest.param({"path": "creds/other"}, False, id="path"),
        pytest.param({"mount": "other"}, False, id="mount"),
        pytest.param({"namespace": "team"}, False, id="namespace"),
        pytest.param({"vaultAuthRef": "other"}, False, id="auth"),
        pytest.param({"params": {"ttl": "5m"}}, False, id="parameters"),
        pytest.param({"paramsJSON": {"ttl": "5m"}}, False, id="nested-parameters"),
        pytest.param({"destination": {"name": "other", "create": True}}, False, id="name"),
        pytest.param(
            {"destination": {**BASE["destination"], "transformation": {"excludeRaw": True}}},
            False,
            id="transformation",
        ),
    ],
)
def test_the_shape_tells_what_needs_new_credentials(changes: dict[str, Any], same: bool) -> None:
    assert (shape_of(spec(**changes)) == shape_of(spec())) is same


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(IN_ORDER, None, id="in-order"),
        pytest.param(replace(IN_ORDER, recorded_shape=""), None, id="of-the-reference-operator"),
        pytest.param(replace(IN_ORDER, issued=False, secret_missing=True), Because.NO_LEASE, id="first"),
        pytest.param(replace(IN_ORDER, shape="b", resync_asked=True), Because.REQUEST_CHANGED, id="changed"),
        pytest.param(replace(IN_ORDER, resync_asked=True), Because.ASKED, id="asked"),
        pytest.param(replace(IN_ORDER, secret_missing=True), Because.SECRET_MISSING, id="gone"),
        pytest.param(replace(IN_ORDER, secret_drifted=True), Because.SECRET_DRIFTED, id="drifted"),
    ],
)
def test_why_credentials_are_issued(facts: Facts, expected: Because | None) -> None:
    assert plan_issue(facts) is expected


def told(**changes: Any) -> VaultDynamicSecretStatus:
    lease = SecretLease(id="l", duration=60, renewable=True, token_expire_time=T0 + 2 * MINUTE)
    return VaultDynamicSecretStatus(secret_lease=lease, last_renewal_time=int(T0.timestamp())).model_copy(
        update=changes
    )


LEASE = Lease("l", T0, MINUTE, renewable=True, parent_end=T0 + 2 * MINUTE)
LEASELESS = {"secret_lease": SecretLease()}


@pytest.mark.parametrize(
    ("changes", "status", "parent", "expected"),
    [
        pytest.param({}, told(), None, LEASE, id="after-a-restart"),
        pytest.param(
            {},
            told(),
            (T0 + 5 * MINUTE, False),
            replace(LEASE, parent_end=T0 + 5 * MINUTE, parent_kept=True),
            id="its-token-in-our-hands",
        ),
        pytest.param(
            {},
            told(),
            (T0 + 5 * MINUTE, True),
            replace(LEASE, parent_end=T0 + 5 * MINUTE, parent_kept=True, parent_final=True),
            id="which-nothing-prolongs",
        ),
        pytest.param({}, VaultDynamicSecretStatus(), None, None, id="never-issued"),
        pytest.param({}, told(**LEASELESS), None, None, id="without-a-lease-nothing-ends"),
        pytest.param(
            {"refreshAfter": "1m"},
            told(**LEASELESS),
            None,
            Lease("", T0, MINUTE, renewable=False, parent_end=None, parent_kept=True),
            id="unless-a-refresh-is-asked-for",
        ),
        pytest.param({"refreshAfter": "1m"}, VaultDynamicSecretStatus(), None, None, id="of-what-was-issued"),
    ],
)
def test_the_lease_that_the_status_tells_of(
    changes: dict[str, Any], status: VaultDynamicSecretStatus, parent: Any, expected: Lease | None
) -> None:
    assert lease_of(spec(**changes), status, parent, T0) == expected


def test_a_renewal_of_ours_is_no_sign_of_the_reference() -> None:
    theirs = VaultDynamicSecretStatus(last_renewal_time=1000)
    assert dynamic.last_sign_of_the_reference(theirs) == datetime.fromtimestamp(1000, UTC)
    ours = theirs.model_copy(update={"expires": datetime.fromtimestamp(2000, UTC)})
    assert dynamic.last_sign_of_the_reference(ours) == datetime.fromtimestamp(0, UTC)
