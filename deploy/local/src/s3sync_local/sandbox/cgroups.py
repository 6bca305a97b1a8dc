"""The cgroups of a sandbox: one in each hierarchy (v1, v2 or both), below the caller's, so that its limits hold.

The parsing is pure and takes the text of /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)).
"""

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from s3sync_local.errors import SandboxError

CGROUP_ROOT = Path("/sys/fs/cgroup")
V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
"""What a kubelet wants of cgroup v2."""

REMOVE_SECONDS = 20.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup hierarchy: where, of which controllers (v1; none in v2), and the caller's own cgroup in it."""

    mount: Path
    controllers: tuple[str, ...]
    own: Path

    @property
    def is_v2(self) -> bool:
        """Tell the unified hierarchy from those of v1."""
        return not self.controllers


def parse_hierarchies(mountinfo: str, own_cgroups: str) -> list[Hierarchy]:
    """Return the hierarchies that are mounted at or below /sys/fs/cgroup."""
    own = dict(_own_paths(own_cgroups))
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        root, mount = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind not in {"cgroup", "cgroup2"} or not Path(mount).is_relative_to(CGROUP_ROOT):
            continue
        controllers = _controllers(options) if kind == "cgroup" else ()
        path = _below(root, own.get(controllers, "/"))
        found[mount] = Hierarchy(Path(mount), controllers, Path(mount) / path)
    return list(found.values())


def _own_paths(own_cgroups: str) -> Iterable[tuple[tuple[str, ...], str]]:
    for line in own_cgroups.splitlines():
        _, controllers, path = line.split(":", 2)
        yield tuple(sorted(controllers.split(","))) if controllers else (), path


def _controllers(options: str) -> tuple[str, ...]:
    """Return a v1 hierarchy's controllers (or its name) among the options of its file system."""
    plain = {"rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "none"}
    names = [option for option in options.split(",") if option not in plain]
    return tuple(sorted(name for name in names if not name.startswith("release_agent=")))


def _below(root: str, path: str) -> str:
    """Return the cgroup's path below the mount, whose root may itself be a cgroup (as in a container)."""
    inside = path if root == "/" else path.removeprefix(root)
    return "" if inside.startswith("/..") else inside.strip("/")


def read_hierarchies() -> list[Hierarchy]:
    """Return this process's hierarchies; raises SandboxError where there is none."""
    found = parse_hierarchies(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    if not found:
        raise SandboxError(f"no cgroup hierarchy is mounted below {CGROUP_ROOT}; mount them, a kubelet needs cgroups")
    return found


def parents(hierarchies: Sequence[Hierarchy]) -> list[Path]:
    """Return the cgroup of each hierarchy in which a sandbox's may be made."""
    unified_only = all(hierarchy.is_v2 for hierarchy in hierarchies)
    return [_v2_parent(each) if unified_only else each.own for each in hierarchies]


def _v2_parent(hierarchy: Hierarchy) -> Path:
    """Return the nearest cgroup that may pass controllers on: the root, or one that holds no process itself."""
    for path in (hierarchy.own, *hierarchy.own.parents):
        is_root = not (path / "cgroup.type").exists()
        if is_root or not (path / "cgroup.procs").read_text():
            return path
        if path == hierarchy.mount:
            break
    raise SandboxError(
        f"every cgroup from {hierarchy.own} up holds processes, so none can pass controllers on (cgroups(7), 'no "
        "internal processes'); start it in an empty cgroup, e.g. with `systemd-run --scope`, or in a privileged "
        "container whose init moves itself into a leaf"
    )


def create(path: Path) -> None:
    """Make a cgroup that takes processes, with the controllers its parent can pass on."""
    for controller in V2_CONTROLLERS:
        # A controller that a v1 hierarchy has taken is not on offer; a kubelet then finds it there.
        with suppress(OSError):
            (path.parent / "cgroup.subtree_control").write_text(f"+{controller}")
    path.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):
        # A new cpuset of v1 is empty, and takes no process before it has processors and memory.
        source = path.parent / name
        if source.exists() and not (path / "cgroup.type").exists():
            (path / name).write_text(source.read_text())


def join(paths: Sequence[Path]) -> None:
    """Move this process into the cgroups."""
    for path in paths:
        (path / "cgroup.procs").write_text("0")


def remove(path: Path, seconds: float = REMOVE_SECONDS) -> bool:
    """Remove a cgroup and all below, ending what still runs in it; returns whether it is gone."""
    deadline = time.monotonic() + seconds
    while path.exists():
        if _remove_empty(path):
            return True
        if time.monotonic() > deadline:
            return False
        _kill_all(path)
        time.sleep(_PAUSE_SECONDS)
    return True


def _remove_empty(path: Path) -> bool:
    for folder, _, _ in os.walk(path, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
    return not path.exists()


def _kill_all(path: Path) -> None:
    # Unlike a glob, a walk passes over what others remove meanwhile.
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            for pid in map(int, (Path(folder) / "cgroup.procs").read_text().split()):
                # 0 stands for a process of a PID namespace that cannot be seen from here.
                if pid:
                    os.kill(pid, 9)
