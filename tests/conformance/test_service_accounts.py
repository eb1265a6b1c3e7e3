"""An install for the whole cluster that names the ServiceAccounts whose tokens may be requested: those and no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.install import ACCOUNT
from tests.conformance.stage import OPERATOR_USER, Stage, Team
from tests.testbed.bed import Bed
from vso.app import rbac

pytestmark = pytest.mark.only_in("full", "write-only", because="an install for namespaces names them anyway")
ARGS = ("--backoff-initial-interval=200ms", "--backoff-max-interval=400ms", "--restart-window=0s")


@pytest.fixture(scope="module")
def stage(prepared: Bed, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The operator under the roles of its install, as components/service-accounts changes them."""
    stage = Stage.of(request, prepared)
    stage.use_roles()
    for document in rbac.objects(full=stage.install.full, service_accounts=[ACCOUNT]):
        prepared.kube.apply(document)
    stage.put_on(stage.other(*ARGS))
    yield stage
    stage.close()


def test_a_service_account_that_is_named_logs_in_in_any_namespace(team: Team) -> None:
    mark = team.bed.mark()
    team.ready()
    asked = [call for call in team.bed.kube_audit(mark) if call.user == OPERATOR_USER and call.subresource == "token"]
    asked = [call for call in asked if call.namespace == team.ns]  # those of earlier scenarios may still be refused
    assert {(call.name, call.code) for call in asked} == {(ACCOUNT, 201)}


@pytest.mark.refused("create serviceaccounts/token")
def test_one_that_is_not_named_is_told_of_with_the_rule_that_names_it(team: Team) -> None:
    meta = {"name": "stranger", "namespace": team.ns}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    team.role(bound_service_account_names="stranger")
    team.access(auth={"kubernetes": {"serviceAccount": "stranger"}})
    team.put("app", {"password": "v1"})
    team.static()
    told = team.wait_condition("Ready", "False", "KubernetesForbidden")["message"]
    assert 'resources: ["serviceaccounts/token"], verbs: ["create"], resourceNames: ["stranger"]' in told
    assert team.secret() is None
    team.grant("serviceaccounts/token", "stranger", "create")
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": "1"}}})
    team.wait_ready()
