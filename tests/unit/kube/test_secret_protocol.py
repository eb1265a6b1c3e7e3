"""The write protocol as tables: what is there, what is wanted, what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.secret_plans import DEPLOYMENT, FOREIGN, MINE, OURS, PLAN, RETAIN
from vso.core.errors import ConfigError, Reason, TransientError, VsoError
from vso.kube.labels import CONSTANT_LABELS, OWNER_UID_LABEL, owner_labels
from vso.kube.secret_plan import Recorded, SecretPlan, Seen
from vso.kube.secret_protocol import (
    Answer,
    AnyAnswer,
    Delete,
    Finish,
    Label,
    Look,
    Post,
    Prepare,
    PutData,
    Step,
    Task,
    advance,
    begin,
    judge,
    may_take_away,
)

OTHERS = {**OURS, "name": "other", "uid": "cr-2"}
MARKED = replace(PLAN, mark=("from", "kv/app@1"))
OVERWRITE = replace(PLAN, overwrite=True)
DATA_ONLY = replace(PLAN, own=False)
RETAINED = replace(MINE, owners=())
THEIRS = Seen("s-1", "7", labels=owner_labels("cr-2"), owners=(OTHERS,))
THEIRS_RETAINED = replace(THEIRS, owners=())


def alive(_namespace: str, uid: str) -> str | None:
    return {"cr-2": "VaultStaticSecret app/other"}.get(uid)


def nobody(_namespace: str, _uid: str) -> str | None:
    return None


@pytest.mark.parametrize(
    ("seen", "plan", "expected"),
    [
        pytest.param(MINE, PLAN, "adopted", id="our labels and our owner"),
        pytest.param(MINE, OVERWRITE, "adopted", id="adopted, not taken over, also with overwrite"),
        pytest.param(replace(MINE, labels=owner_labels("cr-1")), PLAN, "adopted", id="as the reference writes them"),
        pytest.param(RETAINED, RETAIN, "adopted", id="retained: the label alone"),
        pytest.param(MINE, RETAIN, "adopted", id="retained now, owned before"),
        pytest.param(FOREIGN, OVERWRITE, "taken-over", id="foreign with overwrite"),
        pytest.param(RETAINED, OVERWRITE, "taken-over", id="our label without an owner, with overwrite"),
        pytest.param(FOREIGN, DATA_ONLY, "patched", id="create=false writes into a foreign one"),
        pytest.param(MINE, DATA_ONLY, "patched", id="create=false after create=true"),
    ],
)
def test_what_may_be_written(seen: Seen, plan: SecretPlan, expected: str) -> None:
    assert judge(seen, plan, alive) == expected


@pytest.mark.parametrize(
    ("seen", "plan"),
    [
        pytest.param(FOREIGN, PLAN, id="foreign without overwrite"),
        pytest.param(replace(FOREIGN, owners=(DEPLOYMENT,)), PLAN, id="owned by a workload"),
        pytest.param(RETAINED, PLAN, id="our label without the owner"),
        pytest.param(replace(MINE, owners=(OURS, DEPLOYMENT)), PLAN, id="a second owner"),
        pytest.param(replace(MINE, owners=(DEPLOYMENT,)), RETAIN, id="retained, but owned by a workload"),
        pytest.param(replace(MINE, labels={**CONSTANT_LABELS}), PLAN, id="without the uid label"),
        pytest.param(replace(MINE, labels={OWNER_UID_LABEL: "cr-1"}), PLAN, id="the uid label alone"),
        pytest.param(THEIRS, PLAN, id="of another object"),
        pytest.param(THEIRS, OVERWRITE, id="of another object, overwrite does not help"),
        pytest.param(THEIRS_RETAINED, OVERWRITE, id="retained by another object that lives"),
        pytest.param(THEIRS_RETAINED, RETAIN, id="retained by another object that lives, wanted as retained"),
        pytest.param(replace(THEIRS, labels={}), OVERWRITE, id="owner of ours under stripped labels"),
        pytest.param(THEIRS, DATA_ONLY, id="create=false does not write into another object's"),
    ],
)
def test_conflicts(seen: Seen, plan: SecretPlan) -> None:
    with pytest.raises(ConfigError) as caught:
        judge(seen, plan, alive)
    assert caught.value.reason is Reason.DESTINATION_CONFLICT
    assert "app/db-creds" in caught.value.message


def test_a_conflict_says_whose_the_secret_is() -> None:
    with pytest.raises(ConfigError, match="belongs to VaultStaticSecret app/other"):
        judge(THEIRS, OVERWRITE, alive)


def test_what_a_dead_object_retained_is_adopted_by_its_successor() -> None:
    assert judge(THEIRS_RETAINED, RETAIN, nobody) == "adopted"
    assert judge(THEIRS_RETAINED, OVERWRITE, nobody) == "taken-over"
    with pytest.raises(ConfigError):
        judge(THEIRS_RETAINED, PLAN, nobody)


def test_of_what_was_written_before_the_owner_reference_is_enough() -> None:
    bare, forged = replace(MINE, labels={}), replace(MINE, labels={**MINE.labels, OWNER_UID_LABEL: "of-nobody"})
    assert judge(bare, PLAN, alive, "s-1") == "adopted"
    assert judge(forged, PLAN, nobody, "s-1") == "adopted"
    taken = replace(forged, labels=owner_labels("cr-2"))
    for seen, known in ((taken, "s-1"), (bare, ""), (FOREIGN, "s-1"), (replace(RETAINED, labels={}), "s-1")):
        with pytest.raises(ConfigError):
            judge(seen, PLAN, alive, known)


def test_a_retained_secret_that_lost_its_labels_is_told_apart_from_a_foreign_one() -> None:
    lost = f"by the status it is this object's, but its label {OWNER_UID_LABEL}=cr-1 is missing: put it back, "
    for seen, known, told in (
        (replace(RETAINED, labels=CONSTANT_LABELS), "s-1", lost),
        (replace(RETAINED, labels=CONSTANT_LABELS), "", ""),
        (replace(RETAINED, labels=CONSTANT_LABELS), "s-0", ""),
        (replace(RETAINED, labels=CONSTANT_LABELS, owners=(DEPLOYMENT,)), "s-1", ""),
    ):
        with pytest.raises(ConfigError, match="exists and is not ours") as caught:
            judge(seen, RETAIN, alive, known)
        assert (lost in caught.value.message) is bool(told)
    with pytest.raises(ConfigError) as caught:
        judge(replace(RETAINED, labels={}), RETAIN, alive, "s-1")
    assert all(f"{key}={value}" in caught.value.message for key, value in owner_labels("cr-1").items())
    assert "its labels " in caught.value.message


@pytest.mark.parametrize(
    ("seen", "plan", "expected"),
    [
        pytest.param(MINE, PLAN, True, id="ours"),
        pytest.param(replace(MINE, labels={}), PLAN, True, id="ours by its owner reference"),
        pytest.param(replace(MINE, owners=()), RETAIN, True, id="ours by its label"),
        pytest.param(replace(MINE, uid="s-2"), PLAN, False, id="another one of that name"),
        pytest.param(FOREIGN, PLAN, False, id="nobody's"),
        pytest.param(THEIRS, PLAN, False, id="another object's"),
        pytest.param(FOREIGN, DATA_ONLY, True, id="nobody's, with create=false"),
        pytest.param(THEIRS, DATA_ONLY, False, id="another object's, with create=false"),
    ],
)
def test_what_may_be_taken_away(seen: Seen, plan: SecretPlan, *, expected: bool) -> None:
    assert may_take_away(seen, plan, "s-1", alive) is expected


@pytest.mark.parametrize("seen", [THEIRS, replace(MINE, deleting=True), replace(FOREIGN, deleting=True)])
def test_what_is_about_to_go_is_waited_for(seen: Seen) -> None:
    with pytest.raises(TransientError):
        judge(seen, OVERWRITE, nobody)


def test_without_knowledge_every_owner_counts_as_alive() -> None:
    with pytest.raises(ConfigError):
        judge(THEIRS_RETAINED, RETAIN)


@pytest.mark.parametrize(
    ("plan", "recorded", "expected"),
    [
        (PLAN, None, Post()),
        (PLAN, Recorded("", ""), Post()),
        (PLAN, Recorded("s-1", "5"), PutData("s-1", "patched", of=PLAN.owner_uid)),
        (DATA_ONLY, None, Look()),
        (DATA_ONLY, Recorded("s-1", "5"), Look()),
    ],
)
def test_the_first_step(plan: SecretPlan, recorded: Recorded | None, expected: Step) -> None:
    assert begin(plan, recorded) == expected


TASK = Task(PLAN, metadata_changed=False, may_delete=False)
DELETING = replace(TASK, may_delete=True)
BORROWED = replace(TASK, plan=DATA_ONLY)
PATCH = PutData("s-1", "patched")


@pytest.mark.parametrize(
    ("step", "answer", "task", "expected"),
    [
        pytest.param(Post(), Answer.Exists(), TASK, Look(), id="409 asks whose it is"),
        pytest.param(Look(), Answer.There(MINE), TASK, PutData("s-1", "adopted"), id="ours is adopted"),
        pytest.param(
            Look(),
            Answer.There(MINE),
            replace(TASK, plan=MARKED),
            PutData("s-1", "adopted", marked=False),
            id="ours is adopted and not marked for that",
        ),
        pytest.param(
            Look(),
            Answer.There(MINE),
            replace(TASK, plan=MARKED, known_uid="s-1"),
            PutData("s-1", "adopted"),
            id="what we wrote before is marked",
        ),
        pytest.param(
            Look(),
            Answer.There(replace(MINE, annotations={})),
            replace(TASK, plan=replace(MARKED, mark_adopted=True)),
            Prepare({"metadata": {"uid": "s-1", "annotations": {"from": ""}}}, PutData("s-1", "adopted")),
            id="without annotations it is prepared",
        ),
        pytest.param(
            Prepare({}, PutData("s-1", "adopted")),
            Answer.There(MINE),
            replace(TASK, plan=MARKED),
            PutData("s-1", "adopted"),
            id="and then written",
        ),
        pytest.param(Look(), Answer.Absent(), TASK, Post(), id="gone meanwhile, post again"),
        pytest.param(Look(), Answer.There(FOREIGN), BORROWED, PATCH, id="create=false learns the uid"),
        pytest.param(PATCH, Answer.Absent(), TASK, Post(), id="404 means deleted, post"),
        pytest.param(PATCH, Answer.Another(), TASK, Post(), id="another uid, begin again"),
        pytest.param(PATCH, Answer.Another(), BORROWED, Look(), id="another uid with create=false, look again"),
        pytest.param(PATCH, Answer.Fixed(), DELETING, Delete("s-1"), id="another type, with delete"),
        pytest.param(Delete("s-1"), Answer.There(MINE), DELETING, Post(), id="deleted, then created"),
        pytest.param(Delete("s-1"), Answer.Absent(), DELETING, Post(), id="deleted by somebody, then created"),
        pytest.param(Label({}, "adopted"), Answer.Another(), TASK, Post(), id="re-created before the labels"),
    ],
)
def test_the_next_step(step: Step, answer: AnyAnswer, task: Task, expected: Step) -> None:
    assert advance(step, answer, task) == expected


@pytest.mark.parametrize(
    ("step", "task", "outcome"),
    [
        pytest.param(Post(), TASK, "created", id="created"),
        pytest.param(PATCH, TASK, "patched", id="patched"),
        pytest.param(PATCH, replace(TASK, metadata_changed=True), "patched", id="metadata is right already"),
        pytest.param(PutData("s-1", "adopted"), TASK, "adopted", id="adopted as it is"),
        pytest.param(Label({}, "taken-over"), TASK, "taken-over", id="taken over"),
    ],
)
def test_it_is_finished(step: Step, task: Task, outcome: str) -> None:
    done = advance(step, Answer.There(MINE), task)
    assert isinstance(done, Finish)
    assert (done.written.outcome, done.written.uid, done.written.resource_version) == (outcome, "s-1", "7")


@pytest.mark.parametrize(
    ("step", "seen", "task", "labelled"),
    [
        pytest.param(PATCH, FOREIGN, TASK, False, id="not when our metadata did not change"),
        pytest.param(PATCH, FOREIGN, replace(TASK, metadata_changed=True), True, id="when it changed"),
        pytest.param(PutData("s-1", "taken-over"), FOREIGN, TASK, True, id="always after taking over"),
        pytest.param(PATCH, FOREIGN, replace(BORROWED, metadata_changed=True), False, id="never with create=false"),
    ],
)
def test_when_labels_are_written(step: Step, seen: Seen, task: Task, labelled: bool) -> None:
    assert isinstance(advance(step, Answer.There(seen), task), Label) is labelled


@pytest.mark.parametrize(
    ("step", "answer", "task", "reason"),
    [
        pytest.param(Look(), Answer.Absent(), BORROWED, Reason.DESTINATION_MISSING, id="nothing to write into"),
        pytest.param(PATCH, Answer.Absent(), BORROWED, Reason.DESTINATION_MISSING, id="nothing any more"),
        pytest.param(PATCH, Answer.Fixed(), TASK, Reason.TYPE_IMMUTABLE, id="another type, without delete"),
        pytest.param(
            PATCH, Answer.Fixed(), replace(DELETING, plan=DATA_ONLY), Reason.TYPE_IMMUTABLE, id="not ours to delete"
        ),
        pytest.param(Look(), Answer.There(FOREIGN), TASK, Reason.DESTINATION_CONFLICT, id="foreign"),
    ],
)
def test_the_end_without_a_write(step: Step, answer: AnyAnswer, task: Task, reason: Reason) -> None:
    with pytest.raises(VsoError) as caught:
        advance(step, answer, task)
    assert caught.value.reason is reason
    assert caught.value.remedy
