"""Containers as processes: each in its own session, bound to the node's life, its output in the container's log."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from s3sync_local.node.logs import LogFile, Stream
from s3sync_local.node.sweep import kill_marked

START_FAILED = 128
"""The exit code that a container runtime reports for a command that could not be started."""

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_SWEEPS = 20
_SWEEP_PAUSE = 0.01
_DRAIN_SECONDS = 2.0


class StartError(Exception):
    """The command cannot be started; the message says why, as a container runtime would."""


@dataclass(frozen=True)
class Launch:
    """What to run: the command line, all of its environment, its directory, and the marker in that environment."""

    argv: Sequence[str]
    env: Mapping[str, str]
    directory: Path
    marker: str


class ContainerProcess:
    """A running container. Start it in the main thread: the kernel ends it with the thread that started it."""

    def __init__(self, popen: subprocess.Popen[bytes], log: LogFile, marker: str) -> None:
        self._popen = popen
        self._pipes: dict[Stream, IO[bytes] | None] = {"stdout": popen.stdout, "stderr": popen.stderr}
        self._log = log
        self._marker = marker

    @classmethod
    def start(cls, launch: Launch, log: LogFile) -> "ContainerProcess":
        """Start the command; raises StartError where it is not found or not executable."""
        if not launch.argv:
            raise StartError("no command specified: the pod names none, nor does the image's entry in the catalogue")
        if not launch.directory.is_dir():
            raise StartError(f'workingDir "{launch.directory}" is not a directory of this machine')
        try:
            popen = subprocess.Popen(
                launch.argv,
                env=launch.env,
                cwd=launch.directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
                preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509 - the node has one thread
            )
        except FileNotFoundError as error:
            raise StartError(f'exec: "{launch.argv[0]}": executable file not found in $PATH') from error
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise StartError(f'exec: "{launch.argv[0]}": {error}') from error
        return cls(popen, log, launch.marker)

    async def wait(self) -> int:
        """Wait for the command's end, end what it left, close the log; returns the exit code, 128+N for signal N."""
        pumps = [asyncio.create_task(self._pump(stream, pipe)) for stream, pipe in self._pipes.items()]
        try:
            await _exit_of(self._popen.pid)
            # As long as the process is not reaped, its id cannot be another group's.
            self.kill()
            code = self._popen.wait()
            await self._end_stragglers()
            await asyncio.wait(pumps, timeout=_DRAIN_SECONDS)
        finally:
            for pump in pumps:
                pump.cancel()
            self._log.close()
        return 128 - code if code < 0 else code

    def terminate(self) -> None:
        """Send SIGTERM to the container's process group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the container's process group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)

    async def _end_stragglers(self) -> None:
        """End children that left the group; more than once, for one may be starting another just now."""
        for _ in range(_SWEEPS):
            if not kill_marked(self._marker):
                return
            await asyncio.sleep(_SWEEP_PAUSE)

    async def _pump(self, stream: Stream, pipe: IO[bytes] | None) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while data := await reader.read(65536):
                self._log.write(stream, data)
        finally:
            transport.close()


async def _exit_of(pid: int) -> None:
    """Wait until the child process is a zombie; it is not reaped."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _die_with(parent: int) -> None:
    """In the child: let the kernel end this process with its parent."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
