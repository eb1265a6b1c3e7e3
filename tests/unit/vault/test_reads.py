"""What a login says that it reads is what it reads: rights by name are given by it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest

from tests.fakes.cloud_visit import Accounts, around, shown
from vso.core.errors import ConfigError, Reason
from vso.core.sensitive import Sensitive
from vso.vault.auth.approle import AppRoleWay
from vso.vault.auth.aws import AwsWay
from vso.vault.auth.aws_credentials import OwnIdentity, PodIdentity, SecretKeys, WebIdentity
from vso.vault.auth.azure import AzureWay
from vso.vault.auth.certificate import CertificateWay
from vso.vault.auth.gcp import GcpWay
from vso.vault.auth.generic import FromSecret, GenericWay
from vso.vault.auth.given import GivenWay
from vso.vault.auth.kubernetes import JwtWay, KubernetesWay
from vso.vault.auth.password import PasswordWay
from vso.vault.way import Identity, Reads, SecretData, Way

TEAM = "team-a"
ENTRIES = ("id", "jwt", "password", "token", "access_key_id", "secret_access_key", "k")
ANNOTATED = {
    "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r",
    "iam.gke.io/gcp-service-account": "a@b",
    "azure.workload.identity/client-id": "client",
    "azure.workload.identity/tenant-id": "tenant",
}


@dataclass
class Ledger(Accounts):
    """Writes down what is asked for; a token there is none, so that nothing leaves the house."""

    read: list[str] = field(default_factory=list)
    looked_at: list[str] = field(default_factory=list)

    async def jwt(self, identity: Identity) -> tuple[Sensitive, str]:
        self.asked.append(identity)
        raise ConfigError(Reason.KUBERNETES_FORBIDDEN, "no token")

    async def secret(self, namespace: str, name: str) -> SecretData:
        assert namespace == TEAM
        self.read.append(name)
        return SecretData(f"{namespace}/{name}", "uid", "1", {key: Sensitive.of("canary") for key in ENTRIES})

    async def file(self, path: str, auth: str) -> Sensitive:
        return Sensitive.of("canary")

    async def annotations(self, namespace: str, service_account: str) -> dict[str, str]:
        assert namespace == TEAM
        self.looked_at.append(service_account)
        return ANNOTATED


PARTS = (FromSecret("a", "s", "k"), FromSecret("b", "t", "k"), FromSecret("c", "s", "k"))
GCP = GcpWay("r", TEAM, "sa", project="p", location="l", cluster="c")


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(KubernetesWay("r", Identity(TEAM, "sa")), id="kubernetes"),
        pytest.param(JwtWay("r", Identity(TEAM, "sa")), id="jwt of a ServiceAccount"),
        pytest.param(JwtWay("r", secret="s"), id="jwt of a Secret"),
        pytest.param(AppRoleWay("r", secret="s"), id="appRole of a Secret"),
        pytest.param(AppRoleWay("r", file="/id"), id="appRole of a file"),
        pytest.param(PasswordWay("u", "s", "password"), id="a password"),
        pytest.param(GivenWay("s"), id="a token"),
        pytest.param(GivenWay(file="/token"), id="a token of a file"),
        pytest.param(GenericWay((("x", "y"),), PARTS), id="generic, each Secret once"),
        pytest.param(AwsWay("r", SecretKeys("s")), id="aws, keys in a Secret"),
        pytest.param(AwsWay("r", WebIdentity(TEAM, "sa")), id="aws, an annotated ServiceAccount"),
        pytest.param(AwsWay("r", WebIdentity(TEAM, "sa", "arn:aws:iam::1:role/r")), id="aws, a role that is named"),
        pytest.param(AwsWay("r", PodIdentity()), id="aws, the operator's pod"),
        pytest.param(AwsWay("r", OwnIdentity()), id="aws, the operator itself"),
        pytest.param(GCP, id="gcp, an annotated ServiceAccount"),
        pytest.param(GcpWay("r", TEAM, "sa", "a@b", "p", "l", "c"), id="gcp, an account that is named"),
        pytest.param(AzureWay("r", namespace=TEAM, service_account="sa"), id="azure, an annotated ServiceAccount"),
        pytest.param(
            AzureWay("r", client="c", namespace=TEAM, service_account="sa"), id="azure, a client that is named"
        ),
        pytest.param(
            AzureWay("r", client="c", tenant="t", namespace=TEAM, service_account="sa"), id="azure, all is named"
        ),
        pytest.param(AzureWay("r"), id="azure, the operator itself"),
    ],
)
async def test_a_login_reads_what_it_says(way: Way) -> None:
    ledger = Ledger()
    with contextlib.suppress(ConfigError):
        await shown(way, around({}, ambient=False), ledger)
    found = Reads(tuple(dict.fromkeys(ledger.read)), tuple(ledger.looked_at))
    assert way.reads == found
    speaks_for = {way.speaks_for.service_account} if way.speaks_for is not None else set()
    assert {identity.service_account for identity in ledger.asked} == speaks_for


def test_a_certificate_is_read_for_the_connection_that_shows_it() -> None:
    assert CertificateWay("r", "s").reads == Reads(("s",))
    assert CertificateWay("r").reads == Reads()
