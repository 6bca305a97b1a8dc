"""Launches the components, waits for them within limits, notices when one or the owner ends, stops them in order."""

import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from s3sync_local.errors import ComponentError
from s3sync_local.processes import Component, kill_orphans

T = TypeVar("T")

STEP_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.25
DEFAULT_GRACE_SECONDS = 8.0
GRACE_SECONDS = {"local-node": 15.0, "kube-apiserver": 15.0}
STOP_ORDER = (
    ("local-node", "kubelet", "kube-proxy"),
    ("training-operator", "kube-controller-manager", "kube-scheduler", "containerd"),
    ("kube-apiserver",),
    ("etcd",),
)
"""etcd goes after the API server, which hangs for over a minute when it loses it."""


class StopRequested(BaseException):
    """The owner is gone, or somebody sent a signal: stop at once, whatever is under way."""


class Supervisor:
    """The running components of one cluster; owner is the pid whose end raises StopRequested."""

    def __init__(self, logs: Path, owner: int | None) -> None:
        self._logs = logs
        self._owner = os.pidfd_open(owner) if owner is not None else None
        self._components: dict[str, Component] = {}

    def launch(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a component whose output goes to `<name>.log`."""
        self._components[name] = Component(name, argv, self._logs / f"{name}.log", env)

    def restart(self, name: str) -> None:
        """Stop a component, and start it again as it was started."""
        component = self._components.pop(name)
        component.terminate()
        component.wait_or_kill(GRACE_SECONDS.get(name, DEFAULT_GRACE_SECONDS))
        self._components[name] = component.again()

    def pids(self) -> dict[str, int]:
        """Return the components' process ids by name."""
        return {name: component.pid for name, component in self._components.items()}

    def run(self, name: str, argv: Sequence[str], what: str, seconds: float = STEP_SECONDS) -> None:
        """Run a short-lived program to its end; raises ComponentError where it fails or takes too long."""
        self.finish(self.begin(name, argv), what, seconds)

    def begin(self, name: str, argv: Sequence[str]) -> Component:
        """Start a short-lived program beside others; whoever does so calls finish."""
        return Component(name, argv, self._logs / f"{name}.log")

    def finish(self, call: Component, what: str, seconds: float = STEP_SECONDS) -> None:
        """Wait for the program's end; raises ComponentError where it fails or takes too long."""
        try:
            self.until(lambda: call.exit_code() is not None, f"{call.name} {what} did not end", seconds)
        finally:
            call.terminate()
            call.wait_or_kill(DEFAULT_GRACE_SECONDS)
        if call.exit_code():
            raise call.failure(f"{what} failed")

    def until(self, condition: Callable[[], T | None], trouble: str, seconds: float = STEP_SECONDS) -> T:
        """Poll until the condition's value is true and return it; raises ComponentError after so many seconds.

        Trouble starts with the name of the component that is waited for, so that its log can be shown.
        """
        deadline, pause = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
        while not (value := condition()):
            self.check()
            if time.monotonic() > deadline:
                raise self._timed_out(trouble, seconds)
            self.pause(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        return value

    def check(self) -> None:
        """Raise ComponentError where a component has ended."""
        for component in self._components.values():
            if (code := component.exit_code()) is not None:
                raise component.failure(f"ended unexpectedly with exit code {code}")

    def pause(self, seconds: float, also: int | None = None) -> bool:
        """Sleep, but not beyond the owner's end; where another descriptor can be read sooner, return True then."""
        watched = [descriptor for descriptor in (self._owner, also) if descriptor is not None]
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._owner in readable:
            raise StopRequested
        return bool(readable)

    def stop(self) -> None:
        """Stop every component in order, each within its grace, and kill what any of them leaves behind."""
        for names in STOP_ORDER:
            together = [self._components.pop(name) for name in names if name in self._components]
            for component in together:
                component.terminate()
            for component in together:
                component.wait_or_kill(GRACE_SECONDS.get(component.name, DEFAULT_GRACE_SECONDS))
            # A pod that outlives its node would keep the API server waiting for the end of its watches.
            kill_orphans(spare=self.pids().values())
        kill_orphans()

    def _timed_out(self, trouble: str, seconds: float) -> ComponentError:
        name, _, what = trouble.partition(" ")
        if component := self._components.get(name):
            return component.failure(f"{what} within {seconds:.0f} s")
        return ComponentError(f"{trouble} within {seconds:.0f} s")
