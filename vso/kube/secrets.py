"""The requests of the write protocol: create and patch are enough, and no value comes back.

Invariant: every request asks for metadata alone as its answer; what a step's answer means is
decided in `vso.kube.secret_protocol`. A value leaves this module only inside a request body, and an
error that repeats one is stripped of its text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from vso.core.errors import Reason, TerminalError, TransientError, VsoError
from vso.core.sensitive import Sensitive
from vso.kube.client import KubeClient, PatchType
from vso.kube.errors import AlreadyExistsError, ConflictError, InvalidError, NotFoundError
from vso.kube.json import JsonObject
from vso.kube.labels import OWNER_UID_LABEL
from vso.kube.paths import secret_path
from vso.kube.secret_plan import Recorded, SecretPlan, Seen, Written, metadata_patch, seen_in
from vso.kube.secret_protocol import (
    Answer,
    AnyAnswer,
    Delete,
    Finish,
    Label,
    Look,
    OwnerOf,
    Post,
    Prepare,
    PutData,
    Request,
    Task,
    advance,
    begin,
    is_left,
    judge,
    may_take_away,
    missing,
    somebody,
)

__all__ = ["Recorded", "SecretPlan", "SecretWriter", "Written"]

_MOST_STEPS: Final = 8
_REQUIRED_KEY: Final = re.compile(r"data\[([^\]]+)\]")
_JSON_KEYS: Final = frozenset({".dockerconfigjson", ".dockercfg"})
_SHORTEST_QUOTE: Final = 4
_QUOTE: Final = 12


class SecretWriter:
    """Writes destination Secrets.

    `owner_of` names the living object with a uid: with it a conflict says whose the Secret is, and
    a Secret whose owner is gone is told apart from one that is in use.
    """

    def __init__(self, client: KubeClient, *, delete_allowed: bool, owner_of: OwnerOf = somebody) -> None:
        self._client = client
        self._delete_allowed = delete_allowed
        self._owner_of = owner_of

    async def put(self, plan: SecretPlan, *, recorded: Recorded | None, metadata_changed: bool) -> Written:
        """Make the Secret as planned, whatever is there now; raises the VsoError that prevents it."""
        known = recorded.uid if recorded is not None else ""
        task = Task(plan, metadata_changed, self._delete_allowed, self._owner_of, known)
        step = begin(plan, recorded)
        for _ in range(_MOST_STEPS):
            if isinstance(step, Finish):
                return step.written
            with _quoting_nothing(plan.data.values()):
                answer = await self._perform(step, plan)
            step = advance(step, answer, task)
        if isinstance(step, Finish):
            return step.written
        raise TransientError(Reason.KUBERNETES_CONFLICT, f"{plan} is changed by somebody else all the while")

    async def inspect(self, namespace: str, name: str) -> Seen | None:
        """Return the metadata of the Secret, by a patch that changes nothing; None when there is none."""
        path = secret_path(namespace, name)
        try:
            found = await self._client.patch(path, {}, content_type=PatchType.MERGE, metadata_only=True, dry_run=True)
        except NotFoundError:
            return None
        return seen_in(found)

    async def check(self, plan: SecretPlan, known_uid: str) -> None:
        """Raise the VsoError that is known to prevent a write, by a request that changes nothing."""
        seen = await self.inspect(plan.namespace, plan.name)
        if seen is not None:
            judge(seen, plan, self._owner_of, known_uid)
        elif not plan.own:
            raise missing(plan)

    async def relabel(self, plan: SecretPlan, uid: str) -> tuple[Seen, Seen] | None:
        """Make our own metadata right and leave the data alone; return the Secret as it was and as it is now.

        None when the Secret with that uid is gone.
        """
        seen = await self.inspect(plan.namespace, plan.name)
        if seen is None or not may_take_away(seen, plan, uid, self._owner_of):
            return None
        body = metadata_patch(seen, plan) if plan.own else None
        if body is None:
            return seen, seen
        path = secret_path(plan.namespace, plan.name)
        return seen, seen_in(await self._client.patch(path, body, content_type=PatchType.MERGE, metadata_only=True))

    async def empty(self, plan: SecretPlan, uid: str) -> Literal["emptied", "gone", "left"]:
        """Take our data out of the Secret with that uid; its other keys, if any, went with our writes."""
        if (kept_from := await self._kept_from(plan, uid)) is not None:
            return kept_from
        try:
            try:
                await self._put_data(plan.namespace, plan.name, _data_patch(uid, {}))
            except InvalidError as error:
                kept = _required_keys(error)
                if error.test_failed or not kept:
                    raise
                await self._put_data(plan.namespace, plan.name, _data_patch(uid, kept))
        except NotFoundError:
            return "gone"
        except InvalidError as error:
            if error.test_failed:
                return "gone"
            raise
        return "emptied"

    async def delete(self, plan: SecretPlan, uid: str) -> Literal["deleted", "gone", "left"]:
        """Delete the Secret if it still has that uid."""
        if (kept_from := await self._kept_from(plan, uid)) is not None:
            return kept_from
        try:
            await self._client.delete(secret_path(plan.namespace, plan.name), uid=uid)
        except (NotFoundError, ConflictError):
            return "gone"
        return "deleted"

    async def _kept_from(self, plan: SecretPlan, uid: str) -> Literal["gone", "left"] | None:
        """Tell why the Secret may not be taken away: it is another's now, or left as it is; None if it may."""
        seen = await self.inspect(plan.namespace, plan.name)
        if seen is None:
            return "gone"
        if may_take_away(seen, plan, uid, self._owner_of):
            return None
        return "left" if is_left(seen, plan, uid) else "gone"

    async def _perform(self, step: Request, plan: SecretPlan) -> AnyAnswer:
        try:
            return Answer.There(seen_in(await self._send(step, plan)))
        except AlreadyExistsError:
            return Answer.Exists()
        except NotFoundError as error:
            if error.missing == "namespaces":
                raise TerminalError(
                    Reason.NAMESPACE_TERMINATING, f"{plan}: namespace {plan.namespace} is gone"
                ) from None
            return Answer.Absent()
        except InvalidError as error:
            return _meaning(error)
        except ConflictError:
            if isinstance(step, Delete):
                return Answer.Another()
            raise

    async def _send(self, step: Request, plan: SecretPlan) -> JsonObject:
        path = secret_path(plan.namespace, plan.name)
        match step:
            case Post():
                return await self._client.create(secret_path(plan.namespace), _manifest(plan), metadata_only=True)
            case Look():
                return await self._client.patch(
                    path, {}, content_type=PatchType.MERGE, metadata_only=True, dry_run=True
                )
            case PutData():
                return await self._put_data(plan.namespace, plan.name, _patch_of(step, plan))
            case Label(body=patch) | Prepare(body=patch):
                return await self._client.patch(path, patch, content_type=PatchType.MERGE, metadata_only=True)
            case Delete(uid):
                return await self._client.delete(path, uid=uid)

    async def _put_data(self, namespace: str, name: str, body: list[JsonObject]) -> JsonObject:
        path = secret_path(namespace, name)
        return await self._client.patch(path, body, content_type=PatchType.JSON, metadata_only=True)


