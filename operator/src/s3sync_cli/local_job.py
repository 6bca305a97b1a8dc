"""Runs s3sync-job as a process of this machine, with the flags and the environment that a pod would get."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3sync_operator.access import ACCESS_KEY, CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY, SECRET_KEY
from s3sync_operator.pods import CERTIFICATES
from s3sync_operator.report import MARK

LINE_BYTES = 1024 * 1024
ENDING_SECONDS = 20.0
"""s3sync-job takes at most ten seconds to drop what it has open."""

OTHERS_PREFIXES = ("AWS_", "S3_", "S3SYNC_", "PACHD_", "PACHYDERM_", "TF_CONFIG", "JOB_COMPLETION_INDEX")
"""What means something to s3sync-job must come from the sync, not from whatever this shell has set."""

_Raw = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """What is run: arguments and environment, of which the latter holds credentials and is never shown."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Command({self.arguments})"


@dataclass(frozen=True)
class JobEnded:
    """How the process ended: its exit code, and the line with its report (empty where it wrote none)."""

    code: int | None
    output: str

    @property
    def report(self) -> _Raw | None:
        """The report as the job wrote it."""
        return dict(json.loads(self.output)) if self.output else None


def command(
    container: Mapping[str, Any],
    secret: Mapping[str, str],
    folder: Path,
    here: Mapping[str, str],
    input_path: str | None,
    prefix: str,
) -> Command:
    """Return what runs the job of a rendered container on this machine.

    References to the Secret become its values, `folder` takes the place of the mounted certificates, and with another
    input path the files keep the `prefix` (directory in the repo) that the sync gives them.
    """
    variables = {name: value for name, value in here.items() if not name.startswith(OTHERS_PREFIXES)}
    for item in container["env"]:
        value = item.get("value")
        if value is None and item["name"] in (ACCESS_KEY, SECRET_KEY):
            value = secret.get(item["valueFrom"]["secretKeyRef"]["key"])
        if value is not None:
            variables[item["name"]] = value.replace(CERTIFICATES, str(folder), 1)
    return Command(tuple(_flags(container["args"], input_path, prefix)), variables)


def _flags(given: Sequence[str], input_path: str | None, prefix: str) -> list[str]:
    if input_path is None:
        return list(given)
    kept = [flag for flag in given if not flag.startswith(("--inputpath=", "--destination-path="))]
    return [*kept, f"--inputpath={input_path}", f"--destination-path={prefix or '/'}"]


def write_certificates(folder: Path, certificates: Mapping[str, str]) -> None:
    """Write a certificate Secret's data to where `command` says that it lies, for nobody else to read."""
    for key in (CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY):
        if certificates.get(key):
            with os.fdopen(os.open(folder / key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(certificates[key])


class LocalJob:
    """One process of s3sync-job; `say` takes what it writes for people, a line each."""

    def __init__(self, what: Command, say: Callable[[str], None], seconds: float) -> None:
        self._what = what
        self._say = say
        self._seconds = seconds
        self._process: asyncio.subprocess.Process | None = None

    @property
    def runs(self) -> bool:
        """Whether there is a process under way."""
        return self._process is not None and self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Ask the process to end, or with SIGKILL end it."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def run(self) -> JobEnded:
        """Run it to its end; at the time limit it is told to end, and reports so."""
        self._process = await asyncio.create_subprocess_exec(
            # Without -P, a file in the working directory could stand in for one of Python's modules.
            *(sys.executable, "-P", "-m", "s3sync_job", *self._what.arguments),
            env=dict(self._what.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            # A Ctrl-C is for this process, which passes it on.
            start_new_session=True,
        )
        late = asyncio.get_running_loop().call_later(self._seconds, self.signal, signal.SIGTERM)
        try:
            report = await self._read(self._process)
            return JobEnded(await self._process.wait(), report)
        finally:
            late.cancel()
            await self._end(self._process)

    async def _read(self, process: asyncio.subprocess.Process) -> str:
        """Pass the lines on, and return the last report among them."""
        assert process.stdout is not None  # noqa: S101 - it was asked for.
        report = ""
        while line := await _line(process.stdout):
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith("{") and MARK in text:
                report = text
            else:
                self._say(text)
        return report

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await process.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await process.wait()


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Return the next line, empty at the end; of one that is too long, what there is so far."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.readexactly(error.consumed)
