"""How long the chart's hooks may take, and how often they are tried, as helm renders them."""

from __future__ import annotations

import pytest

from tests.conformance.chart_cases import of_kind, render
from tests.testbed.helm import Helm

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("executionTimeout=30s", 240),
        ("executionTimeout=3m", 240),
        ("executionTimeout=181s", 241),
        ("executionTimeout=10m", 660),
        ("executionTimeout=1h30m", 5460),
        ("executionTimeout=0.5h", 1860),
        ("executionTimeout=300500ms", 361),
        ("executionTimeout=10m,hooks.upgradeCRDs.deadlineSeconds=90", 90),
    ],
)
def test_a_try_of_the_hook_for_crds_may_last_as_long_as_it_is_given(helm: Helm, said: str, seconds: int) -> None:
    (job,) = [
        o
        for o in of_kind(render(helm, "default", "--set", f"hooks.upgradeCRDs.{said}"), "Job")
        if "upgrade-crds" in o["metadata"]["name"]
    ]
    assert job["spec"]["activeDeadlineSeconds"] == seconds


def test_the_tries_of_a_hook_that_fails_at_once_are_over_before_its_time_is(helm: Helm) -> None:
    """The waits between them are 10 s and double each time; a try is not done before its pod is up."""
    jobs = of_kind(render(helm, "default"), "Job")
    assert len(jobs) == 2
    for job in jobs:
        spec = job["spec"]
        waits = sum(10 * 2**number for number in range(spec["backoffLimit"]))
        assert waits < spec["activeDeadlineSeconds"] / 2
