"""The operator beside Argo CD and Flux: nothing that it does is drift to them, undone by them or pruned.

On the real servers, whose defaults and field managers the tools compare with.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.chronicle import OPERATOR
from tests.conformance.contract import argo
from tests.conformance.stage import GROUP, MANIFESTS, Json, Team, documents
from tests.testbed.bed import always, eventually
from tests.testbed.syncers import INSTANCE, TRACKING_ID, ArgoApplication, FluxKustomization

pytestmark = pytest.mark.real
LASTS = 25
OPERATOR_ARGS = ("--restart-window=0s",)
RESTARTED_AT = "vso.secrets.hashicorp.com/restartedAt"
_numbers = itertools.count(1)
APPLICATION = documents(MANIFESTS / "example" / "argocd" / "application" / "application.yaml")[0]["spec"]
MANAGERS = [name for entry in APPLICATION["ignoreDifferences"] for name in entry["managedFieldsManagers"]]
SYNCED_BY = pytest.mark.parametrize("server_side", [False, True], ids=["client-side apply", "server-side apply"])


def workload(team: Team) -> Json:
    """A Deployment of no replicas: its template is what matters."""
    labels = {"app": "app"}
    containers = [{"name": "app", "image": "app:1"}]
    template = {"metadata": {"labels": labels, "annotations": {"note": "x"}}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": team.ns},
        "spec": spec,
    }


def in_git(team: Team) -> list[Json]:
    """What a team keeps in Git: only what it means, so that every default is the server's."""
    secret = team.secret_spec(
        "app", name="app", refreshAfter="1h", rolloutRestartTargets=[{"kind": "Deployment", "name": "app"}]
    )
    secret["data"] = [
        {"secretKey": "PASSWORD", "remoteRef": {"key": "password"}},
        {"secretKey": "OTHER", "remoteRef": {"key": f"{team.ns}/app", "property": "password"}},
    ]
    plain = team.secret_spec(
        "app", name="plain", destination={"labels": {"a": "b"}, "transformation": {"includes": ["p.*"]}}
    )
    login = {"kubernetes": {"role": team.ns, "serviceAccount": "app", "audiences": ["vault"]}}
    return [
        team.manifest("VaultConnection", "vault", {"address": team.bed.vault.url, "headers": {"X-Team": "a"}}),
        team.manifest("VaultAuthGlobal", "shared", {"kubernetes": {"mount": "kubernetes"}}),
        team.manifest(
            "VaultAuth", "auth", {"vaultConnectionRef": "vault", "method": "kubernetes", "mount": "kubernetes", **login}
        ),
        team.manifest(
            "VaultAuth",
            "merged",
            {"vaultAuthGlobalRef": {"name": "shared"}, "method": "kubernetes", **login, "vaultConnectionRef": "vault"},
        ),
        team.manifest("VaultStaticSecret", "app", secret),
        team.manifest("VaultStaticSecret", "plain", plain),
        team.manifest("SecretTransformation", "upper", {"templates": {"a": {"text": "b"}}, "includes": ["x"]}),
        team.manifest(
            "VaultPKISecret",
            "cert",
            {
                "vaultAuthRef": "auth",
                "mount": "pki",
                "role": "r",
                "commonName": "a.example",
                "destination": {"name": "cert", "create": True},
                "rolloutRestartTargets": [{"kind": "Deployment", "name": "app"}],
            },
        ),
        workload(team),
    ]


