"""The write protocol of destination Secrets as a state machine without I/O.

Invariant: pure. `begin` names the first step, `advance` the one that follows from an answer, and
`Finish` ends it; the requests themselves are made in `vso.kube.secrets`. A Secret that belongs to
another of our objects is never touched, and one that belongs to nobody only with `overwrite`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias, assert_never

from vso.core.errors import ConfigError, Reason, TransientError
from vso.core.keys import GROUP
from vso.kube.json import JsonObject
from vso.kube.labels import CONSTANT_LABELS, OWNER_UID_LABEL, owner_labels
from vso.kube.secret_plan import Outcome, Recorded, SecretPlan, Seen, Written, meta_digest, metadata_patch


@dataclass(frozen=True, slots=True)
class Post:
    """Create the Secret."""


@dataclass(frozen=True, slots=True)
class Look:
    """Ask for the metadata by a merge patch that changes nothing, as a dry run."""


@dataclass(frozen=True, slots=True)
class PutData:
    """Replace the data of the Secret with that uid."""

    uid: str
    outcome: Outcome
    marked: bool = True
    of: str = ""
    """The owner's uid that the Secret must bear; empty where it was looked at before."""


@dataclass(frozen=True, slots=True)
class Label:
    """Correct our labels, annotations and owner reference by a merge patch."""

    body: JsonObject
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Prepare:
    """Give the Secret its first annotation: a JSON Patch cannot add one where there is none yet."""

    body: JsonObject
    then: PutData


@dataclass(frozen=True, slots=True)
class Delete:
    """Make room for a Secret of another type."""

    uid: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do."""

    written: Written


Request: TypeAlias = Post | Look | PutData | Label | Prepare | Delete
Step: TypeAlias = Request | Finish


class Answer:
    """What the API server said to a step, where it was no failure of the step itself."""

    @dataclass(frozen=True, slots=True)
    class There:
        """The Secret, after the step."""

        seen: Seen

    @dataclass(frozen=True, slots=True)
    class Exists:
        """A Secret of that name is there already."""

    @dataclass(frozen=True, slots=True)
    class Absent:
        """There is none of that name."""

    @dataclass(frozen=True, slots=True)
    class Another:
        """There is one of that name with another uid."""

    @dataclass(frozen=True, slots=True)
    class Fixed:
        """Its type, or all of it, cannot be changed."""


AnyAnswer: TypeAlias = Answer.There | Answer.Exists | Answer.Absent | Answer.Another | Answer.Fixed

OwnerOf: TypeAlias = Callable[[str, str], str | None]
"""Names the living object of ours in a namespace that has a uid; None when there is none."""


def somebody(_namespace: str, uid: str) -> str | None:
    """Take every owner for alive: the answer of those who cannot tell."""
    return f"the object with uid {uid}"


@dataclass(frozen=True, slots=True)
class Task:
    """A plan with the circumstances that decide how it is carried out."""

    plan: SecretPlan
    metadata_changed: bool
    may_delete: bool
    owner_of: OwnerOf = somebody
    known_uid: str = ""
    """Of the Secret that the object wrote before; empty when it wrote none."""


def begin(plan: SecretPlan, recorded: Recorded | None) -> Step:
    """Return the first step.

    What a status records may be of anybody's making: the Secret itself has to name its owner, and one that
    bears no name of ours is looked at first.
    """
    if not plan.own:
        return Look()
    if recorded is not None and recorded.uid:
        return PutData(recorded.uid, "patched", of=plan.owner_uid)
    return Post()


def advance(step: Step, answer: AnyAnswer, task: Task) -> Step:
    """Return the step that follows; a VsoError when there is none."""
    match answer:
        case Answer.There(seen):
            return _after_success(step, seen, task)
        case Answer.Exists():
            return Look()
        case Answer.Absent():
            if not task.plan.own:
                raise missing(task.plan)
            return Post()
        case Answer.Another():
            # Somebody re-created it: what is recorded means nothing any more, begin again.
            return begin(task.plan, None)
        case Answer.Fixed():
            if isinstance(step, PutData) and task.may_delete and task.plan.own:
                return Delete(step.uid)
            raise _unchangeable(task.plan)
        case _:
            assert_never(answer)


def _after_success(step: Step, seen: Seen, task: Task) -> Step:
    plan = task.plan
    match step:
        case Post():
            return Finish(_written(plan, seen, "created"))
        case Look():
            return _over(seen, PutData(seen.uid, judge(seen, plan, task.owner_of, task.known_uid)), task)
        case Prepare(then=following):
            return following
        case PutData(outcome=outcome, marked=marked):
            body, plan = None, plan if marked else _as_marked(plan, seen)
            if plan.own and (outcome != "patched" or task.metadata_changed):
                body = metadata_patch(seen, plan)
            return Finish(_written(plan, seen, outcome)) if body is None else Label(body, outcome)
        case Label(_, outcome):
            return Finish(_written(plan, seen, outcome))
        case Delete():
            return Post()
        case Finish():
            return step
        case _:
            assert_never(step)


def _as_marked(plan: SecretPlan, seen: Seen) -> SecretPlan:
    """Return the plan with the mark that the Secret has, if it has one: an earlier pass was cut off, say."""
    if plan.mark is None:
        return plan
    name, found = plan.mark[0], seen.annotations.get(plan.mark[0])
    return replace(plan, mark=None if found is None else (name, found))


def _over(seen: Seen, put: PutData, task: Task) -> Step:
    plan = task.plan
    if plan.mark is None:
        return put
    if put.outcome == "adopted" and seen.uid != task.known_uid and not plan.mark_adopted:
        return replace(put, marked=False)
    if seen.annotations:
        return put
    return Prepare({"metadata": {"uid": seen.uid, "annotations": {plan.mark[0]: ""}}}, put)


def judge(seen: Seen, plan: SecretPlan, owner_of: OwnerOf = somebody, known_uid: str = "") -> Outcome:
    """Tell whether a Secret that is there may be written; a ConfigError names whose it is.

    Of one that the object wrote before, its owner reference is enough: somebody may have taken labels off.
    """
    if seen.deleting:
        raise TransientError(Reason.KUBERNETES_CONFLICT, f"{plan} is being deleted; it is created anew afterwards")
    claimant = _other_claimant(seen, plan)
    if not plan.own:
        if claimant and (name := owner_of(plan.namespace, claimant)):
            _conflict(plan, f"belongs to {name}")
        return "patched"
    name = owner_of(plan.namespace, claimant) if claimant else None
    if name:
        _conflict(plan, f"belongs to {name}")
    if seen.uid == known_uid and _owned(seen, plan.owner_uid):
        return "adopted"
    if not claimant:
        return _judge_unclaimed(seen, plan, _lost(seen, plan) if seen.uid == known_uid else "")
    if seen.owners:
        raise TransientError(
            Reason.KUBERNETES_CONFLICT, f"{plan} is of an object that is gone; the garbage collector takes it away"
        )
    if plan.owner is None:
        return "adopted"
    return _take_over(plan, "was retained by an object that is gone")


def _judge_unclaimed(seen: Seen, plan: SecretPlan, lost: str) -> Outcome:
    return "adopted" if _is_ours(seen, plan) else _take_over(plan, f"exists and is not ours{lost}")


def _lost(seen: Seen, plan: SecretPlan) -> str:
    """Return what makes a Secret ours again that we wrote, where its labels are all that says whose it is."""
    if plan.owner is not None or seen.owners:
        return ""
    labels = [f"{key}={value}" for key, value in owner_labels(plan.owner_uid).items() if seen.labels.get(key) != value]
    those = f"label {labels[0]} is" if len(labels) == 1 else f"labels {', '.join(labels)} are"
    again = "it" if len(labels) == 1 else "them"
    return (
        f": by the status it is this object's, but its {those} missing: put {again} back, or set destination.overwrite"
    )


def belongs(seen: Seen, plan: SecretPlan) -> bool:
    """Tell whether a Secret that is there was written for the very object that the plan is of."""
    return not seen.deleting and not _other_claimant(seen, plan) and (not plan.own or _is_ours(seen, plan))


def _is_ours(seen: Seen, plan: SecretPlan) -> bool:
    labelled = all(seen.labels.get(key) == value for key, value in owner_labels(plan.owner_uid).items())
    return labelled and (_owned(seen, plan.owner_uid) or (plan.owner is None and not seen.owners))


def may_take_away(seen: Seen, plan: SecretPlan, uid: str, owner_of: OwnerOf = somebody) -> bool:
    """Tell whether the data of a Secret is the plan's owner's to take away, or its metadata to change.

    Of one that is not ours by name no more is known than that no other object of ours has it.
    """
    if seen.uid != uid:
        return False
    if not plan.own:
        claimant = _other_claimant(seen, plan)
        return not claimant or owner_of(plan.namespace, claimant) is None
    return _owned(seen, plan.owner_uid) or seen.labels.get(OWNER_UID_LABEL) == plan.owner_uid


def is_left(seen: Seen, plan: SecretPlan, uid: str) -> bool:
    """Tell whether a Secret that may not be taken away still has what was written: it never bore our name.

    So one that had its data from us with create=false, before the object asked for a Secret of its own.
    """
    return seen.uid == uid and not _other_claimant(seen, plan)


def _owned(seen: Seen, owner_uid: str) -> bool:
    """Tell whether the Secret's one owner is the object with that uid: its labels somebody may have taken off."""
    return [ref.get("uid") for ref in seen.owners] == [owner_uid]


