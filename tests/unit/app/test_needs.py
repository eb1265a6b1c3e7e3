"""What objects need, by their own words and by those of the objects that they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest

from vso.app.manifest_files import Source, manifests
from vso.app.needs import Needs, Survey, survey
from vso.app.settings import from_args
from vso.core.keys import API_VERSION

OPERATOR = "vso-system"
Json = dict[str, Any]


def made(kind: str, name: str, spec: Json, namespace: str = "team", **metadata: Any) -> Json:
    meta = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}


def connection(name: str = "vault", namespace: str = "team", **spec: Any) -> Json:
    return made("VaultConnection", name, {"address": "https://vault", **spec}, namespace)


def auth(name: str = "auth", namespace: str = "team", **spec: Any) -> Json:
    return made("VaultAuth", name, {"vaultConnectionRef": "vault", "mount": "m", **spec}, namespace)


def static(namespace: str = "team", ref: str = "auth", name: str = "app", **spec: Any) -> Json:
    destination = {"name": name, "create": True}
    whole = {"vaultAuthRef": ref, "mount": "kv", "path": "p", "type": "kv-v2", "destination": destination, **spec}
    return made("VaultStaticSecret", name, whole, namespace)


def found(*objects: Json, flags: Sequence[str] = ()) -> Survey:
    items = orjson.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    settings = from_args([f"--namespace={OPERATOR}", *flags], {}, lambda _: None)
    return survey(manifests([Source("x", items)], "default"), settings)


def needs(*objects: Json) -> dict[str, Needs]:
    surveyed = found(*objects)
    assert list(surveyed.remarks) == []
    return read_only(surveyed)


def read_only(surveyed: Survey) -> dict[str, Needs]:
    """What is needed beside writing Secrets, which `test_secrets_are_written_where_an_object_asks_for_one` is about."""
    return {namespace: replace(needed, writes=False) for namespace, needed in surveyed.needs.items()}


KUBERNETES: Json = {"method": "kubernetes", "kubernetes": {"role": "r", "serviceAccount": "sa"}}
APP_ROLE: Json = {"method": "appRole", "appRole": {"roleId": "r", "secretRef": "s"}}


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        pytest.param(KUBERNETES, Needs(tokens={"sa"}), id="kubernetes"),
        pytest.param(
            {"method": "jwt", "jwt": {"role": "r", "serviceAccount": "sa", "secretRef": "s"}},
            Needs(tokens={"sa"}),
            id="jwt prefers the ServiceAccount",
        ),
        pytest.param({"method": "jwt", "jwt": {"role": "r", "secretRef": "s"}}, Needs(secrets={"s"}), id="jwt"),
        pytest.param(APP_ROLE, Needs(secrets={"s"}), id="appRole"),
        pytest.param({"method": "aws", "aws": {"role": "r", "secretRef": "s"}}, Needs(secrets={"s"}), id="aws keys"),
        pytest.param(
            {"method": "aws", "aws": {"role": "r", "irsaServiceAccount": "sa"}},
            Needs(tokens={"sa"}, service_accounts={"sa"}),
            id="aws by an annotated ServiceAccount",
        ),
        pytest.param(
            {"method": "aws", "aws": {"role": "r", "irsaServiceAccount": "sa", "roleARN": "arn:aws:iam::1:role/r"}},
            Needs(tokens={"sa"}),
            id="aws by a ServiceAccount",
        ),
        pytest.param(
            {"method": "gcp", "gcp": {"role": "r", "workloadIdentityServiceAccount": "sa"}},
            Needs(tokens={"sa"}, service_accounts={"sa"}),
            id="gcp",
        ),
        pytest.param({"method": "cert", "cert": {"secretRef": "s"}}, Needs(secrets={"s"}), id="cert"),
        pytest.param(
            {"method": "generic", "generic": {"bodyFrom": [{"field": "f", "secretRef": "s", "key": "k"}]}},
            Needs(secrets={"s"}),
            id="generic",
        ),
        pytest.param({"method": "token", "mount": "", "token": {"secretRef": "s"}}, Needs(secrets={"s"}), id="token"),
    ],
)
def test_a_login_needs_what_it_shows(login: Json, expected: Needs) -> None:
    assert needs(connection(), auth(**login), static()) == {"team": expected}


def test_credentials_are_of_the_consumers_namespace_and_certificates_of_the_connections() -> None:
    shared = auth("shared", "platform", allowedNamespaces=["a", "b"], **KUBERNETES)
    vault = connection(namespace="platform", caCertSecretRef="ca", clientCertSecretRef={"name": "mine"})
    assert needs(vault, shared, static("a", "platform/shared"), static("b", "platform/shared")) == {
        "a": Needs(tokens={"sa"}),
        "b": Needs(tokens={"sa"}),
        "platform": Needs(secrets={"ca", "mine"}),
    }


def test_a_ca_in_a_config_map_is_read_there() -> None:
    assert needs(connection(caCertConfigMapRef={"name": "m"})) == {"team": Needs(config_maps={"m"})}


def test_a_login_that_nobody_uses_needs_nothing() -> None:
    assert needs(connection(), auth(**APP_ROLE)) == {"team": Needs()}


def test_defaults_are_merged_before_the_login_is_looked_at() -> None:
    """The default one of the operator's namespace, as `allowDefault` finds it."""
    given = {"defaultAuthMethod": "kubernetes", "kubernetes": {"role": "r", "serviceAccount": "of-the-defaults"}}
    defaults = made("VaultAuthGlobal", "default", {**given, "vaultConnectionRef": "vault"}, OPERATOR)
    bare = made("VaultAuth", "auth", {"mount": "m", "vaultAuthGlobalRef": {"allowDefault": True}})
    assert needs(connection(), bare, defaults, static()) == {
        "team": Needs(tokens={"of-the-defaults"}),
        OPERATOR: Needs(),
    }