def dynamic(team: Team) -> Json:
    """A dynamic secret on a role of its own; it has a finalizer while it has a lease."""
    database = team.bed.database()
    database.role(team.ns, default_ttl="1h", max_ttl="24h")
    team.policy(
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    spec = {
        "vaultAuthRef": "auth",
        "mount": database.mount,
        "path": f"creds/{team.ns}",
        "destination": {"name": "db", "create": True},
    }
    return team.manifest("VaultDynamicSecret", "db", spec)


def application(team: Team, **changes: Any) -> ArgoApplication:
    """The Application of the example, for the team's namespace."""
    return ArgoApplication(team.bed, "app", team.ns, **{"ignored_managers": MANAGERS, **changes})


@pytest.fixture
def git(team: Team) -> Iterator[list[Json]]:
    """The team's manifests, and a secret in Vault."""
    team.put("app", {"password": "v1"})
    yield [*in_git(team), dynamic(team)]
    team.bed.kube.delete("VaultDynamicSecret", team.ns, "db")
    eventually(lambda: not team.bed.kube.exists("VaultDynamicSecret", team.ns, "db"), message="the lease is given back")


def in_order(team: Team) -> None:
    for kind, name in (("VaultStaticSecret", "app"), ("VaultStaticSecret", "plain"), ("VaultDynamicSecret", "db")):
        team.wait_ready(name, kind, timeout=40)
    eventually(lambda: team.get("VaultDynamicSecret", "db")["metadata"].get("finalizers"), message="a lease is held")
    eventually(lambda: settled(team), message="the controller of Deployments has seen it")


def rotate(team: Team) -> str:
    """Change the secret and have it restart the workload; when that was."""
    before = restarted_at(team)
    number = next(_numbers)
    team.put("app", {"password": f"rotated-{number}"})
    team.patch({"metadata": {"annotations": {"vso.hashicorp.com/resync": f"rotate-{number}"}}})
    when = eventually(lambda: (now := restarted_at(team)) != before and now, message="the workload is restarted")
    eventually(lambda: settled(team), message="the controller of Deployments has seen it")
    return str(when)


def settled(team: Team) -> bool:
    found = team.bed.kube.find("Deployment", team.ns, "app")
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])


def restarted_at(team: Team) -> str | None:
    template = team.bed.kube.find("Deployment", team.ns, "app")["spec"]["template"]
    return (template["metadata"].get("annotations") or {}).get(RESTARTED_AT)


@SYNCED_BY
def test_argo_cd_sees_no_drift_in_what_the_operator_works_on(team: Team, git: list[Json], *, server_side: bool) -> None:
    app = application(team, server_side=server_side)
    app.sync(git)
    in_order(team)
    assert app.drift(git) == {}
    when = rotate(team)
    assert app.drift(git) == {}
    before = team.bed.kube.find("Deployment", team.ns, "app")["metadata"]["generation"]
    app.sync(git)
    assert restarted_at(team) == when
    assert team.bed.kube.find("Deployment", team.ns, "app")["metadata"]["generation"] == before


def test_a_change_in_the_cluster_is_drift_and_healed(team: Team, git: list[Json]) -> None:
    app = application(team)
    app.sync(git)
    in_order(team)
    team.patch({"spec": {"refreshAfter": "2h"}})
    team.patch({"spec": {"template": {"metadata": {"annotations": {"note": "y"}}}}}, "Deployment", "app")
    assert app.drift(git).keys() == {"VaultStaticSecret/app", "Deployment/app"}
    assert app.heal(git)
    assert app.drift(git) == {}


def test_without_what_the_example_ignores_a_restart_is_no_drift_either(team: Team, git: list[Json]) -> None:
    app = application(team, ignored_managers=())
    app.sync(git)
    in_order(team)
    rotate(team)
    assert app.drift(git) == {}


@pytest.mark.parametrize("tracking", ["label", "annotation"])
def test_argo_cd_prunes_nothing_that_the_operator_made(team: Team, git: list[Json], tracking: str) -> None:
    app = application(team, tracking=tracking)
    app.sync(git)
    in_order(team)
    rotate(team)
    marks = [(team.get(name=name)["metadata"], name) for name in ("app", "plain")]
    for meta, _ in marks:
        assert INSTANCE in meta.get("labels", {}) if tracking == "label" else TRACKING_ID in meta["annotations"]
    assert app.extraneous(git) == []
    left_out = [obj for obj in git if obj["metadata"]["name"] != "plain"]
    assert app.extraneous(left_out) == ["VaultStaticSecret/plain"]


