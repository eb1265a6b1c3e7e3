"""The defaults that a VaultAuth takes over from its VaultAuthGlobal.

Invariant: found through the watch caches at each look and remembered only as long as both objects stay what
they are, so that an edit, a new default and a deletion count at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from vso.api.access import VaultAuth, VaultAuthGlobal, VaultAuthGlobalRef, VaultAuthGlobalSpec
from vso.controllers.cache import Caches, Parsed, Reference, Terms
from vso.core.errors import ConfigError, Reason
from vso.core.keys import Kind, ObjectKey
from vso.decide.auth_globals import merge
from vso.decide.references import allowed, global_references, parse_ref

_FIELD = "spec.vaultAuthGlobalRef"
_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Completed:
    """A VaultAuth with everything that it leaves out."""

    auth: VaultAuth
    source: ObjectKey | None = None
    """The VaultAuthGlobal that supplied it; None where the VaultAuth names none."""

    @property
    def name(self) -> str:
        """What to call it in a message about its fields, which may be those of either object."""
        meta = self.auth.metadata
        own = f"VaultAuth {meta.namespace}/{meta.name}"
        return own if self.source is None else f"{own} with the defaults of VaultAuthGlobal {self.source}"


class Defaults:
    """Completes VaultAuths."""

    def __init__(self, caches: Caches, operator_namespace: str, *, allow_default: bool) -> None:
        self._caches = caches
        self._globals = Parsed(caches[Kind.VAULT_AUTH_GLOBAL], VaultAuthGlobal)
        self._operator_namespace = operator_namespace
        self._allow_default = allow_default
        self._kept: dict[ObjectKey, tuple[VaultAuth, VaultAuthGlobal, Completed]] = {}

    def completed(self, auth: VaultAuth, reader: str) -> Completed:
        """Return the VaultAuth with its defaults; ConfigError says why not, to who reads it in namespace `reader`."""
        ref, own = auth.spec.vault_auth_global_ref, _key(auth)
        if ref is None:
            return Completed(auth)
        source, given = self._find(ref, own, reader)
        kept = self._kept.pop(own, None)
        if kept is None or kept[0] is not auth or kept[1] is not given:
            merged = auth.model_copy(update={"spec": merge(auth.spec, given.spec)})
            kept = (auth, given, Completed(merged, source))
        if len(self._kept) >= _LIMIT:
            del self._kept[next(iter(self._kept))]
        self._kept[own] = kept
        return kept[2]

    def _find(self, ref: VaultAuthGlobalRef, auth: ObjectKey, reader: str) -> tuple[ObjectKey, VaultAuthGlobal]:
        """Return the first VaultAuthGlobal that is there of those that the reference could mean."""
        wanted = self._wanted(ref, auth)
        for key in wanted:
            if (found := self._admitting(key, auth, reader)) is not None:
                return key, found
        if len(wanted) == 1:
            namespaces = frozenset({auth.namespace, reader})
            reference = Reference(wanted[0], f"VaultAuth {auth}", _FIELD, namespaces)
            raise self._caches.missing(Kind.VAULT_AUTH_GLOBAL, reference)
        neither = " nor ".join(map(str, wanted))
        raise ConfigError(
            Reason.REFERENCE_NOT_FOUND,
            f"{_FIELD} of VaultAuth {auth} names no VaultAuthGlobal, and neither {neither} exists",
        )

    def _admitting(self, key: ObjectKey, auth: ObjectKey, reader: str) -> VaultAuthGlobal | None:
        def refusal(terms: Terms | VaultAuthGlobalSpec, namespace: str) -> ConfigError | None:
            if allowed(namespace, key, terms.allowed_namespaces, self._operator_namespace):
                return None
            told = f"VaultAuthGlobal {key} does not admit namespace {namespace} of VaultAuth {auth}"
            return ConfigError(Reason.NAMESPACE_NOT_ALLOWED, told)

        found = self._globals.told(key, refusal, auth.namespace, reader)
        if found is not None and (refused := refusal(found.spec, auth.namespace)) is not None:
            raise refused
        return found

    def _wanted(self, ref: VaultAuthGlobalRef, auth: ObjectKey) -> tuple[ObjectKey, ...]:
        if ref.allow_default and not self._allow_default:
            raise ConfigError(
                Reason.INVALID_SPEC,
                f"VaultAuth {auth}: {_FIELD}.allowDefault must not be true: this operator runs without"
                " allow-default-globals among its global-vault-auth-options",
            )
        references = global_references(ref.name or "", ref.namespace or "", allow_default=ref.allow_default is True)
        if not references:
            raise ConfigError(
                Reason.INVALID_SPEC, f"VaultAuth {auth}: {_FIELD}.name must be set unless allowDefault is true"
            )
        keys = (parse_ref(reference, auth.namespace, self._operator_namespace) for reference in references)
        return tuple(dict.fromkeys(keys))


def _key(auth: VaultAuth) -> ObjectKey:
    return ObjectKey(auth.metadata.namespace, auth.metadata.name)
