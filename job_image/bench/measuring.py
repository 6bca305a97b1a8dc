"""Runs a program and measures it: how long, how much memory, and not for longer than a limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s3sync_job.staged_uploads import STAGING_PREFIX

CHILD = str(Path(__file__).parent / "child.py")
GRACE_SECONDS = 30
CALM_LOAD = 2.5
CALM_STEP_SECONDS = 10


@dataclass(frozen=True)
class Measured:
    """A process that ended: its exit code (None: it was ended at the limit), how long it took (seconds), how much
    memory it had resident at most (bytes), and what it wrote."""

    code: int | None
    seconds: float
    peak_bytes: int
    output: str


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str], limit: float) -> Measured:
    """Run a command in a folder with this environment and a PATH; its output and errors are taken together."""
    log, result = folder / "output", folder / "result"
    result.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", CHILD, str(result), str(limit), STAGING_PREFIX, *command],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            process.wait(limit + GRACE_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(GRACE_SECONDS)
    text = log.read_text(errors="replace")
    if not result.exists():
        return Measured(process.returncode or 1, 0, 0, text)
    return Measured(**json.loads(result.read_text()), output=text)


def wait_until_calm(limit: float) -> float:
    """Wait until the machine's load is low, at most so many seconds; return the load."""
    until = time.monotonic() + limit
    while (load := os.getloadavg()[0]) > CALM_LOAD and time.monotonic() < until:
        time.sleep(CALM_STEP_SECONDS)
    return load
