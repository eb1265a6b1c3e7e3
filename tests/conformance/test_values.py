"""What goes into a Secret: whole secrets, chosen keys, other paths, filters, guards."""

from __future__ import annotations

import json

import pytest

from tests.conformance.stage import Json, Team
from tests.testbed.bed import always

WITH_A_KUBECONFIG = True


def item(secret_key: str, **ref: object) -> Json:
    return {"secretKey": secret_key, "remoteRef": ref}


def test_all_fields_of_a_kv_v2_secret_and_the_raw_answer_arrive(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada", "port": 5432, "tls": True, "nested": {"b": 1, "a": [1, 2]}})
    team.static()
    data = team.wait_data(lambda found: "_raw" in found)
    assert data["user"] == "ada"
    assert data["port"] == "5432"
    assert data["tls"] == "true"
    assert data["nested"] == '{"a":[1,2],"b":1}'
    raw = json.loads(data["_raw"])
    assert raw["data"]["user"] == "ada"
    assert raw["metadata"]["version"] == 1


def test_a_kv_v1_secret_arrives(team: Team) -> None:
    team.access()
    team.put_v1("app", {"user": "ada"})
    team.static(mount="kv1", type="kv-v1")
    data = team.wait_data(lambda found: "_raw" in found)
    assert data == {"user": "ada", "_raw": '{"user":"ada"}'}


def test_a_pinned_version_is_read_although_a_newer_one_exists(team: Team) -> None:
    team.access()
    team.put("app", {"user": "first"})
    team.put("app", {"user": "second"})
    team.static(version=1)
    assert team.wait_data(lambda found: "user" in found)["user"] == "first"
    team.wait_ready()
    assert team.get()["status"]["sourceVersion"] == "1"


def test_exclude_raw_leaves_the_raw_key_out(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada"})
    team.static(destination={"transformation": {"excludeRaw": True}})
    team.wait_data({"user": "ada"})


def test_includes_and_excludes_choose_fields_by_regular_expression(team: Team) -> None:
    team.access()
    team.put("app", {"db_user": "ada", "db_password": "x", "note": "n"})
    team.static(destination={"transformation": {"excludeRaw": True, "includes": ["^db_"], "excludes": ["password$"]}})
    team.wait_data({"db_user": "ada"})


def test_chosen_keys_alone_make_the_secret_and_no_raw_key(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada", "password": "v1", "other": "z"})
    team.static(data=[item("USER", key="user"), item("PASS", key="password")])
    team.wait_data({"USER": "ada", "PASS": "v1"})


def test_a_property_reads_another_path_and_descends_into_it(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada"})
    team.put("other", {"a": {"b": ["zero", "one"]}})
    team.static(data=[item("user", key="user"), item("deep", key=f"{team.ns}/other", property="a.b.1")])
    team.wait_data({"user": "ada", "deep": "one"})


def test_a_version_of_one_key_is_pinned(team: Team) -> None:
    team.access()
    team.put("app", {"user": "first"})
    team.put("app", {"user": "second"})
    team.static(data=[item("old", key=f"{team.ns}/app", property="user", version=1), item("new", key="user")])
    team.wait_data({"old": "first", "new": "second"})


@pytest.mark.parametrize(
    ("strategy", "stored", "expected"),
    [
        ("Base64", "aGVsbG8=", "hello"),
        ("Base64URL", "aGk_fg==", "hi?~"),
        ("Auto", "plain text!", "plain text!"),
        ("None", "aGk=", "aGk="),
    ],
)
def test_a_value_is_decoded_as_asked(team: Team, strategy: str, stored: str, expected: str) -> None:
    team.access()
    team.put("app", {"value": stored})
    team.static(data=[item("value", key="value", decodingStrategy=strategy)])
    team.wait_data({"value": expected})


def test_a_missing_field_is_named_and_nothing_is_written(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada"})
    team.static(data=[item("user", key="user"), item("pass", key="password")])
    condition = team.wait_condition("Stalled", reason="SourceKeyMissing")
    assert "password" in condition["message"]
    assert f"{team.ns}/app" in condition["message"]
    assert "ada" not in condition["message"]
    assert team.secret() is None


def test_one_failing_source_of_several_leaves_the_secret_untouched(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada"})
    team.put("other", {"x": "1"})
    team.static(data=[item("user", key="user"), item("x", key=f"{team.ns}/other", property="x")])
    team.wait_data({"user": "ada", "x": "1"})
    team.bed.vault.delete(f"kv/data/{team.ns}/other")
    team.wait_condition("Stalled", reason="SourceDeleted")
    team.put("app", {"user": "bob"})
    always(lambda: team.data() == {"user": "ada", "x": "1"}, during=2, message="nothing is written in part")
    assert team.data() == {"user": "ada", "x": "1"}


def test_a_large_number_keeps_its_digits(team: Team) -> None:
    """In KV v1: the engine of KV v2 itself rounds numbers to doubles."""
    team.access()
    team.bed.vault.raw("POST", f"kv1/{team.ns}/app", content='{"big": 12345678901234567890, "one": 1.0}')
    team.static(mount="kv1", type="kv-v1", destination={"transformation": {"excludeRaw": True}})
    team.wait_data({"big": "12345678901234567890", "one": "1.0"})


def test_a_key_that_kubernetes_refuses_is_named_and_nothing_is_written(team: Team) -> None:
    team.access()
    team.put("app", {"good": "1", "bad key": "2"})
    team.static()
    condition = team.wait_condition("Stalled", reason="SecretKeyInvalid")
    assert "bad key" in condition["message"]
    assert team.secret() is None


def test_more_than_a_megabyte_is_refused_whole(team: Team) -> None:
    team.access()
    team.put("app", {"big": "x" * 600_000})
    team.static()
    team.wait_condition("Stalled", reason="SecretTooLarge")
    assert team.secret() is None


def test_templates_are_stalled_as_not_implemented(team: Team) -> None:
    team.access()
    team.put("app", {"user": "ada"})
    team.static(destination={"transformation": {"templates": {"url": {"text": "{{ .Secrets.user }}"}}}})
    team.wait_condition("Stalled", reason="NotImplemented")
    assert team.secret() is None


def test_a_path_with_special_characters_is_read(team: Team) -> None:
    team.access()
    team.put("with space & ünïcode", {"user": "ada"})
    team.static(path="with space & ünïcode")
    team.wait_data(lambda found: found["user"] == "ada")
