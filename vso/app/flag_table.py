"""The flags of `vso run`, one entry each: names, meanings, defaults, environment variables.

Every flag of the reference operator is taken; one without a meaning here is `inert` and earns a
warning when it is given. Invariant: text only; `vso.app.flag_values` gives it meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vso.app import flag_values as v


@dataclass(frozen=True, slots=True)
class Form:
    """What kind of value a flag takes."""

    metavar: str
    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; its value is found as text, wherever it comes from, and parsed once."""

    name: str
    group: str
    form: Form
    default: str
    help: str
    env: str = ""
    """An environment variable that wins over the flag when it is set to something other than zero."""
    inert: bool = False
    """Whether giving it changes nothing; `help` then says why."""
    harmless: tuple[str, ...] = ()
    """Values of an inert flag that ask for what is done anyway, and earn no warning."""

    @property
    def field(self) -> str:
        """Its name among the settings."""
        return self.name.replace("-", "_")

    @property
    def is_switch(self) -> bool:
        """Whether it may stand without a value."""
        return self.form is BOOL


BOOL: Final = Form("BOOL", v.boolean)
COUNT: Final = Form("COUNT", v.whole(1))
AMOUNT: Final = Form("COUNT", v.whole())
NUMBER: Final = Form("NUMBER", v.number)
SPAN: Final = Form("DURATION", v.some_seconds)
SPAN_OR_ZERO: Final = Form("DURATION", v.seconds)
ADDRESS: Final = Form("ADDRESS", v.bind_address)
LEVEL: Final = Form("LEVEL", v.one_of("", "debug", "info", "warning", "error"))
ZAP_LEVEL: Final = Form("LEVEL", v.zap_level)
ENCODER: Final = Form("FORMAT", v.one_of("", "json", "console"))
OUTPUT: Final = Form("FORMAT", v.one_of("", "yaml", "json"))
TIMES: Final = Form("NAME", v.one_of("epoch", "millis", "nano", "iso8601", "rfc3339", "rfc3339nano"))
PERSISTENCE: Final = Form("MODEL", v.one_of("", "none", "accessor", "direct-encrypted", "direct-unencrypted"))

CLUSTER: Final = "the cluster"
RIGHTS: Final = "rights and limits"
WORK: Final = "the work"
RETRIES: Final = "retries"
LEADER: Final = "life and leadership"
SIGNS: Final = "logs, metrics, health"
REFERENCE: Final = "taken from the reference operator"
GROUPS: Final = (CLUSTER, RIGHTS, WORK, RETRIES, LEADER, SIGNS, REFERENCE)


def _env(name: str) -> str:
    return f"VSO_{name.upper().replace('-', '_')}"


def _known(name: str, group: str, form: Form, default: str, help_: str) -> Flag:
    """A flag that the reference operator takes from the environment too."""
    return Flag(name, group, form, default, help_, env=_env(name))


def _inert(name: str, form: Form, default: str, why: str, *, harmless: tuple[str, ...] = (), env: bool = False) -> Flag:
    earns_nothing = (default, *harmless)
    return Flag(name, REFERENCE, form, default, why, env=_env(name) if env else "", inert=True, harmless=earns_nothing)


