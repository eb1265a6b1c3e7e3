from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sandbox.client import Client

VSS = "/apis/secrets.hashicorp.com/v1beta1/namespaces/default/vaultstaticsecrets"
SECRETS = "/api/v1/namespaces/default/secrets"
PARTIAL = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


def secret(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"a": "eA=="}} | more


def static_secret(name: str) -> dict[str, Any]:
    spec = {"mount": "kv", "type": "kv-v2", "path": "app", "destination": {"name": "app"}}
    return {
        "apiVersion": "secrets.hashicorp.com/v1beta1",
        "kind": "VaultStaticSecret",
        "metadata": {"name": name},
        "spec": spec,
    }


async def test_the_write_protocol_of_secrets_in_metadata_alone(kube: Client) -> None:
    status, created = await kube("POST", SECRETS, secret("s"), PARTIAL)
    assert (status, created["kind"], "data" in created) == (201, "PartialObjectMetadata", False)
    status, refused = await kube("POST", SECRETS, secret("s"), PARTIAL)
    assert (status, refused["reason"], refused["message"]) == (409, "AlreadyExists", 'secrets "s" already exists')
    status, shown = await kube("PATCH", f"{SECRETS}/s?dryRun=All", {}, PARTIAL | MERGE_PATCH)
    assert (status, shown["metadata"]) == (200, created["metadata"])
    uid = created["metadata"]["uid"]
    guarded = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/data", "value": {"b": "eQ=="}},
    ]
    status, patched = await kube("PATCH", f"{SECRETS}/s", guarded, PARTIAL | JSON_PATCH)
    assert (status, patched["metadata"]["uid"]) == (200, uid)
    _, again = await kube("PATCH", f"{SECRETS}/s", guarded, PARTIAL | JSON_PATCH)
    assert again["metadata"]["resourceVersion"] == patched["metadata"]["resourceVersion"]
    assert (await kube("GET", f"{SECRETS}/s"))[1]["data"] == {"b": "eQ=="}
    guarded[0]["value"] = "another"
    status, refused = await kube("PATCH", f"{SECRETS}/s", guarded, PARTIAL | JSON_PATCH)
    assert (status, refused["reason"]) == (422, "Invalid")
    assert (await kube("PATCH", f"{SECRETS}/t", guarded, JSON_PATCH))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", SECRETS, {"Authorization": ""}, 401),
        ("GET", SECRETS, {"Authorization": "Bearer a.b.c"}, 401),
        ("GET", "/apis/none/v1/things", {"Authorization": ""}, 401),
        ("GET", "/apis/none/v1/things", {}, 404),
        ("GET", f"{SECRETS}/none", {}, 404),
        ("PATCH", f"{SECRETS}/none", {"Content-Type": "application/apply-patch+yaml"}, 415),
        ("GET", f"{SECRETS}?fieldSelector=spec.x=1", {}, 400),
    ],
)
async def test_refusals(kube: Client, method: str, path: str, headers: dict[str, str], status: int) -> None:
    answered, refused = await kube(method, path, {"a": 1} if method == "PATCH" else None, headers)
    assert (answered, refused["kind"], refused["code"]) == (status, "Status", status)


async def test_a_list_in_pages_and_its_continuation_expire(kube: Client) -> None:
    for number in range(5):
        await kube("POST", SECRETS, secret(f"s{number}"))
    names: list[str] = []
    token = ""
    while True:
        _, page = await kube("GET", f"{SECRETS}?limit=2&continue={token}")
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
        first = token
    assert names == ["s0", "s1", "s2", "s3", "s4"]
    await kube("POST", "/sandbox/compact")
    status, refused = await kube("GET", f"{SECRETS}?limit=2&continue={first}")
    assert (status, refused["reason"]) == (410, "Expired")


