"""Ends every process that carries a marker in its environment: what a container's end does by its cgroup.

Run as a program it is the node's guard: it waits until the node is gone, however that ended, and ends what it left. It
needs the standard library alone, so that it starts at once and holds little memory.
"""

import os
import signal
import sys
import time
from pathlib import Path

MARKER = "S3SYNC_LOCAL_CONTAINER"
"""The variable by which a process, its children and whoever left its session are known to belong to a container."""

_GUARD_SECONDS = 10.0
_QUIET_SCANS = 3
_PAUSE_SECONDS = 0.05


def marked(prefix: str) -> list[int]:
    """The ids of the live processes of this user whose marker begins with ``prefix``."""
    wanted = f"{MARKER}={prefix}".encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and any(v.startswith(wanted) for v in _environment(pid))]


def kill_marked(prefix: str) -> int:
    """Send SIGKILL to the marked processes; returns how many there were."""
    pids = marked(prefix)
    for pid in pids:
        kill(pid)
    return len(pids)


def kill(pid: int) -> None:
    """Send SIGKILL to a process that may have ended meanwhile."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # It ended meanwhile, or is another user's.
        return []


def _guard(prefix: str) -> int:
    """Wait for the end of the input, which is the node's end; returns 1 where something would not end in time."""
    sys.stdin.buffer.read()
    limit = time.monotonic() + _GUARD_SECONDS
    quiet = 0
    while quiet < _QUIET_SCANS and time.monotonic() < limit:
        quiet = 0 if kill_marked(prefix) else quiet + 1
        time.sleep(_PAUSE_SECONDS)
    return 0 if quiet == _QUIET_SCANS else 1


if __name__ == "__main__":
    sys.exit(_guard(sys.argv[1]))
