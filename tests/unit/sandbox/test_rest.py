from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from vso.api.crds import crd
from vso.core.keys import Kind
from vso.sandbox.objects import meta
from vso.sandbox.patches import merge
from vso.sandbox.resources import CRDS, NAMESPACES, SECRETS, Registry, Resource
from vso.sandbox.rest import Options, Rest
from vso.sandbox.status import ApiError
from vso.sandbox.storage import ExpiredVersionError, Ref, Storage

PLAIN = Options()
VSS_SPEC = {"mount": "kv", "type": "kv-v2", "path": "app", "destination": {"name": "app"}}


@pytest.fixture
def rest() -> Rest:
    rest = Rest(Storage(window=5), Registry(), FakeClock(), random.Random(1))
    rest.create(NAMESPACES, "", body("Namespace", "team"))
    rest.create(CRDS, "", crd(Kind.VAULT_STATIC_SECRET))
    return rest


def body(kind: str, name: str, **more: Any) -> dict[str, Any]:
    version = "secrets.hashicorp.com/v1beta1" if kind.startswith("Vault") else "v1"
    about = {"name": name} | more.pop("metadata", {})
    return {"apiVersion": version, "kind": kind, "metadata": about} | more


def vss(rest: Rest) -> Resource:
    found = rest.registry.get("vaultstaticsecrets.secrets.hashicorp.com")
    assert found is not None
    return found


def secret(rest: Rest, name: str = "s", **more: Any) -> dict[str, Any]:
    return rest.create(SECRETS, "team", body("Secret", name, **more)).object


def change(
    rest: Rest, resource: Resource, name: str, patch: dict[str, Any], options: Options = PLAIN
) -> dict[str, Any]:
    ref = Ref(resource.qualified, "team", name)
    return rest.patch(resource, ref, lambda old: dict(merge(old, patch)), options).object


def test_a_write_that_changes_nothing_keeps_the_version(rest: Rest) -> None:
    created = secret(rest, data={"a": "eA=="})
    assert change(rest, SECRETS, "s", {"data": {"a": "eA=="}}) == created


def test_string_data_is_merged_into_data(rest: Rest) -> None:
    created = secret(rest, data={"a": "eA=="}, stringData={"b": "y"})
    assert created["data"] == {"a": "eA==", "b": "eQ=="}
    assert "stringData" not in created


@pytest.mark.parametrize(
    ("more", "code", "part"),
    [
        ({"data": {"a": "!"}}, 400, "illegal base64 data at input byte 0"),
        ({"data": {"a b": "eA=="}}, 422, "data[a b]: Invalid value"),
        (
            {"data": {"a": base64.b64encode(bytes((1 << 20) + 1)).decode()}},
            422,
            "Too long: may not be more than 1048576 bytes",
        ),
        ({"type": "kubernetes.io/tls"}, 422, "data[tls.crt]: Required value"),
        ({"metadata": {"name": "No"}}, 422, "metadata.name: Invalid value"),
        ({"metadata": {"labels": {"a": "b c"}}}, 422, "metadata.labels: Invalid value"),
        ({"metadata": {"namespace": "other"}}, 400, "does not match the namespace"),
    ],
)
def test_a_secret_that_is_refused(rest: Rest, more: dict[str, Any], code: int, part: str) -> None:
    with pytest.raises(ApiError) as refused:
        secret(rest, **more)
    assert (refused.value.code, part in refused.value.message) == (code, True)


def test_the_type_of_a_secret_is_immutable(rest: Rest) -> None:
    secret(rest)
    with pytest.raises(ApiError, match='type: Invalid value: "x": field is immutable') as refused:
        change(rest, SECRETS, "s", {"type": "x"})
    assert refused.value.code == 422


def test_a_write_from_an_outdated_copy_conflicts(rest: Rest) -> None:
    created = secret(rest)
    change(rest, SECRETS, "s", {"data": {"a": "eA=="}})
    with pytest.raises(ApiError, match="the object has been modified") as refused:
        change(rest, SECRETS, "s", {"metadata": {"resourceVersion": meta(created)["resourceVersion"]}})
    assert refused.value.reason == "Conflict"


def test_dry_run_stores_nothing(rest: Rest) -> None:
    secret(rest)
    before = rest.storage.version
    dry = Options(dry_run=True)
    assert change(rest, SECRETS, "s", {"data": {"a": "eA=="}}, dry)["data"] == {"a": "eA=="}
    rest.create(SECRETS, "team", body("Secret", "t"), dry)
    assert rest.storage.version == before