def test_what_an_action_of_argo_cd_sets_survives_self_heal(team: Team, git: list[Json]) -> None:
    app = application(team)
    app.sync(git)
    in_order(team)
    for action, name in (("refresh", "resync"), ("restart-consumers", "restart")):
        obj = team.get() | {"apiVersion": GROUP, "kind": "VaultStaticSecret"}
        set_by = argo().act(obj, action)["metadata"]["annotations"][f"vso.hashicorp.com/{name}"]
        team.patch({"metadata": {"annotations": {f"vso.hashicorp.com/{name}": set_by}}})
        assert not app.heal(git)
        app.sync(git)
        assert team.get()["metadata"]["annotations"][f"vso.hashicorp.com/{name}"] == set_by
        handled = f"lastHandled{name.capitalize()}"
        eventually(lambda: team.get()["status"].get(handled) == set_by, message=f"{action} is acknowledged")  # noqa: B023


@pytest.mark.parametrize("held", [False, True], ids=["Git is silent", "Git holds the field"])
def test_the_action_suspend_lasts_where_git_says_nothing_of_it(team: Team, git: list[Json], *, held: bool) -> None:
    if held:
        git = copy.deepcopy(git)
        next(obj for obj in git if obj["kind"] == "VaultStaticSecret")["spec"]["suspend"] = False
    app = application(team)
    app.sync(git)
    in_order(team)
    team.patch({"spec": {"suspend": True}})
    assert app.heal(git) is held
    assert team.get()["spec"]["suspend"] is not held


def test_flux_has_nothing_to_correct_after_the_operator(team: Team, git: list[Json]) -> None:
    flux = FluxKustomization(team.bed)
    labels = {"kustomize.toolkit.fluxcd.io/name": "app", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    for obj in git:
        obj["metadata"]["labels"] = labels
    flux.apply(git)
    in_order(team)
    assert flux.drift(git) == {}
    when = rotate(team)
    assert flux.drift(git) == {}
    before = {kind: team.get(kind, name)["metadata"]["generation"] for kind, name in OBJECTS}
    flux.apply(git)
    assert restarted_at(team) == when
    assert {kind: team.get(kind, name)["metadata"]["generation"] for kind, name in OBJECTS} == before
    assert team.bed.kube.find("VaultDynamicSecret", team.ns, "db")["metadata"]["finalizers"]
    assert not labels.keys() & team.the_secret()["metadata"]["labels"].keys()
    team.patch({"spec": {"refreshAfter": "2h"}})
    assert flux.drift(git).keys() == {"VaultStaticSecret/app"}


OBJECTS = (("VaultStaticSecret", "app"), ("VaultDynamicSecret", "db"), ("VaultAuth", "auth"), ("Deployment", "app"))


def test_the_operator_owns_no_field_of_an_object_that_a_tool_applies(team: Team, git: list[Json]) -> None:
    FluxKustomization(team.bed).apply(git)
    in_order(team)
    rotate(team)
    for obj in git:
        live = team.bed.kube.find(obj["kind"], team.ns, obj["metadata"]["name"])
        owned = [e["fieldsV1"] for e in live["metadata"]["managedFields"] if e["manager"] == OPERATOR]
        if obj["kind"] == "Deployment":
            continue
        assert {name for fields in owned for name in fields} <= {"f:status", "f:metadata"}, obj["kind"]
        meta = {name for fields in owned for name in fields.get("f:metadata", {})}
        assert meta <= ({"f:finalizers"} if obj["kind"] == "VaultDynamicSecret" else set()), obj["kind"]


def test_a_secret_outlives_nothing_and_no_tool_when_its_object_is_pruned(team: Team, git: list[Json]) -> None:
    app = application(team)
    app.sync(git)
    in_order(team)
    team.bed.kube.delete("VaultStaticSecret", team.ns, "plain")
    eventually(lambda: team.secret("plain") is None, timeout=60, message="the Secret goes with its object")
    always(lambda: team.the_data("app") is not None, during=0.5)
