"""Whatever is killed of a sandbox with a cluster in it, and whenever: the machine is as it was before."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s3sync_local.sandbox import records
from tests.sandbox.conftest import short_folder
from tests.sandbox.leftovers import Machine, look

CLUSTER = [sys.executable, "-m", "s3sync_local.sandbox", "--", sys.executable, "-m", "tests.sandbox.hold_cluster"]
START_SECONDS = 240
CLEAN_SECONDS = 60
STAGES = ("containerd.log", "kube-apiserver.log", "kubelet.log", "ready")


@pytest.fixture
def state() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder / "state"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("victim", ["outside", "pid 1", "outside and janitor"])
def test_a_kill_leaves_nothing(victim: str, stage: str, state: Path) -> None:
    before = look()
    with _cluster(state) as process:
        _wait_until_reached(stage, state, process)
        time.sleep(random.uniform(0, 1))
        for pid in _victims(victim, process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(CLEAN_SECONDS)
    if victim == "outside and janitor":
        _wait_for_the_kernel(before)
        subprocess.run([sys.executable, "-m", "s3sync_local.sandbox", "--", "true"], timeout=CLEAN_SECONDS, check=True)
    assert _settled(before) == before


def test_a_termination_stops_the_cluster_and_is_its_exit_code(state: Path) -> None:
    before = look()
    with _cluster(state) as process:
        _wait_until_reached("ready", state, process)
        running = look()
        process.terminate()
        assert process.wait(CLEAN_SECONDS) == 128 + signal.SIGTERM
    assert _settled(before) == before
    assert not state.exists()
    seen = {name for name in ("processes", "cgroups", "records") if getattr(running, name) != getattr(before, name)}
    assert seen == {"processes", "cgroups", "records"}, "while it ran it was seen, so its absence means something"


def test_the_end_of_the_command_ends_what_it_left_running() -> None:
    before = look()
    script = "setsid sleep 1000 & ip link add dummy-left type veth; nft add table ip left; exit 7"
    ran = subprocess.run(
        [sys.executable, "-m", "s3sync_local.sandbox", "--", "sh", "-c", script], timeout=60, check=False
    )
    assert ran.returncode == 7
    assert _settled(before) == before


@contextmanager
def _cluster(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([*CLUSTER, str(state)]) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _wait_until_reached(stage: str, state: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    wanted = state / "cluster.json" if stage == "ready" else state / "logs" / stage
    while not wanted.exists():
        assert process.poll() is None, "the cluster ended while it started"
        assert time.monotonic() < deadline, f"{wanted} is not there after {START_SECONDS} s"
        time.sleep(0.05)


def _victims(victim: str, outside: int) -> list[int]:
    children = {_command(pid): pid for pid in _children(outside)}
    janitor = next(pid for command, pid in children.items() if "sandbox.janitor" in command)
    unshare = next(pid for command, pid in children.items() if command.startswith("unshare"))
    if victim == "pid 1":
        return _children(unshare)
    return [janitor, outside] if victim == "outside and janitor" else [outside]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _settled(before: Machine) -> Machine:
    """Return what the machine looks like once it is as before, or at the end of the time that it may take to be so."""
    deadline = time.monotonic() + CLEAN_SECONDS
    while (now := look()) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


def _wait_for_the_kernel(before: Machine) -> None:
    """Wait until all processes are gone; only then may another sandbox sweep what no process is left to remove."""
    deadline = time.monotonic() + CLEAN_SECONDS
    while look().processes != before.processes and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(records.FOLDER.glob("*")) != [], "the record was removed, but by whom?"