def test_generation_counts_the_spec_alone_and_status_has_a_door_of_its_own(rest: Rest) -> None:
    created = rest.create(
        vss(rest), "team", body("VaultStaticSecret", "v", spec=VSS_SPEC, status={"error": "x"})
    ).object
    assert (meta(created)["generation"], created["status"]) == (1, {"observedGeneration": -1})
    labelled = change(rest, vss(rest), "v", {"metadata": {"labels": {"a": "b"}}, "status": {"observedGeneration": 9}})
    assert (meta(labelled)["generation"], labelled["status"]) == (1, {"observedGeneration": -1})
    status = {"status": {"observedGeneration": 1}, "spec": {"path": "other"}, "metadata": {"labels": {"c": "d"}}}
    reported = change(rest, vss(rest), "v", status, Options(subresource="status"))
    assert reported["status"]["observedGeneration"] == 1
    assert (reported["spec"], meta(reported)["labels"]) == (labelled["spec"], {"a": "b"})
    assert meta(change(rest, vss(rest), "v", {"spec": {"path": "other"}}))["generation"] == 2


def test_a_finalizer_holds_the_object_until_it_is_taken_off(rest: Rest) -> None:
    secret(rest, metadata={"finalizers": ["x/y"]})
    kept = rest.delete(SECRETS, Ref("secrets", "team", "s"), {})
    assert kept is not None
    assert meta(kept)["deletionTimestamp"]
    change(rest, SECRETS, "s", {"metadata": {"finalizers": None}})
    assert rest.storage.get(Ref("secrets", "team", "s")) is None


@pytest.mark.parametrize(("policy", "left"), [("Background", False), ("Orphan", True)])
def test_an_owned_object_goes_with_its_owner(rest: Rest, policy: str, left: bool) -> None:
    owner = rest.create(vss(rest), "team", body("VaultStaticSecret", "v", spec=VSS_SPEC)).object
    reference = {"apiVersion": "x/v1", "kind": "X", "name": "v", "uid": meta(owner)["uid"]}
    secret(rest, metadata={"ownerReferences": [reference]})
    rest.delete(vss(rest), Ref(vss(rest).qualified, "team", "v"), {"propagationPolicy": policy})
    assert (rest.storage.get(Ref("secrets", "team", "s")) is not None) is left


def test_an_owner_that_never_was_takes_the_object_along(rest: Rest) -> None:
    secret(rest, metadata={"ownerReferences": [{"apiVersion": "x/v1", "kind": "X", "name": "v", "uid": "u"}]})
    assert rest.storage.get(Ref("secrets", "team", "s")) is None


def test_a_terminating_namespace_takes_nothing_new_and_ends_when_empty(rest: Rest) -> None:
    secret(rest, metadata={"finalizers": ["x/y"]})
    secret(rest, "t")
    rest.delete(NAMESPACES, Ref("namespaces", "", "team"), {})
    assert rest.storage.get(Ref("secrets", "team", "t")) is None
    with pytest.raises(ApiError, match="because it is being terminated") as refused:
        secret(rest, "u")
    assert refused.value.body()["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    change(rest, SECRETS, "s", {"metadata": {"finalizers": None}})
    assert rest.storage.get(Ref("namespaces", "", "team")) is None


def test_deleting_a_definition_deletes_its_objects(rest: Rest) -> None:
    resource = vss(rest)
    rest.create(resource, "team", body("VaultStaticSecret", "v", spec=VSS_SPEC))
    rest.delete(CRDS, Ref(CRDS.qualified, "", resource.qualified), {})
    assert rest.storage.get(Ref(resource.qualified, "team", "v")) is None
    assert rest.registry.get(resource.qualified) is None


def test_strict_validation_names_the_unknown_field(rest: Rest) -> None:
    manifest = body("VaultStaticSecret", "v", spec=VSS_SPEC | {"foo": 1})
    with pytest.raises(ApiError, match=r'strict decoding error: unknown field "spec.foo"'):
        rest.create(vss(rest), "team", manifest, Options(validation="Strict"))
    written = rest.create(vss(rest), "team", manifest)
    assert written.warnings == ('unknown field "spec.foo"',)
    assert "foo" not in written.object["spec"]


def test_history_is_bounded_and_can_be_forgotten(rest: Rest) -> None:
    start = rest.storage.version
    for number in range(7):
        secret(rest, f"s{number}")
    with pytest.raises(ExpiredVersionError):
        rest.storage.feed("secrets", start)
    rest.storage.feed("secrets", rest.storage.version - 3)
    now = rest.storage.compact()
    with pytest.raises(ExpiredVersionError):
        rest.storage.feed("secrets", now - 1)
    rest.storage.feed("secrets", now)
