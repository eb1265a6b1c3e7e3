"""What helm says at the end of an install of the chart, where something is left for its user to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.chart_cases import CHART, values_of
from tests.conformance.stage import Stage
from tests.testbed.helm import Helm
from tests.testbed.real import RealBed

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]


@pytest.fixture
def helm(real_bed: RealBed, tmp_path: Path) -> Helm:
    Stage(real_bed).set_up()
    return Helm(tmp_path, real_bed.admin_kubeconfig)


def notes(helm: Helm, *args: str) -> str:
    """What helm says after an install, which it only pretends."""
    install = ("install", "vso", CHART, "--dry-run=client", "--namespace", "vso-noted")
    return helm(*install, *args).partition("NOTES:")[2]


def test_the_notes_say_where_any_service_account_is_not_asked_for_in_words(helm: Helm) -> None:
    said = "Tokens of any ServiceAccount of these namespaces may be requested"
    assert said in notes(helm, "--set", "rbac.namespaces={team-a}")
    assert said not in notes(helm, *values_of("namespaces-any"))
    assert said not in notes(helm, *values_of("namespaces"))
    assert said not in notes(helm)


def test_the_notes_have_the_credentials_that_who_logs_in_by_default_takes(helm: Helm) -> None:
    said = notes(helm, *values_of("approle"))
    assert '{"namespace":"<namespace>","secrets":["app-role"],"serviceAccounts":[]}' in said
    assert "rbac.credentials" not in notes(helm, *values_of("operator-class-defaults"))
