"""What can be set in the chart is set by some case, and a login is the block of its method and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conformance.chart_cases import CASES, CHART, NAMESPACE, Json, of_kind, render
from tests.conformance.stage import Stage
from tests.testbed.helm import Helm
from tests.testbed.real import RealBed
from vso.app.chart.values import Value, parse

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]
LASTS = 15

VALUES = list(parse((CHART / "values.yaml").read_text()).values())
SAID = {case: yaml.safe_load(path.read_text()) for case, path in CASES.items()}
UNSAID = {"crds.keep": "only its default is admitted"}
OF_CASE = {
    "logins": ("default", ("defaultAuthMethod",)),
    "cache-encrypted-logins": (
        "vault-secrets-operator-default-transit-auth",
        ("controller", "manager", "clientCache", "storageEncryption"),
    ),
}
METHODS = ("kubernetes", "jwt", "appRole", "aws", "gcp", "azure", "cert", "ldap", "userpass", "token", "generic")
LOGINS = [
    (case, method)
    for case, (_, path) in OF_CASE.items()
    for method in METHODS
    if any(value.path == (*path, method) for value in VALUES)
]


@pytest.fixture(scope="module")
def cluster(real_bed: RealBed) -> RealBed:
    Stage(real_bed).set_up()
    return real_bed


def at(values: Json, path: tuple[str, ...]) -> object:
    """What values say under a path; None where they say nothing."""
    found: object = values
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def says(values: Json, value: Value) -> bool:
    """Whether values set something else than the default."""
    return at(values, value.path) not in (None, value.default)


def test_everything_that_can_be_set_is_set_by_a_case_to_something_else() -> None:
    assert len(VALUES) > 150
    unsaid = {value.name for value in VALUES if not any(says(values, value) for values in SAID.values())}
    assert unsaid == set(UNSAID)


def test_every_login_that_the_chart_documents_is_tried() -> None:
    assert [method for case, method in LOGINS if case == "logins"] == list(METHODS)
    assert [method for case, method in LOGINS if case != "logins"] == list(METHODS)


@pytest.mark.parametrize(("case", "method"), LOGINS)
def test_a_login_is_the_block_of_its_method_as_it_was_said(
    cluster: RealBed, tmp_path: Path, case: str, method: str
) -> None:
    name, path = OF_CASE[case]
    auth = rendered_auth(Helm(tmp_path), case, f"{'.'.join(path)}.method={method}")
    assert {key for key in auth["spec"] if key in METHODS} == {method}
    assert auth["metadata"]["name"] == name
    assert auth["spec"][method] == at(SAID[case], (*path, method))
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(auth))


@pytest.mark.parametrize(
    ("said", "block"),
    [
        ({}, {"role": "app", "secretRef": "token"}),
        ({"secretRef": ""}, {"role": "app", "serviceAccount": "default"}),
        ({"serviceAccount": "web"}, {"role": "app", "secretRef": "token", "serviceAccount": "web"}),
        ({"serviceAccount": ""}, {"role": "app", "secretRef": "token"}),
    ],
    ids=["a Secret alone", "nothing but a role", "both", "no ServiceAccount"],
)
def test_a_token_in_a_secret_is_not_outdone_by_a_service_account_that_nobody_named(
    tmp_path: Path, said: Json, block: Json
) -> None:
    settings = [f"defaultAuthMethod.jwt.{key}={value}" for key, value in said.items()]
    assert rendered_auth(Helm(tmp_path), "logins", *settings)["spec"]["jwt"] == block


def rendered_auth(helm: Helm, case: str, *settings: str) -> Json:
    """The one VaultAuth of a case, with further settings."""
    objects = render(helm, case, *(part for setting in settings for part in ("--set", setting)))
    (auth,) = of_kind(objects, "VaultAuth")
    assert auth["metadata"]["namespace"] == NAMESPACE
    return dict(auth)
