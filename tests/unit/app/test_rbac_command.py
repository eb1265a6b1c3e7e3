"""`vso rbac`: rules narrowed to names, in three forms, and nothing printed where anything is wrong."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.app.test_needs import APP_ROLE, KUBERNETES, auth, connection, static
from vso.app import rbac
from vso.app.cli import rbac as command

Json = dict[str, Any]
TARGETS = [{"kind": "StatefulSet", "name": "x"}]
OBJECTS = (
    connection(caCertSecretRef="vault-ca"),
    auth(**KUBERNETES),
    auth("role", **APP_ROLE),
    static(rolloutRestartTargets=TARGETS),
    static(ref="role", name="two"),
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*args: str, objects: tuple[Json, ...] = OBJECTS) -> tuple[int, str, str]:
        text = yaml.safe_dump_all(objects).encode()
        code = command.main(["-f", "-", *args], io.BytesIO(text))
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def roles(text: str) -> dict[tuple[str, str], list[rbac.Rule]]:
    """The rules by namespace and role."""
    found = [document for document in yaml.safe_load_all(text) if document["kind"] == "Role"]
    return {(role["metadata"]["namespace"], role["metadata"]["name"]): role["rules"] for role in found}


def names(rules: list[rbac.Rule], resource: str) -> list[str] | None:
    """The names that a rule for the resource has; no rule, no names."""
    return next((rule.get("resourceNames") for rule in rules if rule["resources"] == [resource]), [])


@pytest.mark.parametrize("mode", ["full", "write-only"])
def test_the_rules_are_those_of_an_install_for_a_namespace_narrowed_to_names(run: Any, mode: str) -> None:
    code, out, err = run(f"--secrets-access={mode}")
    assert (code, err) == (0, "")
    found = roles(out)
    assert found.pop(("vso-system", rbac.OWN)) == rbac.own_namespace_rules(everywhere=False)
    assert found.pop(("team", rbac.NAME)) == rbac.team_rules(full=mode == "full", service_accounts=["sa"])
    assert found.pop(("team", rbac.CREDENTIAL_ROLE)) == [rbac.credential_rule("secrets", "s", "vault-ca")]
    assert found.pop(("team", rbac.RESTARTS)) == [
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["patch"]}
    ]
    assert found == {}
    assert out.startswith(f"# for an operator with --watch-namespaces=team --secrets-access={mode}\n")


@pytest.mark.parametrize(("mode", "expected"), [("full", [["list", "watch"]]), ("write-only", [])])
def test_where_nothing_writes_secrets_none_may_be_written(run: Any, mode: str, expected: list[Any]) -> None:
    found = roles(run(f"--secrets-access={mode}", objects=(connection(), auth(**KUBERNETES)))[1])
    rules = [rule["verbs"] for rule in found["team", rbac.NAME] if rule["resources"] == ["secrets"]]
    assert rules == expected


def test_the_flags_that_were_given_are_in_the_first_line(run: Any) -> None:
    out = run("--global-vault-auth-options=", "--watch-label-selector=tier in (a,b)")[1]
    assert "--global-vault-auth-options=" in out.splitlines()[0]
    assert "'--watch-label-selector=tier in (a,b)'" in out.splitlines()[0]


def test_the_default_mode_is_the_operators(run: Any) -> None:
    assert run()[1] == run("--secrets-access=full")[1]


def test_who_needs_no_token_gets_the_right_to_none_instead_of_any(run: Any) -> None:
    found = roles(run(objects=(connection(), auth(**APP_ROLE), static()))[1])
    assert names(found["team", rbac.NAME], "serviceaccounts/token") == []
    assert ("team", rbac.RESTARTS) not in found
    assert ("team", rbac.CREDENTIAL_ROLE) in found


def test_everything_is_bound_to_the_operators_service_account(run: Any) -> None:
    _, out, _ = run("--operator-namespace=vault", "--service-account=vso")
    bindings = [document for document in yaml.safe_load_all(out) if document["kind"] == "RoleBinding"]
    assert {binding["metadata"]["namespace"] for binding in bindings} == {"vault", "team"}
    assert [subject for binding in bindings for subject in binding["subjects"]] == [
        {"kind": "ServiceAccount", "name": "vso", "namespace": "vault"}
    ] * len(bindings)
    assert {binding["roleRef"]["kind"] for binding in bindings} == {"Role"}


def test_a_watched_namespace_of_the_operators_gives_its_secrets_once(run: Any) -> None:
    found = roles(run("--operator-namespace=team")[1])
    assert found["team", rbac.OWN] == rbac.own_namespace_rules(everywhere=True)


def test_json_is_a_list_of_the_same_objects(run: Any) -> None:
    as_json = json.loads(run("-o", "json")[1])
    assert (as_json["apiVersion"], as_json["kind"]) == ("v1", "List")
    assert as_json["items"] == list(yaml.safe_load_all(run("-o", "yaml")[1]))


def test_helm_has_the_charts_credentials_and_nothing_else(run: Any) -> None:
    annotated = auth("aws", "other", method="aws", aws={"role": "r", "irsaServiceAccount": "sa"})
    more = (annotated, connection("vault", "other", caCertConfigMapRef={"name": "m"}), static("other", "aws"))
    assert yaml.safe_load(run("-o", "helm", objects=(*OBJECTS, *more))[1]) == {
        "rbac": {
            "credentials": [
                {"namespace": "other", "configMaps": ["m"], "serviceAccounts": ["sa"]},
                {"namespace": "team", "secrets": ["s", "vault-ca"]},
            ]
        }
    }
    assert yaml.safe_load(run("-o", "helm", objects=(connection(),))[1]) == {"rbac": {"credentials": []}}


def test_an_object_that_names_no_namespace_is_of_the_one_that_is_given(run: Any) -> None:
    bare = connection()
    del bare["metadata"]["namespace"]
    assert ("default", rbac.NAME) in roles(run(objects=(bare,))[1])
    assert ("app", rbac.NAME) in roles(run("--namespace=app", objects=(bare,))[1])


def test_what_is_missing_is_a_warning_and_the_rest_is_printed(run: Any) -> None:
    code, out, err = run(objects=OBJECTS[1:])
    assert code == 0
    assert names(roles(out)["team", rbac.CREDENTIAL_ROLE], "secrets") == ["s"]
    assert err.splitlines() == [
        f"vso rbac: warning: vaultConnectionRef of VaultAuth team/{name} names VaultConnection team/vault, "
        "which is not among the manifests: what it needs is not in these rules"
        for name in ("auth", "role")
    ]


def test_nothing_of_ours_is_a_warning(run: Any) -> None:
    code, _, err = run(objects=({"apiVersion": "apps/v1", "kind": "Deployment"},))
    assert (code, err) == (0, "vso rbac: warning: there is no object of secrets.hashicorp.com among the manifests\n")


def test_what_a_model_refuses_is_one_line_and_nothing_is_printed(run: Any) -> None:
    code, out, err = run(objects=(*OBJECTS, auth("bad", method="magic")))
    assert (code, out) == (1, "")
    assert err.startswith("vso rbac: standard input, document 6: VaultAuth team/bad: spec.method: must be ")
    assert err.endswith("; correct the named field\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "flag", ["--secrets-access=some", "--watch-label-selector=a==b==c", "--operator-namespace=A/b"]
)
def test_a_flag_that_the_operator_would_not_take_is_refused_as_by_it(run: Any, flag: str) -> None:
    code, out, err = run(flag)
    assert (code, out) == (1, "")
    assert err.startswith("vso rbac: --")
    assert err.count("\n") == 1


def test_files_and_folders_come_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "team").mkdir()
    for number, found in enumerate(OBJECTS[1:]):
        (tmp_path / "team" / f"{number}.yaml").write_text(yaml.safe_dump(found))
    (tmp_path / "vault.json").write_text(json.dumps(OBJECTS[0]))
    assert command.main(["-f", str(tmp_path / "team"), "-f", str(tmp_path / "vault.json")]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert names(roles(said.out)["team", rbac.CREDENTIAL_ROLE], "secrets") == ["s", "vault-ca"]


def test_the_operator_starts_without_any_of_it() -> None:
    modules = "'vso.app.needs', 'vso.app.manifest_files', 'vso.app.rbac_needs', 'vso.app.cli.rbac', 'yaml'"
    program = f"import sys, vso.app.cli.run; print([m for m in ({modules}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
