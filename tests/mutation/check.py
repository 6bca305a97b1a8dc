"""Runs tests on a tree with a fault in it, and tells whether one of them finds it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tests.mutation.faults import Fault, has_test
from tests.mutation.scratch import PLUGIN, Scratch, environment

TESTS_FAILED, NONE_FAILED, NOTHING_RAN = 1, 0, 5
FLAGS = ("-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", PLUGIN, "--timeout=120")
GRACE = 30.0
"""Seconds that pytest has to take down what it started once its time is up."""

NO_MORE = 3
"""After so many tests that fail without the fault as well, something else is wrong."""


@dataclass(frozen=True)
class Ran:
    """A run of pytest: its exit code (None: it took too long), its failures, seconds by the clock and of CPU."""

    code: int | None
    failures: tuple[tuple[str, str], ...]
    seconds: float
    cpu: float
    output: str


@dataclass(frozen=True)
class Verdict:
    """What became of a fault: the test that found it, and what that said; seconds of all runs it took."""

    fault: str
    area: str
    result: Literal["found", "not found", "too long", "broken"]
    by: str
    said: str
    seconds: float
    cpu: float

    def plain(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


class Check:
    """Judges faults, one at a time, in a copy of a tree."""

    def __init__(self, scratch: Scratch, time_limit: float) -> None:
        self._scratch = scratch
        self._time_limit = time_limit
        self._sound: set[str] = set()
        self._unsound: list[str] = []

    def judge(self, fault: Fault, instead: Sequence[str] = ()) -> Verdict:
        """Run the fault's tests, or others instead, until one finds it; those that the tree lacks are left out."""
        seconds = cpu = 0.0
        last = Ran(NOTHING_RAN, (), 0, 0, "the tree has none of its tests")
        for test in instead or fault.tests:
            if not has_test(self._scratch.root, test):
                continue
            found, last = self._look(fault, test)
            seconds, cpu = seconds + last.seconds, cpu + last.cpu
            if found:
                return Verdict(fault.id, fault.area, "found", *found, round(seconds, 1), round(cpu, 1))
            if last.code != NONE_FAILED:
                break
        results: dict[int | None, Literal["not found", "too long"]] = {NONE_FAILED: "not found", None: "too long"}
        said = "" if last.code == NONE_FAILED else last.output[-600:]
        return Verdict(
            fault.id, fault.area, results.get(last.code, "broken"), "", said, round(seconds, 1), round(cpu, 1)
        )

    def _look(self, fault: Fault, test: str) -> tuple[tuple[str, str] | None, Ran]:
        """Return the test that finds the fault and what it says; one that fails without it as well does not count."""
        for _ in range(NO_MORE):
            with self._scratch.with_fault(fault):
                ran = self._run(test)
            if ran.code != TESTS_FAILED or not ran.failures:
                return None, ran
            name, said = ran.failures[0]
            if self._is_sound(name):
                return (name, said), ran
            self._unsound.append(name)
        return None, ran

    def _is_sound(self, name: str) -> bool:
        """Tell whether a test passes without any fault."""
        if name not in self._sound and self._run(name).code == NONE_FAILED:
            self._sound.add(name)
        return name in self._sound

    def _run(self, test: str) -> Ran:
        self._scratch.note.unlink(missing_ok=True)
        deselected = [f"--deselect={name}" for name in self._unsound]
        command = [str(self._scratch.python), "-m", "pytest", *FLAGS, *deselected, test]
        begun, before = time.monotonic(), os.times()
        with subprocess.Popen(
            command,
            cwd=self._scratch.root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            code: int | None
            try:
                output, _ = process.communicate(timeout=self._time_limit)
                code = process.returncode
            except subprocess.TimeoutExpired:
                output, code = _ended(process), None
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return Ran(code, _noted(self._scratch.note), time.monotonic() - begun, cpu, output)


def _ended(process: subprocess.Popen[str]) -> str:
    """End a pytest that takes too long, with all that it has started, and return what it wrote."""
    for number in (signal.SIGINT, signal.SIGKILL):
        os.killpg(process.pid, number)
        try:
            return process.communicate(timeout=GRACE)[0]
        except subprocess.TimeoutExpired:
            continue
    return ""


def _noted(file: Path) -> tuple[tuple[str, str], ...]:
    if not file.exists():
        return ()
    return tuple((name, re.sub(r"\s+", " ", said)) for name, said in map(json.loads, file.read_text().splitlines()))