FLAGS: Final[tuple[Flag, ...]] = (
    Flag(
        "kubeconfig",
        CLUSTER,
        Form("FILE", v.text),
        "",
        "work from outside the cluster with this file; else KUBECONFIG, else the pod's ServiceAccount",
    ),
    Flag(
        "namespace",
        CLUSTER,
        Form("NAME", v.namespace),
        "",
        "the operator's own namespace; else the pod's, else OPERATOR_NAMESPACE, else default",
    ),
    Flag(
        "watch-namespaces",
        CLUSTER,
        Form("NAME,...", v.namespaces),
        "",
        "watch these only, with Roles instead of a ClusterRole; empty: the whole cluster",
    ),
    Flag(
        "operator-class",
        CLUSTER,
        Form("NAME", v.label_value),
        "",
        "look after objects whose label vso.hashicorp.com/operator-class says this; empty: those without the label",
    ),
    Flag(
        "watch-label-selector",
        CLUSTER,
        Form("SELECTOR", v.selector),
        "",
        "of these look after objects with such labels only; all others are left to another operator",
    ),
    Flag("kube-max-in-flight", CLUSTER, COUNT, "32", "requests to the API server at a time"),
    Flag(
        "secrets-access",
        RIGHTS,
        Form("MODE", v.one_of("full", "write-only")),
        "full",
        "full: list, watch and delete Secrets too, to repair a foreign edit at once; write-only: create and patch do",
    ),
    Flag(
        "allowed-file-prefixes",
        RIGHTS,
        Form("DIR,...", v.prefixes),
        "",
        "folders of the operator's pod in which an object of the operator's namespace may name files; with any, a "
        "VaultAuth there may log in as the operator's own identity in AWS or Azure too",
    ),
    Flag(
        "vault-address-allow",
        RIGHTS,
        Form("ADDRESS,...", v.address_rules),
        "",
        "talk to these Vaults only: [scheme://]host[:port], a host may begin with '*.'; empty: any",
    ),
    Flag("forbid-insecure-tls", RIGHTS, BOOL, "false", "refuse a VaultConnection with skipTLSVerify"),
    _known("max-concurrent-reconciles", WORK, COUNT, "100", "passes at a time"),
    Flag("reconcile-timeout", WORK, SPAN, "1m", "the longest that one pass may take"),
    Flag("config-recheck-interval", WORK, SPAN, "5m", "how often an object is looked at that a human must repair"),
    Flag(
        "drift-interval", WORK, SPAN, "10m", "how often a Secret that may not be watched is checked for foreign edits"
    ),
    Flag("lease-probe-interval", WORK, SPAN, "5m", "how often a lease is looked up that may be gone behind our back"),
    Flag("connection-check-interval", WORK, SPAN, "60s", "how often a Vault is asked for its health"),
    Flag("restart-window", WORK, SPAN_OR_ZERO, "2s", "restarts of one workload that fall into this span are one"),
    _known(
        "global-transformation-options",
        WORK,
        Form("WORD,...", v.words_of("exclude-raw")),
        "",
        "exclude-raw: no _raw key in any Secret",
    ),
    _known(
        "global-vault-auth-options",
        WORK,
        Form("WORD,...", v.words_of("allow-default-globals")),
        "allow-default-globals",
        "allow-default-globals: a VaultAuthGlobal named default is taken where none is named",
    ),
    _known("backoff-initial-interval", RETRIES, SPAN, "5s", "the wait after the first failure"),
    _known("backoff-max-interval", RETRIES, SPAN, "60s", "the longest wait"),
    _known("backoff-multiplier", RETRIES, NUMBER, "1.5", "the growth of the wait with each failure, at least 1"),
    _known(
        "backoff-randomization-factor", RETRIES, NUMBER, "0.5", "how far a wait is spread both ways, from 0 to below 1"
    ),
    _known(
        "client-cache-persistence-model",
        LEADER,
        PERSISTENCE,
        "",
        "keep the Vault tokens that leases hang on over a restart: accessor, direct-encrypted or direct-unencrypted; "
        "none: clear what was kept; empty: nothing is kept",
    ),
    Flag("once", LEADER, BOOL, "false", "bring everything in order once, then end"),
    Flag("leader-elect", LEADER, BOOL, "true", "work only while holding the Lease"),
    Flag("leader-elect-lease-duration", LEADER, SPAN, "15s", "how long a silent leader keeps the Lease"),
    Flag("leader-elect-renew-deadline", LEADER, SPAN, "10s", "how long a leader goes on without a renewal"),
    Flag("leader-elect-retry-period", LEADER, SPAN, "2s", "how often to renew, or to try to lead"),
    Flag("cache-sync-timeout", LEADER, SPAN, "2m", "how long the first lists may take"),
    Flag("shutdown-grace", LEADER, SPAN_OR_ZERO, "700ms", "how long passes in hand may go on after SIGTERM"),
    Flag("log-level", SIGNS, LEVEL, "", "debug, info, warning or error; info by default"),
    Flag("log-format", SIGNS, ENCODER, "", "json or console; json by default"),
    Flag("metrics-bind-address", SIGNS, ADDRESS, ":8080", "where /metrics is served; empty or 0: nowhere"),
    Flag(
        "metrics-secure", SIGNS, BOOL, "false", "serve /metrics over TLS; without a folder by a certificate of its own"
    ),
    Flag(
        "metrics-cert-dir",
        SIGNS,
        Form("DIR", v.folder),
        "",
        "the folder of tls.crt and tls.key for --metrics-secure, read again when they change",
    ),
    Flag(
        "metrics-auth",
        SIGNS,
        BOOL,
        "false",
        "with --metrics-secure: ask for a bearer token whose owner may get /metrics, by TokenReview and "
        "SubjectAccessReview",
    ),
    Flag(
        "metrics-per-object",
        SIGNS,
        BOOL,
        "true",
        "metrics that name objects: readiness, reason and last success of each",
    ),
    Flag("health-probe-bind-address", SIGNS, ADDRESS, ":8081", "where /healthz and /readyz are served; empty: nowhere"),
    Flag("watch-silence-limit", SIGNS, SPAN, "10m", "after how long without a word a watch counts as dead in /healthz"),
    Flag("version", REFERENCE, BOOL, "false", "print the version and end"),
    Flag("output", REFERENCE, OUTPUT, "", "the form of --version: yaml or json", env="VSO_OUTPUT_FORMAT"),
    Flag("uninstall", REFERENCE, BOOL, "false", "take the finalizers off every object and end"),
    Flag(
        "uninstall-deployment",
        REFERENCE,
        Form("NAME", v.text),
        "",
        "with --uninstall: first bring this Deployment of the operator's namespace to no replicas",
    ),
    Flag("pre-delete-hook-timeout-seconds", REFERENCE, COUNT, "60", "the longest that --uninstall may take"),
    Flag("zap-log-level", REFERENCE, ZAP_LEVEL, "", "as --log-level: debug, info, error, panic or a verbosity"),
    Flag("zap-encoder", REFERENCE, ENCODER, "", "as --log-format"),
    Flag("zap-devel", REFERENCE, BOOL, "false", "log on the console from debug on, unless said otherwise"),
    _inert(
        "zap-stacktrace-level",
        Form("LEVEL", v.one_of("info", "error", "panic")),
        "panic",
        "a bug is logged with its traceback, nothing else is",
        harmless=("error",),
    ),
    _inert("zap-time-encoding", TIMES, "rfc3339", "times are RFC 3339 in UTC", harmless=("rfc3339nano", "iso8601")),
    _inert("backoff-max-elapsed-time", SPAN_OR_ZERO, "0", "a failure is retried for as long as it lasts", env=True),
    _inert("client-cache-size", AMOUNT, "10000", "sessions are kept for as long as they are used", env=True),
    _inert("client-cache-num-locks", AMOUNT, "100", "there is no cache to lock", env=True),
    _inert("max-concurrent-reconciles-vds", AMOUNT, "100", "--max-concurrent-reconciles holds for every kind"),
    _inert("min-refresh-after-hvsa", SPAN_OR_ZERO, "30s", "HCP Vault Secrets has no controller"),
    _inert("kube-client-qps", NUMBER, "0", "the API server's own flow control is obeyed instead", env=True),
    _inert("kube-client-burst", AMOUNT, "0", "the API server's own flow control is obeyed instead", env=True),
)
