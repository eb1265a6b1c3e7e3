"""How the stand-in kubelet reads a pod."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testbed.pod_fields import NotThere, Unsupported
from tests.testbed.pod_status import PodState, State, status_of, waiting_for
from tests.testbed.pods import (
    ACCOUNT,
    Container,
    ImageUnknown,
    Mount,
    Probe,
    plan_of,
    ports_of,
    start_of,
    with_account,
)

Json = dict[str, Any]
IMAGES = {"vso:1": ("vso", "run")}
ADDRESS = "127.1.2.3"
OBJECTS: dict[tuple[str, str], Json] = {
    ("Secret", "login"): {"kind": "Secret", "data": {"user": "YWRh", "word": "bG92ZQ=="}},
    ("ConfigMap", "settings"): {"kind": "ConfigMap", "data": {"level": "debug"}},
}


def look(kind: str, name: str) -> Json | None:
    return OBJECTS.get((kind, name))


def container_of(said: Json) -> Container:
    (found,) = plan_of(said, IMAGES, ADDRESS).containers
    return found


def environment(said: Json) -> dict[str, str]:
    return start_of(container_of(said), said, look)[1]


def pod(container: Json | None = None, **spec: Any) -> Json:
    said = {"name": "operator", "image": "vso:1", **(container or {})}
    metadata = {"name": "vso-0", "namespace": "vso-system", "uid": "u-1", "labels": {"tier": "infra"}}
    return {"metadata": metadata, "spec": {"nodeName": "n", "containers": [said], **spec}, "status": {}}


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({}, ("vso", "run")),
        ({"args": ["--once"]}, ("vso", "run", "--once")),
        ({"command": ["vso", "crds"], "args": ["--apply"]}, ("vso", "crds", "--apply")),
        ({"args": ["--metrics-bind-address=:8080"]}, ("vso", "run", f"--metrics-bind-address={ADDRESS}:8080")),
        ({"args": ["--metrics-bind-address=0"]}, ("vso", "run", "--metrics-bind-address=0")),
        ({"args": ["--metrics-bind-address=10.0.0.1:80"]}, ("vso", "run", "--metrics-bind-address=10.0.0.1:80")),
    ],
)
def test_what_is_run(container: Json, argv: tuple[str, ...]) -> None:
    said = pod(container)
    assert tuple(start_of(container_of(said), said, look)[0]) == argv


def test_the_environment_is_the_pods() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
    ]
    assert environment(pod({"env": env})) == {"A": "1", "B": "", "NAME": "vso-0", "TIER": "infra"}


def test_the_environment_takes_from_secrets_and_configmaps() -> None:
    said = pod(
        {
            "envFrom": [
                {"secretRef": {"name": "login"}, "prefix": "L_"},
                {"configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "missing", "optional": True}},
            ],
            "env": [
                {"name": "WHO", "valueFrom": {"secretKeyRef": {"name": "login", "key": "user"}}},
                {"name": "LEVEL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "level"}}},
                {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "login", "key": "x", "optional": True}}},
                {"name": "BOTH", "value": "$(WHO)-$(LEVEL)-$(NOBODY)-$$(WHO)"},
            ],
            "args": ["--who=$(WHO)"],
        }
    )
    argv, env = start_of(container_of(said), said, look)
    assert env == {
        "L_user": "ada",
        "L_word": "love",
        "level": "debug",
        "WHO": "ada",
        "LEVEL": "debug",
        "BOTH": "ada-debug-$(NOBODY)-$(WHO)",
    }
    assert argv[-1] == "--who=ada"


@pytest.mark.parametrize(
    ("container", "missing"),
    [
        ({"envFrom": [{"secretRef": {"name": "other"}}]}, "there is no Secret other"),
        (
            {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "other", "key": "k"}}}]},
            "no ConfigMap other",
        ),
        ({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "login", "key": "k"}}}]}, "login has no key k"),
    ],
)
def test_what_the_environment_lacks_is_named(container: Json, missing: str) -> None:
    with pytest.raises(NotThere, match=missing):
        environment(pod(container))


@pytest.mark.parametrize(
    ("lifecycle", "command"),
    [
        ({}, ()),
        ({"preStop": {"exec": {"command": ["sh", "-c", "x"]}}}, ("sh", "-c", "x")),
        ({"preStop": {"sleep": {"seconds": 3}}}, ("sleep", "3")),
    ],
)
def test_what_runs_before_a_container_is_asked_to_end(lifecycle: Json, command: tuple[str, ...]) -> None:
    assert container_of(pod({"lifecycle": lifecycle})).pre_stop == command


def test_init_containers_keep_their_order_and_one_that_restarts_always_is_a_sidecar() -> None:
    said = {
        "image": "vso:1",
        "workingDir": "/srv",
        "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": True}],
    }
    init = [{**said, "name": "first"}, {"name": "second", "image": "vso:1", "restartPolicy": "Always"}]
    plan = plan_of(pod(initContainers=init), IMAGES, ADDRESS)
    assert [(c.name, c.sidecar, c.folder, c.mounts) for c in plan.init] == [
        ("first", False, "/srv", (Mount("v", "/v", read_only=True),)),
        ("second", True, None, ()),
    ]
    assert [c.name for c in plan.containers] == ["operator"]


def test_a_probe_finds_its_port_by_name_and_has_kubernetes_defaults() -> None:
    ports = [{"name": "health", "containerPort": 8081}, {"containerPort": 9}]
    get = {"httpGet": {"path": "/healthz", "port": "health"}}
    said = pod({"ports": ports, "livenessProbe": get, "readinessProbe": {**get, "periodSeconds": 1}})
    container = container_of(said)
    assert container.liveness == Probe("/healthz", 8081, period=10, delay=0, timeout=1, failures=3)
    assert container.readiness is not None
    assert container.readiness.period == 1
    assert container.startup is None
    assert ports_of(said) == [8081, 9]


@pytest.mark.parametrize(
    "said",
    [
        pod({"lifecycle": {"preStop": {"httpGet": {"path": "/", "port": 1}}}}),
        pod({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"sleep": {"seconds": 1}}}}),
        pod({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}]}),
        pod({"env": [{"name": "X", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}),
        pod({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]}),
        pod({"livenessProbe": {"exec": {"command": ["true"]}}}),
        pod(initContainers=[{"name": "i", "image": "vso:1", "tty": True}]),
        pod(hostNetwork=True),
    ],
)
def test_what_it_cannot_do_is_refused(said: Json) -> None:
    with pytest.raises(Unsupported):
        plan_of(said, IMAGES, ADDRESS)


def test_an_image_that_is_not_at_hand_is_told_apart() -> None:
    with pytest.raises(ImageUnknown):
        container_of(pod({"image": "vso:2"}))


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounted"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False), (False, None, False)],
)
def test_the_pods_word_on_the_token_goes_before_its_accounts(
    of_pod: bool | None, of_account: bool | None, mounted: bool
) -> None:
    spec: Json = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    account = {} if of_account is None else {"automountServiceAccountToken": of_account}
    said = with_account(pod(**spec), account)
    assert [mount.path for mount in container_of(said).mounts] == ([ACCOUNT] if mounted else [])
    assert [volume["name"] for volume in said["spec"].get("volumes", [])] == (["kube-api-access"] if mounted else [])


RUNNING = State("operator", "vso:1", ready=True, started=True, started_at="then")
ENDED = State("operator", "vso:1", started_at="then", exit_code=0)


@pytest.mark.parametrize(
    ("state", "ready", "shown"),
    [
        (PodState("Running", containers=[RUNNING]), "True", ["running"]),
        (
            PodState("Running", containers=[RUNNING, State("b", "x", started_at="then")]),
            "False",
            ["running", "running"],
        ),
        (PodState("Running", containers=[State("a", "x", waiting="CrashLoopBackOff")]), "False", ["waiting"]),
        (PodState("Succeeded", containers=[ENDED]), "False", ["terminated"]),
        (waiting_for("ErrImagePull", [("a", "x"), ("b", "y")]), "False", ["waiting", "waiting"]),
    ],
)
def test_what_is_told(state: PodState, ready: str, shown: list[str]) -> None:
    status = status_of(state)
    assert status["phase"] == state.phase
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == ready
    assert [next(iter(found["state"])) for found in status["containerStatuses"]] == shown


def test_init_containers_are_told_apart() -> None:
    status = status_of(PodState("Pending", init=[ENDED], containers=[RUNNING], initialized=False, address=ADDRESS))
    assert status["initContainerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    assert {c["type"]: c["status"] for c in status["conditions"]}["Initialized"] == "False"
    assert status["podIP"] == ADDRESS
