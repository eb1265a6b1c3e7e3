"""The least rights for what is needed: Roles in each namespace, and the Helm chart's value for those who keep theirs.

Invariant: the rules are those of `vso.app.rbac`, narrowed to names; nothing here says a rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from vso.app import rbac
from vso.app.needs import Needs
from vso.core.keys import ObjectKey


def minimal_objects(needs: Mapping[str, Needs], operator: ObjectKey, *, full: bool) -> Iterator[rbac.Object]:
    """Return the roles of an operator that watches these namespaces, each followed by its binding."""
    own = rbac.own_namespace_rules(everywhere=operator.namespace in needs)
    yield from rbac.bound("Role", rbac.OWN, own, operator.namespace, operator)
    for namespace, needed in needs.items():
        for name, rules in _roles(needed, full=full).items():
            if rules:
                yield from rbac.bound("Role", name, rules, namespace, operator)


def chart_credentials(needs: Mapping[str, Needs]) -> list[JsonValue]:
    """Return the value `rbac.credentials` of the Helm chart."""
    entries = ({"namespace": namespace, **_credentials(needed)} for namespace, needed in needs.items())
    return [entry for entry in entries if len(entry) > 1]


def _roles(needed: Needs, *, full: bool) -> Mapping[str, list[rbac.Rule]]:
    return {
        rbac.NAME: _team_rules(needed, full=full),
        rbac.RESTARTS: rbac.restart_rules(needed.restarts),
        rbac.CREDENTIAL_ROLE: [rbac.credential_rule(kind.lower(), *names) for kind, names in _named(needed)],
    }


def _team_rules(needed: Needs, *, full: bool) -> list[rbac.Rule]:
    rules = rbac.team_rules(full=full, service_accounts=sorted(needed.tokens), writes=needed.writes)
    # Without a name the rule would be for any ServiceAccount.
    return [rule for rule in rules if needed.tokens or rule["resources"] != ["serviceaccounts/token"]]


def _credentials(needed: Needs) -> dict[str, JsonValue]:
    return {kind: [*names] for kind, names in _named(needed)}


def _named(needed: Needs) -> Iterator[tuple[str, list[str]]]:
    """Return what is read by name, by what the chart calls it; in lower case that is the resource."""
    kinds = {"secrets": needed.secrets, "configMaps": needed.config_maps, "serviceAccounts": needed.service_accounts}
    return ((kind, sorted(names)) for kind, names in kinds.items() if names)