def _manifest(plan: SecretPlan) -> JsonObject:
    metadata: JsonObject = {"name": plan.name, "namespace": plan.namespace, "labels": plan.wanted_labels()}
    if annotations := plan.wanted_annotations():
        metadata["annotations"] = annotations
    if plan.owner is not None:
        metadata["ownerReferences"] = plan.wanted_owners()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": plan.type, "data": _encoded(plan)}


def _data_patch(uid: str, data: JsonObject, *more: JsonObject) -> list[JsonObject]:
    test: JsonObject = {"op": "test", "path": "/metadata/uid", "value": uid}
    return [test, *more, {"op": "add", "path": "/data", "value": data}]


def _patch_of(step: PutData, plan: SecretPlan) -> list[JsonObject]:
    more: list[JsonObject] = []
    if step.of:
        more.append({"op": "test", "path": f"/metadata/labels/{_pointer(OWNER_UID_LABEL)}", "value": step.of})
    if plan.own:
        # Changes nothing when the type is right; otherwise the server says so, which no metadata does.
        more.append({"op": "add", "path": "/type", "value": plan.type})
    patch = _data_patch(step.uid, _encoded(plan), *more)
    if step.marked and plan.mark is not None:
        # Annotations are there: the Secret was made with this one, or prepared for it.
        name, value = plan.mark
        patch.append({"op": "add", "path": f"/metadata/annotations/{_pointer(name)}", "value": value})
    return patch


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _encoded(plan: SecretPlan) -> JsonObject:
    return {key: base64.b64encode(value.reveal()).decode() for key, value in plan.data.items()}


def _meaning(error: InvalidError) -> AnyAnswer:
    if error.test_failed or any(cause.field == "metadata.uid" for cause in error.causes):
        return Answer.Another()
    fixed = any(
        (cause.field == "type" and cause.reason == "FieldValueInvalid")
        or (cause.field in {"data", "immutable"} and cause.reason == "FieldValueForbidden")
        for cause in error.causes
    )
    if fixed:
        return Answer.Fixed()
    raise error


def _required_keys(error: InvalidError) -> JsonObject:
    """Return empty values for the keys that the Secret's type demands."""
    found = (_REQUIRED_KEY.search(cause.field) for cause in error.causes)
    keys = [match[1] for match in found if match]
    return {key: base64.b64encode(b"{}" if key in _JSON_KEYS else b"").decode() for key in keys}


@contextmanager
def _quoting_nothing(values: Iterable[Sensitive]) -> Iterator[None]:
    """Withhold the words of a webhook or policy that repeat a value of the Secret."""
    try:
        yield
    except VsoError as error:
        if error.reason is Reason.ADMISSION_DENIED and quotes(error.message, values):
            told = "a webhook or policy refused; its words are withheld, since they repeat a value of the Secret"
            raise type(error)(error.reason, told) from None
        raise


def quotes(text: str, values: Iterable[Sensitive]) -> bool:
    """Tell whether the text repeats the beginning of a value, plain or in base64."""
    for value in values:
        raw = value.reveal()
        plain, coded = raw.decode(errors="replace"), base64.b64encode(raw).decode()
        if any(len(form) >= _SHORTEST_QUOTE and form[:_QUOTE] in text for form in (plain, coded)):
            return True
    return False
