"""A process that has s3sync-job loaded, and a program of that name which runs as a fork of it.

Most of what a run of s3sync-job takes is to import TensorFlow, gRPC and botocore. The program in `JobServer.programs`
has the server fork and the fork become the job: with the program's arguments, environment, directory, limits, signals,
and standard input, output and error. Signals are passed on, and it ends as the job does. Where the program is killed,
the job is. What differs: the job is in the server's session and process group, not in the program's.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from s3sync_local.processes import die_with_parent
from tests.support import job_client, job_forks

REAL = Path(sys.executable).parent / "s3sync-job"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
MARGIN_BYTES = 1000


class JobServer:
    """A running fork server: a context manager. It ends with the thread that started it, and its jobs with it.

    `program` is what is run, s3sync-job if not given; in any case the server has all of s3sync-job loaded.
    """

    def __init__(self, program: Path = REAL) -> None:
        self._real = program
        self._folder: Path | None = None
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="s3sync-job-"))
        try:
            write_program(self._folder, self._real)
            self._process = _started(self._folder, self._real)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
        self._remove()

    @property
    def programs(self) -> Path:
        """The folder of the program `s3sync-job`, to be put first on a PATH."""
        assert self._folder is not None
        return self._folder

    @property
    def program(self) -> Path:
        """The program."""
        return self.programs / REAL.name

    @property
    def pid(self) -> int:
        """The server's process ID, which is its jobs' parent."""
        assert self._process is not None
        return self._process.pid

    def _remove(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def write_program(folder: Path, real: Path) -> None:
    """Write the program that asks the server whose socket lies beside it."""
    program = folder / REAL.name
    program.write_text(f"#!{sys.executable} -IS\n{Path(job_client.__file__).read_text()}")
    program.chmod(0o755)
    (folder / "real").mkdir()
    (folder / "real" / REAL.name).symlink_to(real)


def _started(folder: Path, real: Path) -> subprocess.Popen[str]:
    # Where /proc shows these two, a fork shows its own: the server is started with room for that.
    arguments, environment = job_client.ARGUMENT_BYTES + MARGIN_BYTES, job_client.ENVIRONMENT_BYTES + MARGIN_BYTES
    process = subprocess.Popen(
        [sys.executable, "-P", job_forks.__file__, str(folder / "socket"), str(real), "." * arguments],
        env={"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1", "ROOM": "." * environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - Fixtures are made in a process's first thread.
    )
    assert process.stdout is not None
    with process.stdout as output:
        ready = select.select([output], [], [], START_SECONDS)[0] and output.readline()
    if not ready:
        process.kill()
        raise RuntimeError(f"the server of s3sync-job does not start, and ended with {process.wait(STOP_SECONDS)}")
    return process


@pytest.fixture(scope="session")
def job_server() -> Iterator[JobServer]:
    """One server for all tests of a session (of an xdist worker)."""
    with JobServer() as server:
        yield server
