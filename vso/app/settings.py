"""Flags and environment, once understood: one frozen value that the rest of the program reads.

The environment wins over a flag where the table says so, unless it says zero, as in the reference
operator. Invariant: nobody else reads the environment or the command line; whatever exists as
Settings is consistent. Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from vso.app.flag_table import FLAGS, Flag
from vso.app.flag_values import Address, AddressRule, namespace
from vso.app.flags import SettingsError, texts
from vso.controllers.token_entries import Model
from vso.core.backoff import Backoff
from vso.core.label_selector import OPERATOR_CLASS, Labels, Selector, label_selector

__all__ = ["SecretsAccess", "Settings", "SettingsError", "from_args"]

_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_POD_UID_FILE = "/var/run/podinfo/uid"
_DEFAULT_NAMESPACE = "default"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]
ReadFile = Callable[[str], str | None]


class SecretsAccess(StrEnum):
    """What the operator may do with Secrets besides creating and patching them."""

    FULL = "full"
    WRITE_ONLY = "write-only"


class Settings(BaseModel):
    """How this process is to run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str
    """The operator's own."""
    pod_uid: str
    """Empty outside a pod that says it."""
    kubeconfig: str
    watch_namespaces: tuple[str, ...]
    """Empty for the whole cluster."""
    watch_label_selector: str
    operator_class: str
    kube_max_in_flight: int

    secrets_access: SecretsAccess
    allowed_file_prefixes: tuple[str, ...]
    vault_address_allow: tuple[AddressRule, ...]
    forbid_insecure_tls: bool

    max_concurrent_reconciles: int
    reconcile_timeout: float
    config_recheck_interval: float
    drift_interval: float
    lease_probe_interval: float
    connection_check_interval: float
    restart_window: float
    global_transformation_options: tuple[str, ...]
    global_vault_auth_options: tuple[str, ...]

    backoff_initial_interval: float
    backoff_max_interval: float
    backoff_multiplier: float
    backoff_randomization_factor: float

    client_cache_persistence_model: Model
    once: bool
    leader_elect: bool
    leader_elect_lease_duration: float
    leader_elect_renew_deadline: float
    leader_elect_retry_period: float
    cache_sync_timeout: float
    shutdown_grace: float

    log_level: LogLevel
    log_format: LogFormat
    metrics_bind_address: Address | None
    metrics_secure: bool
    metrics_cert_dir: str
    """Empty for a certificate of our own making."""
    metrics_auth: bool
    metrics_per_object: bool
    health_probe_bind_address: Address | None
    watch_silence_limit: float

    version: bool
    output: str
    uninstall: bool
    uninstall_deployment: str
    pre_delete_hook_timeout_seconds: int

    warnings: tuple[str, ...] = ()
    """What was given and changes nothing, a line each."""

    @property
    def backoff(self) -> Backoff:
        """How failures are spaced."""
        return Backoff(
            initial=self.backoff_initial_interval,
            maximum=self.backoff_max_interval,
            multiplier=self.backoff_multiplier,
            randomization=self.backoff_randomization_factor,
        )

    @property
    def exclude_raw(self) -> bool:
        """Whether Secrets go without the _raw key unless their object says otherwise."""
        return "exclude-raw" in self.global_transformation_options

    @property
    def allow_default_globals(self) -> bool:
        """Whether a VaultAuthGlobal named default is taken where none is named."""
        return "allow-default-globals" in self.global_vault_auth_options

    def is_mine(self, labels: Labels) -> bool:
        """Tell whether an object with these labels is this operator's to look after."""
        return labels.get(OPERATOR_CLASS, "") == self.operator_class and self._selected(labels)

    @cached_property
    def _selected(self) -> Selector:
        return label_selector(self.watch_label_selector)

    def allows_vault_address(self, address: str) -> bool:
        """Tell whether the operator may talk to the Vault at the address."""
        return not self.vault_address_allow or any(rule.admits(address) for rule in self.vault_address_allow)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.backoff_max_interval < self.backoff_initial_interval:
            raise ValueError("--backoff-max-interval must not be shorter than --backoff-initial-interval")
        if self.backoff_multiplier < 1:
            raise ValueError("--backoff-multiplier must be at least 1")
        if not 0 <= self.backoff_randomization_factor < 1:
            raise ValueError("--backoff-randomization-factor must be from 0 to below 1")
        if self.leader_elect_renew_deadline >= self.leader_elect_lease_duration:
            raise ValueError("--leader-elect-renew-deadline must be shorter than --leader-elect-lease-duration")
        if self.leader_elect_retry_period >= self.leader_elect_renew_deadline:
            raise ValueError("--leader-elect-retry-period must be shorter than --leader-elect-renew-deadline")
        self._check_metrics()
        return self

    def _check_metrics(self) -> None:
        if self.metrics_auth and not self.metrics_secure:
            raise ValueError("--metrics-auth takes --metrics-secure: a token must not go over plain HTTP")
        if self.metrics_cert_dir and not self.metrics_secure:
            raise ValueError("--metrics-cert-dir takes --metrics-secure")
        if (
            self.metrics_secure
            and self.metrics_bind_address
            and self.metrics_bind_address == self.health_probe_bind_address
        ):
            raise ValueError("--metrics-secure takes an address of its own: the probes are served in the clear")


