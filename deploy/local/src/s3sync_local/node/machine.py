"""What the node tells about this machine."""

import os
import platform
import shutil
from pathlib import Path

from s3sync_local.node.registration import Machine

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def this_machine(directory: Path) -> Machine:
    """Measure this machine; the storage is that of the file system of ``directory``."""
    return Machine(
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        storage=shutil.disk_usage(directory).total,
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        kernel=platform.release(),
        system=_system(),
    )


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