def _take_over(plan: SecretPlan, why_not: str) -> Outcome:
    if not plan.overwrite:
        _conflict(plan, why_not)
    return "taken-over"


def _other_claimant(seen: Seen, plan: SecretPlan) -> str:
    """Return the uid of another object of ours that the Secret names as its owner."""
    marked = all(seen.labels.get(key) == value for key, value in CONSTANT_LABELS.items())
    named = [str(ref.get("uid", "")) for ref in seen.owners if str(ref.get("apiVersion", "")).startswith(f"{GROUP}/")]
    if marked:
        named.append(seen.labels.get(OWNER_UID_LABEL, ""))
    return next((uid for uid in named if uid and uid != plan.owner_uid), "")


def _conflict(plan: SecretPlan, whose: str) -> NoReturn:
    raise ConfigError(Reason.DESTINATION_CONFLICT, f"{plan} {whose}; nothing was written")


def missing(plan: SecretPlan) -> ConfigError:
    """Return what prevents a write into a Secret that is not ours to create."""
    return ConfigError(Reason.DESTINATION_MISSING, f"{plan} does not exist, and destination.create is false")


def _unchangeable(plan: SecretPlan) -> ConfigError:
    return ConfigError(
        Reason.TYPE_IMMUTABLE, f"{plan} has another type than {plan.type}, or is immutable; neither can be changed"
    )


def _written(plan: SecretPlan, seen: Seen, outcome: Outcome) -> Written:
    return Written(plan.name, seen.uid, seen.resource_version, outcome, meta_digest(plan), seen.set_at)
