"""Flags and environment: what wins, what is refused, what is taken without effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from vso.app.flag_table import FLAGS
from vso.app.flags import parser
from vso.app.settings import SecretsAccess, Settings, SettingsError, from_args
from vso.core.label_selector import OPERATOR_CLASS as CLASS

NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
POD_UID_FILE = "/var/run/podinfo/uid"


def settings(*argv: str, env: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None) -> Settings:
    return from_args(argv, env or {}, (files or {}).get)


def test_the_defaults_are_the_reference_operators() -> None:
    found = settings()
    assert found.leader_elect
    assert found.max_concurrent_reconciles == 100
    assert str(found.metrics_bind_address) == ":8080"
    assert str(found.health_probe_bind_address) == ":8081"
    assert (found.backoff.initial, found.backoff.maximum) == (5.0, 60.0)
    assert (found.backoff.multiplier, found.backoff.randomization) == (1.5, 0.5)
    assert found.allow_default_globals
    assert not found.exclude_raw
    assert (found.log_level, found.log_format) == ("info", "json")
    assert found.warnings == ()


def test_our_own_defaults() -> None:
    found = settings()
    assert found.secrets_access is SecretsAccess.FULL
    assert found.drift_interval == 600.0
    assert found.connection_check_interval == 60.0
    assert found.shutdown_grace == pytest.approx(0.7)
    assert found.watch_namespaces == ()
    assert found.metrics_per_object
    assert (found.metrics_secure, found.metrics_auth, found.metrics_cert_dir) == (False, False, "")
    lease = found.leader_elect_lease_duration, found.leader_elect_renew_deadline, found.leader_elect_retry_period
    assert lease == (15.0, 10.0, 2.0)


@pytest.mark.parametrize(
    ("argv", "field", "expected"),
    [
        pytest.param(["-drift-interval", "5m"], "drift_interval", 300.0, id="one-dash-and-a-blank"),
        pytest.param(["--drift-interval=1h30m"], "drift_interval", 5400.0, id="two-dashes-and-equals"),
        pytest.param(["-leader-elect=false"], "leader_elect", False, id="a-switch-turned-off"),
        pytest.param(["--leader-elect=F"], "leader_elect", False, id="a-switch-as-go-spells-it"),
        pytest.param(["--once"], "once", True, id="a-switch-alone"),
        pytest.param(["-once", "--leader-elect"], "once", True, id="a-switch-before-another"),
        pytest.param(["--secrets-access=write-only"], "secrets_access", SecretsAccess.WRITE_ONLY, id="mode"),
        pytest.param(["--watch-namespaces=a, b,a,"], "watch_namespaces", ("a", "b"), id="a-list-each-once"),
        pytest.param(["--metrics-bind-address="], "metrics_bind_address", None, id="metrics-nowhere"),
        pytest.param(["--metrics-bind-address=0"], "metrics_bind_address", None, id="metrics-off-by-zero"),
        pytest.param(["--metrics-secure"], "metrics_secure", True, id="metrics-over-tls"),
        pytest.param(["--metrics-secure", "--metrics-cert-dir=/tls"], "metrics_cert_dir", "/tls", id="a-certificate"),
        pytest.param(["--metrics-secure", "--metrics-auth"], "metrics_auth", True, id="metrics-for-some"),
        pytest.param(
            ["--metrics-secure", "--metrics-bind-address=0", "--health-probe-bind-address=0"],
            "metrics_secure",
            True,
            id="two-that-are-nowhere-share-no-address",
        ),
        pytest.param(["--restart-window=0"], "restart_window", 0.0, id="no-window"),
        pytest.param(["--kubeconfig", "/k"], "kubeconfig", "/k", id="kubeconfig"),
        pytest.param(["--drift-interval=1m", "--drift-interval=2m"], "drift_interval", 120.0, id="the-last-one-wins"),
        pytest.param(["--global-transformation-options=exclude-raw"], "exclude_raw", True, id="exclude-raw"),
        pytest.param(["--global-vault-auth-options="], "allow_default_globals", False, id="no-default-globals"),
        pytest.param(["--operator-class=blue"], "operator_class", "blue", id="class"),
        pytest.param(["--watch-label-selector=a in (b, c)"], "watch_label_selector", "a in (b, c)", id="selector"),
        pytest.param(["--allowed-file-prefixes=/etc/vault"], "allowed_file_prefixes", ("/etc/vault",), id="prefixes"),
    ],
)
def test_a_flag_says(argv: list[str], field: str, expected: object) -> None:
    assert getattr(settings(*argv), field) == expected


@pytest.mark.parametrize(
    ("argv", "env", "field", "expected"),
    [
        pytest.param(
            ["--max-concurrent-reconciles=5"],
            {"VSO_MAX_CONCURRENT_RECONCILES": "7"},
            "max_concurrent_reconciles",
            7,
            id="the-environment-wins",
        ),
        pytest.param(
            ["--backoff-randomization-factor=0.3"],
            {"VSO_BACKOFF_RANDOMIZATION_FACTOR": "0"},
            "backoff_randomization_factor",
            0.3,
            id="zero-in-the-environment-is-nothing",
        ),
        pytest.param(
            ["--backoff-multiplier=3"], {"VSO_BACKOFF_MULTIPLIER": ""}, "backoff_multiplier", 3.0, id="empty-is-nothing"
        ),
        pytest.param([], {"VSO_BACKOFF_INITIAL_INTERVAL": "2s"}, "backoff_initial_interval", 2.0, id="a-duration"),
        pytest.param([], {"VSO_GLOBAL_TRANSFORMATION_OPTIONS": "exclude-raw"}, "exclude_raw", True, id="a-list"),
        pytest.param([], {"KUBECONFIG": "/from/env"}, "kubeconfig", "/from/env", id="kubeconfig"),
        pytest.param(
            ["--kubeconfig=/flag"], {"KUBECONFIG": "/env"}, "kubeconfig", "/flag", id="for-kubeconfig-the-flag-wins"
        ),
        pytest.param([], {"DRIFT_INTERVAL": "1s"}, "drift_interval", 600.0, id="ours-have-no-variable"),
    ],
)
def test_flag_and_environment(argv: list[str], env: dict[str, str], field: str, expected: object) -> None:
    assert getattr(settings(*argv, env=env), field) == expected


@pytest.mark.parametrize(
    ("argv", "env", "message"),
    [
        pytest.param(["--nonsense"], {}, "unrecognized arguments: --nonsense", id="unknown-flag"),
        pytest.param(["stray"], {}, "unrecognized arguments: stray", id="stray-argument"),
        pytest.param(["--drift"], {}, "unrecognized arguments: --drift", id="no-abbreviations"),
        pytest.param(["--drift-interval"], {}, "argument --drift-interval: expected one argument", id="no-value"),
        pytest.param(["--drift-interval=5x"], {}, "--drift-interval: '5x' is not a duration", id="bad-duration"),
        pytest.param(["--drift-interval=0s"], {}, "--drift-interval: '0s' must be longer than 0s", id="zero-duration"),
        pytest.param(["--leader-elect=maybe"], {}, "--leader-elect: 'maybe' is neither", id="bad-switch"),
        pytest.param(["--secrets-access=read"], {}, "--secrets-access: 'read' is unknown", id="unknown-mode"),
        pytest.param(
            ["--global-transformation-options=exclude-raw,x"],
            {},
            "--global-transformation-options: 'x' is unknown; known: exclude-raw",
            id="unknown-option",
        ),
        pytest.param(
            [], {"VSO_GLOBAL_VAULT_AUTH_OPTIONS": "x"}, "VSO_GLOBAL_VAULT_AUTH_OPTIONS: 'x' is unknown", id="env-named"
        ),
        pytest.param([], {"VSO_BACKOFF_MAX_INTERVAL": "1"}, "VSO_BACKOFF_MAX_INTERVAL: '1' is not", id="env-duration"),
        pytest.param([], {"OPERATOR_NAMESPACE": "A b"}, "OPERATOR_NAMESPACE: 'A b' is not", id="env-namespace"),
        pytest.param(["--max-concurrent-reconciles=0"], {}, "is not a whole number from 1 on", id="no-workers"),
        pytest.param(["--backoff-multiplier=0"], {}, "--backoff-multiplier must be at least 1", id="multiplier"),
        pytest.param(["--backoff-multiplier=nan"], {}, "'nan' is not a number", id="not-a-number"),
        pytest.param(["--backoff-randomization-factor=1"], {}, "from 0 to below 1", id="randomization"),
        pytest.param(["--backoff-max-interval=1s"], {}, "must not be shorter", id="backoff-order"),
        pytest.param(["--leader-elect-renew-deadline=15s"], {}, "must be shorter than --leader", id="lease-order"),
        pytest.param(["--metrics-auth"], {}, "a token must not go over plain HTTP", id="a-token-in-the-clear"),
        pytest.param(["--metrics-cert-dir=/tls"], {}, "takes --metrics-secure", id="a-certificate-for-nothing"),
        pytest.param(["--metrics-secure", "--metrics-cert-dir=tls"], {}, "not an absolute path", id="folder"),
        pytest.param(["--metrics-secure", "--metrics-bind-address=:8081"], {}, "address of its own", id="with-probes"),
        pytest.param(["--leader-elect-retry-period=10s"], {}, "must be shorter than --leader", id="retry-order"),
        pytest.param(["--metrics-bind-address=8080"], {}, "is not host:port or :port", id="no-colon"),
        pytest.param(["--metrics-bind-address=:99999"], {}, "is not host:port or :port", id="no-such-port"),
        pytest.param(["--metrics-bind-address=::1:80"], {}, "written in brackets", id="ipv6-without-brackets"),
        pytest.param(["--zap-log-level=loud"], {}, "--zap-log-level: 'loud' is unknown", id="zap-level"),
        pytest.param(["--zap-encoder=xml"], {}, "--zap-encoder: 'xml' is unknown", id="zap-encoder"),
        pytest.param(["--client-cache-persistence-model=x"], {}, "'x' is unknown", id="an-unknown-model"),
        pytest.param(["--allowed-file-prefixes=etc"], {}, "'etc' is not an absolute path", id="relative-prefix"),
        pytest.param(["--vault-address-allow=https://a/b"], {}, "is not [scheme://]host[:port]", id="rule-with-path"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(argv: list[str], env: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(*argv, env=env)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "labels", "expected"),
    [
        pytest.param([], {}, True, id="without-a-class-those-without-the-label"),
        pytest.param([], {CLASS: ""}, True, id="an-empty-label-is-none"),
        pytest.param([], {CLASS: "blue"}, False, id="not-those-of-a-class"),
        pytest.param(["--operator-class=blue"], {CLASS: "blue"}, True, id="those-of-the-class"),
        pytest.param(["--operator-class=blue"], {CLASS: "green"}, False, id="not-those-of-another"),
        pytest.param(["--operator-class=blue"], {}, False, id="not-those-of-none"),
        pytest.param(["--watch-label-selector=team=a"], {"team": "a"}, True, id="those-selected"),
        pytest.param(["--watch-label-selector=team=a"], {}, False, id="not-the-others"),
        pytest.param(["--watch-label-selector=team=a"], {"team": "a", CLASS: "blue"}, False, id="both-must-fit"),
    ],
)
def test_whose_an_object_is(argv: list[str], labels: dict[str, str], expected: bool) -> None:
    assert settings(*argv).is_mine(labels) is expected


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        pytest.param(["--zap-log-level=debug"], {}, ("debug", "json"), id="by-name"),
        pytest.param(["--zap-log-level=5"], {}, ("debug", "json"), id="by-verbosity"),
        pytest.param(["--zap-log-level=panic"], {}, ("error", "json"), id="panic-is-error"),
        pytest.param(["--zap-devel"], {}, ("debug", "console"), id="development"),
        pytest.param([], {"VSO_LOGGER_DEVELOPMENT_MODE": "x"}, ("debug", "console"), id="development-by-environment"),
        pytest.param(["--zap-devel", "--zap-encoder=json"], {}, ("debug", "json"), id="an-encoder-wins"),
        pytest.param(["--zap-devel", "--log-level=error"], {}, ("error", "console"), id="ours-wins"),
        pytest.param(["--zap-encoder=console", "--log-format=json"], {}, ("info", "json"), id="our-format-wins"),
    ],
)
def test_how_the_log_looks(argv: list[str], env: dict[str, str], expected: tuple[str, str]) -> None:
    found = settings(*argv, env=env)
    assert (found.log_level, found.log_format) == expected


@pytest.mark.parametrize(
    ("argv", "env", "warnings"),
    [
        pytest.param(["--kube-client-qps=50"], {}, 1, id="given"),
        pytest.param([], {"VSO_CLIENT_CACHE_SIZE": "5"}, 1, id="given-by-environment"),
        pytest.param(["--client-cache-size=10000"], {}, 0, id="the-default-changes-nothing"),
        pytest.param(["--zap-time-encoding=rfc3339", "--zap-stacktrace-level=panic"], {}, 0, id="what-charts-pass"),
        pytest.param(["--zap-time-encoding=epoch"], {}, 1, id="another-time"),
        pytest.param(["--backoff-max-elapsed-time=1h", "--min-refresh-after-hvsa=1m"], {}, 2, id="two"),
    ],
)
def test_what_has_no_effect_is_taken_with_a_warning(argv: list[str], env: dict[str, str], warnings: int) -> None:
    found = settings(*argv, env=env).warnings
    assert len(found) == warnings
    assert all(" has no effect: " in line for line in found)


@pytest.mark.parametrize(
    ("argv", "env", "files", "expected"),
    [
        pytest.param([], {}, {}, "default", id="nothing-known"),
        pytest.param([], {"OPERATOR_NAMESPACE": "env"}, {}, "env", id="environment"),
        pytest.param(
            [], {"OPERATOR_NAMESPACE": "env"}, {NAMESPACE_FILE: " pod \n"}, "pod", id="pod-before-environment"
        ),
        pytest.param(["--namespace=flag"], {"OPERATOR_NAMESPACE": "env"}, {NAMESPACE_FILE: "pod"}, "flag", id="flag"),
        pytest.param([], {"OPERATOR_NAMESPACE": "env"}, {NAMESPACE_FILE: " "}, "env", id="an-empty-file"),
    ],
)
def test_the_operators_namespace(argv: list[str], env: dict[str, str], files: dict[str, str], expected: str) -> None:
    assert settings(*argv, env=env, files=files).namespace == expected


def test_the_pods_uid_comes_from_the_environment_or_its_file() -> None:
    assert settings(env={"OPERATOR_POD_UID": "a"}, files={POD_UID_FILE: "b"}).pod_uid == "a"
    assert settings(files={POD_UID_FILE: "b\n"}).pod_uid == "b"
    assert settings().pod_uid == ""


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        pytest.param([], {}, "", id="nothing-said"),
        pytest.param(["--client-cache-persistence-model=none"], {}, "none", id="none"),
        pytest.param(["--client-cache-persistence-model=accessor"], {}, "accessor", id="flag"),
        pytest.param(
            ["--client-cache-persistence-model=accessor"],
            {"VSO_CLIENT_CACHE_PERSISTENCE_MODEL": "direct-encrypted"},
            "direct-encrypted",
            id="the-environment-wins",
        ),
    ],
)
def test_how_much_of_a_token_is_kept(argv: list[str], env: dict[str, str], expected: str) -> None:
    found = settings(*argv, env=env)
    assert (found.client_cache_persistence_model, found.warnings) == (expected, ())


def test_settings_are_frozen() -> None:
    found: Any = settings()
    with pytest.raises(ValueError, match="frozen"):
        found.once = True


@pytest.mark.parametrize(
    ("rule", "address", "expected"),
    [
        pytest.param("", "http://anything:1", True, id="no-list-any-address"),
        pytest.param("vault.example.com", "https://vault.example.com:8200", True, id="host-alone"),
        pytest.param("https://vault.example.com", "http://vault.example.com", False, id="another-scheme"),
        pytest.param("vault.example.com:8200", "https://vault.example.com", False, id="another-port"),
        pytest.param("vault.example.com:443", "https://vault.example.com", True, id="the-schemes-own-port"),
        pytest.param("*.example.com", "https://a.b.example.com", True, id="below-a-domain"),
        pytest.param("*.example.com", "https://example.com", False, id="not-the-domain-itself"),
        pytest.param("*.example.com", "https://evilexample.com", False, id="not-a-longer-name"),
        pytest.param("vault.example.com", "https://vault.example.com@evil.test", False, id="not-a-user-name"),
        pytest.param("vault.example.com", "https://VAULT.example.com/", True, id="case-does-not-matter"),
        pytest.param("a.test,b.test", "https://b.test", True, id="any-of-the-list"),
        pytest.param("a.test", "https://[broken", False, id="not-an-address"),
    ],
)
def test_which_vaults_may_be_talked_to(rule: str, address: str, *, expected: bool) -> None:
    assert settings(f"--vault-address-allow={rule}").allows_vault_address(address) is expected


def test_help_describes_every_flag_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings("-help")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(shown.count(f"  --{flag.name} ") == 1 for flag in FLAGS)
    assert "%" not in shown


def test_every_flag_with_an_effect_has_a_setting() -> None:
    indirect = {"zap_log_level", "zap_encoder", "zap_devel"}
    fields = {flag.field for flag in FLAGS if not flag.inert}
    assert fields - indirect == set(Settings.model_fields) - {"pod_uid", "warnings"}


def test_every_default_is_understood() -> None:
    for flag in FLAGS:
        flag.form.parse(flag.default)
    assert parser().prog == "vso run"
