"""The stand-in as a child process, for the demo and the tests."""

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

from pachyderm_standin.control_client import Control, StandinError

START_SECONDS = 20.0
STOP_SECONDS = 5.0

__all__ = ["StandinError", "StandinProcess"]


class StandinProcess(Control):
    """A running stand-in: a context manager that starts it, waits until it listens, and stops it.

    It also ends with the thread that started it. `data_dir` is a temporary folder of its own if not given, removed in
    the end. `tokens` turn Pachyderm's auth on; `commit_latency` is in seconds; `costs` is
    `pachyderm` to let things take as long as there; `tls` are PEM files, certificates and key; `release` is the
    Pachyderm that it answers as, if not the newest. Raises `StandinError`.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        grpc_port: int = 0,
        tokens: Sequence[str] = (),
        commit_latency: float = 0,
        costs: str = "none",
        tls: tuple[Path, Path] | None = None,
        release: str = "",
        outlive_parent: bool = False,
        stderr: IO[bytes] | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._flags = [f"--host={host}", f"--port={port}", f"--control-port={control_port}"]
        self._flags += [f"--grpc-port={grpc_port}"]
        self._flags += [f"--tls-cert={tls[0]}", f"--tls-key={tls[1]}"] if tls else []
        self._flags += [f"--commit-latency={commit_latency}"]
        self._flags += [f"--costs={costs}"]
        self._flags += [f"--release={release}"] if release else []
        self._flags += ["--outlive-parent"] if outlive_parent else []
        self._tokens = tokens
        self._stderr = stderr
        self._own_dir: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._addresses: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """The S3 gateway's URL."""
        return self._address("endpoint")

    @property
    def control(self) -> str:
        """The control API's URL."""
        return self._address("control")

    @property
    def pachd_address(self) -> str:
        """The gRPC API's address, `grpc://host:port`, or `grpcs://…` with TLS."""
        return self._address("grpc")

    @property
    def host_port(self) -> str:
        """The S3 gateway's `host:port`."""
        return urlsplit(self.endpoint).netloc

    @property
    def pid(self) -> int:
        """The process's ID."""
        return self._running().pid

    def start(self) -> None:
        """Start the process and wait until it listens."""
        if self._process:
            raise StandinError("the stand-in is running already")
        command = self._command()
        # In a session of its own, a terminal's Ctrl-C reaches the owner alone, which then stops it in its turn.
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._stderr, start_new_session=True)
        try:
            self._addresses = json.loads(_first_line(self._process))
        except (StandinError, ValueError) as error:
            self.kill()
            raise StandinError(f"the stand-in did not start: {error}") from error

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "pachyderm_standin", *self._flags]
        folder = self._data_dir
        if folder is None:
            folder = self._own_dir = Path(tempfile.mkdtemp(prefix="pachyderm-standin-"))
            # If this process dies without cleaning up, the stand-in, which dies with it, does.
            command.append("--remove-data-dir")
        if self._tokens:
            command.append(f"--auth-token-file={_write_tokens(folder, self._tokens)}")
        return [*command, f"--data-dir={folder}"]

    def stop(self) -> None:
        """End the process in peace, by force if it takes too long; no error if it has ended."""
        process = self._process
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._clean_up()

    def kill(self) -> None:
        """End the process as a crash would."""
        if self._process:
            self._process.kill()
        self._clean_up()

    def _clean_up(self) -> None:
        if self._process:
            self._process.wait(STOP_SECONDS)
            if self._process.stdout:
                self._process.stdout.close()
        self._process = None
        if self._own_dir:
            shutil.rmtree(self._own_dir, ignore_errors=True)
            self._own_dir = None

    def _running(self) -> subprocess.Popen[bytes]:
        if not self._process:
            raise StandinError("the stand-in is not running; call start() or use it as a context manager")
        return self._process

    def _address(self, name: str) -> str:
        self._running()
        return self._addresses[name]


def _write_tokens(folder: Path, tokens: Sequence[str]) -> Path:
    path = folder / "auth-tokens"
    path.touch(mode=0o600)
    path.write_text("\n".join(tokens))
    return path


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    if process.stdout is None:
        raise StandinError("its output is not a pipe")
    line = b""
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise StandinError(f"it was not listening after {START_SECONDS:.0f} s")
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                raise StandinError(f"it ended with exit code {process.wait(STOP_SECONDS)}; see its error output")
            line += piece
    return line
