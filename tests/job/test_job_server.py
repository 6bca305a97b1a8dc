"""The fork server that runs s3sync-job: what it runs cannot tell that it is a fork, nor can whoever runs it."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from s3sync_local.node.logs import LogFile
from s3sync_local.node.processes import ContainerProcess, Launch
from s3sync_local.node.sweep import MARKER, marked
from tests.support import job_forks
from tests.support.job_server import JobServer, write_program

pytestmark = pytest.mark.xdist_group("job server")
SECONDS = 30

PROBE = f'''#!{sys.executable}
"""Tells all that it was given, then does what its first argument names."""

import json, os, resource, signal, sys, tempfile, threading, time

def shown(name):
    content = open(f"/proc/self/{{name}}", encoding="utf-8", errors="surrogateescape").read()
    return content.rstrip("\\0").split("\\0")

def handler(number):
    return str(signal.getsignal(number)).split(" at ")[0]

def tell():
    streams = [sys.stdin, sys.stdout, sys.stderr]
    print(json.dumps({{
        "arguments": sys.argv,
        "environment": dict(os.environ),
        "shown": [shown("cmdline"), sorted(shown("environ")), open("/proc/self/comm").read()],
        "directory": os.getcwd(),
        "umask": [os.umask(0o77)],
        "limits": [resource.getrlimit(number) for number in range(16)],
        "signals": {{str(int(number)): handler(number) for number in signal.valid_signals()}},
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
        "files": sorted(name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{{name}}")),
        "streams": [[s.encoding, s.errors, s.line_buffering, s.write_through, s.isatty(), s.fileno()] for s in streams],
        "threads": [threading.current_thread() is threading.main_thread(), len(os.listdir("/proc/self/task"))],
        "folder for temporary files": tempfile.gettempdir(),
        "zone": time.tzname,
    }}), flush=True)

match sys.argv[1:]:
    case ["tell", *_]:
        tell()
        os._exit(0)
    case ["end", code]:
        os._exit(int(code))
    case ["die", number]:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), int(number))
    case ["echo"]:
        sys.stdout.write(sys.stdin.read())
        sys.stderr.write("an error")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    case ["wait", *numbers]:
        for number in numbers:
            signal.signal(int(number), lambda number, _: os._exit(100 + number))
        print(os.getpid(), flush=True)
        sys.stdin.read()
        os._exit(0)
'''


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that tells what it was given; its name is the real one's."""
    path = tmp_path_factory.mktemp("probe") / "s3sync-job"
    path.write_text(PROBE)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def server(probe: Path) -> Iterator[JobServer]:
    with JobServer(probe) as server:
        yield server


