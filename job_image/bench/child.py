"""Runs a command and tells how it went, as JSON: a small process, so that the memory it tells of is the command's own.

    python -I -S child.py RESULT-FILE LIMIT-SECONDS STAGING-PREFIX COMMAND [ARGUMENT…]

At the limit, open files whose path begins with the prefix are removed with the process that staged uploads in them.

The kernel counts what a process had in memory before its `exec` as its own: that of whoever started it.
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType


def main(result: str, limit: str, staging_prefix: str, *command: str) -> None:
    """Run the command, killed at the limit, and write its exit code (null at the limit), seconds and peak bytes."""
    late = False

    def end(_signal: int, _frame: FrameType | None) -> None:
        nonlocal late
        late = True
        staged = [path for path in open_files(pid) if path.startswith(staging_prefix)]
        os.kill(pid, signal.SIGKILL)
        for path in staged:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - pathlib would make this process larger.

    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, float(limit))
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - started
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = None if late else os.waitstatus_to_exitcode(status)
    with open(result, "w") as file:  # noqa: PTH123 - pathlib would make this process larger.
        json.dump({"code": code, "seconds": seconds, "peak_bytes": usage.ru_maxrss * 1024}, file)


def open_files(pid: int) -> list[str]:
    """Return the paths of what a process has open; none if it has ended."""
    folder, found = f"/proc/{pid}/fd", []
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - As above.
            with suppress(OSError):
                found.append(os.readlink(f"{folder}/{name}"))  # noqa: PTH115 - As above.
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
