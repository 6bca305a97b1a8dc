"""The files in which TensorFlow's S3 plugin stages each upload whole before it sends it."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

STAGING_FOLDER = "/tmp"  # noqa: S108 - The plugin's own, hard-coded choice.
STAGING_PREFIX = f"{STAGING_FOLDER}/_s3_filesystem_"

MAX_DESCRIPTOR = 4096
"""Well above what this process opens, a few descriptors a thread; the kernel gives out the lowest free number."""


def remove_staged_files() -> None:
    """Remove what the plugin has staged in this process, which is about to end: uploads cut off would leave it behind.

    Other processes may stage in the same folder, so only files that this one holds open are taken. Its threads may be
    about to stage more; they are kept from it by leaving the process no file descriptor to open, which lasts.
    """
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard_limit))
    for number in range(MAX_DESCRIPTOR):
        # Listing the folder would take a descriptor, reading its links takes none.
        with suppress(OSError):
            target = Path(f"/proc/self/fd/{number}").readlink()
            if str(target).startswith(STAGING_PREFIX):
                target.unlink(missing_ok=True)
