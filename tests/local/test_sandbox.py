"""The sandbox's pure parts: which cgroups it makes, how it mounts them, what its records let be removed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from s3sync_local.errors import MissingToolError, SandboxError
from s3sync_local.sandbox import cgroups, inside, outside, records
from s3sync_local.sandbox.cgroups import Hierarchy, parse_hierarchies

HYBRID_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/agent,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 23 0:40 / /mnt/cgroup rw,relatime - cgroup cgroup rw,memory
"""
HYBRID_OWN = "9:name=systemd:/user\n4:memory:/limits/a:b\n1:cpu,cpuacct:/\n0::/user\n"


def test_the_hierarchies_of_a_hybrid_machine_are_found_with_the_own_cgroup_in_each() -> None:
    root = Path("/sys/fs/cgroup")
    assert parse_hierarchies(HYBRID_MOUNTS, HYBRID_OWN) == [
        Hierarchy(root / "cpu,cpuacct", ("cpu", "cpuacct"), root / "cpu,cpuacct"),
        Hierarchy(root / "memory", ("memory",), root / "memory/limits/a:b"),
        Hierarchy(root / "systemd", ("name=systemd",), root / "systemd/user"),
        Hierarchy(root / "unified", (), root / "unified/user"),
    ]


def test_the_unified_hierarchy_alone_is_mounted_at_the_root() -> None:
    mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
    own = Path("/sys/fs/cgroup/user.slice/session-1.scope")
    assert parse_hierarchies(mounts, "0::/user.slice/session-1.scope\n") == [Hierarchy(Path("/sys/fs/cgroup"), (), own)]


@pytest.mark.parametrize("own", ["4:memory:/docker/abc\n", "4:memory:/../other\n"])
def test_in_a_container_the_mount_is_where_paths_begin(own: str) -> None:
    mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    (found,) = parse_hierarchies(mounts, own)
    assert found.own == Path("/sys/fs/cgroup/memory")


@pytest.mark.parametrize(
    ("controllers", "arguments"),
    [
        (("cpu", "cpuacct"), ["-t", "cgroup", "-o", "cpu,cpuacct", "cgroup", "/c"]),
        (("name=systemd",), ["-t", "cgroup", "-o", "none,name=systemd", "cgroup", "/c"]),
        ((), ["-t", "cgroup2", "cgroup2", "/c"]),
    ],
)
def test_each_hierarchy_is_mounted_as_what_it_is(controllers: tuple[str, ...], arguments: list[str]) -> None:
    assert inside.cgroup_mount(Hierarchy(Path("/c"), controllers, Path("/c"))) == arguments


def test_of_v1_the_own_cgroup_is_the_parent_so_that_its_limits_hold(tmp_path: Path) -> None:
    hierarchies = [
        Hierarchy(tmp_path, ("memory",), tmp_path / "limits"),
        Hierarchy(tmp_path / "u", (), tmp_path / "u/s"),
    ]
    assert cgroups.parents(hierarchies) == [tmp_path / "limits", tmp_path / "u/s"]


def test_of_v2_the_nearest_cgroup_without_processes_is_the_parent(tmp_path: Path) -> None:
    _v2(tmp_path, root=True, procs="1\n")
    _v2(tmp_path / "slice", procs="")
    _v2(tmp_path / "slice" / "scope", procs="77\n")
    assert cgroups.parents([Hierarchy(tmp_path, (), tmp_path / "slice" / "scope")]) == [tmp_path / "slice"]


def test_of_v2_the_root_may_hold_processes(tmp_path: Path) -> None:
    _v2(tmp_path, root=True, procs="1\n")
    _v2(tmp_path / "scope", procs="77\n")
    assert cgroups.parents([Hierarchy(tmp_path, (), tmp_path / "scope")]) == [tmp_path]


def test_a_container_whose_every_cgroup_holds_processes_is_refused_with_a_way_out(tmp_path: Path) -> None:
    _v2(tmp_path, procs="1\n")
    with pytest.raises(SandboxError, match=r"holds processes.*systemd-run"):
        cgroups.parents([Hierarchy(tmp_path, (), tmp_path)])


def test_a_new_cpuset_gets_its_parents_processors_and_memory(tmp_path: Path) -> None:
    (tmp_path / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset.mems").write_text("0\n")
    cgroups.create(tmp_path / "ours")
    assert [(tmp_path / "ours" / f"cpuset.{name}").read_text() for name in ("cpus", "mems")] == ["0-1\n", "0\n"]


def test_cgroups_are_removed_from_the_innermost_on(tmp_path: Path) -> None:
    (tmp_path / "ours" / "pod" / "container").mkdir(parents=True)
    assert cgroups.remove(tmp_path / "ours")
    assert list(tmp_path.iterdir()) == []


def test_a_cgroup_that_does_not_go_is_told_after_the_time_limit(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "busy").touch()
    assert not cgroups.remove(tmp_path / "ours", seconds=0)


def test_a_sandbox_that_nobody_holds_any_more_is_swept_and_a_running_one_is_not(tmp_path: Path) -> None:
    for name in ("dead", "running"):
        (tmp_path / name).mkdir()
    os.close(records.claim("1-100", [tmp_path / "dead"], tmp_path / "records"))
    lock = records.claim("2-200", [tmp_path / "running"], tmp_path / "records")
    records.sweep(tmp_path / "records")
    os.close(lock)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records", "running"]
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["2-200"]


def test_folders_to_mount_on_go_with_the_last_sandbox_that_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = tmp_path / "cni"
    monkeypatch.setattr(records, "MOUNT_POINTS", (point,))
    first = records.claim("1-100", [], tmp_path / "records")
    records.make_mount_points()
    second = records.claim("2-200", [], tmp_path / "records")
    records.clean("1-100", tmp_path / "records")
    assert point.exists()
    records.clean("2-200", tmp_path / "records")
    assert not point.exists()
    os.close(first)
    os.close(second)


def test_a_folder_that_was_there_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOUNT_POINTS", (tmp_path,))
    os.close(records.claim("1-100", [], tmp_path / "records"))
    records.sweep(tmp_path / "records")
    assert tmp_path.exists()


def test_a_record_of_another_version_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "1-100").write_text('["/sys/fs/cgroup/x"]')
    records.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_missing_programs_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingToolError, match="apt-get install iproute2 mount util-linux"):
        outside.run(["true"])


def test_without_root_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(MissingToolError, match=r"^a sandbox needs root[^\n]*sudo$"):
        outside.run(["true"])


@pytest.mark.parametrize(("ended", "code"), [(0, 0), (7, 7), (-15, 143)])
def test_an_end_by_a_signal_has_the_shells_exit_code(ended: int, code: int) -> None:
    assert outside.exit_code(ended) == code


def test_a_command_is_asked_for_where_none_is_given() -> None:
    command = [sys.executable, "-m", "s3sync_local.sandbox", "--"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stderr) == (
        1,
        "error: no command is given; usage: python -m s3sync_local.sandbox [--need NAME…] -- COMMAND [ARGUMENT…]\n",
    )


def _v2(path: Path, *, procs: str, root: bool = False) -> None:
    path.mkdir(exist_ok=True)
    (path / "cgroup.procs").write_text(procs)
    if not root:
        (path / "cgroup.type").write_text("domain\n")
