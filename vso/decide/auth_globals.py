"""What a VaultAuth says once its VaultAuthGlobal has supplied what it leaves out.

Invariant: pure and total: whatever is missing or contradictory after the merge is found where the login is
planned, as with a VaultAuth that says everything itself. What the VaultAuth says wins, field by field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vso.api.access import MergeStrategy, VaultAuthGlobalSpec, VaultAuthSpec
from vso.api.auth_methods import (
    AppRoleAuth,
    AWSAuth,
    AzureAuth,
    CertAuth,
    GCPAuth,
    GenericAuth,
    JWTAuth,
    KubernetesAuth,
    MethodDefaults,
    PasswordAuth,
    TokenAuth,
)
from vso.api.fields import FrozenMap
from vso.api.meta import ApiModel

_BLOCKS: Mapping[str, tuple[str, type[ApiModel]]] = {
    "kubernetes": ("kubernetes", KubernetesAuth),
    "jwt": ("jwt", JWTAuth),
    "appRole": ("app_role", AppRoleAuth),
    "aws": ("aws", AWSAuth),
    "gcp": ("gcp", GCPAuth),
    "azure": ("azure", AzureAuth),
    "cert": ("cert", CertAuth),
    "userpass": ("userpass", PasswordAuth),
    "ldap": ("ldap", PasswordAuth),
    "token": ("token", TokenAuth),
    "generic": ("generic", GenericAuth),
}


def blocks(spec: VaultAuthGlobalSpec) -> Mapping[str, MethodDefaults]:
    """Return the blocks that a VaultAuthGlobal has, by method."""
    found = {method: getattr(spec, field) for method, (field, _) in _BLOCKS.items()}
    return {method: block for method, block in found.items() if block is not None}


def merge(auth: VaultAuthSpec, defaults: VaultAuthGlobalSpec) -> VaultAuthSpec:
    """Return the specification of a VaultAuth with the defaults that it takes over."""
    method = auth.method or defaults.default_auth_method
    given = blocks(defaults).get(method or "")
    own = given or MethodDefaults()
    ref = auth.vault_auth_global_ref
    strategy = (ref.merge_strategy if ref is not None else None) or MergeStrategy()
    update: dict[str, object] = {
        "method": method,
        "mount": auth.mount or own.mount or defaults.default_mount,
        "namespace": auth.namespace or own.namespace or defaults.default_vault_namespace,
        "login_path": auth.login_path or defaults.login_path,
        "vault_connection_ref": auth.vault_connection_ref or defaults.vault_connection_ref,
        "params": _together(strategy.params, auth.params, own.params, defaults.params),
        "headers": _together(strategy.headers, auth.headers, own.headers, defaults.headers, same=str.lower),
    }
    if method is not None and given is not None:
        field, model = _BLOCKS[method]
        update[field] = _block(model, getattr(auth, field), given)
    return auth.model_copy(update=update)


def _block(model: type[ApiModel], own: ApiModel | None, given: MethodDefaults) -> ApiModel:
    """Return a method's block: of each field the VaultAuth's value where it has one, else the default's."""
    values = {name: getattr(given, name) for name in model.model_fields}
    if own is not None:
        said = {name: getattr(own, name) for name in own.model_fields_set}
        values.update({name: value for name, value in said.items() if not _empty(value)})
    return model.model_validate(values)


def _empty(value: object) -> bool:
    # Neither false nor zero: who writes those means them.
    return value is None or (isinstance(value, str | tuple | Mapping) and not value)


def _together(
    strategy: str | None, *nearest_first: Mapping[str, str], same: Callable[[str], str] = str
) -> Mapping[str, str]:
    """Return params or headers of the VaultAuth, its method's defaults and the general ones, put together."""
    match strategy:
        case "union":
            taken: dict[str, tuple[str, str]] = {}
            for pairs in nearest_first:
                for name, value in pairs.items():
                    taken.setdefault(same(name), (name, value))
            return FrozenMap(dict(taken.values()))
        case "replace":
            return next((pairs for pairs in nearest_first if pairs), FrozenMap())
        case _:
            return nearest_first[0]