def read_file(path: str) -> str | None:
    """Return the text of a file, or None when there is none to read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return None


def from_args(argv: Sequence[str], env: Mapping[str, str], read: ReadFile = read_file) -> Settings:
    """Return the settings; SettingsError says in one line what does not make sense.

    `--help` prints and raises SystemExit, as argparse does.
    """
    given = texts(argv)
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for flag in FLAGS:
        text, values[flag.field] = _value(flag, given.get(flag.field), env)
        if flag.inert and text is not None and text not in flag.harmless:
            warnings.append(f"--{flag.name} has no effect: {flag.help}")
    values["log_level"], values["log_format"] = _logging(values, env)
    values["namespace"] = values["namespace"] or _own_namespace(env, read)
    values["pod_uid"] = env.get("OPERATOR_POD_UID") or (read(_POD_UID_FILE) or "").strip()
    # Where every other tool lets the flag win, so do we: the variable is often set for kubectl.
    values["kubeconfig"] = values["kubeconfig"] or env.get("KUBECONFIG", "")
    known = {name: value for name, value in values.items() if name in Settings.model_fields}
    try:
        return Settings(**known, warnings=tuple(warnings))
    except ValidationError as error:
        raise SettingsError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _value(flag: Flag, given: str | None, env: Mapping[str, str]) -> tuple[str | None, object]:
    """Return the text that was given, if any, and its meaning or the default's."""
    of_env = env.get(flag.env, "") if flag.env else ""
    if of_env and (value := _meaning(flag, of_env, flag.env)):
        return of_env, value
    if given is not None:
        return given, _meaning(flag, given, f"--{flag.name}")
    return None, _meaning(flag, flag.default, f"--{flag.name}")


def _meaning(flag: Flag, text: str, where: str) -> object:
    try:
        return flag.form.parse(text)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None


def _own_namespace(env: Mapping[str, str], read: ReadFile) -> str:
    mounted = (read(_NAMESPACE_FILE) or "").strip()
    try:
        return mounted or namespace(env.get("OPERATOR_NAMESPACE", "")) or _DEFAULT_NAMESPACE
    except ValueError as error:
        raise SettingsError(f"OPERATOR_NAMESPACE: {error}") from None


def _logging(values: Mapping[str, Any], env: Mapping[str, str]) -> tuple[str, str]:
    development = values["zap_devel"] or bool(env.get("VSO_LOGGER_DEVELOPMENT_MODE"))
    usual_level, usual_form = ("debug", "console") if development else ("info", "json")
    level = values["log_level"] or values["zap_log_level"] or usual_level
    return level, values["log_format"] or values["zap_encoder"] or usual_form
