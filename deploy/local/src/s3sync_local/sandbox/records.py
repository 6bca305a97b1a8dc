"""Which sandboxes there are: a file below /run for each, which says what to remove once nobody locks it."""

import fcntl
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.sandbox import cgroups

MOUNT_POINTS = (Path("/var/lib/cni"), Path("/var/lib/kubelet"))
"""Folders that CNI's library and the kubelet fill wherever they are told to keep their state (constants of theirs).

A sandbox has its own; where the machine has none, empty ones are made to mount on, and removed with the last sandbox.
"""

FOLDER = Path("/run/pachyderm-s3-sync")
"""It lives as long as cgroups do, until the next boot, and is the machine's, not a user's."""


@dataclass(frozen=True)
class Record:
    """What a sandbox makes outside of its namespaces."""

    cgroups: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()


def claim(name: str, paths: Sequence[Path], folder: Path = FOLDER) -> int:
    """Write the record of a sandbox that is about to make these cgroups; returns the descriptor that locks it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    made = [path for path in MOUNT_POINTS if not path.exists() or path in _made(folder)]
    content = {"cgroups": [str(path) for path in paths], "folders": [str(path) for path in made]}
    part = folder / f".{name}"
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(descriptor, json.dumps(content).encode())
    # The file appears under its name already locked, so that no sweep takes it for a dead sandbox's.
    part.rename(folder / name)
    return descriptor


def make_mount_points() -> None:
    """Make what is missing of the folders to mount on; call it after claim, which notes what it will be."""
    for path in MOUNT_POINTS:
        path.mkdir(exist_ok=True)


def clean(name: str, folder: Path = FOLDER) -> bool:
    """Remove a sandbox's cgroups, then its record; returns whether all is gone."""
    record = _read(folder / name)
    stay = [path for path in record.cgroups if not cgroups.remove(path)]
    if stay:
        return False
    (folder / name).unlink(missing_ok=True)
    for path in set(record.folders) - _made(folder):
        # A folder that another program has meanwhile filled is not empty, and its own.
        with suppress(OSError):
            path.rmdir()
    return True


def sweep(folder: Path = FOLDER) -> None:
    """Clean up after sandboxes whose processes were all killed."""
    for record in _records(folder):
        if not _is_locked(record):
            clean(record.name, folder)


def _records(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*"))


def _made(folder: Path) -> set[Path]:
    """Return the mount points that sandboxes have made and are to remove."""
    return {path for record in _records(folder) for path in _read(record).folders}


def _read(file: Path) -> Record:
    """Return a record; one that is gone, or of another version of ours, names nothing that could be removed."""
    try:
        content = json.loads(file.read_text())
        return Record(tuple(map(Path, content["cgroups"])), tuple(map(Path, content["folders"])))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return Record()


def _is_locked(record: Path) -> bool:
    try:
        with record.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
