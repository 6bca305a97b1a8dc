"""Child processes that cannot outlive their parent: started, watched and stopped by one single-threaded keeper."""

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from s3sync_local.components import LOOPBACK
from s3sync_local.errors import ComponentError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TAIL_BYTES = 4000
KILL_SECONDS = 5

_libc = ctypes.CDLL(None, use_errno=True)


class Component:
    """One program of the cluster, in a session of its own so that a terminal's Ctrl-C reaches the owner alone.

    The kernel kills it when the thread that started it ends, so start it from a thread that lives as long as the
    process (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(self, name: str, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.log = name, log
        self._argv, self._env = argv, env
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - the keeper has one thread only.
            )

    def again(self) -> "Component":
        """Start the same program once more."""
        return Component(self.name, self._argv, self.log, self._env)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return None while it runs, else its exit code (minus the signal's number where a signal ended it)."""
        return self._process.poll()

    def failure(self, what: str) -> ComponentError:
        """Return the error that names the component, what went wrong, its log and how that ends."""
        return ComponentError(f"{self.name} {what}; its log {self.log} ends:\n{tail(self.log)}")

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        if self.exit_code() is None:
            self._process.terminate()

    def wait_or_kill(self, seconds: float) -> None:
        """Wait for its end, at most so long; then kill it and all of its session."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill_group(self.pid)
            self._process.wait(KILL_SECONDS)


def tail(log: Path, limit: int = TAIL_BYTES) -> str:
    """Return the last bytes of a log, from the start of a line."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - limit))
        text = file.read().decode(errors="replace")
    return text.partition("\n")[2] if size > limit else text


def become_subreaper() -> None:
    """Let orphaned descendants become our children, so that kill_orphans finds what a component left behind."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_orphans(spare: Collection[int] = ()) -> None:
    """Kill and reap whatever child is still there but the spared: what components that have ended left behind."""
    for _ in range(KILL_SECONDS * 100):
        children = map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        orphans = [pid for pid in children if pid not in spare]
        if not orphans:
            return
        for pid in orphans:
            _kill_group(pid)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def free_ports(count: int) -> list[int]:
    """Return so many different loopback ports that are free now; another may take one before its use, so retry."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def die_with_parent() -> Callable[[], None]:
    """Return what a child calls before it executes its program, so that the kernel kills it when this thread ends."""
    parent = os.getpid()

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the line above; then nobody would send the signal any more.
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
