"""Every field that names an object, and a tenant that names another tenant's by it.

A field that is new in the models is in no group of `reference_fields`, and fails here until it has its attack.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations

import pytest

from tests.conformance.reference_fields import (
    ACROSS,
    CREDENTIALS,
    GROUPS,
    METHODS,
    TLS,
    WITHOUT_EFFECT,
    WORKLOADS,
    Field,
    every_field,
    planted,
)
from tests.conformance.stage import OPERATOR_USER, Json, Stage, Team
from tests.testbed.bed import Mark, eventually
from vso.core.keys import Kind

LASTS = 30
THEIRS = "canary-theirs"
DEPLOYMENT = ("apps/v1", "Deployment")
ASKING = {"get", "create", "patch", "update", "delete"}


def test_every_field_that_names_an_object_has_its_attack() -> None:
    assert set().union(*GROUPS) == every_field()
    assert [one & other for one, other in combinations(GROUPS, 2) if one & other] == []


@pytest.fixture
def victim(team: Team, stage: Stage) -> Iterator[Team]:
    """Another tenant, with one object of each kind that a field could name."""
    victim = stage.team(f"{team.ns}-victim")
    victim.keep(THEIRS, **dict.fromkeys(("id", "password", "token", "jwt", "ca.crt", "tls.crt", "tls.key"), THEIRS))
    meta = {"name": THEIRS, "namespace": victim.ns}
    for kind in ("ServiceAccount", "ConfigMap"):
        stage.bed.kube.apply({"apiVersion": "v1", "kind": kind, "metadata": meta})
    labels = {"app": THEIRS}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    stage.bed.kube.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    yield victim
    victim.disband()


def asked_of(victim: Team, mark: Mark) -> list[str]:
    """What the operator asked for in a namespace where nothing of ours is; watches are over all namespaces."""
    calls = victim.bed.kube_audit(mark)
    return [c.uri for c in calls if c.user == OPERATOR_USER and c.namespace == victim.ns and c.verb in ASKING]


def forms(victim: Team) -> tuple[str, str]:
    """The two ways to name what is another tenant's: with its namespace, and as if it were one's own."""
    return f"{victim.ns}/{THEIRS}", THEIRS


def numbered(group: frozenset[Field], victim: Team) -> Iterator[tuple[str, Field, str]]:
    for place, field in enumerate(sorted(group)):
        for form, value in zip(("path", "name"), forms(victim), strict=True):
            yield f"{form}-{place}", field, value


def is_told(team: Team, kind: Kind, name: str, value: str, field: Field) -> None:
    """Wait until the object says that it has not what it names; for a path, that there can be no such name."""
    condition = team.wait_condition("Ready", "False", kind=kind, name=name, timeout=40)
    if "/" in value:
        assert condition["reason"] == "InvalidSpec", (str(field), condition)
        assert f"{value!r}, which cannot be the name of an object" in condition["message"], (str(field), condition)
    else:
        assert THEIRS in condition["message"], (str(field), condition)
        assert team.ns + "-victim" not in condition["message"], (str(field), condition)


@pytest.mark.refused
@pytest.mark.beside("victim")
def test_no_certificate_of_a_connection_is_looked_for_in_another_namespace(team: Team, victim: Team) -> None:
    mark = team.bed.mark()
    for name, field, value in numbered(TLS, victim):
        team.apply(field.kind, name, {**planted(field, value), "address": "https://127.0.0.1:9"})
    for name, field, value in numbered(TLS, victim):
        is_told(team, field.kind, name, value, field)
    assert asked_of(victim, mark) == []


def login(team: Team, name: str, field: Field, value: str) -> None:
    """A VaultAuth that names the object itself or by its VaultAuthGlobal, and a secret behind it."""
    spec = planted(field, value)
    block = {**METHODS[field.block], **spec[field.block]}
    auth: Json = {"vaultConnectionRef": "vault", "method": field.block, "mount": "login"}
    if field.kind is Kind.VAULT_AUTH:
        auth[field.block] = block
    else:
        team.apply(field.kind, name, {field.block: block})
        auth["vaultAuthGlobalRef"] = {"name": name}
    team.apply("VaultAuth", name, auth)
    team.static(name, vaultAuthRef=name)


@pytest.mark.refused
@pytest.mark.beside("victim")
def test_no_credential_of_a_login_is_looked_for_in_another_namespace(team: Team, victim: Team) -> None:
    mark = team.bed.mark()
    team.apply("VaultConnection", "vault", {"address": team.bed.vault.url})
    for name, field, value in numbered(CREDENTIALS, victim):
        login(team, name, field, value)
    for name, field, value in numbered(CREDENTIALS, victim):
        is_told(team, Kind.VAULT_STATIC_SECRET, name, value, field)
    assert asked_of(victim, mark) == []


def sources(team: Team) -> dict[Kind, Json]:
    """A secret and credentials that the team may have, and what leads there."""
    team.access()
    team.put("app", {"password": "v1"})
    database = team.bed.database()
    database.role(team.ns, default_ttl="1h", max_ttl="24h")
    team.policy(
        f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}\n'
        f'path "{database.mount}/creds/{team.ns}" {{ capabilities = ["read"] }}\n'
        'path "sys/leases/revoke" { capabilities = ["update"] }\n'
    )
    return {
        Kind.VAULT_STATIC_SECRET: {"vaultAuthRef": "auth", "mount": "kv", "path": f"{team.ns}/app"},
        Kind.VAULT_DYNAMIC_SECRET: {"vaultAuthRef": "auth", "mount": database.mount, "path": f"creds/{team.ns}"},
    }


@pytest.mark.beside("victim")
def test_no_workload_is_restarted_in_another_namespace(team: Team, victim: Team) -> None:
    mark = team.bed.mark()
    at = sources(team)
    ask = {"metadata": {"annotations": {"vso.hashicorp.com/restart": "1"}}}
    for name, field, value in numbered(WORKLOADS, victim):
        spec = {**planted(field, value), **at[field.kind]}
        team.apply(field.kind, name, {**spec, "destination": {"name": name, "create": True}})
        team.wait_ready(name, field.kind)
        team.patch(ask, field.kind, name)
    for name, field, value in numbered(WORKLOADS, victim):
        told = team.wait_condition("RolloutRestart", "False", kind=field.kind, name=name)
        assert ("cannot be the name" if "/" in value else f"{team.ns}/{THEIRS}") in told["message"], str(field)
    template = team.bed.kube.find("Deployment", victim.ns, THEIRS)["spec"]["template"]
    assert "annotations" not in template["metadata"]
    assert asked_of(victim, mark) == []


@pytest.mark.beside("victim")
def test_what_is_not_acted_on_leads_nowhere(team: Team, victim: Team) -> None:
    mark = team.bed.mark()
    at = sources(team)
    for name, field, value in numbered(WITHOUT_EFFECT, victim):
        team.apply(field.kind, name, {**planted(field, value, namespace=victim.ns), **at.get(field.kind, {})})
    for name, field, _ in numbered(WITHOUT_EFFECT, victim):
        told = team.wait_condition("Stalled", kind=field.kind, name=name)
        assert told["reason"] in {"NotImplemented", "Unsupported"}, (str(field), told)
    assert asked_of(victim, mark) == []


UNSET = object()
LISTS = [
    pytest.param(UNSET, False, id="unset"),
    pytest.param([], False, id="empty"),
    pytest.param(["elsewhere"], False, id="others"),
    pytest.param(["*", "elsewhere"], False, id="a star among others"),
    pytest.param(["elsewhere", "{team}"], True, id="named"),
    pytest.param(["*"], True, id="everyone"),
]


@pytest.mark.beside("victim")
@pytest.mark.parametrize(("names", "admits"), LISTS)
def test_a_border_is_crossed_where_allowed_namespaces_says_so_and_nowhere_else(
    team: Team, stage: Stage, names: object, admits: bool
) -> None:
    victim = stage.team(f"{team.ns}-victim")
    said: Json = {}
    if isinstance(names, list):
        said = {"allowedNamespaces": [name.format(team=team.ns) for name in names]}
    open_to_all = names is UNSET  # an address is no secret
    victim.access(connection=said)
    victim.apply("VaultConnection", "own", {"address": stage.bed.vault.url})
    victim.apply(
        "VaultAuth", "auth", {**victim.auth_spec(vaultConnectionRef="own", kubernetes={"role": team.ns}), **said}
    )
    victim.apply("VaultAuthGlobal", "defaults", {"kubernetes": {"role": team.ns}, **said})
    objects = {field: referring(team, victim, field) for field in sorted(ACROSS)}
    for field, (kind, name) in objects.items():
        expected = admits or (open_to_all and field.path == "spec/vaultConnectionRef")
        reason = eventually(partial(verdict, team, kind, name), message=str(field))
        assert (reason != "NamespaceNotAllowed") is expected, (str(field), reason)
    victim.disband()


def verdict(team: Team, kind: Kind, name: str) -> str | None:
    """The reason that an object gives when it has seen everything that was applied before it."""
    found = team.get(kind, name)
    seen = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
    reason = team.condition("Ready", kind, name).get("reason") if seen else None
    return None if reason == "ReferenceNotFound" else reason


def referring(team: Team, victim: Team, field: Field) -> tuple[Kind, str]:
    """An object with the reference; what tells of it, which is a VaultAuth where it is a VaultAuthGlobal's."""
    name = f"{field.kind.value}-{field.block}".lower()
    match field.block, field.kind:
        case "vaultAuthRef", kind:
            spec = {**planted(field, f"{victim.ns}/auth"), "destination": {"name": name, "create": True}}
            team.apply(kind, name, spec)
            return kind, name
        case "vaultConnectionRef", Kind.VAULT_AUTH:
            team.apply("VaultAuth", name, team.auth_spec(vaultConnectionRef=f"{victim.ns}/vault"))
        case "vaultConnectionRef", _:
            team.apply("VaultAuthGlobal", name, {"vaultConnectionRef": f"{victim.ns}/vault"})
            spec = team.auth_spec(vaultAuthGlobalRef={"name": name})
            del spec["vaultConnectionRef"]
            team.apply("VaultAuth", name, spec)
        case "vaultAuthGlobalRef", _:
            team.apply("VaultConnection", "vault", {"address": team.bed.vault.url})
            ref = {"name": "defaults", "namespace": victim.ns}
            team.apply("VaultAuth", name, team.auth_spec(vaultAuthGlobalRef=ref))
        case _:
            raise AssertionError(f"nobody knows how {field} leads over a border")
    return Kind.VAULT_AUTH, name
