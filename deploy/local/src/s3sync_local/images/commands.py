"""Run the programs that make images: with progress, a time limit, and nothing of theirs left when they or we die."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from s3sync_local.errors import ImageError, MissingToolError
from s3sync_local.gobuild import REPORT_SECONDS, Progress

COMMAND_SECONDS = 1800
KILL_SECONDS = 30
TAIL_LINES = 25
DEBIAN_PACKAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "setpriv": "util-linux", "unshare": "util-linux"}

# Own mounts and processes, which the kernel ends with this process, however that ends: the first program asks for the
# signal when its parent dies, the second passes it on and owns the namespaces.
CONTAINED = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
)


def missing_packages() -> list[str]:
    """Return Debian's packages that are to be installed before images can be built, sorted; empty where none is."""
    return sorted({package for program, package in DEBIAN_PACKAGES.items() if not shutil.which(program)})


def require(programs: Iterable[str], uid: int | None = None) -> None:
    """Raise MissingToolError, in one line that says what to install, where a program or root's rights are missing."""
    absent = sorted({DEBIAN_PACKAGES[name] for name in (*programs, "setpriv", "unshare") if not shutil.which(name)})
    if absent:
        raise MissingToolError(f"building images needs {', '.join(absent)}: apt-get install {' '.join(absent)}")
    if (os.getuid() if uid is None else uid) != 0:
        raise MissingToolError("building images needs root (namespaces, chroot and file owners): run it with sudo")


def run(
    argv: Sequence[str | Path],
    *,
    log: Path,
    what: str,
    progress: Progress,
    env: Mapping[str, str] | None = None,
    seconds: int = COMMAND_SECONDS,
) -> None:
    """Run a program in namespaces of its own, saying every few seconds how far it is; raise ImageError if it fails."""
    started = time.monotonic()
    with log.open("ab") as output:
        start = output.tell()
        process = subprocess.Popen(
            [*CONTAINED, *argv],
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = _wait(process, log, what, progress, started + seconds)
        finally:
            process.kill()
            process.wait(KILL_SECONDS)
    if code is None:
        raise ImageError(f"{what} took more than {seconds} s; its output ends:\n{_tail(log, start)}")
    if code:
        raise ImageError(f"{what} failed with exit code {code}; its output ends:\n{_tail(log, start)}")


def _wait(process: subprocess.Popen[bytes], log: Path, what: str, progress: Progress, deadline: float) -> int | None:
    """Return the exit code, or None at the deadline (in time.monotonic's seconds)."""
    started = time.monotonic()
    while (now := time.monotonic()) < deadline:
        try:
            return process.wait(min(REPORT_SECONDS, deadline - now))
        except subprocess.TimeoutExpired:
            last = _tail(log, 0, lines=1)
            progress(f"{what}, {time.monotonic() - started:.0f} s: {last[:100]}")
    return None


def _tail(log: Path, start: int, lines: int = TAIL_LINES) -> str:
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])
