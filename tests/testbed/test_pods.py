"""How the stand-in kubelet reads a pod."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testbed.pods import (
    ImageUnknown,
    Probe,
    State,
    Unsupported,
    container_of,
    mounts_token,
    ports_of,
    status_of,
)

Json = dict[str, Any]
IMAGES = {"vso:1": ("vso", "run")}
ADDRESS = "127.1.2.3"


def pod(container: Json | None = None, **spec: Any) -> Json:
    said = {"name": "operator", "image": "vso:1", **(container or {})}
    metadata = {"name": "vso-0", "namespace": "vso-system", "uid": "u-1"}
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
    assert container_of(pod(container), IMAGES, ADDRESS).argv == argv


def test_the_environment_is_the_pods() -> None:
    env = [
        {"name": "A", "value": "1"},
        {"name": "B"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]
    assert container_of(pod({"env": env}), IMAGES, ADDRESS).env == {"A": "1", "B": "", "NAME": "vso-0", "UID": "u-1"}


def test_a_probe_finds_its_port_by_name_and_has_kubernetes_defaults() -> None:
    ports = [{"name": "health", "containerPort": 8081}, {"containerPort": 9}]
    get = {"httpGet": {"path": "/healthz", "port": "health"}}
    said = pod({"ports": ports, "livenessProbe": get, "readinessProbe": {**get, "periodSeconds": 1}})
    container = container_of(said, IMAGES, ADDRESS)
    assert container.liveness == Probe("/healthz", 8081, period=10, delay=0, timeout=1, failures=3)
    assert container.readiness is not None
    assert container.readiness.period == 1
    assert container.startup is None
    assert ports_of(said) == [8081, 9]


@pytest.mark.parametrize(
    "said",
    [
        pod({"envFrom": [{}]}),
        pod({"volumeMounts": [{}]}),
        pod({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {}}}]}),
        pod({"livenessProbe": {"exec": {"command": ["true"]}}}),
        pod(volumes=[{}]),
        pod(initContainers=[{}]),
        pod(containers=[{}, {}]),
    ],
)
def test_what_it_cannot_do_is_refused(said: Json) -> None:
    with pytest.raises(Unsupported):
        container_of(said, IMAGES, ADDRESS)


def test_an_image_that_is_not_at_hand_is_told_apart() -> None:
    with pytest.raises(ImageUnknown):
        container_of(pod({"image": "vso:2"}), IMAGES, ADDRESS)


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounted"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False), (False, None, False)],
)
def test_the_pods_word_on_the_token_goes_before_its_accounts(
    of_pod: bool | None, of_account: bool | None, mounted: bool
) -> None:
    spec: Json = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
    account = {} if of_account is None else {"automountServiceAccountToken": of_account}
    assert mounts_token(pod(**spec), account) is mounted


@pytest.mark.parametrize(
    ("state", "phase", "ready", "shown"),
    [
        (State("Running", ready=True, started=True), "Running", "True", "running"),
        (State("Running", waiting="CrashLoopBackOff"), "Running", "False", "waiting"),
        (State("Succeeded", exit_code=0), "Succeeded", "False", "terminated"),
        (State("Failed", exit_code=2), "Failed", "False", "terminated"),
    ],
)
def test_what_is_told(state: State, phase: str, ready: str, shown: str) -> None:
    status = status_of(container_of(pod(), IMAGES, ADDRESS), "operator", "vso:1", state, address=ADDRESS)
    assert status["phase"] == phase
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == ready
    assert list(status["containerStatuses"][0]["state"]) == [shown]
    assert status["podIP"] == ADDRESS
