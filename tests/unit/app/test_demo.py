"""The demo's judgement and its pictures: nothing counts that was not seen, and no value is ever drawn."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from rich.console import Console

from vso.api.scheme import parse, parse_as
from vso.api.secrets import VaultStaticSecret
from vso.api.yaml_text import to_yaml
from vso.app.cli.demo import parser
from vso.app.demo import example
from vso.app.demo.board import Board, Standing
from vso.app.demo.children import environment
from vso.app.demo.hints import hints_for
from vso.app.demo.live import LiveView, Part, draw, fitting
from vso.app.demo.picture import EventSeen, Picture, SecretSeen, events_seen, secret_seen
from vso.app.demo.plain import PlainView
from vso.app.demo.story import PASSWORDS, STORY, expected, followed, kept, synced
from vso.app.demo.world import Access, collection
from vso.core.keys import Kind
from vso.core.sensitive import Sensitive

ACCESS = Access("https://kube", Path("/x/ca.crt"), "kube-token", "http://vault", "root", "unseal-key")
SEALED = {"Ready": ("True", "Ready"), "Healthy": ("False", "VaultSealed"), "SecretSynced": ("True", "Synced")}
WELL = {**SEALED, "Healthy": ("True", "Healthy")}


def intent(conditions: dict[str, tuple[str, str]], *, observed: int = 1) -> VaultStaticSecret:
    body = dict(example.intent("http://vault")[2])
    body["metadata"] = {**body["metadata"], "generation": 1}
    said = [{"type": t, "status": s, "reason": r, "message": f"about {t}"} for t, (s, r) in conditions.items()]
    return parse_as(
        VaultStaticSecret, orjson.dumps({**body, "status": {"observedGeneration": observed, "conditions": said}})
    )


def secret(version: int, *, uid: str = "u", resource_version: str = "7") -> SecretSeen:
    return SecretSeen(uid, resource_version, {key: Sensitive.of(text) for key, text in expected(version).items()})


BEFORE = Picture(intent(WELL), secret(2), sealed=False)
EVENT = EventSeen("2026-01-01T12:00:00Z", "Warning", "VaultSealed", "VaultStaticSecret app-config", "it is sealed", 2)


@pytest.mark.parametrize(
    ("picture", "lacking"),
    [
        pytest.param(Picture(intent(WELL), secret(1)), "", id="all is there"),
        pytest.param(Picture(intent(WELL)), "there is no Secret", id="no Secret"),
        pytest.param(Picture(intent(WELL), secret(2)), "does not hold version 1", id="another version"),
        pytest.param(Picture(None, secret(1)), "Ready is not True", id="no object"),
        pytest.param(Picture(intent(SEALED), secret(1)), "Healthy is not True", id="not healthy"),
        pytest.param(Picture(intent(WELL, observed=0), secret(1)), "Ready is not True", id="about an older spec"),
    ],
)
def test_a_sync_counts_when_secret_and_status_agree(picture: Picture, lacking: str) -> None:
    said = synced(picture, 1)
    assert lacking in said
    assert bool(said) == bool(lacking)


def test_a_secret_that_was_made_anew_has_not_followed() -> None:
    assert followed(BEFORE, replace(BEFORE, secret=secret(3)), 3) == ""
    assert followed(BEFORE, replace(BEFORE, secret=secret(3, uid="other")), 3) != ""


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        pytest.param({}, "", id="kept"),
        pytest.param({"sealed": False}, "Vault is not sealed", id="not sealed"),
        pytest.param({"secret": None}, "there is no Secret", id="gone"),
        pytest.param({"secret": secret(2, resource_version="8")}, "the Secret was touched", id="written again"),
        pytest.param({"intent": intent(WELL)}, "does not say VaultSealed", id="status knows nothing"),
        pytest.param({"intent": intent({**SEALED, "Ready": ("False", "x")})}, "Ready is not True", id="given up"),
    ],
)
def test_a_seal_is_survived_when_nothing_was_touched_and_the_status_says_why(
    change: dict[str, Any], lacking: str
) -> None:
    said = kept(BEFORE, replace(replace(BEFORE, sealed=True, intent=intent(SEALED)), **change))
    assert lacking in said
    assert bool(said) == bool(lacking)


def test_the_example_is_right_by_our_own_models_and_as_yaml() -> None:
    for found in example.intent("http://vault"):
        parse(Kind(found["kind"]), orjson.dumps(found))
        assert yaml.safe_load(to_yaml(found)) == found


def test_no_object_holds_a_value() -> None:
    objects = (*example.operator(), *example.ground(), *example.intent("http://vault"))
    assert not any(password in repr(objects) for password in PASSWORDS)


def test_what_the_api_server_says_is_understood() -> None:
    seen = secret_seen({"metadata": {"uid": "u", "resourceVersion": "7"}, "data": {"B": "eA==", "A": "eQ=="}})
    assert seen.keys == ("A", "B")
    assert seen.holds({"A": "y", "B": "x"})
    items = [
        {"lastTimestamp": stamp, "reason": reason, "involvedObject": {"kind": "VaultAuth", "name": "a"}}
        for stamp, reason in (("2026-01-02", "later"), ("2026-01-01", "sooner"))
    ]
    assert [event.reason for event in events_seen({"items": items})] == ["sooner", "later"]


@pytest.mark.parametrize(
    ("kind", "namespace", "path"),
    [
        ("Namespace", "", "/api/v1/namespaces"),
        ("ServiceAccount", "a", "/api/v1/namespaces/a/serviceaccounts"),
        ("ClusterRoleBinding", "", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"),
        ("Role", "a", "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles"),
        ("VaultAuth", "a", "/apis/secrets.hashicorp.com/v1beta1/namespaces/a/vaultauths"),
    ],
)
def test_where_an_object_is_posted_to(kind: str, namespace: str, path: str) -> None:
    assert collection(kind, namespace) == path


def test_the_children_see_nothing_of_the_callers_clusters() -> None:
    own = {"PATH": "/bin", "KUBECONFIG": "mine", "VAULT_TOKEN": "mine", "HTTPS_PROXY": "mine", "VSO_LOG": "mine"}
    seen = environment(own, Path("/demo"), {"OPERATOR_NAMESPACE": "vso-system"})
    assert seen["PATH"] == "/bin"
    assert seen["HOME"] == "/demo"
    assert "mine" not in seen.values()


def story(standing: Standing) -> Board:
    board = Board.of([step.title for step in STORY])
    for number in range(len(STORY)):
        board = board.at(number, standing, seconds=1.25, detail=f"detail {number}")
    picture = Picture(intent(SEALED), secret(2), (EVENT,), "leader", sealed=True)
    return replace(board, picture=picture, hints=hints_for(ACCESS, Path("/x")), farewell="The end.")


def drawn(board: Board) -> str:
    stream = io.StringIO()
    with LiveView(Console(file=stream, force_terminal=False, width=110, height=60)) as view:
        view.show(board)
    return stream.getvalue()


def told(board: Board) -> str:
    stream = io.StringIO()
    with PlainView(stream) as view:
        view.show(board)
        view.show(board)
    return stream.getvalue()


@pytest.mark.parametrize("show", [drawn, told])
def test_both_views_tell_the_story_and_no_value(show: Any) -> None:
    text = show(story(Standing.DONE))
    wanted = ("VaultSealed", "DB_PASSWORD", "DB_USERNAME", "it is sealed", "The end.", "detail 3", "KUBECONFIG=/x")
    assert all(word in text for word in (*wanted, *(step.title for step in STORY)))
    assert not any(password in text for password in PASSWORDS)


def test_plain_lines_are_written_once() -> None:
    assert all(told(story(Standing.DONE)).count(step.title) == 1 for step in STORY)


@pytest.mark.parametrize("show", [drawn, told])
def test_a_failure_is_told_with_its_reason(show: Any) -> None:
    text = show(replace(story(Standing.FAILED), farewell="It did not come true"))
    assert "detail 0" in text
    assert "It did not come true" in text


@pytest.mark.parametrize(
    ("room", "left_out"),
    [(44, set()), (38, {Part.DETAILS}), (34, {Part.DETAILS, Part.EVENTS}), (28, set(Part))],
)
def test_a_small_screen_does_without_the_most_dispensable_parts(room: int, left_out: set[Part]) -> None:
    console = Console(file=io.StringIO(), width=100, height=room)
    tried: list[frozenset[Part]] = []

    def attempt(parts: frozenset[Part]) -> Any:
        tried.append(parts)
        return draw(story(Standing.DONE), "*", 100, parts)

    fitting(room, lambda shown: len(console.render_lines(shown)), attempt)
    assert set(Part) - tried[-1] == left_out


def test_once_and_dir() -> None:
    options = parser().parse_args(["--once", "--dir", "/x"])
    assert (options.once, options.dir) == (True, Path("/x"))