async def test_a_watch_tells_what_enters_and_leaves_the_view_and_ends_with_a_bookmark(kube: Client) -> None:
    _, before = await kube("GET", SECRETS)
    await kube("POST", SECRETS, secret("s"))
    for value in ("yes", "yes!"[:3], "no"):
        await kube("PATCH", f"{SECRETS}/s", {"metadata": {"labels": {"mine": value}}}, MERGE_PATCH)
    await kube("PATCH", f"{SECRETS}/s", {"metadata": {"labels": {"mine": "yes"}}}, MERGE_PATCH)
    await kube("PATCH", f"{SECRETS}/s", {"data": {"b": "eQ=="}}, MERGE_PATCH)
    await kube("DELETE", f"{SECRETS}/s")
    since = before["metadata"]["resourceVersion"]
    query = f"watch=true&labelSelector=mine%3Dyes&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={since}"
    async with kube.open("GET", f"{SECRETS}?{query}", headers=PARTIAL) as response:
        events = [json.loads(line) async for line in response.content]
    assert [event["type"] for event in events] == ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    assert all("data" not in event["object"] for event in events)


async def test_a_watch_from_a_forgotten_version_is_told_so(kube: Client) -> None:
    await kube("POST", SECRETS, secret("s"))
    await kube("POST", "/sandbox/compact")
    async with kube.open("GET", f"{SECRETS}?watch=1&resourceVersion=1") as response:
        event = json.loads(await response.content.readline())
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_kubectl_get_shows_the_columns_of_the_definition(kube: Client) -> None:
    status, created = await kube("POST", VSS, static_secret("app"))
    assert (status, created["status"]) == (201, {"observedGeneration": -1})
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = {"status": {"observedGeneration": 1, "conditions": [ready]}}
    assert (await kube("PATCH", f"{VSS}/app/status", patch, MERGE_PATCH))[0] == 200
    _, table = await kube("GET", VSS, headers=TABLE)
    names = [column["name"] for column in table["columnDefinitions"]]
    assert names[:3] == ["Name", "Ready", "Reason"]
    assert table["rows"][0]["cells"][:3] == ["app", "True", "Ready"]


async def test_an_invalid_object_is_refused_field_by_field(kube: Client) -> None:
    bad = static_secret("app")
    bad["spec"] = {"mount": "kv", "type": "kv-v3", "destination": {"name": "app"}}
    status, refused = await kube("POST", VSS, bad)
    causes = {cause["field"]: cause["reason"] for cause in refused["details"]["causes"]}
    assert status == 422
    assert causes["spec.type"] == "FieldValueNotSupported"


async def test_discovery_and_openapi_name_the_kinds(kube: Client) -> None:
    _, groups = await kube("GET", "/apis")
    assert "secrets.hashicorp.com" in [group["name"] for group in groups["groups"]]
    _, listed = await kube("GET", "/apis/secrets.hashicorp.com/v1beta1")
    assert {"vaultstaticsecrets", "vaultstaticsecrets/status"} <= {r["name"] for r in listed["resources"]}
    _, document = await kube("GET", "/openapi/v3/apis/secrets.hashicorp.com/v1beta1")
    parameters = document["paths"]["/apis/secrets.hashicorp.com/v1beta1/namespaces/{namespace}/vaultstaticsecrets"][
        "post"
    ]["parameters"]
    assert "fieldValidation" in [parameter["name"] for parameter in parameters]
    assert (await kube("GET", "/version"))[0] == 200


