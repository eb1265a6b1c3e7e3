"""What scenarios of logins in clouds have in common: the stand-ins, a Vault that asks them, roles and objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.stage import GROUP, OPERATOR_NAMESPACE, Json, Team
from tests.testbed.bed import Bed, eventually
from tests.testbed.dev_vault import dev_vault
from tests.testbed.providers import Aws, Entra, Google
from tests.testbed.vault_admin import VaultAdmin

ARGS = (
    "--backoff-initial-interval=500ms",
    "--backoff-max-interval=1s",
    "--config-recheck-interval=1s",
    "--connection-check-interval=1s",
    "--vault-address-allow=127.0.0.1",  # the stand-ins are beside the operator, which no VaultAuth alone may say
)
SERVER_ID = "vault.example.com"
REGION = "eu-central-1"
EMAIL = "app@acme-prod.iam.gserviceaccount.com"
METADATA = ("/latest/", "/metadata/", "/computeMetadata/")


@dataclass(frozen=True)
class Clouds:
    """The three stand-ins, each with an identity for whoever asks its metadata service."""

    aws: Aws
    google: Google
    entra: Entra

    @property
    def env(self) -> dict[str, str]:
        """How a program finds them."""
        return {**self.aws.env, **self.google.env, **self.entra.env}

    @property
    def asked(self) -> int:
        """How often anything was asked of them."""
        return len(self.aws.asked) + len(self.google.asked) + len(self.entra.asked)

    def metadata_asked(self) -> list[str]:
        """What was asked of a metadata service."""
        asked = [*self.aws.asked, *self.google.asked, *self.entra.asked]
        return [request.path for request in asked if request.path.startswith(METADATA)]


@contextmanager
def clouds_beside(bed: Bed, *, tenant: str = Entra.TENANT, resource: str = Entra.RESOURCE) -> Iterator[Clouds]:
    """The stand-ins; Vault finds that of Azure under its name, by a proxy, and so is that of AWS to be found."""
    known = bed.authority.serving("entra", "login.microsoftonline.com")
    sts = bed.authority.serving("aws", f"sts.{REGION}.amazonaws.com")
    with Aws(sts) as aws, Google() as google, Entra(known, tenant=tenant, resource=resource) as entra:
        yield Clouds(aws, google, entra)


@contextmanager
def vault_in(clouds: Clouds, bed: Bed, directory: Path, *, server_id: str = SERVER_ID) -> Iterator[VaultAdmin]:
    """A Vault with the three methods, whose clouds are the stand-ins."""
    env = {
        "GCE_METADATA_HOST": clouds.google.host,
        "HTTPS_PROXY": clouds.entra.url,
        "SSL_CERT_FILE": str(bed.authority.certificate),
    }
    with dev_vault(directory, env) as vault:
        for method in ("aws", "gcp", "azure"):
            vault.write(f"sys/auth/{method}", {"type": method})
        sts = {"sts_endpoint": clouds.aws.url, "sts_region": "us-east-1", "iam_server_id_header_value": server_id}
        vault.write("auth/aws/config/client", sts)
        vault.write("auth/gcp/config", {"custom_endpoint": {"api": clouds.google.url, "iam": clouds.google.url}})
        vault.write("auth/azure/config", {"tenant_id": clouds.entra.tenant, "resource": clouds.entra.resource})
        yield vault


def account(team: Team, name: str = "app", **annotations: str) -> str:
    """Have a ServiceAccount with annotations; its subject."""
    meta = {"name": name, "namespace": team.ns, "annotations": annotations}
    team.bed.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    return f"system:serviceaccount:{team.ns}:{name}"


def policy(team: Team, vault: VaultAdmin) -> str:
    """Put the team's secret, and have a policy that lets it be read."""
    vault.kv2_put("kv", f"{team.ns}/app", {"password": "v1"})
    vault.policy(team.ns, f'path "kv/data/{team.ns}/*" {{ capabilities = ["read"] }}')
    return team.ns


def aws_role(team: Team, vault: VaultAdmin, arn: str, *, mount: str = "aws", name: str = "", **changes: Any) -> str:
    role = {
        "auth_type": "iam",
        "bound_iam_principal_arn": arn,
        "resolve_aws_unique_ids": False,
        "token_policies": policy(team, vault),
        **changes,
    }
    vault.write(f"auth/{mount}/role/{name or team.ns}", role)
    return name or team.ns


def azure_role(team: Team, vault: VaultAdmin, client: str, *, name: str = "", **changes: Any) -> str:
    role = {"bound_service_principal_ids": f"object-{client}", "token_policies": policy(team, vault), **changes}
    vault.write(f"auth/azure/role/{name or team.ns}", role)
    return name or team.ns


def gcp_role(team: Team, vault: VaultAdmin, *, name: str = "") -> str:
    role = {"type": "iam", "bound_service_accounts": EMAIL, "token_policies": policy(team, vault)}
    vault.write(f"auth/gcp/role/{name or team.ns}", role)
    return name or team.ns


def app(team: Team, method: str, address: str, *, mount: str = "", **block: Any) -> None:
    """A VaultConnection, a VaultAuth of the method, and a VaultStaticSecret behind them."""
    team.apply("VaultConnection", "vault", {"address": address})
    spec = {"vaultConnectionRef": "vault", "method": method, "mount": mount or method, method: block}
    team.apply("VaultAuth", "auth", spec)
    team.static()


def operators(team: Team, method: str, address: str, **block: Any) -> None:
    """A VaultStaticSecret behind a VaultAuth in the operator's namespace, which admits the team."""
    for kind, name, spec in (
        ("VaultConnection", f"vault-{team.ns}", {"address": address}),
        (
            "VaultAuth",
            f"auth-{team.ns}",
            {
                "vaultConnectionRef": f"vault-{team.ns}",
                "allowedNamespaces": [team.ns],
                "method": method,
                "mount": method,
                method: block,
            },
        ),
    ):
        made = team.manifest(kind, name, spec)
        team.bed.kube.apply({**made, "metadata": {**made["metadata"], "namespace": OPERATOR_NAMESPACE}})
    team.static(vaultAuthRef=f"{OPERATOR_NAMESPACE}/auth-{team.ns}")


def works(team: Team, value: str = "v1") -> None:
    team.wait_ready()
    team.wait_data(lambda data: data["password"] == value)


def told(team: Team, reason: str) -> str:
    return str(team.wait_condition("Healthy", "False", reason)["message"])


def keys(team: Team, made: Json) -> None:
    """Keep AWS keys in the team's Secret."""
    team.keep("aws-keys", access_key_id=made["AccessKeyId"], secret_access_key=made["SecretAccessKey"])


def clear(bed: Bed) -> None:
    """Take away what scenarios have left in the operator's namespace."""
    for kind in ("VaultAuth", "VaultConnection"):
        for found in bed.kube.list(kind, OPERATOR_NAMESPACE):
            name = {"name": found["metadata"]["name"], "namespace": OPERATOR_NAMESPACE}
            bed.kube.remove({"apiVersion": GROUP, "kind": kind, "metadata": name})


def wait_for_others(team: Team) -> None:
    """Wait until nobody of an earlier scenario logs in as the operator any more."""

    def over() -> bool:
        found = team.bed.kube.list("VaultStaticSecret")
        return not [one for one in found if one["spec"].get("vaultAuthRef", "").startswith(f"{OPERATOR_NAMESPACE}/")]

    eventually(over, timeout=60, message="earlier scenarios are over")
