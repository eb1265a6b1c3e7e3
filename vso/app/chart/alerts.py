"""What is worth waking somebody for, as Prometheus rules.

Invariant: an expression uses metrics that the operator has, which a test holds against its registry, and selects this
install's: other operators have metrics of the same names. Names are those of manifests/; the chart puts its own in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from vso.app.rbac import NAME, NAMESPACE

GROUP: Final = NAME
JOB: Final = f"{NAME}-metrics"
"""What Prometheus calls the targets: by the Service's name."""
_THESE: Final = f'job="{JOB}"'
"""Selects series about objects: their label namespace is the object's, as honorLabels leaves it."""
_OURS: Final = f'{_THESE},namespace="{NAMESPACE}"'
"""Selects the series of our processes."""
_LEADER: Final = f"and on (instance) leader_election_master_status{{{_OURS}}} == 1"
"""Whoever stands by has a queue too, and nobody to work on it."""
_REFUSED, _ACCEPTED, _TIMEOUT = 'result="refused"', 'result="ok"', 'outcome="timeout"'
_FORBIDDEN, _UNANSWERED = 'code=~"401|403"', 'code=~"0|429|5.."'
_NOT_READY: Final = f'vso_resources{{{_OURS},ready="false",reason!="Suspended"}}'


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert; `lasting` is how long its expression has to hold."""

    name: str
    severity: str
    lasting: str
    expr: str
    summary: str
    description: str

    def rule(self) -> dict[str, JsonValue]:
        """Return it as Prometheus takes it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasting,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.description},
        }


def _rate(metric: str, selector: str = "", *, by: str, over: str = "10m") -> str:
    more = f",{selector}" if selector else ""
    return f"sum by ({by}) (rate({metric}{{{_OURS}{more}}}[{over}]))"


def _more(metric: str, selector: str = "", *, by: str = "", over: str = "15m") -> str:
    more = f",{selector}" if selector else ""
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (increase({metric}{{{_OURS}{more}}}[{over}]))"


