"""Mounts below a folder, which containers and volumes of a real node leave where their processes were killed."""

import ctypes
import os
import re
from pathlib import Path

from s3sync_local.errors import StateDirError

MNT_DETACH = 2  # sys/mount.h

_libc = ctypes.CDLL(None, use_errno=True)


def mounted_below(folder: Path, mountinfo: str) -> list[Path]:
    """Return the mount points below the folder, innermost first, from the text of /proc/self/mountinfo (proc(5))."""
    points = [Path(_unescaped(line.split()[4])) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if folder in point.parents]


def detach_below(folder: Path) -> None:
    """Detach all that is mounted below the folder; raises StateDirError where that fails."""
    folder = folder.resolve()
    for point in mounted_below(folder, Path("/proc/self/mountinfo").read_text()):
        if _libc.umount2(os.fsencode(point), MNT_DETACH):
            reason = os.strerror(ctypes.get_errno())
            raise StateDirError(f"cannot unmount {point}: {reason}; unmount it before {folder} is used again")


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
