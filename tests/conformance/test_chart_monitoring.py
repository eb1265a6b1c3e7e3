"""What the chart gives to Prometheus and Grafana, as rendered by the real helm."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.conformance.chart_cases import CHART, NAMESPACE, Json, values_of
from tests.conformance.stage import MANIFESTS, documents
from tests.promql import question
from tests.testbed.helm import Helm, HelmError
from vso.app.chart.alerts import ALERTS
from vso.app.settings import from_args

pytestmark = pytest.mark.real
ROLE = f"vault-secrets-operator-{NAMESPACE}-metrics"
SECURE = ("--set", "metrics.secure=true")
GUARDED = (*SECURE, "--set", "metrics.auth=true")
MONITORED = ("--set", "telemetry.serviceMonitor.enabled=true")


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


def rendered(helm: Helm, *args: str) -> list[Json]:
    text = helm("template", "vso", CHART, "--namespace", NAMESPACE, *args)
    return [document for document in yaml.safe_load_all(text) if document]


def one(objects: list[Json], kind: str, name: str = "") -> Json:
    (found,) = [o for o in objects if o["kind"] == kind and name in {"", o["metadata"]["name"]}]
    return found


def endpoint(helm: Helm, *args: str) -> Json:
    (found,) = one(rendered(helm, *MONITORED, *args), "ServiceMonitor")["spec"]["endpoints"]
    return dict(found)


def test_by_default_metrics_are_plain_and_ask_for_no_further_right(helm: Helm) -> None:
    objects = rendered(helm)
    assert not [o for o in objects if "metrics" in o["metadata"]["name"] and "Role" in o["kind"]]
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    settings = from_args(container["args"], {}, lambda _path: None)
    assert (settings.metrics_secure, settings.metrics_auth) == (False, False)


def test_guarded_metrics_bring_the_manifests_rights_in_roles_of_their_own(helm: Helm) -> None:
    objects = rendered(helm, *GUARDED)
    (auth,) = [d for d in documents(MANIFESTS / "rbac/metrics-auth/role.yaml") if "rules" in d]
    (reader,) = documents(MANIFESTS / "rbac/metrics-auth/reader.yaml")
    assert one(objects, "ClusterRole", f"{ROLE}-auth")["rules"] == auth["rules"]
    assert one(objects, "ClusterRole", f"{ROLE}-reader")["rules"] == reader["rules"]
    assert one(objects, "ClusterRoleBinding", f"{ROLE}-auth")
    elsewhere = [o for o in objects if "rules" in o and not o["metadata"]["name"].startswith(ROLE)]
    assert "tokenreviews" not in str(elsewhere)


def test_a_secret_with_a_certificate_is_mounted_where_the_operator_looks(helm: Helm) -> None:
    args = (*SECURE, "--set", "metrics.certSecret=vso-tls")
    pod = one(rendered(helm, *args), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = from_args(container["args"], {}, lambda _path: None)
    (volume,) = pod["volumes"]
    assert volume == {"name": "metrics-tls", "secret": {"secretName": "vso-tls"}}
    assert container["volumeMounts"] == [
        {"name": "metrics-tls", "mountPath": settings.metrics_cert_dir, "readOnly": True}
    ]
    tls = endpoint(helm, *args)["tlsConfig"]
    assert tls["ca"] == {"secret": {"name": "vso-tls", "key": "ca.crt"}}
    assert tls["serverName"] == f"vault-secrets-operator-metrics.{NAMESPACE}.svc"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param((), {"scheme": "http"}, id="plain"),
        pytest.param(
            ("--set", "telemetry.serviceMonitor.scheme=https", "--set", "telemetry.serviceMonitor.bearerTokenFile=/t"),
            {"scheme": "http"},
            id="no-token-goes-over-plain-http-whatever-is-asked",
        ),
        pytest.param(SECURE, {"scheme": "https", "tlsConfig": {"insecureSkipVerify": True}}, id="secure"),
        pytest.param(
            GUARDED,
            {
                "scheme": "https",
                "tlsConfig": {"insecureSkipVerify": True},
                "bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token",
            },
            id="guarded",
        ),
        pytest.param(
            (*GUARDED, "--set", "telemetry.serviceMonitor.bearerTokenFile=/t"),
            {"scheme": "https", "tlsConfig": {"insecureSkipVerify": True}, "bearerTokenFile": "/t"},
            id="a-token-of-ones-own",
        ),
        pytest.param(
            (
                *GUARDED,
                "--set",
                "telemetry.serviceMonitor.authorization.credentials.name=s,"
                "telemetry.serviceMonitor.authorization.credentials.key=k",
                "--set",
                "telemetry.serviceMonitor.tlsConfig.serverName=vso",
            ),
            {
                "scheme": "https",
                "tlsConfig": {"serverName": "vso"},
                "authorization": {"credentials": {"name": "s", "key": "k"}},
            },
            id="a-token-from-a-secret",
        ),
    ],
)
def test_a_scrape_goes_as_the_metrics_are_served(helm: Helm, args: tuple[str, ...], expected: Json) -> None:
    found = endpoint(helm, *args)
    keys = ("scheme", "tlsConfig", "bearerTokenFile", "authorization")
    assert {key: found[key] for key in keys if key in found} == expected


@pytest.mark.parametrize(
    ("args", "error"),
    [
        pytest.param(("--set", "metrics.auth=true"), "must not go over plain HTTP", id="a-token-in-the-clear"),
        pytest.param(
            (*GUARDED, "--set", "rbac.namespaces={team-a}"), "TokenReview is of the whole cluster", id="no-cluster-role"
        ),
        pytest.param(
            ("--set", "prometheusRule.enabled=true", "--set", "prometheusRule.disabled={VaultSecretsNone}"),
            "there is no alert VaultSecretsNone",
            id="no-such-alert",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_applied(helm: Helm, args: tuple[str, ...], error: str) -> None:
    with pytest.raises(HelmError, match=error):
        rendered(helm, *args)


def test_where_an_administrator_binds_the_rights_a_namespaced_install_can_be_guarded(helm: Helm) -> None:
    objects = rendered(helm, *GUARDED, "--set", "rbac.namespaces={team-a}", "--set", "rbac.create=false")
    (container,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert "--metrics-auth" in container["args"]
    assert not [o for o in objects if o["kind"] == "ClusterRole" and "metrics" in o["metadata"]["name"]]


def test_the_alerts_ask_for_this_install_and_parse(helm: Helm) -> None:
    objects = rendered(helm, *values_of("names"), "--set", "prometheusRule.enabled=true")
    (group,) = one(objects, "PrometheusRule")["spec"]["groups"]
    service = one(objects, "Service")["metadata"]
    assert [rule["alert"] for rule in group["rules"]] == [alert.name for alert in ALERTS]
    for rule in group["rules"]:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        for selector in question(rule["expr"]).series:
            chosen = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            assert chosen["job"] == service["name"] == "vso-blue-metrics"
            assert chosen.get("namespace", service["namespace"]) == "vault"


def test_alerts_are_left_out_labelled_and_added(helm: Helm) -> None:
    (group,) = one(rendered(helm, *values_of("alerts")), "PrometheusRule")["spec"]["groups"]
    names = [rule.get("alert") for rule in group["rules"]]
    assert {alert.name for alert in ALERTS} - set(names) == {"VaultSecretsBug", "VaultSecretsPollsLate"}
    assert {rule["labels"]["team"] for rule in group["rules"] if "alert" in rule} == {"platform"}
    assert {rule["labels"]["severity"] for rule in group["rules"] if "alert" in rule} == {"critical", "warning"}
    assert group["rules"][-1]["record"] == "vso:ready:sum"


def test_the_dashboard_is_found_by_grafanas_sidecar_and_whole(helm: Helm) -> None:
    found = one(rendered(helm, "--set", "grafanaDashboard.enabled=true"), "ConfigMap")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    shown: Any = json.loads(found["data"]["vault-secrets-operator.json"])
    assert shown == json.loads((CHART / "files" / "dashboard.json").read_text())
