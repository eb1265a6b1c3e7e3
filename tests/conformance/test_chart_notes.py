"""What helm says at the end of an install or upgrade of the chart, where something is left for its user to do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.conformance.chart_cases import CHART, values_of
from tests.testbed.helm import Helm, HelmError

pytestmark = [
    pytest.mark.real,
    pytest.mark.only_in("full", because="it is about what is shipped or asked, whatever an operator may do"),
]
HOLDER = """
apiVersion: v1
kind: ConfigMap
metadata: {name: notes}
data: {notes: {{ tpl (.Files.Get "NOTES.txt") . | quote }}}
"""


class Notes:
    """The notes, rendered by the real helm with everything else of the chart; `helm template` itself leaves them out."""

    def __init__(self, home: Path) -> None:
        self._helm, self._chart = Helm(home), home / "chart"
        shutil.copytree(CHART, self._chart)
        (self._chart / "templates/NOTES.txt").rename(self._chart / "NOTES.txt")
        (self._chart / "templates/notes.yaml").write_text(HOLDER)

    def __call__(self, *args: str) -> str:
        text = self._helm("template", "vso", self._chart, "--namespace", "vso-noted", *args)
        (found,) = [o["data"]["notes"] for o in yaml.safe_load_all(text) if o and o["metadata"]["name"] == "notes"]
        return str(found)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Notes:
    return Notes(tmp_path_factory.mktemp("notes"))


def test_the_notes_say_where_any_service_account_is_not_asked_for_in_words(notes: Notes) -> None:
    said = "Tokens of any ServiceAccount of these namespaces may be requested"
    assert said in notes("--set", "rbac.namespaces={team-a}")
    assert said not in notes(*values_of("namespaces-any"))
    assert said not in notes(*values_of("namespaces"))
    assert said not in notes()


def test_the_notes_have_the_credentials_that_who_logs_in_by_default_takes(notes: Notes) -> None:
    said = notes(*values_of("approle"))
    assert '{"namespace":"<namespace>","secrets":["app-role"],"serviceAccounts":[]}' in said
    assert "rbac.credentials" not in notes(*values_of("operator-class-defaults"))


OWN_TOKENS = "defaultAuthMethod.enabled=true,defaultAuthMethod.kubernetes.role=app,defaultAuthMethod.kubernetes.serviceAccount=own"


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        (f"{OWN_TOKENS},rbac.serviceAccounts={{app}}", True),
        (f"{OWN_TOKENS},rbac.serviceAccounts={{app}},rbac.namespaces={{team-a}}", True),
        (f"{OWN_TOKENS},rbac.serviceAccounts={{app,own}}", False),
        (f"{OWN_TOKENS},rbac.serviceAccounts={{*}}", False),
        (f"{OWN_TOKENS},rbac.serviceAccounts={{app}},rbac.create=false", False),
        (OWN_TOKENS, False),
        ("rbac.serviceAccounts={app}", False),
    ],
)
def test_the_notes_name_the_service_account_of_the_default_login_that_no_right_names(
    notes: Notes, values: str, *, missing: bool
) -> None:
    assert ("add own to rbac.serviceAccounts" in notes("--set", values)) is missing


CONNECTION = "defaultVaultConnection.enabled=true,defaultVaultConnection.address=https://v"
STORAGE = "controller.manager.clientCache.storageEncryption"
KEPT = f"controller.manager.clientCache.persistenceModel=direct-encrypted,{STORAGE}.keyName=a,{STORAGE}.transitMount=b"


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        (f"operator.watchLabelSelector=team,{CONNECTION}", 'operator.watchLabelSelector: "team" leaves out'),
        (f"operator.watchLabelSelector=team,{KEPT}", 'operator.watchLabelSelector: "team" leaves out'),
        (f"commonLabels.vso\\.hashicorp\\.com/operator-class=green,{CONNECTION}", "commonLabels: vso.hashicorp.com"),
        ("defaultAuthMethod.enabled=true,defaultAuthMethod.method=token", "defaultAuthMethod.token: the method token"),
        (
            "defaultAuthMethod.enabled=true,defaultAuthMethod.method=",
            "defaultAuthMethod.method: only a VaultAuthGlobal",
        ),
        (f"{KEPT},{STORAGE}.method=ldap", f"{STORAGE}.ldap: the method ldap takes"),
    ],
)
def test_an_upgrade_goes_on_with_what_an_install_is_refused_for_and_the_notes_say_so(
    notes: Notes, values: str, warning: str
) -> None:
    said = notes("--set", values, "--is-upgrade")
    assert said.count("WARNING") == 1
    assert f"WARNING: {warning}" in said
    with pytest.raises(HelmError, match=re.escape(warning)):
        notes("--set", values)


def test_an_upgrade_without_a_mistake_is_not_warned(notes: Notes) -> None:
    assert "WARNING" not in notes(*values_of("operator-class-defaults"), "--is-upgrade")