ALERTS: Final = (
    Alert(
        "VaultSecretsOperatorDown",
        "critical",
        "5m",
        f"absent(up{{{_OURS}}} == 1)",
        "No Vault Secrets Operator is scraped",
        "Secrets keep what they hold; nothing follows Vault, and leases run out. Look at the Deployment and its pods, "
        "and at the target's error in Prometheus.",
    ),
    Alert(
        "VaultSecretsOperatorWithoutLeader",
        "critical",
        "5m",
        f"max(leader_election_master_status{{{_OURS}}}) == 0",
        "No replica of the Vault Secrets Operator works",
        "All stand by: look at the Lease b0d477c0.hashicorp.com in the operator's namespace and who holds it.",
    ),
    Alert(
        "VaultSecretsOperatorNotSynced",
        "critical",
        "10m",
        f"min by (informer) (vso_informer_synced{{{_OURS}}}) == 0",
        "The Vault Secrets Operator cannot list {{ $labels.informer }}",
        "Nothing is done before every list is there. The operator's log says why: a right, a CRD or the API server.",
    ),
    Alert(
        "VaultSecretsObjectNotReady",
        "warning",
        "15m",
        f"min by (kind, namespace, name) (vso_resource_ready{{{_THESE}}}) == 0 unless on (kind, namespace, name) "
        f'vso_resource_not_ready_reason{{{_THESE},reason="Suspended"}}',
        "{{ $labels.kind }} {{ $labels.namespace }}/{{ $labels.name }} is not ready",
        "The conditions in its status say why and what to do: kubectl -n {{ $labels.namespace }} describe "
        "{{ $labels.kind }} {{ $labels.name }}",
    ),
    Alert(
        "VaultSecretsManyNotReady",
        "critical",
        "10m",
        f"sum by (kind) ({_NOT_READY}) / sum by (kind) (vso_resources{{{_OURS}}}) > 0.2 "
        f"and sum by (kind) ({_NOT_READY}) >= 5",
        "{{ $value | humanizePercentage }} of all {{ $labels.kind }} are not ready",
        "So many at once have one cause: Vault, its auth mount, a policy or the network. vso_resources by reason "
        "tells which.",
    ),
    Alert(
        "VaultSecretsVaultUnavailable",
        "critical",
        "5m",
        f"max by (vault_connection) (vso_vault_breaker_open{{{_OURS}}}) == 1",
        "The Vault of VaultConnection {{ $labels.vault_connection }} is away",
        "Only trial requests go there. Secrets keep what they hold; leases that end meanwhile cannot be renewed.",
    ),
    Alert(
        "VaultSecretsVaultErrors",
        "warning",
        "15m",
        f"{_rate('vso_client_operations_errors_total', by='vault_connection, operation')} "
        f"/ {_rate('vso_client_operations_total', by='vault_connection, operation')} > 0.25",
        "{{ $value | humanizePercentage }} of {{ $labels.operation }} requests to {{ $labels.vault_connection }} fail",
        "The operator's log and the status of the objects behind this VaultConnection say what Vault answers.",
    ),
    Alert(
        "VaultSecretsLoginsRefused",
        "warning",
        "10m",
        f"{_more('vso_vault_logins_total', _REFUSED, by='vault_auth')} > 0 "
        f"unless {_more('vso_vault_logins_total', _ACCEPTED, by='vault_auth')} > 0",
        "Vault refuses every login of VaultAuth {{ $labels.vault_auth }}",
        "Its status says what to look at: mount, role, audiences, or the credential that it shows.",
    ),
    Alert(
        "VaultSecretsLeaseEnding",
        "critical",
        "5m",
        f"min(vso_leases_failing_first_end_seconds{{{_OURS}}}) < 900",
        "A lease ends in {{ $value | humanizeDuration }} and nobody can renew or replace it",
        "The workload that uses it loses its credentials then. The VaultDynamicSecret that is not ready, or whose "
        "condition says that a renewal failed, says why.",
    ),
    Alert(
        "VaultSecretsLeasesFailing",
        "warning",
        "15m",
        f'sum(vso_leases{{{_OURS},state="failing"}}) > 0',
        "{{ $value }} leases can be neither renewed nor replaced",
        "They are tried again while they last; the status of their VaultDynamicSecrets says what fails.",
    ),
    Alert(
        "VaultSecretsLeaseTimersLost",
        "warning",
        "0m",
        f"{_more('vso_lease_timers_lost_total', over='1h')} > 0",
        "The deadline of a lease was missed and noticed by the second look",
        "The operator is short of processor time, or this is a bug: its log names the object.",
    ),
    Alert(
        "VaultSecretsLeasesLeaked",
        "warning",
        "0m",
        f"{_more('vso_leases_leaked_total', over='1h')} > 0",
        "A lease outlived its object: it could not be given back",
        "Its credentials are valid until the lease runs out. The operator's log names it; revoke it in Vault.",
    ),
    Alert(
        "VaultSecretsQueueLate",
        "warning",
        "5m",
        f'max by (name) (min_over_time(workqueue_depth{{{_OURS},lane="urgent"}}[10m]) > 0 {_LEADER})',
        "The queue of {{ $labels.name }} has not been empty for ten minutes",
        "Changes are acted on late. What helps: processor time, --max-concurrent-reconciles, a quicker Vault.",
    ),
    Alert(
        "VaultSecretsPollsLate",
        "warning",
        "5m",
        f"max(min_over_time(vso_source_polls_waiting{{{_OURS}}}[10m]) > 0 {_LEADER})",
        "Polls of Vault have been waiting for ten minutes",
        "Secrets follow Vault later than refreshAfter says. Lengthen it, or find out what makes Vault slow.",
    ),
    Alert(
        "VaultSecretsPassesTimeOut",
        "warning",
        "15m",
        f"{_more('controller_runtime_reconcile_total', _TIMEOUT, by='controller')} > 3",
        "Passes over {{ $labels.controller }} end by --reconcile-timeout",
        "A server answers so slowly that the work is given up and begun again; the latencies show which.",
    ),
    Alert(
        "VaultSecretsBug",
        "warning",
        "0m",
        f"{_more('controller_runtime_reconcile_panics_total', by='controller', over='1h')} > 0",
        "A pass over {{ $labels.controller }} met a bug",
        "The object is tried again with growing pauses. The operator's log has the traceback.",
    ),
    Alert(
        "VaultSecretsRightsMissing",
        "warning",
        "10m",
        f"{_more('vso_kubernetes_requests_total', _FORBIDDEN, by='verb, resource')} > 0",
        "The API server refuses the operator to {{ $labels.verb }} {{ $labels.resource }}",
        "The log, or the status of an object with reason KubernetesForbidden, says the rule to add.",
    ),
    Alert(
        "VaultSecretsApiServerErrors",
        "warning",
        "15m",
        f"{_rate('vso_kubernetes_requests_total', _UNANSWERED, by='verb')} "
        f"/ {_rate('vso_kubernetes_requests_total', by='verb')} > 0.1",
        "{{ $value | humanizePercentage }} of the operator's {{ $labels.verb }} requests to the API server fail",
        "Code 0 is a request without an answer. Look at the API server's load, and at the network between.",
    ),
)


def groups() -> JsonValue:
    """Return the rules as the spec of a PrometheusRule holds them."""
    return {"groups": [{"name": GROUP, "rules": [alert.rule() for alert in ALERTS]}]}
