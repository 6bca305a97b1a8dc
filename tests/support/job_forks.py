"""The fork server of s3sync-job: has imported all of it, and becomes it for each program of `job_client` that asks.

JobServer runs it as a script, with the paths of its socket and of the program. It imports, but starts no thread and
speaks to nobody before it forks, and makes sure of that.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import marshal
import os
import pkgutil
import resource
import selectors
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

LARGEST_REQUEST = 200_000
FILES = 4
"""What a request brings: standard input, output, error, and the directory."""

IDLE_SECONDS = 1.0
"""How often it is looked whether the socket is still there."""

NOT_BECOME = 125
LIMITS = 16
"""RLIM_NLIMITS of Linux."""

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_LIBC = ctypes.CDLL(None, use_errno=True)


def load() -> dict[str, str]:
    """Import all that a run may import; return the variables that this sets, as a run's own imports would."""
    before = set(os.environ)
    package = importlib.import_module("s3sync_job")
    modules = {
        module.name: importlib.import_module(module.name)
        for module in pkgutil.walk_packages(package.__path__, "s3sync_job.")
    }
    _load_botocore(modules["s3sync_job.gateway"], modules["s3sync_job.settings"])
    variables = {name: value for name, value in os.environ.items() if name not in before}
    # What this sets is set by each run that needs it. Each registers the plugin as well, which reads its settings; to
    # have loaded it reads none.
    tensorflow = modules["s3sync_job.tensorflow_io_loader"]
    tensorflow.import_tensorflow()
    ctypes.CDLL(tensorflow.plugin())
    return variables


def _load_botocore(gateway: ModuleType, settings: ModuleType) -> None:
    """Have botocore read its descriptions of services once for all runs, and import what it does for a client."""
    session: Any = importlib.import_module("botocore.session")
    loader = session.create_loader()
    session.create_loader = lambda *_: loader
    gateway.GatewayClient(settings.Gateway("http://127.0.0.1:1", access_key="x", secret_key="x"))


def check() -> None:
    """Fail where a fork would not be what a new process is: a thread that it lacks, something open that it shares."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    files = {int(path.name): _target(path) for path in Path("/proc/self/fd").iterdir()}
    strange = {number: target for number, target in files.items() if number > 2 and target is not None}
    if threads > 1 or strange:
        raise RuntimeError(f"the imports left {threads} threads and open files {strange}: forks would not be runs")


def _target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except FileNotFoundError:  # It was the listing's own.
        return None


@dataclass
class Run:
    """A run: the connection of whoever asked for it, None once that has gone, and its process."""

    connection: socket.socket | None
    pid: int = 0
    pidfd: int = -1


@dataclass(frozen=True)
class Request:
    """What makes a process, as the program that asks for it was given it."""

    arguments: list[bytes]
    environment: dict[bytes, bytes]
    umask: int
    ignored: list[int]
    blocked: list[int]
    files: list[int]
    client: int
    """The process to take the limits from."""


class Server:
    """Forks a run for each request, tells its end, and ends it when whoever asked for it has gone."""

    def __init__(self, path: Path, program: Path, variables: dict[str, str]) -> None:
        self._path, self._program, self._variables = path, program, variables
        self._code = compile(program.read_text(), program, "exec")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(256)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._runs: list[Run] = []

    def serve(self) -> None:
        """Serve until the socket is removed."""
        while self._path.exists():
            for key, _ in self._selector.select(IDLE_SECONDS):
                key.data()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        run = Run(connection)
        self._runs.append(run)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(run))

    def _hear(self, run: Run) -> None:
        """Take the request, then signals, then the end of whoever made it."""
        connection = run.connection
        if connection is None:
            return
        data, files = _received(connection)
        if not data:
            self._forget(run)
        elif run.pid:
            for number in data:
                os.kill(run.pid, number)
        else:
            self._start(run, data, files)
        for file in files:
            os.close(file)

    def _start(self, run: Run, data: bytes, files: list[int]) -> None:
        assert run.connection is not None
        credentials = run.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        client, _, _ = struct.unpack("3i", credentials)
        arguments, environment, umask, ignored, blocked = marshal.loads(data)
        request = Request(arguments, environment, umask, ignored, blocked, files, client)
        server = os.getpid()
        run.pid = os.fork()
        if not run.pid:
            self._become(request, server)
        run.pidfd = os.pidfd_open(run.pid)
        self._selector.register(run.pidfd, selectors.EVENT_READ, lambda: self._ended(run))

    def _become(self, request: Request, server: int) -> NoReturn:
        """Be the program, in the fork; it ends by os._exit, as s3sync-job does."""
        try:
            _die_with(server)
            self._close()
            become(request, self._program, self._variables)
            exec(self._code, {"__name__": "__main__"})
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(NOT_BECOME)

    def _close(self) -> None:
        """Close what is the server's, so that whoever waits for its end sees it."""
        self._selector.close()
        self._listener.close()
        for run in self._runs:
            if run.connection:
                run.connection.close()
            if run.pidfd >= 0:
                os.close(run.pidfd)

    def _ended(self, run: Run) -> None:
        """Reap the run, and tell how it ended."""
        self._selector.unregister(run.pidfd)
        os.close(run.pidfd)
        _, status = os.waitpid(run.pid, 0)
        self._runs.remove(run)
        connection, run.connection, run.pid = run.connection, None, 0
        if connection:
            self._selector.unregister(connection)
            with suppress(OSError):
                connection.send(status.to_bytes(4, "little"))
            connection.close()

    def _forget(self, run: Run) -> None:
        """Kill the run of a program that was killed."""
        assert run.connection is not None
        self._selector.unregister(run.connection)
        run.connection.close()
        run.connection = None
        if run.pid:
            os.kill(run.pid, signal.SIGKILL)
        else:
            self._runs.remove(run)


