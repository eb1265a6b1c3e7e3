"""The write protocol over a socket: which requests go out, and what the Secret is afterwards."""

from __future__ import annotations

import traceback
from dataclasses import replace

import pytest

from tests.fakes.kube_transport import Reply, status
from tests.fakes.secret_bench import CODED, PLAN, Bench
from tests.fakes.secret_plans import OURS
from vso.core.errors import ConfigError, Reason, TerminalError, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.kube.labels import owner_labels
from vso.kube.secrets import Recorded, quotes


async def test_the_first_write_is_one_post(bench: Bench) -> None:
    written = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert bench.sent == ["POST json"]
    assert written.outcome == "created"
    stored = bench.secrets.stored["creds"]
    assert stored["data"] == {"password": CODED}
    assert stored["metadata"]["labels"] == {"team": "a", **owner_labels("cr-1")}
    assert stored["metadata"]["ownerReferences"] == [OURS]
    assert (written.uid, written.resource_version) == (stored["metadata"]["uid"], stored["metadata"]["resourceVersion"])


async def test_a_refresh_is_one_patch_and_moves_nothing_when_equal(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    bench.server.requests.clear()
    again = await bench.writer.put(PLAN, recorded=Recorded(first.uid, first.resource_version), metadata_changed=True)
    assert bench.sent == ["PATCH json"]
    assert again == replace(first, outcome="patched")


async def test_data_is_replaced_whole(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    bench.secrets.stored["creds"]["data"]["extra"] = "eA=="
    await bench.writer.put(PLAN, recorded=Recorded(first.uid, ""), metadata_changed=False)
    assert bench.secrets.stored["creds"]["data"] == {"password": CODED}


async def test_changed_labels_cost_one_merge_patch(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    bench.secrets.stored["creds"]["metadata"]["labels"]["argo"] = "x"
    bench.server.requests.clear()
    plan = replace(PLAN, labels={"tier": "b"}, owner=None)
    await bench.writer.put(plan, recorded=Recorded(first.uid, ""), metadata_changed=True)
    assert bench.sent == ["PATCH json", "PATCH merge"]
    meta = bench.secrets.stored["creds"]["metadata"]
    assert meta["labels"] == {"tier": "b", "argo": "x", **owner_labels("cr-1")}
    assert "ownerReferences" not in meta


async def test_a_deleted_secret_is_posted_again(bench: Bench) -> None:
    written = await bench.writer.put(PLAN, recorded=Recorded("gone", "1"), metadata_changed=False)
    assert bench.sent == ["PATCH json", "POST json"]
    assert written.outcome == "created"


async def test_ours_is_adopted_without_a_change(bench: Bench) -> None:
    labels = {"team": "a", **owner_labels("cr-1")}
    bench.secrets.put("creds", data={"password": CODED}, labels=labels, ownerReferences=[OURS])
    before = bench.secrets.stored["creds"]["metadata"]["resourceVersion"]
    written = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert bench.sent == ["POST json", "PATCH merge dry", "PATCH json"]
    assert (written.outcome, written.resource_version) == ("adopted", before)


async def test_a_foreign_secret_is_not_touched(bench: Bench) -> None:
    bench.secrets.put("creds", data={"theirs": "eA=="})
    before = bench.secrets.stored["creds"]
    with pytest.raises(ConfigError) as caught:
        await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert bench.secrets.stored["creds"] is before
    assert bench.sent == ["POST json", "PATCH merge dry"]


async def test_a_foreign_secret_is_taken_over_with_overwrite(bench: Bench) -> None:
    bench.secrets.put("creds", data={"theirs": "eA=="}, labels={"app": "web"})
    written = await bench.writer.put(replace(PLAN, overwrite=True), recorded=None, metadata_changed=True)
    assert written.outcome == "taken-over"
    stored = bench.secrets.stored["creds"]
    assert stored["data"] == {"password": CODED}
    assert stored["metadata"]["labels"] == {"app": "web", "team": "a", **owner_labels("cr-1")}
    assert stored["metadata"]["ownerReferences"] == [OURS]
    assert written.resource_version == stored["metadata"]["resourceVersion"]


async def test_a_recreated_secret_is_judged_anew(bench: Bench) -> None:
    bench.secrets.put("creds", data={"theirs": "eA=="})
    with pytest.raises(ConfigError) as caught:
        await bench.writer.put(PLAN, recorded=Recorded("old-uid", "1"), metadata_changed=False)
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert bench.sent == ["PATCH json", "POST json", "PATCH merge dry"]


async def test_without_create_only_the_data_is_written(bench: Bench) -> None:
    bench.secrets.put("creds", kind="example.com/own", data={"theirs": "eA=="}, labels={"app": "web"})
    plan = replace(PLAN, own=False)
    written = await bench.writer.put(plan, recorded=None, metadata_changed=True)
    assert bench.sent == ["PATCH merge dry", "PATCH json"]
    stored = bench.secrets.stored["creds"]
    assert (stored["type"], stored["data"], stored["metadata"]["labels"]) == (
        "example.com/own",
        {"password": CODED},
        {"app": "web"},
    )
    bench.server.requests.clear()
    await bench.writer.put(plan, recorded=Recorded(written.uid, ""), metadata_changed=False)
    assert bench.sent == ["PATCH merge dry", "PATCH json"]


async def test_without_create_a_missing_secret_is_reported(bench: Bench) -> None:
    with pytest.raises(ConfigError) as caught:
        await bench.writer.put(replace(PLAN, own=False), recorded=None, metadata_changed=True)
    assert caught.value.reason is Reason.DESTINATION_MISSING
    assert bench.sent == ["PATCH merge dry"]


async def test_another_type_is_refused_or_created_anew(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    plan = replace(PLAN, type="example.com/other")
    recorded = Recorded(first.uid, first.resource_version)
    with pytest.raises(ConfigError) as caught:
        await bench.writer.put(plan, recorded=recorded, metadata_changed=True)
    assert caught.value.reason is Reason.TYPE_IMMUTABLE
    bench.server.requests.clear()
    written = await bench.deleting.put(plan, recorded=recorded, metadata_changed=True)
    assert bench.sent == ["PATCH json", "DELETE json", "POST json"]
    assert written.outcome == "created"
    assert bench.secrets.stored["creds"]["type"] == "example.com/other"


async def test_an_immutable_secret_is_told_like_a_type(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    bench.secrets.stored["creds"]["immutable"] = True
    plan = replace(PLAN, data={"password": Sensitive.of("other-value")})
    with pytest.raises(ConfigError) as caught:
        await bench.writer.put(plan, recorded=Recorded(first.uid, ""), metadata_changed=False)
    assert caught.value.reason is Reason.TYPE_IMMUTABLE


async def test_a_rejection_names_fields_and_no_values(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    bench.secrets.stored["creds"]["type"] = "kubernetes.io/tls"
    plan = replace(PLAN, type="kubernetes.io/tls")
    with pytest.raises(ConfigError) as caught:
        await bench.writer.put(plan, recorded=Recorded(first.uid, ""), metadata_changed=False)
    assert "data[tls.crt]: FieldValueRequired" in caught.value.message
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_an_orphan_is_emptied_once(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert await bench.writer.empty(PLAN, "another") == "gone"
    assert bench.secrets.stored["creds"]["data"]
    assert await bench.writer.empty(PLAN, first.uid) == "emptied"
    assert bench.secrets.stored["creds"]["data"] == {}
    assert await bench.writer.empty(replace(PLAN, name="nothing"), "x") == "gone"


async def test_an_orphan_of_a_demanding_type_keeps_empty_keys(bench: Bench) -> None:
    plan = replace(PLAN, type="kubernetes.io/tls", data={key: Sensitive(b"x") for key in ("tls.crt", "tls.key")})
    first = await bench.writer.put(plan, recorded=None, metadata_changed=True)
    assert await bench.writer.empty(PLAN, first.uid) == "emptied"
    assert bench.secrets.stored["creds"]["data"] == {"tls.crt": "", "tls.key": ""}


async def test_an_orphan_is_deleted_only_while_it_is_the_same(bench: Bench) -> None:
    first = await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert await bench.deleting.delete(PLAN, "another") == "gone"
    assert "creds" in bench.secrets.stored
    assert await bench.deleting.delete(PLAN, first.uid) == "deleted"
    assert await bench.deleting.delete(PLAN, first.uid) == "gone"


async def test_every_write_asks_for_metadata_alone(bench: Bench) -> None:
    await bench.writer.put(PLAN, recorded=Recorded("gone", "1"), metadata_changed=False)
    bench.secrets.put("creds")
    await bench.writer.put(replace(PLAN, overwrite=True), recorded=None, metadata_changed=True)
    accepts = {request.headers["Accept"] for request in bench.server.requests}
    assert accepts == {"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}


async def test_a_secret_that_changes_all_the_while_is_left_for_later(bench: Bench) -> None:
    bench.server.script.extend([status(409, "AlreadyExists"), status(404, "NotFound", kind="secrets")] * 4)
    with pytest.raises(TransientError) as caught:
        await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert caught.value.reason is Reason.KUBERNETES_CONFLICT
    assert len(bench.sent) == 8


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        pytest.param(
            status(403, "Forbidden", "…", causes=[{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]),
            TerminalError,
            Reason.NAMESPACE_TERMINATING,
            id="terminating",
        ),
        pytest.param(
            status(404, "NotFound", 'namespaces "app" not found', kind="namespaces", name="app"),
            TerminalError,
            Reason.NAMESPACE_TERMINATING,
            id="gone",
        ),
        pytest.param(
            status(403, "Forbidden", 'secrets "creds" is forbidden: exceeded quota: q, requested: secrets=1'),
            ConfigError,
            Reason.QUOTA_EXCEEDED,
            id="quota",
        ),
        pytest.param(
            status(409, "Conflict", "Operation cannot be fulfilled on resourcequotas"),
            TransientError,
            Reason.KUBERNETES_CONFLICT,
            id="quota in motion",
        ),
        pytest.param(Reply(503, None), TransientError, Reason.KUBERNETES_UNAVAILABLE, id="away"),
    ],
)
async def test_refusals_have_reasons(bench: Bench, reply: Reply, kind: type[VsoError], reason: Reason) -> None:
    bench.server.script.append(reply)
    with pytest.raises(kind) as caught:
        await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert caught.value.reason is reason
    assert len(bench.sent) == 1


@pytest.mark.parametrize("quoted", ["hunter2-long", CODED])
async def test_a_webhook_that_repeats_a_value_is_not_repeated(bench: Bench, quoted: str) -> None:
    message = f'admission webhook "policy.example.com" denied the request: weak password {quoted}'
    bench.server.script.append(status(403, "Forbidden", message))
    with pytest.raises(ConfigError) as caught:
        await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert caught.value.reason is Reason.ADMISSION_DENIED
    assert quoted not in "".join(traceback.format_exception(caught.value))
    assert "withheld" in caught.value.message


async def test_a_webhook_s_own_words_are_shown(bench: Bench) -> None:
    message = 'admission webhook "policy.example.com" denied the request: label owner is missing'
    bench.server.script.append(status(400, "BadRequest", message))
    with pytest.raises(ConfigError, match=r"policy\.example\.com refused: label owner is missing"):
        await bench.writer.put(PLAN, recorded=None, metadata_changed=True)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("value abcdefgh here", b"abcdefgh", True),
        ("value abcdefghijkl… here", b"abcdefghijklmnop", True),
        ("value YWJjZGVmZ2g= here", b"abcdefgh", True),
        ("a is a letter", b"a", False),
        ("nothing", b"\xff\xfe\x00binary", False),
    ],
)
def test_quotes(text: str, value: bytes, expected: bool) -> None:
    assert quotes(text, [Sensitive(value)]) is expected