def test_who_names_no_login_uses_the_operators_default() -> None:
    default = auth("default", OPERATOR, **{**KUBERNETES, "vaultConnectionRef": ""})
    vault = connection("default", OPERATOR, caCertSecretRef="ca")
    assert needs(vault, default, static(ref="")) == {"team": Needs(tokens={"sa"}), OPERATOR: Needs(secrets={"ca"})}


def test_kept_tokens_are_encrypted_by_a_login_of_the_operators_own() -> None:
    spec = {"vaultConnectionRef": "vault", "mount": "m", **KUBERNETES}
    labelled = {"labels": {"cacheStorageEncryption": "true"}}
    mine = made("VaultAuth", "auth", spec, OPERATOR, **labelled)
    theirs = made("VaultAuth", "auth", spec, "team", **labelled)
    assert needs(connection(namespace=OPERATOR), mine, connection(), theirs) == {
        OPERATOR: Needs(tokens={"sa"}),
        "team": Needs(),
    }


def test_restarts_are_needed_for_the_kinds_that_are_named() -> None:
    targets = [{"kind": "Deployment", "name": "x"}, {"kind": "argo.Rollout", "name": "y"}]
    (found,) = needs(
        connection(),
        auth(**KUBERNETES),
        static(rolloutRestartTargets=targets),
        made("VaultDynamicSecret", "db", {
            "vaultAuthRef": "auth", "mount": "db", "path": "creds/r", "destination": {"name": "db"},
            "rolloutRestartTargets": [{"kind": "DaemonSet", "name": "z"}],
        }),
    ).values()  # fmt: skip
    assert found == Needs(tokens={"sa"}, restarts={"Deployment", "argo.Rollout", "DaemonSet"})


NOT_THERE = "which is not among the manifests: what it needs is not in these rules"