def _received(connection: socket.socket) -> tuple[bytes, list[int]]:
    try:
        data, ancillary, flags, _ = connection.recvmsg(LARGEST_REQUEST, socket.CMSG_SPACE(4 * FILES))
    except ConnectionError:
        return b"", []
    files = [number for *_, content in ancillary for number in struct.unpack(f"{len(content) // 4}i", content)]
    return (b"", files) if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) else (data, files)


def become(request: Request, program: Path, variables: dict[str, str]) -> None:
    """Make this process what a new one that executed `program` would be."""
    arguments = [str(program), *map(os.fsdecode, request.arguments)]
    _show(arguments, request.environment)
    for limit in range(LIMITS):
        if (theirs := resource.prlimit(request.client, limit)) != resource.getrlimit(limit):
            resource.setrlimit(limit, theirs)
    *standard, directory = request.files
    for number, file in enumerate(standard):
        os.dup2(file, number)
    os.fchdir(directory)
    for file in request.files:
        os.close(file)
    os.umask(request.umask)
    _take_signals(request.ignored, request.blocked)
    os.environ.clear()
    os.environb.update(request.environment)
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = arguments
    _take_streams()


def _die_with(server: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:
        os._exit(NOT_BECOME)


def _take_signals(ignored: list[int], blocked: list[int]) -> None:
    """Have the handlers that Python has at its start."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    if signal.SIGINT not in ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _take_streams() -> None:
    """Open standard input, output and error as Python does, in the encoding that the server has them in."""
    for name, number, mode in (("stdin", 0, "rb"), ("stdout", 1, "wb"), ("stderr", 2, "wb")):
        before: io.TextIOWrapper = getattr(sys, name)
        binary: Any = os.fdopen(number, mode, closefd=False)
        lines = name == "stderr" or binary.isatty()
        stream = io.TextIOWrapper(binary, before.encoding, before.errors, newline="\n", line_buffering=lines)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _show(arguments: list[str], environment: dict[bytes, bytes]) -> None:
    """Have /proc show the arguments and the environment, by which others find a process, in place of the server's."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    # The 48th to the 51st field, of which two are before the bracket (proc_pid_stat(5)).
    from_arguments, to_arguments, from_environment, to_environment = map(int, fields[45:49])
    words = b"".join(os.fsencode(word) + b"\0" for word in [sys.executable, *arguments])
    variables = b"".join(name + b"=" + value + b"\0" for name, value in environment.items())
    # Nothing of the server's environment may be used from here on: this is where it stands.
    os.environ.clear()
    for content, start, end in ((words, from_arguments, to_arguments), (variables, from_environment, to_environment)):
        if len(content) > end - start:
            raise ValueError(f"{len(content)} bytes do not fit into {end - start}")
        ctypes.memmove(start, content.ljust(end - start, b"\0"), end - start)
    _LIBC.prctl(_PR_SET_NAME, Path(arguments[0]).name.encode(), 0, 0, 0)


if __name__ == "__main__":
    variables = load()
    check()
    server = Server(Path(sys.argv[1]), Path(sys.argv[2]), variables)
    # What is there by now is shared by all forks, if no collection writes to it.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    # Whoever waits for that line need not read on.
    os.dup2(0, 1)
    server.serve()
