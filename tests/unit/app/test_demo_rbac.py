"""The rights as data are the rights as shipped."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vso.app import rbac
from vso.controllers import mac_key

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests" / "rbac"


@pytest.mark.parametrize(("mode", "full"), [("full", True), ("write-only", False)])
def test_the_data_says_what_the_files_say(mode: str, full: bool) -> None:
    shipped = [
        document
        for name in ("cluster", "own-namespace", "restarts")
        for document in yaml.safe_load_all((MANIFESTS / mode / f"{name}.yaml").read_text())
    ]
    assert list(rbac.objects(full=full)) == shipped


def test_the_place_for_kept_tokens_is_as_shipped() -> None:
    files = (MANIFESTS / "client-cache" / f"{name}.yaml" for name in ("secrets", "role"))
    assert list(rbac.client_cache_objects()) == [d for file in files for d in yaml.safe_load_all(file.read_text())]


def test_the_rights_for_guarded_metrics_are_as_shipped() -> None:
    files = (MANIFESTS / "metrics-auth" / f"{name}.yaml" for name in ("role", "reader"))
    assert list(rbac.metrics_auth_objects()) == [d for file in files for d in yaml.safe_load_all(file.read_text())]


def test_the_key_of_the_mac_has_the_name_that_the_operator_asks_for() -> None:
    assert rbac.MAC_KEY == mac_key.NAME
