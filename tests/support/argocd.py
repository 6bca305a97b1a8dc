"""Argo CD's Lua for one kind, run as Argo CD runs it: Lua 5.1, and of its libraries `table` and the clock alone.

So util/lua/lua.go of argo-cd v2 and v3 does it (OpenBase, OpenTable, OpenSafeOs): no string library, no files.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lupa import lua51

ARGOCD = Path(__file__).resolve().parents[2] / "deploy/gitops/argocd"
ACTIONS = ("re-run", "suspend", "resume")
_KEPT = frozenset(
    {
        "_G", "_VERSION", "assert", "error", "ipairs", "next", "pairs", "pcall", "print", "rawequal", "rawget",
        "rawset", "select", "setmetatable", "getmetatable", "tonumber", "tostring", "type", "unpack", "xpcall",
        "table", "require", "package",
    }
)  # fmt: skip

Raw = Mapping[str, Any]


class ArgoCD:
    """Runs the scripts of deploy/gitops/argocd; `now` is the clock's, in seconds since 1970."""

    def __init__(self, now: float | None = None) -> None:
        self._now = now

    def health(self, raw: Raw) -> dict[str, str]:
        """Return status and message, as `health.lua` tells them; an object that is deleted never gets there."""
        if raw["metadata"].get("deletionTimestamp"):
            return {"status": "Progressing", "message": "Pending deletion"}
        found: dict[str, str] = self._run("health.lua", raw, {})
        assert found["status"] in ("Healthy", "Progressing", "Degraded", "Suspended"), found
        assert isinstance(found["message"], str), found
        return found

    def offered(self, raw: Raw) -> dict[str, bool]:
        """Return the actions that are offered, and whether each may be taken now."""
        found = self._run("actions/discovery.lua", raw, {})
        return {name: not action.get("disabled", False) for name, action in found.items()}

    def act(self, action: str, raw: Raw) -> dict[str, Any]:
        """Return the object as an action would have it; Argo CD patches by the difference."""
        found: dict[str, Any] = self._run(f"actions/{action}/action.lua", raw, raw)
        return found

    def _run(self, script: str, raw: Raw, model: Raw) -> Any:
        runtime = lua51.LuaRuntime(register_eval=False, register_builtins=False, unpack_returned_tuples=True)
        names = runtime.globals()
        for name in [name for name in names if name not in _KEPT]:
            names[name] = None
        names["package"] = None
        names["require"] = runtime.eval("function(os) return function(name) assert(name == 'os') return os end end")(
            runtime.table_from({"date": self._date, "time": self._time})
        )
        names["obj"] = runtime.table_from(_without_none(raw), recursive=True)
        return _plain(runtime.execute((ARGOCD / script).read_text()), model)

    def _time(self) -> float:
        return time.time() if self._now is None else self._now

    def _date(self, form: str) -> str:
        assert form.startswith("!"), "the local time is that of Argo CD's pod"
        assert {letter for letter in form if form[form.index(letter) - 1] == "%"} <= set("aAbBcdFHImMpPSxXyYzZ")
        return time.strftime(form[1:], time.gmtime(self._time()))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: Any, model: Any) -> Any:
    """Return Lua's value as JSON would have it; whether an empty table is a list, only `model` can tell."""
    if lua51.lua_type(value) != "table":
        return int(value) if isinstance(value, float) and value.is_integer() else value
    names = list(value)
    if names == list(range(1, len(names) + 1)) and (names or isinstance(model, list)):
        return [_plain(value[name], None) for name in names]
    models = model if isinstance(model, Mapping) else {}
    return {name: _plain(item, models.get(name)) for name, item in value.items()}
