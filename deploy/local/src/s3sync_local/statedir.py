"""State directories of clusters: claimed by a lock that dies with its holder, swept when nobody holds it."""

import fcntl
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from s3sync_local import mounts
from s3sync_local.components import Layout
from s3sync_local.errors import LocalClusterError, StateDirError

STOP_SECONDS = 90.0


def claim(root: Path) -> int:
    """Create the directory and lock it; returns the lock's descriptor, which keeps it for whoever inherits it.

    Raises StateDirError where a cluster runs there, or where it holds files that no cluster of ours left.
    """
    layout = Layout(root)
    if is_running(root):
        raise StateDirError(
            f"a local cluster is running in {root}; stop it (`python -m s3sync_local down`) or use another"
        )
    if layout.lock.exists():
        _remove_tree(root)
    elif root.exists() and any(root.iterdir()):
        raise StateDirError(f"{root} is not empty and no local cluster's; name an absent or empty directory")
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    # The file appears under its name already locked, so that no sweep takes the new directory for a dead one.
    part = root / f"{layout.lock.name}.part"
    lock = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    part.rename(layout.lock)
    return lock


def is_running(root: Path) -> bool:
    """Tell whether a keeper holds the directory's lock."""
    try:
        with Layout(root).lock.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def keeper_pid(root: Path) -> int | None:
    """Return the process id of the keeper that runs there, which it writes into its lock file when it starts."""
    with suppress(FileNotFoundError, ValueError):
        if is_running(root):
            return int(Layout(root).lock.read_text())
    return None


def stop(root: Path, seconds: float = STOP_SECONDS) -> None:
    """Ask the keeper that runs there, if any, to stop its cluster, and wait until it has.

    Raises LocalClusterError where that takes longer.
    """
    if keeper := keeper_pid(root):
        os.kill(keeper, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while is_running(root):
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"the cluster of {root} did not stop within {seconds:.0f} s; see its log in {root}/logs"
            )
        time.sleep(0.1)


def running(parent: Path) -> list[Path]:
    """Return the state directories below parent whose clusters run."""
    return sorted(root for root in _roots(parent) if is_running(root))


def sweep(parent: Path) -> None:
    """Remove the state directories below parent whose keepers are gone, for a killed keeper removes nothing."""
    for root in _roots(parent):
        if not is_running(root):
            _remove_tree(root, ignore_errors=True)


def remove(root: Path, *, keep_logs: bool = False) -> None:
    """Remove a cluster's directory; after a failure all but its logs and the lock (so that a sweep finds it)."""
    if not keep_logs:
        _remove_tree(root, ignore_errors=True)
        return
    mounts.detach_below(root)
    layout = Layout(root)
    with suppress(FileNotFoundError):
        for entry in root.iterdir():
            if entry not in {layout.logs, layout.lock}:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _remove_tree(root: Path, *, ignore_errors: bool = False) -> None:
    """Remove the directory; what is mounted in it (a real node's volumes) belongs to others and is let go first."""
    mounts.detach_below(root)
    shutil.rmtree(root, ignore_errors=ignore_errors)


def _roots(parent: Path) -> list[Path]:
    """Return the directories that have a lock file: one without is being made at this moment."""
    return [lock.parent for lock in parent.glob(f"*/{Layout(parent).lock.name}")]
