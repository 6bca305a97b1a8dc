"""`s3sync` within a test's own process: what a command decides and shows, without the seconds that a program starts in.

What a process alone has (signals, terminals, a shell that completes) is tested with the program itself.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn
from unittest import mock

import pytest
from click.testing import CliRunner

from s3sync_cli.app import COMPLETE_VARIABLE, app

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What commands have handlers for, as long as they run."""


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it wrote."""

    code: int
    output: str
    errors: str
    shown: str = ""
    """Both, as a terminal would have them; of commands that ran within the test's process alone."""

    @property
    def one_line(self) -> str:
        """What a command that ends badly says: one line, and nothing of Python's."""
        assert "Traceback" not in self.errors
        (line,) = self.errors.splitlines()
        return line


def s3sync(*arguments: str, folder: Path = Path(), stdin: str | None = None, **environment: str) -> Ran:
    """Run a command in a folder, with the given environment beside the PATH, and no other.

    An error that no command foresees is raised. KUBECONFIG is read when Kubernetes' client is imported: give
    `--kubeconfig`.
    """
    variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        contextlib.chdir(folder),
        mock.patch("os._exit", _leave),
        _handlers_kept(),
    ):
        runner = CliRunner(catch_exceptions=False)
        result = runner.invoke(app, arguments, stdin, prog_name="s3sync", complete_var=COMPLETE_VARIABLE)
    return Ran(result.exit_code, result.stdout, result.stderr, result.output)


def _leave(code: int) -> NoReturn:
    raise SystemExit(code)


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start_jobs_by(program: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have `s3sync run` in this process start another program in place of `python -m s3sync_job`."""
    python = folder / "python-of-jobs"
    python.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "-P -m s3sync_job" ] || exit 125\nshift 3\nexec {program} "$@"\n')
    python.chmod(0o755)
    patch.setattr("s3sync_cli.local_job.sys", SimpleNamespace(executable=str(python)))


def completed(*words: str) -> list[str]:
    """Return what a bash would be given to complete after these words, the last of which is half typed."""
    count = str(len(words) - 1)
    ran = s3sync(_S3SYNC_COMPLETE="bash_complete", COMP_WORDS="\n".join(words), COMP_CWORD=count)
    assert ran.code == 0, ran.errors
    return [line.partition(",")[2] for line in ran.output.splitlines() if line]
