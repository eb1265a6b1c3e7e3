"""What stands on a Secret beside its data: the mark of its source, and labels that are put on without the data."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes.secret_bench import CODED, PLAN, Bench
from tests.fakes.secret_plans import OURS
from vso.core.sensitive import Sensitive
from vso.kube.labels import owner_labels
from vso.kube.secrets import Recorded

MARK = "vso.hashicorp.com/source"
MARKED = replace(PLAN, mark=(MARK, "kv/app@1"))


def mark_of(bench: Bench) -> str | None:
    found: str | None = bench.secrets.stored["creds"]["metadata"].get("annotations", {}).get(MARK)
    return found


async def test_the_mark_changes_in_the_same_request_as_the_data(bench: Bench) -> None:
    written = await bench.writer.put(MARKED, recorded=None, metadata_changed=True)
    assert mark_of(bench) == "kv/app@1"
    moved = replace(MARKED, mark=(MARK, "kv/app@2"), data={"password": Sensitive.of("other")})
    await bench.writer.put(moved, recorded=Recorded(written.uid, ""), metadata_changed=False)
    assert bench.sent == ["POST json", "PATCH json"]
    assert mark_of(bench) == "kv/app@2"


async def test_what_is_adopted_is_not_touched_for_its_mark_alone(bench: Bench) -> None:
    bench.secrets.put("creds", labels=owner_labels("cr-1"), ownerReferences=[OURS], data={"password": CODED})
    before = bench.secrets.stored["creds"]
    adopted = await bench.writer.put(replace(MARKED, labels={}), recorded=None, metadata_changed=True)
    assert adopted.outcome == "adopted"
    assert bench.secrets.stored["creds"] == before
    changed = replace(MARKED, labels={}, data={"password": Sensitive.of("other")})
    await bench.writer.put(changed, recorded=Recorded(adopted.uid, ""), metadata_changed=False)
    assert mark_of(bench) == "kv/app@1"


async def test_a_secret_without_annotations_is_prepared_for_a_mark_that_must_be(bench: Bench) -> None:
    bench.secrets.put("creds", labels=owner_labels("cr-1"), ownerReferences=[OURS])
    marked = replace(MARKED, labels={}, mark_adopted=True)
    written = await bench.writer.put(marked, recorded=None, metadata_changed=True)
    assert written.outcome == "adopted"
    assert bench.sent == ["POST json", "PATCH merge dry", "PATCH merge", "PATCH json"]
    assert mark_of(bench) == "kv/app@1"


async def test_a_secret_that_lost_its_annotations_is_prepared_again(bench: Bench) -> None:
    written = await bench.writer.put(MARKED, recorded=None, metadata_changed=True)
    del bench.secrets.stored["creds"]["metadata"]["annotations"]
    await bench.writer.put(MARKED, recorded=Recorded(written.uid, ""), metadata_changed=False)
    assert mark_of(bench) == "kv/app@1"


async def test_a_secret_that_is_not_ours_can_be_marked_too(bench: Bench) -> None:
    bench.secrets.put("creds", annotations={"note": "x"})
    await bench.writer.put(replace(MARKED, own=False, annotations={"no": "y"}), recorded=None, metadata_changed=True)
    assert bench.secrets.stored["creds"]["metadata"]["annotations"] == {"note": "x", MARK: "kv/app@1"}


async def test_looking_at_a_secret_changes_nothing_and_asks_for_no_value(bench: Bench) -> None:
    assert await bench.writer.inspect("app", "creds") is None
    written = await bench.writer.put(
        replace(PLAN, mark=("vso.hashicorp.com/lease", "l1")), recorded=None, metadata_changed=True
    )
    bench.server.requests.clear()
    seen = await bench.writer.inspect("app", "creds")
    assert seen is not None
    assert (seen.uid, seen.resource_version) == (written.uid, written.resource_version)
    assert (seen.annotations["vso.hashicorp.com/lease"], seen.foreign_data) == ("l1", False)
    assert bench.sent == ["PATCH merge dry"]


async def test_new_labels_are_put_on_without_the_data(bench: Bench) -> None:
    marked = replace(PLAN, mark=("vso.hashicorp.com/lease", "l1"))
    first = await bench.writer.put(marked, recorded=None, metadata_changed=True)
    bench.server.requests.clear()
    bare = replace(marked, data={}, labels={"team": "b"})
    done = await bench.writer.relabel(bare, first.uid)
    stored = bench.secrets.stored["creds"]
    assert done is not None
    before, moved = done
    assert (before.uid, before.resource_version) == (first.uid, first.resource_version)
    assert (moved.uid, moved.resource_version) == (first.uid, stored["metadata"]["resourceVersion"])
    assert (stored["data"], stored["metadata"]["labels"]["team"]) == ({"password": CODED}, "b")
    assert stored["metadata"]["annotations"] == {"vso.hashicorp.com/lease": "l1"}
    assert bench.sent == ["PATCH merge dry", "PATCH merge"]
    again = await bench.writer.relabel(bare, first.uid)
    assert again == (moved, moved)
    assert bench.sent[2:] == ["PATCH merge dry"]


async def test_labels_are_put_on_no_other_secret_of_that_name(bench: Bench) -> None:
    assert await bench.writer.relabel(PLAN, "secret-1") is None
    await bench.writer.put(PLAN, recorded=None, metadata_changed=True)
    assert await bench.writer.relabel(replace(PLAN, labels={"team": "b"}), "another-uid") is None
    assert bench.secrets.stored["creds"]["metadata"]["labels"]["team"] == "a"


async def test_a_secret_that_is_not_ours_gets_no_labels(bench: Bench) -> None:
    bench.secrets.put("creds", uid="theirs")
    moved = await bench.writer.relabel(replace(PLAN, own=False), "theirs")
    assert moved is not None
    assert bench.sent == ["PATCH merge dry"]
