"""PID 1 of a sandbox: `inside -- COMMAND…`. It gives the namespaces what they need, then runs the command.

Its end, by whatever cause, is the end of every process, mount and network device in the sandbox: pid_namespaces(7).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from s3sync_local.sandbox.cgroups import CGROUP_ROOT, V2_CONTROLLERS, Hierarchy, read_hierarchies
from s3sync_local.sandbox.marker import MARKER
from s3sync_local.sandbox.records import MOUNT_POINTS

PRIVATE_FOLDERS = ("/run", "/var/log", *map(str, MOUNT_POINTS))
"""Where programs keep sockets, locks, network namespaces and links that no flag moves: memory, gone with the mount."""

SETUP_SECONDS = 30


def main() -> None:
    """Set up, run the command after `--`, and exit as it does."""
    set_up()
    command = subprocess.Popen(sys.argv[2:], start_new_session=True)

    def pass_on(signum: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(command.pid, signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, pass_on)
    sys.exit(reap_until(command.pid))


def reap_until(command: int) -> int:
    """Reap every process that ends, orphans too, until the command has; return its exit code."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def set_up() -> None:
    """Mount what shows the new namespaces, and give the network its loopback."""
    hierarchies = read_hierarchies()
    links = {path.name: path.readlink() for path in CGROUP_ROOT.iterdir() if path.is_symlink()}
    # Kubernetes wants to share mounts between the node and its pods; the peers are those of this namespace only.
    _call("mount", "--make-rshared", "/")
    _call("mount", "-t", "proc", "-o", "nosuid,nodev,noexec", "proc", "/proc")
    _call("mount", "-t", "sysfs", "-o", "nosuid,nodev,noexec", "sysfs", "/sys")
    _mount_cgroups(hierarchies)
    for name, target in links.items():
        (CGROUP_ROOT / name).symlink_to(target)
    for folder in PRIVATE_FOLDERS:
        _call("mount", "-t", "tmpfs", "-o", "mode=755,nosuid,nodev", "tmpfs", folder)
    (Path("/run/lock")).mkdir(mode=0o1777)
    MARKER.touch()
    _call("ip", "link", "set", "lo", "up")


def _mount_cgroups(hierarchies: Sequence[Hierarchy]) -> None:
    """Mount the hierarchies again: seen from the new cgroup namespace, each begins at the sandbox's own cgroup."""
    if any(not hierarchy.is_v2 for hierarchy in hierarchies):
        _call("mount", "-t", "tmpfs", "-o", "mode=755,nosuid,nodev,noexec", "tmpfs", str(CGROUP_ROOT))
    for hierarchy in hierarchies:
        hierarchy.mount.mkdir(exist_ok=True)
        _call("mount", *cgroup_mount(hierarchy))
    if all(hierarchy.is_v2 for hierarchy in hierarchies):
        leave_root(CGROUP_ROOT)


def cgroup_mount(hierarchy: Hierarchy) -> list[str]:
    """Return mount(8)'s arguments for one hierarchy: pure."""
    if hierarchy.is_v2:
        return ["-t", "cgroup2", "cgroup2", str(hierarchy.mount)]
    named = any(controller.startswith("name=") for controller in hierarchy.controllers)
    options = ",".join([*(["none"] if named else []), *hierarchy.controllers])
    return ["-t", "cgroup", "-o", options, "cgroup", str(hierarchy.mount)]


def leave_root(root: Path) -> None:
    """Move all into a leaf, for of v2 a cgroup with processes passes no controllers on, and pods need them."""
    leaf = root / "sandbox"
    leaf.mkdir()
    for pid in (root / "cgroup.procs").read_text().split():
        (leaf / "cgroup.procs").write_text(pid)
    on_offer = (root / "cgroup.controllers").read_text().split()
    (root / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in V2_CONTROLLERS if name in on_offer))


def _call(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SETUP_SECONDS, check=False)
    if ran.returncode:
        sys.exit(f"error: the sandbox could not be set up: `{' '.join(command)}`: {ran.stderr.strip()}")


if __name__ == "__main__":
    main()
