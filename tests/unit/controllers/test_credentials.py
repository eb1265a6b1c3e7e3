from __future__ import annotations

import pytest

from tests.fakes.cluster import FakeCluster
from tests.fakes.kube_transport import connected, serving, status
from tests.fakes.vault_parts import IDENTITY, SA_UID
from vso.controllers.credentials import Credentials
from vso.controllers.materials import FilePolicy, Materials
from vso.core.errors import ConfigError, Reason
from vso.kube.client import KubeClient
from vso.kube.tokens import TokenMinter


def credentials(kube: KubeClient) -> Credentials:
    return Credentials(TokenMinter(kube), Materials(kube, FilePolicy("vso-system")))


async def test_a_token_is_minted_for_every_login_in_the_consumers_namespace() -> None:
    async with serving(FakeCluster()) as api, connected(api) as kube:
        tokens = credentials(kube)
        for _ in range(2):
            jwt, uid = await tokens.jwt(IDENTITY)
            assert jwt.reveal_text().endswith(".canary-signature")
            assert uid == SA_UID
        assert {seen.path for seen in api.requests} == {"/api/v1/namespaces/team-a/serviceaccounts/app/token"}
        assert [seen.json["spec"] for seen in api.requests] == [{"expirationSeconds": 600, "audiences": ["vault"]}] * 2


async def test_a_missing_service_account_is_named() -> None:
    async with serving(lambda _: status(404, "NotFound")) as api, connected(api) as kube:
        with pytest.raises(ConfigError) as caught:
            await credentials(kube).jwt(IDENTITY)
        assert caught.value.reason is Reason.SERVICE_ACCOUNT_NOT_FOUND
        assert "team-a/app" in caught.value.message
