"""Which sandboxes there are: a file below /run for each, which says what to remove once nobody locks it."""

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path

from s3sync_local.sandbox import cgroups

FOLDER = Path("/run/pachyderm-s3-sync")
"""It lives as long as cgroups do, until the next boot, and is the machine's, not a user's."""


def claim(name: str, paths: Sequence[Path], folder: Path = FOLDER) -> int:
    """Write the record of a sandbox that is about to make these cgroups; returns the descriptor that locks it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    part = folder / f".{name}"
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(descriptor, json.dumps([str(path) for path in paths]).encode())
    # The file appears under its name already locked, so that no sweep takes it for a dead sandbox's.
    part.rename(folder / name)
    return descriptor


def clean(name: str, folder: Path = FOLDER) -> bool:
    """Remove a sandbox's cgroups, then its record; returns whether all is gone."""
    record = folder / name
    try:
        paths = [Path(path) for path in json.loads(record.read_text())]
    except FileNotFoundError:
        return True
    stay = [path for path in paths if not cgroups.remove(path)]
    if not stay:
        record.unlink(missing_ok=True)
    return not stay


def sweep(folder: Path = FOLDER) -> None:
    """Clean up after sandboxes whose processes were all killed."""
    for record in sorted(folder.glob("[!.]*")):
        if not _is_locked(record):
            clean(record.name, folder)


def _is_locked(record: Path) -> bool:
    try:
        with record.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
