"""Somebody who follows `manifests/README.md`: a folder beside a clone of the repository, a cluster and a Vault."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from tests.conformance import readme
from tests.conformance.stage import AUDIENCE, MANIFESTS, OPERATOR_NAMESPACE, ROOT, Json, Stage, Team
from tests.testbed.bed import Mark
from tests.testbed.gitops import kustomize
from tests.testbed.operator import Operator
from tests.testbed.real import RealBed

README = MANIFESTS / "README.md"
NAME = "vault-secrets-operator"
PLACEHOLDER = "https://vault.example.com:8200"


def named(objects: list[Json], kind: str) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects if obj["kind"] == kind]


class Folder:
    """The folder, with the files of the README and those that it takes for granted."""

    def __init__(self, path: Path, vault: str = PLACEHOLDER) -> None:
        """Write them, with the address of a Vault."""
        self.path = path
        (path / NAME).symlink_to(ROOT)
        for name, text in readme.files(README).items():
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(PLACEHOLDER, vault))
        meta = {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}}
        theirs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"url": "https://argocd"}}
        (path / "argocd/install.yaml").write_text(yaml.safe_dump(theirs))
        (path / "flux/more.yaml").write_text(
            (MANIFESTS / "example/flux/access.yaml").read_text().replace("name: app-access", "name: more")
        )

    def build(self, folder: str) -> list[Json]:
        """What kustomize builds from a folder of the README."""
        return kustomize(self.path / folder)


class Installer:
    """Somebody with new servers."""

    def __init__(self, bed: RealBed, folder: Path) -> None:
        self.bed = bed
        self.folder = Folder(folder, bed.vault.url)
        self.build = self.folder.build
        self.stage = Stage(bed)
        self.typed: set[str] = set()

    def type(self, end: str) -> str:
        """Type the one command of the README that ends so."""
        (command,) = [line for line in readme.commands(README) if line.endswith(end)]
        self.typed.add(command)
        said = ""
        for stage in command.split(" | "):
            program, *arguments = shlex.split(stage)
            assert program == "kubectl"
            said = self.bed.kubectl(*arguments, stdin=said, cwd=ROOT)
        return said

    def apply(self, objects: list[Json]) -> None:
        """Apply what was built, as a GitOps tool does."""
        self.bed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def run_operator(self) -> Mark:
        """Run the operator as the Deployment in the cluster says, under the rights in the cluster; the moment before."""
        deployment = self.bed.kube.find("Deployment", OPERATOR_NAMESPACE, NAME)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        args = [arg for arg in container["args"] if "bind-address" not in arg]
        self.stop_operator()
        mark = self.bed.mark()
        self.stage.put_on(Operator(self.bed, *args))
        return mark

    def stop_operator(self) -> None:
        """Stop the operator, if it runs; a crash or a bug in its log fails the scenario."""
        self.stage.close()

    def team(self, namespace: str, account: str) -> Team:
        """A team whose ServiceAccount may read the example's secret in Vault."""
        team = Team(self.stage, namespace)
        self.stage.apply_namespace(namespace)
        self.bed.vault.policy(namespace, (MANIFESTS / "example/vault-policy.hcl").read_text())
        self.bed.vault.kv2_put("kv", "app/config", {"db_username": "ada", "db_password": "v1"})
        bound = {"bound_service_account_names": account, "bound_service_account_namespaces": namespace}
        role = {**bound, "audience": AUDIENCE, "token_policies": namespace, "token_ttl": "20m"}
        self.bed.vault.write("auth/kubernetes/role/app", role)
        return team
