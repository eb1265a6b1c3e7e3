"""The rights as data are the rights as shipped."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from vso.api import generated
from vso.app import rbac, rbac_files
from vso.controllers import mac_key

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests" / "rbac"


def shipped(*paths: str) -> list[Any]:
    return [d for path in paths for d in yaml.safe_load_all((MANIFESTS / f"{path}.yaml").read_text())]


@pytest.mark.parametrize(("mode", "full"), [("full", True), ("write-only", False)])
def test_the_data_says_what_the_files_say(mode: str, full: bool) -> None:
    assert list(rbac.objects(full=full)) == shipped(f"{mode}/cluster", f"{mode}/own-namespace", f"{mode}/restarts")
    inside = shipped(f"namespaced/{mode}/role", f"namespaced/{mode}/restarts")
    assert list(rbac.namespaced_objects("", full=full)) == inside
    assert all("namespace" not in found["metadata"] for found in inside)


def test_the_other_roles_are_as_shipped() -> None:
    assert list(rbac.client_cache_objects()) == shipped("client-cache/secrets", "client-cache/role")
    assert list(rbac.own_namespace_objects(everywhere=False)) == shipped("namespaced/operator/own-namespace")
    assert list(rbac.credential_objects()) == shipped("credentials/role")


def test_every_file_of_the_folder_is_written_from_the_data() -> None:
    written = {path.relative_to(MANIFESTS).as_posix(): path.read_text() for path in MANIFESTS.rglob("*.yaml")}
    assert written == dict(rbac_files.files())


def test_what_is_written_by_hand_is_found_in_whatever_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = partial(generated.main, module=rbac_files.MODULE, files=rbac_files.files)
    assert run(["--write", str(tmp_path)]) == 0
    assert run(["--check", str(tmp_path)]) == 0
    (tmp_path / "namespaced/full/role.yaml").write_text("rules: []")
    (tmp_path / "namespaced/extra.yaml").write_text("rules: []")
    assert run(["--check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "namespaced/full/role.yaml: differs" in said
    assert "namespaced/extra.yaml: is generated from nothing" in said


def test_the_operators_own_namespace_may_be_watched_too() -> None:
    """Two roles of one name would replace each other there."""
    together = [*rbac.own_namespace_objects(everywhere=False), *rbac.namespaced_objects(rbac.NAMESPACE, full=True)]
    names = [(obj["kind"], obj["metadata"]["name"]) for obj in (*together, *rbac.client_cache_objects())]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("named", [(), ("app-sa",), ("a", "b")])
def test_tokens_are_asked_for_the_named_service_accounts_alone(named: tuple[str, ...]) -> None:
    for objects in (
        rbac.objects(full=True, service_accounts=named),
        rbac.namespaced_objects("team-a", full=True, service_accounts=named),
    ):
        rules = [rule for obj in objects for rule in obj.get("rules", ())]
        (tokens,) = [rule for rule in rules if rule["resources"] == ["serviceaccounts/token"]]
        assert tokens.get("resourceNames", []) == list(named)
        assert [rule for rule in rules if rule is not tokens and "app-sa" in str(rule)] == []


def test_the_key_of_the_mac_has_the_name_that_the_operator_asks_for() -> None:
    assert rbac.MAC_KEY == mac_key.NAME