def start(program: Path | str, *arguments: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([program, *arguments], **{"env": {"PATH": "/usr/bin:/bin"}, **pipes, **options})


def run(program: Path | str, *arguments: str | bytes, given: bytes = b"", **options: Any) -> tuple[int, bytes, bytes]:
    with start(program, *arguments, **options) as process:
        output, errors = process.communicate(given, timeout=SECONDS)
    return process.returncode, output, errors


def told(program: Path, *arguments: str | bytes, **options: Any) -> dict[str, Any]:
    code, output, errors = run(program, *arguments, **options)
    assert (code, errors) == (0, b"")
    result: dict[str, Any] = json.loads(output)
    return result


def waiting(program: Path, *arguments: str, **options: Any) -> tuple[subprocess.Popen[bytes], int]:
    """Start a program that waits for the end of its input; return it, and the process that waits."""
    process = start(program, "wait", *arguments, **options)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def wait_for_the_end_of(pid: int) -> None:
    """Wait until a process that need not be a child of this one is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], SECONDS)[0], f"{pid} does not end"
    finally:
        os.close(descriptor)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def unusual() -> None:
    """Be a process with little that is as it usually is."""
    os.umask(0o027)
    resource.setrlimit(resource.RLIMIT_NOFILE, (333, 444))
    resource.setrlimit(resource.RLIMIT_CPU, (1000, 2000))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGCHLD])


@pytest.mark.parametrize("options", [{}, {"preexec_fn": unusual}], ids=["usual", "unusual"])
def test_a_fork_is_what_a_process_of_its_own_would_be(
    probe: Path, server: JobServer, tmp_path: Path, options: dict[str, Any]
) -> None:
    given = ("tell", "", "a b\n", b"\xff\xfe", "ü")
    variables = {"PATH": "/usr/bin", "TZ": "Asia/Tokyo", "EMPTY": "", "TMPDIR": str(tmp_path), "ODD": b"\xff=\n"}
    real, fork = (told(program, *given, env=variables, cwd=tmp_path, **options) for program in (probe, server.program))
    # It is set by imports of s3sync-job, which the probe has none of.
    assert fork["environment"].pop("GRPC_VERBOSITY") == "NONE"
    # Python sets it where no locale is named, here already in the program that asks.
    fork["shown"][1].remove("LC_CTYPE=C.UTF-8")
    assert fork == real


def test_a_program_found_on_the_path_is_a_fork_of_the_server(server: JobServer) -> None:
    process, pid = waiting(Path("s3sync-job"), env={"PATH": f"{server.programs}:/usr/bin:/bin"})
    with process:
        assert (pid != process.pid, parent_of(pid)) == (True, server.pid)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize("variable", ["PYTHONPATH", "LD_LIBRARY_PATH", "TF_CPP_MIN_LOG_LEVEL", "LC_ALL"])
def test_what_a_process_reads_at_its_start_has_the_real_program_run(
    server: JobServer, tmp_path: Path, variable: str
) -> None:
    process, pid = waiting(server.program, env={"PATH": "/usr/bin:/bin", variable: str(tmp_path)})
    with process:
        assert pid == process.pid
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


@pytest.mark.parametrize("excess", ["arguments", "environment"])
def test_what_the_server_has_no_room_for_has_the_real_program_run(server: JobServer, excess: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", **({"MUCH": "x" * 100_000} if excess == "environment" else {})}
    code, output, errors = run(server.program, "tell", *["y" * 1000] * 100 * (excess == "arguments"), env=environment)
    told = json.loads(output)
    assert (code, errors) == (0, b"")
    assert (len(told["arguments"]) > 100) == (excess == "arguments")
    assert (told["environment"].get("MUCH") is not None) == (excess == "environment")


@pytest.mark.parametrize("code", [0, 7, 134, 255])
def test_it_ends_with_the_forks_exit_code(server: JobServer, code: int) -> None:
    assert run(server.program, "end", str(code)) == (code, b"", b"")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGTERM])
def test_it_ends_by_the_signal_that_the_fork_ended_by(server: JobServer, number: signal.Signals) -> None:
    assert run(server.program, "die", str(int(number)))[0] == -number


def test_input_output_and_errors_are_the_forks(server: JobServer, tmp_path: Path) -> None:
    assert run(server.program, "echo", given=b"line\n" * 50_000) == (0, b"line\n" * 50_000, b"an error")
    with (tmp_path / "file").open("wb") as file:
        assert run(server.program, "echo", given=b"x", stdout=file, stderr=subprocess.STDOUT)[0] == 0
    assert (tmp_path / "file").read_bytes() in (b"xan error", b"an errorx")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize("handled", [True, False])
def test_signals_are_passed_on(server: JobServer, number: signal.Signals, handled: bool) -> None:
    process, _ = waiting(server.program, *([str(int(number))] if handled else []))
    with process:
        process.send_signal(number)
        process.wait(SECONDS)
        _, errors = process.communicate(timeout=SECONDS)
    if number == signal.SIGINT and not handled:
        # Python's own handler raises KeyboardInterrupt, which the probe does not catch.
        assert b"KeyboardInterrupt" in errors
    else:
        assert process.returncode == (100 + number if handled else -number)


def test_what_is_ignored_from_the_start_stays_so(server: JobServer) -> None:
    process, _ = waiting(server.program, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    with process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    assert process.returncode == -signal.SIGTERM


def test_with_the_program_the_fork_is_killed(server: JobServer) -> None:
    process, pid = waiting(server.program)
    with process:
        process.kill()
        # Its output ends with the last process that has it.
        assert process.communicate(timeout=SECONDS) == (b"", b"")
    wait_for_the_end_of(pid)


def test_runs_side_by_side_do_not_disturb_one_another(server: JobServer) -> None:
    with ExitStack() as stack:
        runs = [waiting(server.program, str(int(signal.SIGTERM)), env={"NUMBER": str(number)}) for number in range(8)]
        for process, _ in runs:
            stack.enter_context(process)
        assert len({pid for _, pid in runs}) == 8
        for number, (_, pid) in enumerate(runs):
            assert f"NUMBER={number}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for process, _ in runs[1::2]:
            process.terminate()
            process.wait(SECONDS)
        for process, _ in runs:
            process.communicate(timeout=SECONDS)
    assert [process.returncode for process, _ in runs] == [0, 100 + signal.SIGTERM] * 4


async def test_a_pod_that_is_killed_leaves_no_fork(server: JobServer, tmp_path: Path) -> None:
    marker = uuid4().hex
    environment = {"PATH": f"{server.programs}:/usr/bin:/bin", MARKER: marker}
    # Input that never ends is not what a container has.
    launch = Launch(["sh", "-c", "sleep 60 | s3sync-job wait"], environment, tmp_path, marker)
    container = ContainerProcess.start(launch, LogFile(tmp_path / "log"))
    forks = await _until(lambda: [pid for pid in marked(marker) if parent_of(pid) == server.pid])
    container.kill()
    assert await container.wait() == 128 + signal.SIGKILL
    assert marked(marker) == []
    for pid in forks:
        wait_for_the_end_of(pid)


async def _until(found: Callable[[], list[int]]) -> list[int]:
    async with asyncio.timeout(SECONDS):
        while not (pids := _or_none(found)):
            await asyncio.sleep(0.05)
    return pids


def _or_none(found: Callable[[], list[int]]) -> list[int]:
    try:
        return found()
    except OSError:  # One of them ended meanwhile.
        return []


def test_where_no_server_listens_it_says_so(probe: Path, tmp_path: Path) -> None:
    write_program(tmp_path, probe)
    code, output, errors = run(tmp_path / "s3sync-job", "end", "0")
    assert (code, output) == (125, b"")
    assert f"{tmp_path}/socket: [Errno {errno.ENOENT}]".encode() in errors


def test_the_server_ends_when_its_socket_is_removed_and_its_forks_with_it(probe: Path) -> None:
    with JobServer(probe) as server:
        process, pid = waiting(server.program)
        with process:
            (server.programs / "socket").unlink()
            process.wait(SECONDS)
        assert process.returncode == -signal.SIGKILL
        wait_for_the_end_of(pid)
        wait_for_the_end_of(server.pid)


def test_the_server_ends_with_its_owner(probe: Path) -> None:
    text = f"""
import sys
from pathlib import Path
from tests.support.job_server import JobServer
with JobServer(Path({str(probe)!r})) as server:
    print(server.pid, server.programs, flush=True)
    sys.stdin.read()
"""
    root = Path(__file__).parents[2]
    with start(sys.executable, "-c", text, cwd=root) as owner:
        assert owner.stdout is not None
        pid, programs = owner.stdout.readline().split()
        owner.kill()
    wait_for_the_end_of(int(pid))
    shutil.rmtree(programs)


def test_a_server_with_a_thread_or_a_file_open_would_not_begin() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="forks would not be runs"):
            job_forks.check()
    finally:
        ended.set()
        thread.join()
