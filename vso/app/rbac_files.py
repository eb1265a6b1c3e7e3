"""The files of manifests/rbac, generated from `vso.app.rbac`, with a word on what each rule is for.

Invariant: the output depends on the rules alone; `--check` compares the folder with it, so that no right is
added by hand, or forgotten in one of the installs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import Final

from vso.api import generated
from vso.api.yaml_text import to_yaml
from vso.app import rbac
from vso.app.rbac import Object, Rule

MODULE: Final = "vso.app.rbac_files"
HEADER: Final = generated.header(MODULE, "vso/app/rbac.py")

_MODES: Final = {"full": True, "write-only": False}
_HEADS: Final = {
    "full": "Mode full: owned Secrets are watched, so a foreign edit or deletion is repaired at once.",
    "write-only": "Mode write-only: Secrets are created and patched, and never read.",
    "own-namespace": "What the operator needs in its own namespace: its Lease, and the key of status.secretMAC.",
    "restarts": "Leave this out where no workload is to be restarted: rolloutRestartTargets then says so.",
    "kept tokens": """\
The Vault tokens that leases hang on are kept here over a restart. Shipped empty; the operator makes none.""",
    "client-cache": """\
What --client-cache-persistence-model needs, on top of any install:
  kubectl apply -k manifests/rbac/client-cache
For direct-encrypted the operator's namespace needs a VaultAuth too, with the label cacheStorageEncryption=true
and spec.storageEncryption; an install for single namespaces has to watch that namespace. One that logs in as the
operator's own ServiceAccount takes manifests/rbac/storage-login too, unless tokens of any may be requested there.""",
    "storage-login": """\
A token of the operator's own ServiceAccount, for the VaultAuth with spec.storageEncryption, where the rights for
applications name theirs: an install for single namespaces, or one with components/service-accounts.""",
    "metrics-auth": """\
What --metrics-auth needs, on top of any install, and the right that a scraper needs, for you to bind:
  kubectl apply -k manifests/rbac/metrics-auth
Both reviews are of the whole cluster: there are no Roles that would do.""",
    "metrics reader": """\
For whoever scrapes: bind it to the ServiceAccount of your Prometheus, unless that may get /metrics already.""",
    "credentials": """\
An example: what caCertSecretRef, clientCertSecretRef, secretRef and caCertConfigMapRef need, by name,
in the namespace of the object that names them, and a ServiceAccount whose annotations say whom it is in a cloud.
Without it the status names the rule to add.""",
    "one namespace": """\
The rights in one application's namespace, without any ClusterRole. Take it once for each namespace:
  namespace: team-a
  resources: [<this folder>]
and start the operator with --watch-namespaces=team-a,...""",
}
_FINALIZERS: Final = """\
Only for finalizers: to take off those that the reference operator left, and to hold a lease until it is given back."""
_TOKENS: Final = "A token of the application's own ServiceAccount, for the login at Vault"


def files() -> generated.Files:
    """Return every file of the folder."""
    cache, guard = rbac.client_cache_objects(), rbac.metrics_auth_objects()
    parts = {
        **{f"{mode}/": _cluster(mode) for mode in _MODES},
        **{f"namespaced/{mode}/": _namespaced(mode) for mode in _MODES},
        "namespaced/operator/": {"own-namespace": _text("own-namespace", rbac.own_namespace_objects(everywhere=False))},
        "client-cache/": {"secrets": _text("kept tokens", cache[:-2]), "role": _text("", cache[-2:])},
        "storage-login/": {"role": _text("storage-login", rbac.storage_login_objects())},
        "metrics-auth/": {"role": _text("", guard[:2]), "reader": _text("metrics reader", guard[2:])},
        "credentials/": {"role": _text("credentials", rbac.credential_objects())},
    }
    return dict(entry for folder, texts in parts.items() for entry in _folder(folder, texts))


def _cluster(mode: str) -> Mapping[str, str]:
    """The files of an install for the whole cluster."""
    found = rbac.objects(full=_MODES[mode])
    return {
        "cluster": _text(mode, found[:2]),
        "own-namespace": _text("own-namespace", found[2:4]),
        "restarts": _text("restarts", found[4:]),
    }


def _namespaced(mode: str) -> Mapping[str, str]:
    """The files for one of the namespaces that are watched."""
    found = rbac.namespaced_objects("", full=_MODES[mode])
    return {"role": _text(mode, found[:2]), "restarts": _text("restarts", found[2:])}


def _folder(folder: str, texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The files of a folder, and the kustomization that lists them."""
    head = "one namespace" if folder.startswith("namespaced/") and "role" in texts else folder.strip("/")
    said = _HEADS[head] if head in {"one namespace", "client-cache", "metrics-auth"} else ""
    listed: Object = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{name}.yaml" for name in texts],
    }
    yield f"{folder}kustomization.yaml", HEADER + _comment(said) + to_yaml(listed)
    for name, text in texts.items():
        yield f"{folder}{name}.yaml", text


def _text(head: str, objects: Sequence[Object]) -> str:
    """A file: what it is about, and its objects."""
    return HEADER + _comment(_HEADS.get(head, "")) + "---\n".join(map(_document, objects))


def _document(obj: Object) -> str:
    """One object; a role's rules each say what they are for."""
    if "rules" not in obj:
        return to_yaml(obj)
    frame = {key: value for key, value in obj.items() if key != "rules"}
    return to_yaml(frame) + "rules:\n" + "".join(_rules(obj["rules"]))


def _rules(rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        listed: Object = {"rule": [rule]}
        yield _comment(_why(rule)) + to_yaml(listed).partition("\n")[2]


def _why(rule: Rule) -> str:
    """What a rule of the team's role is for, where that is not plain."""
    named, resource = "resourceNames" in rule, rule.get("resources", [""])[0]
    match rule.get("apiGroups", [""]), resource, rule["verbs"]:
        case [_, "serviceaccounts/token", _] if rule.get("resourceNames") == [rbac.NAME]:
            return ""
        case [_, "serviceaccounts/token", _]:
            return _TOKENS + _NAMES[named]
        case [["secrets.hashicorp.com"], _, ["list", "watch"]]:
            return "The intent, and what has become of it."
        case [["secrets.hashicorp.com"], plural, ["patch"]] if "/" not in plural:
            return _FINALIZERS
        case [_, "secrets", [*verbs]] if "list" in verbs:
            return "Lists and watches ask for metadata only; by RBAC alone they could show values too."
        case [_, "secrets", ["create", "patch"]] if not named:
            return "No right to get, list, watch or delete: answers to writes hold metadata only."
        case _:
            return ""


_NAMES: Final = {
    True: ": name here\nthe ServiceAccounts that the VaultAuths of this namespace's secrets name.",
    False: ".\nOf any; components/service-accounts limits it to those that it names.",
}


def _comment(text: str) -> str:
    return indent(text, "# ", lambda _line: True) + "\n" if text else ""


if __name__ == "__main__":
    sys.exit(generated.main(sys.argv[1:], MODULE, files))
