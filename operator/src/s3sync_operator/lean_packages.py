"""Packages whose own `__init__` imports far more than is used here; each of their modules is left to be imported alone.

`import kubernetes` loads a second client without asyncio, OAuth, WebSockets and more: 1.2 s of CPU and 300 modules.
Python runs a package's `__init__` before any module of it, so the package is set up here without running it. Nothing
else changes: what is no module of the package is still found, by running its `__init__` after all.
"""

import importlib
import importlib.util
import sys
from importlib.abc import Loader
from types import ModuleType

LEAN = ("kubernetes", "kubernetes.aio")
"""An outer package stands before an inner one."""


class _LeanPackage(ModuleType):
    __loader__: Loader

    def __getattr__(self, name: str) -> object:
        own = f"{self.__name__}.{name}"
        if importlib.util.find_spec(own):
            return importlib.import_module(own)
        self.__class__ = ModuleType  # type: ignore[assignment] # What mypy takes for a property is none.
        self.__loader__.exec_module(self)
        return getattr(self, name)


def set_up() -> None:
    """Make each package one whose modules load alone, unless it is loaded already."""
    for name in LEAN:
        if name not in sys.modules:
            _set_up(name)


def _set_up(name: str) -> None:
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    package = importlib.util.module_from_spec(spec)
    package.__class__ = _LeanPackage
    sys.modules[name] = package
    outer, _, own = name.rpartition(".")
    if outer:
        setattr(sys.modules[outer], own, package)
