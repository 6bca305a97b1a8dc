"""How long each step of a run took, for the report."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path


class Step(StrEnum):
    """The steps of a run, in their order; START is what Python takes until the program's first line.

    DIFF (what changed since the base commit) and FINISH (the manifest) are an atomic sync's.
    """

    START = "start"
    PLAN = "plan"
    PROBE = "probe"
    DIFF = "diff"
    LOAD = "load"
    COPY = "copy"
    LIST = "list"
    VERIFY = "verify"
    FINISH = "finish"


class Steps:
    """Collects the seconds of each step of one run; a step that is not reached is absent.

    One thread takes the steps; any thread may ask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[Step, float] = {}
        self._running: tuple[Step, float] | None = None
        with suppress(OSError, ValueError, IndexError):
            self._seconds[Step.START] = process_age()

    def snapshot(self) -> dict[Step, float]:
        """Return the seconds by step; of one that is still running, those until now."""
        with self._lock:
            found = dict(self._seconds)
            if self._running:
                step, started = self._running
                found[step] = found.get(step, 0.0) + time.monotonic() - started
            return found

    @contextmanager
    def timed(self, step: Step) -> Iterator[None]:
        """Add the time that the block takes to the step, also where it fails."""
        started = time.monotonic()
        with self._lock:
            self._running = step, started
        try:
            yield
        finally:
            with self._lock:
                self._seconds[step] = self._seconds.get(step, 0.0) + time.monotonic() - started
                self._running = None


def process_age(stat: Path = Path("/proc/self/stat")) -> float:
    """Return the seconds since this process began, to a hundredth (proc_pid_stat(5), starttime, the 22nd field)."""
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
