"""The outside of a sandbox: start it, pass signals on within a time limit, return its exit code, leave nothing."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from s3sync_local.errors import MissingToolError, SandboxError
from s3sync_local.processes import die_with_parent
from s3sync_local.sandbox import cgroups, records

GRACE_SECONDS = 120.0
"""How long a signalled command may take to end: a cluster stops within half a minute, tests show logs before."""

CLEAN_SECONDS = 30.0
NAMESPACES = ("--pid", "--mount", "--net", "--ipc", "--uts", "--cgroup")
PROGRAMS = {"unshare": "util-linux", "mount": "mount", "ip": "iproute2"}
"""What a sandbox needs, and Debian's package of it."""

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run the command in a sandbox and return its exit code (128 + the signal's number where one ended it).

    SIGINT, SIGTERM and SIGHUP are passed on; a command that has not ended GRACE_SECONDS later, or at a second signal,
    is killed. Call it from the main thread, whose end is the sandbox's end.
    Raises MissingToolError (not root, a program is missing) and SandboxError (no usable cgroups).
    """
    _require_root_and_programs()
    records.sweep()
    name = f"{os.getpid()}-{_start_time()}"
    paths = [parent / f"pachyderm-s3-sync-{name}" for parent in cgroups.parents(cgroups.read_hierarchies())]
    lock = records.claim(name, paths)
    janitor = _start_janitor(name, lock)
    try:
        records.make_mount_points()
        for path in paths:
            cgroups.create(path)
        return _run_inside(command, paths, cwd, env)
    except OSError as error:
        raise SandboxError(f"the sandbox could not be set up: {error}") from error
    finally:
        _end_janitor(janitor, name)
        os.close(lock)


def _run_inside(command: Sequence[str], paths: Sequence[Path], cwd: Path | None, env: Mapping[str, str] | None) -> int:
    inside = [sys.executable, "-P", "-m", "s3sync_local.sandbox.inside", "--", *command]
    die = die_with_parent()

    def prepare() -> None:
        die()
        cgroups.join(paths)

    with _Signals() as signals:
        process = subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--kill-child=SIGKILL", *inside],
            cwd=cwd,
            env=env,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - it makes system calls only, no lock of another thread's.
        )
        try:
            return exit_code(signals.wait(process))
        finally:
            _kill(process)


class _Signals:
    """Passes the signals of this process on to the one that is waited for, and sets it a time limit then."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._deadline = float("inf")
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "_Signals":
        if threading.current_thread() is threading.main_thread():
            self._previous = {signum: signal.signal(signum, self._note) for signum in _FORWARDED}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._received.append(signum)

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Return the process's exit code; a second signal, or the end of the time limit, kills it."""
        passed = 0
        while True:
            try:
                return process.wait(0.1)
            except subprocess.TimeoutExpired:
                pass
            if len(self._received) > passed:
                self._pass_on(process, self._received[-1])
                passed = len(self._received)
            if time.monotonic() > self._deadline or passed > 1:
                _kill(process)

    def _pass_on(self, process: subprocess.Popen[bytes], signum: int) -> None:
        self._deadline = min(self._deadline, time.monotonic() + GRACE_SECONDS)
        # Of this group unshare(1) ignores it and PID 1 passes it on; a terminal's hang-up is a termination to it.
        os.killpg(process.pid, signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill unshare(1) and with it PID 1, if they are still there, and wait for the end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(CLEAN_SECONDS)


def exit_code(code: int) -> int:
    """Return a shell's exit code for subprocess's, which is negative where a signal ended the program."""
    return 128 - code if code < 0 else code


def _start_janitor(name: str, lock: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "s3sync_local.sandbox.janitor", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[lock],
        start_new_session=True,
        cwd="/",
    )


def _end_janitor(janitor: subprocess.Popen[bytes], name: str) -> None:
    """Let the janitor clean up; where it was killed, do its work."""
    if janitor.stdin:
        janitor.stdin.close()
    try:
        code = janitor.wait(CLEAN_SECONDS)
    except subprocess.TimeoutExpired:
        janitor.kill()
        code = janitor.wait(CLEAN_SECONDS)
    if code and not records.clean(name):
        raise SandboxError(f"cgroups of the sandbox could not be removed; {records.FOLDER / name} lists them")


def _require_root_and_programs() -> None:
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise MissingToolError(f"programs are missing: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0:
        raise MissingToolError("a sandbox needs root: its namespaces hold a kubelet; run it with sudo")


def _start_time() -> str:
    """Return this process's start, in clock ticks since boot (proc(5), field 22): it tells it from a later pid's."""
    return Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
