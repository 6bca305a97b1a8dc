"""Where built images are kept: entries that appear whole or not at all, one builder at a time, old ones pruned."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s3sync_local.errors import ImageError
from s3sync_local.gobuild import REPORT_SECONDS, Progress
from s3sync_local.paths import cache_dir

LOCK_SECONDS = 3600
KEY_LENGTH = 16
KEPT = 2
"""Entries of one name that are kept: the newest, and the one before, to which a change may be taken back."""
_WORK = "work-"
_MADE = "made"


def images_dir() -> Path:
    """Return the folder of the built images."""
    return cache_dir() / "images"


def entry(root: Path, name: str, key: str) -> Path:
    """Return the folder of one image; it exists only when it is whole."""
    return root / f"{name}-{key[:KEY_LENGTH]}"


def age_days(folder: Path) -> float:
    """Return how long ago the entry was published, in days."""
    return (time.time() - float((folder / _MADE).read_text())) / 86400


def use(folder: Path) -> bool:
    """Tell whether the entry is there, and if so note that it was used now, which keeps it from being pruned."""
    try:
        os.utime(folder)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def exclusive(root: Path, progress: Progress, seconds: int = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of the builders, so that of two at once the second waits and finds all done."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        for second in range(seconds):
            if _try_lock(lock.fileno()):
                break
            if second % REPORT_SECONDS == 0:
                progress("another process is building images; waiting for it")
            time.sleep(1)
        else:
            raise ImageError(f"another process has held {root / 'lock'} for {seconds} s; end it and try again")
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """Give an empty folder for one build, removed in the end; call under the lock, for it sweeps what the dead left."""
    for leftover in root.glob(f"{_WORK}*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(dir=root, prefix=_WORK) as folder:
        yield Path(folder)


def publish(made: Path, target: Path) -> None:
    """Move a whole entry to its place in one step."""
    (made / _MADE).write_text(f"{time.time():.0f}\n")
    if target.exists():
        shutil.rmtree(target)
    made.rename(target)


def newest(root: Path, name: str) -> Path | None:
    """Return the entry of a name that was used last, or None where there is none."""
    return next(iter(_by_use(root, name)), None)


def prune(root: Path, name: str, keep: int = KEPT) -> list[Path]:
    """Remove the entries of a name but the most recently used, and return what was removed; call under the lock."""
    stale = _by_use(root, name)[keep:]
    for path in stale:
        shutil.rmtree(path)
    return stale


def _by_use(root: Path, name: str) -> list[Path]:
    entries = [path for path in root.glob(f"{name}-*") if len(path.name) == len(name) + 1 + KEY_LENGTH]
    return sorted(entries, key=lambda path: path.stat().st_mtime, reverse=True)
