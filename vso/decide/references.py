"""Which object a reference means, and who may follow it.

Invariant: the rules of namespaces are here and nowhere else; a reference is never followed by
guessing, a near miss only makes the message better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey

DEFAULT_NAME = "default"
_SEPARATORS = "-."


def parse_ref(text: str | None, default_namespace: str, operator_namespace: str) -> ObjectKey:
    """Return the object that `name` or `namespace/name` means, seen from the referrer's namespace.

    Nothing means the object named default in the operator's namespace.
    """
    if not text:
        return ObjectKey(operator_namespace, DEFAULT_NAME)
    parts = text.split("/")
    if len(parts) > 2 or not all(parts):
        raise ConfigError(Reason.INVALID_REFERENCE, f"the reference {text!r} is neither name nor namespace/name")
    return ObjectKey(default_namespace, text) if len(parts) == 1 else ObjectKey(*parts)


def global_references(name: str, namespace: str, *, allow_default: bool) -> tuple[str, ...]:
    """Return where a VaultAuth looks for its VaultAuthGlobal, in that order, as references for `parse_ref`.

    Without a name it is the one named default, where that is allowed: in the namespace that is given,
    else in the VaultAuth's own and then in the operator's.
    """
    if name:
        return (f"{namespace}/{name}" if namespace else name,)
    if not allow_default:
        return ()
    return (f"{namespace}/{DEFAULT_NAME}",) if namespace else (DEFAULT_NAME, "")


def allowed(
    target_namespace: str, key: ObjectKey, allowed_namespaces: Sequence[str] | None, operator_namespace: str
) -> bool:
    """Tell whether objects of a namespace may use the VaultAuth or VaultAuthGlobal under the key."""
    if key == ObjectKey(operator_namespace, DEFAULT_NAME):
        return True
    return _admitted(target_namespace, key, allowed_namespaces or ())


def shared_login_allowed(target_namespace: str, key: ObjectKey, allowed_namespaces: Sequence[str] | None) -> bool:
    """Tell whether a login that is the operator's own, and not the consumer's, may serve a namespace that is admitted.

    A list that is given holds then for the operator's default too, which anybody uses who names no VaultAuth.
    """
    return not allowed_namespaces or _admitted(target_namespace, key, allowed_namespaces)


def connection_allowed(
    target_namespace: str, key: ObjectKey, allowed_namespaces: Sequence[str] | None, *, certified: bool
) -> bool:
    """Tell whether objects of a namespace may use the VaultConnection; no list at all admits everyone.

    One that shows a client certificate is somebody's identity (`auth/cert`): its own namespace's, without a list.
    """
    if allowed_namespaces is None and not certified:
        return True
    return _admitted(target_namespace, key, allowed_namespaces or ())


def _admitted(target_namespace: str, key: ObjectKey, allowed_namespaces: Sequence[str]) -> bool:
    # "*" stands for everyone only when it stands alone: beside other names it is no name of a namespace.
    everyone = tuple(allowed_namespaces) == ("*",)
    return target_namespace == key.namespace or everyone or target_namespace in allowed_namespaces


def vault_namespace(secret: str | None, auth: str | None, connection: str | None) -> str:
    """Return the Vault namespace of a request: the secret's, else the VaultAuth's, else the VaultConnection's."""
    return secret or auth or connection or ""


def prefixed_twin(name: str, candidates: Iterable[str]) -> str | None:
    """Return the name that kustomize's namePrefix or nameSuffix made of this one, if it is there."""
    twins = [(rank, len(twin), twin) for twin in candidates if (rank := _likeness(name, twin)) is not None]
    return min(twins)[2] if twins else None


def _likeness(name: str, twin: str) -> int | None:
    """Rank how `twin` could come from `name`: 0 by a prefix, 1 a suffix, 2 both, 3 a prefix without a dash."""
    before, found, after = twin.partition(name)
    if not found or twin == name:
        return None
    starts = not before or before[-1] in _SEPARATORS
    ends = not after or after[0] in _SEPARATORS
    if starts and ends:
        return 0 if not after else 1 if not before else 2
    return 3 if twin.endswith(name) else None


def missing_reference(kind: Kind, key: ObjectKey, field: str, candidates: Iterable[str]) -> ConfigError:
    """Return the error for a reference to an object that is not there; `candidates` are names in its namespace."""
    message = f"{field} names {kind} {key}, which does not exist"
    twin = prefixed_twin(key.name, candidates)
    if twin is not None:
        message += (
            f"; {ObjectKey(key.namespace, twin)} does: kustomize renames objects, but the strings that refer to them"
            f" only with the nameReference configuration of the shipped base; add that, or refer to {twin}"
        )
    return ConfigError(Reason.REFERENCE_NOT_FOUND, message)