@pytest.mark.parametrize(
    ("objects", "remarks", "expected"),
    [
        pytest.param(
            (static(), static(name="two")),
            [f"vaultAuthRef of the object in namespace team names VaultAuth team/auth, {NOT_THERE}"],
            Needs(),
            id="a VaultAuth, said once for all who name it",
        ),
        pytest.param(
            (auth(**KUBERNETES), static()),
            [f"vaultConnectionRef of VaultAuth team/auth names VaultConnection team/vault, {NOT_THERE}"],
            Needs(tokens={"sa"}),
            id="a VaultConnection, and the login is known all the same",
        ),
        pytest.param(
            (connection(), auth(vaultAuthGlobalRef={"name": "g"}), static()),
            [f"spec.vaultAuthGlobalRef of VaultAuth team/auth names VaultAuthGlobal team/g, {NOT_THERE}"],
            Needs(),
            id="a VaultAuthGlobal",
        ),
        pytest.param(
            (connection(), auth(method="jwt", jwt={"role": "r"}), static()),
            [
                "VaultAuth team/auth: spec.jwt.serviceAccount or spec.jwt.secretRef must be set for method jwt: "
                "what it needs is not in these rules"
            ],
            Needs(),
            id="a login that is not complete",
        ),
        pytest.param(
            (connection(caCertSecretRef="ca", caCertPath="/ca"),),
            [
                "VaultConnection team/vault: spec.caCertSecretRef and spec.caCertPath exclude each other: "
                "what it needs is not in these rules"
            ],
            Needs(),
            id="a connection that contradicts itself",
        ),
    ],
)
def test_where_the_way_ends_a_remark_says_so(objects: tuple[Json, ...], remarks: list[str], expected: Needs) -> None:
    surveyed = found(*objects)
    assert list(surveyed.remarks) == remarks
    assert read_only(surveyed) == {"team": expected}


def test_a_login_that_does_not_admit_its_consumer_is_no_need() -> None:
    surveyed = found(connection(), auth(**KUBERNETES), static("other", "team/auth"))
    assert read_only(surveyed) == {"other": Needs(), "team": Needs()}
    (remark,) = surveyed.remarks
    assert "VaultAuth team/auth does not admit namespace other" in remark


def test_what_another_operator_looks_after_is_no_need() -> None:
    blue = {"labels": {"vso.hashicorp.com/operator-class": "blue", "tier": "gold"}}
    theirs = [
        made("VaultConnection", "vault", {"address": "https://vault", "caCertSecretRef": "ca"}, "blue", **blue),
        made("VaultAuth", "auth", {"vaultConnectionRef": "vault", "mount": "m", **KUBERNETES}, "blue", **blue),
    ]
    mine = found(*theirs, static(ref="blue/auth"))
    assert read_only(mine) == {"team": Needs()}
    (remark,) = mine.remarks
    assert "whose labels leave it to another operator" in remark
    assert found(*theirs, flags=["--operator-class=blue"]).needs == {"blue": Needs(secrets={"ca"})}
    assert found(*theirs, flags=["--operator-class=blue", "--watch-label-selector=tier!=gold"]).needs == {}


def test_defaults_without_a_name_are_taken_as_the_operator_is_told_to() -> None:
    given = {"defaultAuthMethod": "kubernetes", "kubernetes": {"role": "r", "serviceAccount": "sa"}}
    defaults = made("VaultAuthGlobal", "default", {**given, "vaultConnectionRef": "vault"})
    bare = made("VaultAuth", "auth", {"mount": "m", "vaultAuthGlobalRef": {"allowDefault": True}})
    objects = (connection(), bare, defaults, static())
    assert needs(*objects) == {"team": Needs(tokens={"sa"})}
    refused = found(*objects, flags=["--global-vault-auth-options="])
    assert read_only(refused) == {"team": Needs()}
    (remark,) = refused.remarks
    assert "allowDefault must not be true" in remark


def test_secrets_are_written_where_an_object_asks_for_one() -> None:
    surveyed = found(
        connection(namespace="platform"), auth(**KUBERNETES, vaultConnectionRef="platform/vault"), static()
    )
    assert {namespace: needed.writes for namespace, needed in surveyed.needs.items()} == {
        "platform": False,
        "team": True,
    }