async def account_token(kube: Client, **spec: Any) -> str:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}}
    await kube("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    path = "/api/v1/namespaces/default/serviceaccounts/app/token"
    status, answered = await kube("POST", path, {"spec": spec})
    assert status == 201
    return str(answered["status"]["token"])


async def test_a_service_account_may_what_its_role_says_and_is_told_what_not(kube: Client, tmp_path: Path) -> None:
    mine = kube.with_headers(Authorization=f"Bearer {await account_token(kube)}")
    status, refused = await mine("POST", SECRETS, secret("s"))
    user = 'User "system:serviceaccount:default:app"'
    message = (
        f'secrets is forbidden: {user} cannot create resource "secrets" in API group "" in the namespace "default"'
    )
    assert (status, refused["reason"], refused["message"]) == (403, "Forbidden", message)
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    base = f"/apis/{group}/v1/namespaces/default"
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
    subjects = [{"kind": "ServiceAccount", "name": "app", "namespace": "default"}]
    binding = {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": {"name": "r"}, "subjects": subjects}
    await kube("POST", f"{base}/roles", role)
    await kube("POST", f"{base}/rolebindings", binding | {"roleRef": {"kind": "Role", "name": "r"}})
    assert (await mine("POST", SECRETS, secret("s")))[0] == 201
    assert (await mine("GET", f"{SECRETS}/s"))[0] == 403
    lines = [json.loads(line) for line in (tmp_path / "kube-audit.log").read_text().splitlines()]
    seen = [
        (e["verb"], e["objectRef"].get("name"), e["responseStatus"]["code"], *e["annotations"].values())
        for e in lines
        if "app" in e["user"]["username"]
    ]
    assert seen == [("create", None, 403, "forbid"), ("create", "s", 201, "allow"), ("get", "s", 403, "forbid")]


async def test_a_token_ends_with_its_service_account_and_its_audience(kube: Client) -> None:
    token = await account_token(kube, audiences=["vault"], expirationSeconds=600)
    review = "/apis/authentication.k8s.io/v1/tokenreviews"
    _, good = await kube("POST", review, {"spec": {"token": token, "audiences": ["vault"]}})
    assert good["status"]["user"]["username"] == "system:serviceaccount:default:app"
    _, other = await kube("POST", review, {"spec": {"token": token, "audiences": ["else"]}})
    assert "is invalid for the target audiences" in other["status"]["error"]
    await kube("DELETE", "/api/v1/namespaces/default/serviceaccounts/app")
    _, gone = await kube("POST", review, {"spec": {"token": token, "audiences": ["vault"]}})
    assert "authenticated" not in gone["status"]
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    assert (await kube("POST", path, {"spec": {"expirationSeconds": 60}}))[0] == 422


async def test_the_administrator_may_ask_in_the_name_of_another(kube: Client) -> None:
    await account_token(kube)
    other = kube.with_headers(Impersonate_User="system:serviceaccount:default:app")
    assert (await other("GET", SECRETS))[0] == 403
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    asked = {"spec": {"resourceAttributes": {"verb": "get", "resource": "secrets", "namespace": "default"}}}
    assert (await kube("POST", review, asked))[1]["status"] == {"allowed": True}
    assert (await other("POST", review, asked))[1]["status"] == {"allowed": False}


@pytest.mark.parametrize(
    ("urls", "verbs", "allowed"),
    [
        (["/metrics"], ["get"], True),
        (["/metr*"], ["*"], True),
        (["/metrics"], ["post"], False),
        (["/other"], ["get"], False),
        (["/metrics/*"], ["get"], False),
    ],
)
async def test_a_path_that_belongs_to_no_resource_takes_a_rule_of_its_own(
    kube: Client, urls: list[str], verbs: list[str], allowed: bool
) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    meta = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "scrapes"}}
    role = {"kind": "ClusterRole", **meta, "rules": [{"nonResourceURLs": urls, "verbs": verbs}]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scrapes"}
    subject = {"kind": "ServiceAccount", "namespace": "m", "name": "p"}
    binding = {"kind": "ClusterRoleBinding", **meta, "roleRef": reference, "subjects": [subject]}
    assert (await kube("POST", f"{rbac}/clusterroles", role))[0] == 201
    assert (await kube("POST", f"{rbac}/clusterrolebindings", binding))[0] == 201
    review = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    asked = {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}
    for user, may in (("system:serviceaccount:m:p", allowed), ("system:serviceaccount:m:q", False)):
        assert (await kube("POST", review, {"spec": {"user": user, **asked}}))[1]["status"] == {"allowed": may}
    assert (await kube("POST", review, {"spec": {"user": "u"}}))[0] == 422


async def test_a_watch_can_begin_with_what_is_there(kube: Client) -> None:
    await kube("POST", SECRETS, secret("s"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with kube.open("GET", f"{SECRETS}?{query}") as response:
        events = [json.loads(await response.content.readline()) for _ in range(2)]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
