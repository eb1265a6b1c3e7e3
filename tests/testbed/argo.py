"""Argo CD's scripts in a real Lua: the health of an object, the actions that its menu offers, and what they change.

Invariant: a script has what Argo CD gives it and no more: Lua 5.1 with the base and table libraries, `os` by
`require` with date and time alone, and text without methods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from lupa import lua51

Json = dict[str, Any]
CUSTOMIZATION = "resource.customizations"
_HEALTHS = {"Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"}
_CONFINE = """\
local safe = { date = os.date, time = os.time }
local base = { "_G", "assert", "error", "getfenv", "getmetatable", "ipairs", "loadstring", "next", "pairs", "pcall",
  "print", "rawequal", "rawget", "rawset", "select", "setfenv", "setmetatable", "table", "tonumber", "tostring", "type",
  "unpack", "xpcall" }
local kept = {}
for _, name in ipairs(base) do kept[name] = true end
debug.setmetatable("", nil)
for name in pairs(_G) do
  if not kept[name] then _G[name] = nil end
end
require = function(name)
  if name == "os" then return safe end
  error("module " .. name .. " not found")
end
"""


@dataclass(frozen=True)
class Health:
    """What Argo CD shows of an object."""

    status: str
    message: str


class Argo:
    """An Argo CD that is configured by one argocd-cm."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self._config = config

    def health(self, obj: Json) -> Health:
        """The health of an object that is not being deleted: that Argo CD decides by itself."""
        assert "deletionTimestamp" not in obj["metadata"]
        found = run(self._config[f"{CUSTOMIZATION}.health.{_key(obj)}"], obj)
        assert found["status"] in _HEALTHS, found
        return Health(found["status"], found.get("message") or "")

    def actions(self, obj: Json) -> dict[str, bool]:
        """The actions of an object, and whether each can be chosen now."""
        found = run(self._actions(obj)["discovery.lua"], obj)
        return {name: not shown.get("disabled", False) for name, shown in found.items()}

    def act(self, obj: Json, action: str) -> Json:
        """The object as an action leaves it."""
        (script,) = [d["action.lua"] for d in self._actions(obj)["definitions"] if d["name"] == action]
        changed: Json = _cleaned(run(script, obj), obj)
        return changed

    def _actions(self, obj: Json) -> Json:
        found: Json = yaml.safe_load(self._config[f"{CUSTOMIZATION}.actions.{_key(obj)}"])
        return found


def run(script: str, obj: Json) -> Any:
    """Run a script on an object and return what it returns."""
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_CONFINE)
    lua.globals()["obj"] = _to_lua(lua, obj)
    return _from_lua(lua.execute(script))


def _key(obj: Json) -> str:
    return f"{obj['apiVersion'].partition('/')[0]}_{obj['kind']}"


def _to_lua(lua: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, inner) for key, inner in value.items() if inner is not None})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, inner) for inner in value])
    return value


def _from_lua(value: Any) -> Any:
    """An empty table is a list, as in Argo CD."""
    if lua51.lua_type(value) != "table":
        return value
    items = dict(value.items())
    if set(items) == set(range(1, len(items) + 1)):
        return [_from_lua(items[number]) for number in sorted(items)]
    return {key: _from_lua(inner) for key, inner in items.items()}


def _cleaned(new: Any, old: Any) -> Any:
    """Lua cannot tell an empty object from an empty list: what was an object is one again."""
    if new == [] and isinstance(old, dict):
        return old
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _cleaned(value, old.get(key)) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [_cleaned(value, old[at] if at < len(old) else None) for at, value in enumerate(new)]
    return new
