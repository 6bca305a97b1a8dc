"""Stands in for the program s3sync-job: lets the fork server that listens beside it run the job in this one's place.

JobServer makes a program of this text, run by `python -I -S`; it imports what is built in alone, so that it starts at
once. What a process reads before its first line a fork of the server cannot be given: there the real program runs.
"""

import _signal  # type: ignore[import-not-found] # What `signal` is made of, which takes long to import.
import _socket
import marshal
import posix
import sys

READ_AT_START = (b"PYTHON", b"LD_", b"GLIBC_", b"MALLOC_", b"LC_", b"LANG", b"TF_", b"GRPC_", b"OMP_", b"OPENBLAS_")
AS_IN_THE_SERVER = {b"TF_CONFIG": None, b"LANG": b"C.UTF-8", b"LC_ALL": b"C.UTF-8", b"LC_CTYPE": b"C.UTF-8"}
"""What begins like these and can be given to a fork all the same, with that value if one is named."""

ARGUMENT_BYTES, ENVIRONMENT_BYTES = 16_000, 64_000
"""The room that the server has for what /proc shows of a process."""

PASSED_ON = (
    *(_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGQUIT),
    *(_signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGALRM, _signal.SIGABRT),
)
NO_SERVER = 125


def main() -> None:
    """Have the job run, pass signals on to it, and end as it ends."""
    folder = sys.argv[0].rpartition("/")[0]
    arguments = [text.encode(sys.getfilesystemencoding(), "surrogateescape") for text in sys.argv[1:]]
    ignored = [number for number in _signal.valid_signals() if _signal.getsignal(number) is _signal.SIG_IGN]
    connection = None if needs_the_program(arguments) else ask(folder, arguments, ignored)
    if connection is None:
        posix.execve(f"{folder}/real/s3sync-job", [b"s3sync-job", *arguments], posix.environ)

    def pass_on(number: int, _frame: object) -> None:
        try:
            connection.send(bytes([number]))
        except OSError:  # The job has ended.
            return

    for number in PASSED_ON:
        if number not in ignored:
            _signal.signal(number, pass_on)
    try:
        answer = connection.recv(4)
    except ConnectionResetError:
        answer = b""
    # The job ends with its server.
    end_as(int.from_bytes(answer, "little") if answer else int(_signal.SIGKILL))


def needs_the_program(arguments: list[bytes]) -> bool:
    """Tell whether a fork of the server would not be what a process of its own is."""
    for name, value in posix.environ.items():
        if name.startswith(READ_AT_START) and AS_IN_THE_SERVER.get(name, b"") not in (None, value):
            return True
    environment = sum(len(name) + len(value) + 2 for name, value in posix.environ.items())
    return environment > ENVIRONMENT_BYTES or sum(len(text) + 1 for text in arguments) > ARGUMENT_BYTES


def ask(folder: str, arguments: list[bytes], ignored: list[int]) -> "_socket.socket | None":
    """Give the server all that makes this process; return the connection, None where that cannot be given."""
    umask = posix.umask(0)
    posix.umask(umask)
    blocked = [int(number) for number in _signal.pthread_sigmask(_signal.SIG_BLOCK, [])]
    request = marshal.dumps((arguments, posix.environ, umask, [int(number) for number in ignored], blocked))
    try:
        files = [0, 1, 2, posix.open(".", posix.O_RDONLY | posix.O_DIRECTORY)]
        for file in files:
            posix.fstat(file)
    except OSError:
        return None
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"{folder}/socket")
    except OSError as error:
        posix.write(2, f"no server of s3sync-job listens at {folder}/socket: {error}\n".encode())
        posix._exit(NO_SERVER)
    descriptors = b"".join(file.to_bytes(4, sys.byteorder) for file in files)
    connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    posix.close(files[-1])
    return connection


def end_as(status: int) -> None:
    """End with the exit code, or by the signal, that the job ended with."""
    if posix.WIFSIGNALED(status):
        number = posix.WTERMSIG(status)
        if number != _signal.SIGKILL:
            _signal.signal(number, _signal.SIG_DFL)
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [number])
        posix.kill(posix.getpid(), number)
    posix._exit(posix.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
