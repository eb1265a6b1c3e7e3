"""Workload identity and managed identity of Azure, and what is said when they end on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.fakes.cloud_visit import CANARY, OPERATOR, Accounts, around, shown, text
from tests.fakes.vault_parts import SA_UID
from tests.testbed.endpoint import Said
from tests.testbed.providers import Entra, claims_of
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.vault.auth.azure import AzureWay
from vso.vault.way import Identity

SUBJECT = "system:serviceaccount:team-a:app"
WAY = AzureWay("app", Entra.RESOURCE, "client-1", Entra.TENANT, "team-a", "app")
OWN = AzureWay("app", Entra.RESOURCE)
AUTH = f"{OPERATOR}/auth"
CLIENT, TENANT = "azure.workload.identity/client-id", "azure.workload.identity/tenant-id"


@pytest.fixture
def entra() -> Iterator[Entra]:
    with Entra() as running:
        running.applications["client-1"] = SUBJECT
        yield running


async def refused(
    entra: Entra,
    way: AzureWay = WAY,
    accounts: Accounts | None = None,
    *,
    auth: str = AUTH,
    ambient: bool = True,
    env: Mapping[str, str] = MappingProxyType({}),
) -> VsoError:
    with pytest.raises(VsoError) as caught:
        await shown(way, around({**entra.env, **env}, ambient=ambient), accounts, auth=auth)
    assert CANARY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("way", "annotations", "env"),
    [
        (WAY, {}, {}),
        (replace(WAY, tenant=""), {}, {"AZURE_TENANT_ID": Entra.TENANT}),
        (replace(WAY, tenant=""), {TENANT: Entra.TENANT}, {}),
        (
            replace(WAY, client="", tenant=""),
            {CLIENT: "client-1", TENANT: Entra.TENANT},
            {"AZURE_TENANT_ID": "operators"},
        ),
        (replace(WAY, client=""), {CLIENT: "client-1", TENANT: "other"}, {}),
    ],
)
async def test_a_service_account_gets_a_token_for_the_resource(
    entra: Entra, way: AzureWay, annotations: dict[str, str], env: dict[str, str]
) -> None:
    accounts = Accounts(annotated={"team-a/app": annotations}, unreadable=not annotations)
    found = await shown(way, around({**entra.env, **env}), accounts)
    assert accounts.asked == [Identity("team-a", "app", ("api://AzureADTokenExchange",), 600)]
    assert claims_of(text(found.body["jwt"]))["aud"] == Entra.RESOURCE
    assert set(found.body) == {"role", "jwt"}
    assert (found.uid, found.source) == (SA_UID, f"{SA_UID} client-1")


async def test_a_slash_at_the_end_of_the_resource_stays_part_of_the_audience(entra: Entra) -> None:
    token = Said(200, {"access_token": "canary"})
    entra.on("POST", f"/{Entra.TENANT}/oauth2/v2.0/token", token)
    await shown(replace(WAY, resource="https://management.azure.com/"), around(entra.env))
    assert entra.asked[0].form["scope"] == "https://management.azure.com//.default"


@pytest.mark.parametrize(
    ("way", "annotations", "told"),
    [
        (replace(WAY, client=""), {TENANT: "t"}, f"has no annotation {CLIENT}; its annotations: {TENANT}; or set spec.azure.clientID"),
        (replace(WAY, tenant=""), {CLIENT: "c"}, f"has no annotation {TENANT}; its annotations: {CLIENT}; or set spec.azure.tenantID"),
        (replace(WAY, client="", tenant=""), {CLIENT: "c"}, "spec.azure.tenantID must be set"),
        (replace(WAY, tenant="../common"), {}, "spec.azure.tenantID is '../common', which can be none"),
    ],
)  # fmt: skip
async def test_what_is_missing_is_named_before_anything_is_asked(
    entra: Entra, way: AzureWay, annotations: dict[str, str], told: str
) -> None:
    error = await refused(entra, way, Accounts(annotated={"team-a/app": annotations}))
    assert error.reason is Reason.INVALID_SPEC
    assert told in error.message
    assert entra.asked == []


@pytest.mark.parametrize(
    ("way", "subject", "told"),
    [
        (WAY, "system:serviceaccount:team-b:app", f"AADSTS700213: no federated credential of application client-1 is for {SUBJECT}"),
        (replace(WAY, client="client-2"), SUBJECT, f"AADSTS700016: there is no application client-2 in tenant {Entra.TENANT}"),
        (replace(WAY, resource="api://other"), SUBJECT, f"AADSTS500011: tenant {Entra.TENANT} has no resource api://other"),
    ],
)  # fmt: skip
async def test_what_azure_says_is_told_by_its_code(entra: Entra, way: AzureWay, subject: str, told: str) -> None:
    entra.applications["client-1"] = subject
    error = await refused(entra, way)
    assert error.reason is Reason.CLOUD_REFUSED
    assert told in error.message


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        (Said(400, {"error": "invalid_request", "error_description": "AADSTS90002: canary"}), ConfigError, "no tenant"),
        (Said(400, {"error": "canary text", "error_description": "canary"}), ConfigError, "400: application client-1"),
        (Said(400, {"error": "temporarily_unavailable"}), TransientError, "temporarily_unavailable"),
        (Said(503, "canary"), TransientError, "it answers 503"),
        (Said(200, {"token": "canary"}), TransientError, "holds no token"),
        (Said(200, "canary"), TransientError, "holds no token"),
    ],
)
async def test_other_answers_are_sorted(entra: Entra, said: Said, kind: type[VsoError], told: str) -> None:
    entra.on("POST", f"/{Entra.TENANT}/oauth2/v2.0/token", said)
    error = await refused(entra)
    assert type(error) is kind
    assert told in error.message


@pytest.mark.parametrize(("auth", "ambient"), [("team-a/auth", True), ("team-a/auth", False), (AUTH, False)])
async def test_the_operators_identity_is_refused_before_anything_is_asked(
    entra: Entra, auth: str, ambient: bool, tmp_path: Path
) -> None:
    entra.machine("client-1")
    mounted = tmp_path / "token"
    mounted.write_text("canary")
    for env in ({}, {"AZURE_FEDERATED_TOKEN_FILE": str(mounted)}):
        error = await refused(entra, OWN, auth=auth, ambient=ambient, env=env)
        assert error.reason is Reason.INVALID_SPEC
        assert "--allowed-file-prefixes" in error.message
        assert "spec.azure.serviceAccount" in error.message
    assert entra.asked == []


async def test_a_machine_says_which_one_it_is(entra: Entra) -> None:
    entra.machine("client-1")
    found = await shown(OWN, around(entra.env), auth=AUTH)
    placed = {name: value for name, value in found.body.items() if name != "jwt"}
    assert placed == {
        "role": "app",
        "subscription_id": Entra.SUBSCRIPTION,
        "resource_group_name": "rg-1",
        "vm_name": "vm-1",
    }
    assert claims_of(text(found.body["jwt"]))["aud"] == Entra.RESOURCE
    compute = {"subscriptionId": "sub-1", "resourceGroupName": "rg-1", "name": "pool_7", "vmScaleSetName": "pool"}
    entra.on("GET", "/metadata/instance/compute", Said(200, compute))
    found = await shown(replace(OWN, client="client-1"), around(entra.env), auth=AUTH)
    assert found.body["vmss_name"] == "pool"
    assert "vm_name" not in found.body


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("client-2", "invalid_request: the node has no identity client-2"),
        ("", "invalid_request: the node has no managed identity, or several: then set spec.azure.clientID to one"),
    ],
)
async def test_a_machine_without_the_identity_says_so(entra: Entra, client: str, told: str) -> None:
    entra.machine("client-1")
    several = Said(400, {"error": "invalid_request", "error_description": "Multiple user assigned identities exist"})
    if not client:
        entra.on("GET", "/metadata/identity/oauth2/token", several)
    assert told in (await refused(entra, replace(OWN, client=client))).message


async def test_the_operators_mounted_token_comes_before_the_machine(entra: Entra, tmp_path: Path) -> None:
    mounted = tmp_path / "token"
    jwt, _ = await Accounts().jwt(Identity(OPERATOR, "operator", ("api://AzureADTokenExchange",)))
    mounted.write_bytes(jwt.reveal())
    entra.applications["client-1"] = f"system:serviceaccount:{OPERATOR}:operator"
    env = {"AZURE_CLIENT_ID": "client-1", "AZURE_TENANT_ID": Entra.TENANT, "AZURE_FEDERATED_TOKEN_FILE": str(mounted)}
    found = await shown(OWN, around({**entra.env, **env}), auth=AUTH)
    assert (found.source, found.uid) == ("own client-1", "")
    mounted.unlink()
    assert "AZURE_FEDERATED_TOKEN_FILE names cannot be read" in (await refused(entra, OWN, env=env)).message
    missing = await refused(entra, OWN, env={**env, "AZURE_FEDERATED_TOKEN_FILE": "/dev/null", "AZURE_CLIENT_ID": ""})
    assert "spec.azure.clientID must be set (the operator's ServiceAccount)" in missing.message


def test_a_refusal_of_vaults_points_at_the_field() -> None:
    assert WAY.pointed_at('invalid role name "app"') == "there is no role 'app'"
    told = WAY.pointed_at('oidc: expected audience "api://x" got ["api://vault"]')
    assert told == "the mount is configured for another resource than spec.azure.resource, api://vault"
