"""Install Debian's packages; the one place that calls apt-get, where another program's lock on it is waited for."""

import os
import subprocess
import time
from collections.abc import Sequence

from s3sync_local.errors import MissingToolError
from s3sync_local.gobuild import REPORT_SECONDS, Progress
from s3sync_local.sandbox.marker import refuse_inside

LOCK_SECONDS = 300
APT_SECONDS = 900
LOCK_IS_HELD = "Could not get lock"
"""What apt-get says of the locks on its lists and archives, for which it has no option to wait as it has for dpkg's."""
INSTALL = ("install", "--yes", "--no-install-recommends")
ERROR_CHARACTERS = 2000


def ensure_packages(packages: Sequence[str], progress: Progress, purpose: str) -> None:
    """Install the packages, which are missing; none is no work.

    Raises MissingToolError where that takes rights that this process lacks, or where apt-get cannot.
    """
    if not packages:
        return
    refuse_inside("packages")
    if os.geteuid() != 0:
        raise MissingToolError(f"{purpose} needs packages that only root can install: apt-get install {_row(packages)}")
    progress(f"apt-get install {_row(packages)}")
    if _apt_get(*INSTALL, *packages, progress=progress):
        # The lists at hand may be absent, or older than what the archive still has.
        progress("apt-get update")
        for command in (("update",), (*INSTALL, *packages)):
            if trouble := _apt_get(*command, progress=progress):
                raise MissingToolError(f"apt-get {command[0]} failed: {trouble}")


def _row(packages: Sequence[str]) -> str:
    return " ".join(packages)


def _apt_get(*arguments: str, progress: Progress, seconds: float = LOCK_SECONDS) -> str:
    """Run apt-get once nobody holds its locks; return what it says where it fails, and nothing where it succeeds."""
    deadline = time.monotonic() + seconds
    said_at = -float("inf")
    while trouble := _run(arguments):
        if LOCK_IS_HELD not in trouble or time.monotonic() > deadline:
            return trouble
        if time.monotonic() - said_at > REPORT_SECONDS:
            progress("another program holds apt's lock; waiting for it")
            said_at = time.monotonic()
        time.sleep(1)
    return ""


def _run(arguments: Sequence[str]) -> str:
    ran = subprocess.run(
        ["apt-get", "-q", f"-oDPkg::Lock::Timeout={LOCK_SECONDS}", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=APT_SECONDS,
        check=False,
    )
    return "" if ran.returncode == 0 else ran.stderr.strip()[-ERROR_CHARACTERS:] or f"exit code {ran.returncode}"
