"""Containers as processes: how they start, end, and end whatever they started."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from s3sync_local.node import sweep
from s3sync_local.node.logs import LogFile
from s3sync_local.node.processes import ContainerProcess, Launch, StartError


def launch(tmp_path: Path, *argv: str, directory: Path | None = None) -> tuple[Launch, LogFile]:
    marker = uuid4().hex
    env = {"PATH": "/usr/bin:/bin", sweep.MARKER: marker}
    return Launch(argv, env, directory or tmp_path, marker), LogFile(tmp_path / "0.log")


async def end_of(tmp_path: Path, *argv: str) -> tuple[int, str]:
    what, log = launch(tmp_path, *argv)
    code = await ContainerProcess.start(what, log).wait()
    return code, log.path.read_text()


async def started(marker: str, command: str) -> None:
    """Wait until a marked process runs the command."""
    for _ in range(1000):
        # The program itself, not a shell whose script names it.
        programs = [Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] for pid in sweep.marked(marker)]
        if command.encode() in programs:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{command} was not started")


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)]
)
async def test_the_exit_code_is_the_commands_or_128_and_the_signal(tmp_path: Path, script: str, code: int) -> None:
    assert (await end_of(tmp_path, "sh", "-c", script))[0] == code


async def test_all_output_is_in_the_log_when_the_process_has_ended(tmp_path: Path) -> None:
    _, log = await end_of(tmp_path, "sh", "-c", "seq 20000; echo error >&2")
    assert log.count("\n") == 20001
    assert " stderr F error\n" in log


async def test_a_process_runs_in_its_directory_with_its_environment_alone(tmp_path: Path) -> None:
    _, log = await end_of(tmp_path, "sh", "-c", "pwd; env | cut -d= -f1 | sort")
    assert [line.split(" ", 3)[3] for line in log.splitlines()] == [str(tmp_path), "PATH", "PWD", sweep.MARKER]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no-such-command"], 'exec: "no-such-command": executable file not found in $PATH'),
        (["/etc"], "Permission denied"),
        ([], "no command specified"),
    ],
)
async def test_a_command_that_cannot_start_says_why(tmp_path: Path, argv: Sequence[str], message: str) -> None:
    what, log = launch(tmp_path, *argv)
    with pytest.raises(StartError) as caught:
        ContainerProcess.start(what, log)
    log.close()
    assert message in str(caught.value)


async def test_a_missing_working_directory_is_named(tmp_path: Path) -> None:
    what, log = launch(tmp_path, "true", directory=tmp_path / "none")
    with pytest.raises(StartError, match=r'workingDir ".*none" is not a directory'):
        ContainerProcess.start(what, log)
    log.close()


async def test_a_containers_end_ends_its_children_even_in_a_session_of_their_own(tmp_path: Path) -> None:
    what, log = launch(tmp_path, "sh", "-c", "sleep 300 & setsid sleep 300 & sleep 0.1; exit 4")
    assert await ContainerProcess.start(what, log).wait() == 4
    assert sweep.marked(what.marker) == []


async def test_termination_reaches_the_whole_group(tmp_path: Path) -> None:
    what, log = launch(
        tmp_path, "sh", "-c", "trap 'echo asked; exit 7' TERM; sleep 300 & while :; do wait; sleep 0.1; done"
    )
    process = ContainerProcess.start(what, log)
    await started(what.marker, "sleep")
    process.terminate()
    assert await process.wait() == 7
    assert "asked" in log.path.read_text()


def test_the_guard_ends_what_carries_the_marker_when_its_input_ends(tmp_path: Path) -> None:
    marker = uuid4().hex
    with (
        subprocess.Popen([sys.executable, "-I", "-S", sweep.__file__, marker], stdin=subprocess.PIPE) as guard,
        subprocess.Popen(["sleep", "300"], env={sweep.MARKER: f"{marker}/1"}, start_new_session=True) as left,
        subprocess.Popen(["sleep", "300"], env={sweep.MARKER: "another's"}) as other,
    ):
        guard.communicate()
        assert left.wait() == -signal.SIGKILL
        assert guard.returncode == 0
        assert other.poll() is None
        other.kill()
