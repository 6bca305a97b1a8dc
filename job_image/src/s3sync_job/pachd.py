"""pachd's gRPC API for one repo: commits, branches, listings and streams, each call with a time limit.

The SDK's stubs take no time limit, so each is made on a channel that an interceptor gives one, and the token. A call is
tried again, a few times, only where pachd was not reached (UNAVAILABLE) or has undone it. All errors are SyncErrors.
"""

from __future__ import annotations

import io
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # Else handshakes that fail are told on standard error as well.

import grpc
from pachyderm_sdk.api import pfs, version

from s3sync_job.compare import There
from s3sync_job.grpc_limits import limited
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.reading import Reader, pieces_of
from s3sync_job.settings import Pachd, RepoBranch
from s3sync_job.tls import tls_failure
from s3sync_job.tls_relay import relay

CALL_SECONDS = 30.0
PROBE_SECONDS = 15.0
STREAM_SECONDS = 900.0
SLOWEST_RATE = 1e6
"""A stream may take a quarter of an hour, and 1 s more for each megabyte; so may a commit that finishes."""

ATTEMPTS = 3
BACKOFF_SECONDS, LONGEST_TURN_PAUSE = 0.5, 5.0
"""How often a call is tried and how long is waited before the second time, twice as long before the third."""

REMOVALS = 2
"""How often a branch's commits are removed before it goes: a PUT that was under way may make one meanwhile."""

MAX_MESSAGE_BYTES = 20 * 1024 * 1024
"""What pachd sends and takes in one message, by its own setting."""

HELD_SECONDS = 4 * 3600
"""How long pachd keeps what is set aside: a batch must be over by then. What is not put back goes after that."""

TELLS_CHANGES_SINCE = (2, 9)
"""The first release that can take out of a commit what was written to it, and leave what lies below. Before, it passes
over what it is asked, and adds all below. Read in the protocols of 2.8 and 2.9."""

MESSAGE_BYTES = 3 * 1024 * 1024
"""Content a message. Seen: 256 MB in 7.5 s."""

MAX_FILES = 10_000_000
"""A listing longer than this ends with an error instead of filling the memory."""

ROLLED_BACK = "commit unexpectedly resulted in rollback"
"""What pachd says, with the code UNKNOWN, where its database undid a call's transaction. Seen on 2.12 under load."""

_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    # A peer that vanished is noticed; pachd takes pings from every 5 s on.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A refused connection is tried anew at each attempt, not after gRPC's own growing pause.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Head:
    """A branch's head: the commit's ID, whether it is finished, its error, ``""`` for none, and its description.

    It is open where nobody has begun to finish it.
    """

    commit: str
    finished: bool
    error: str
    description: str = ""
    open: bool = False


class PachdClient:
    """Calls pachd about one repo. It may be used from many threads."""

    def __init__(self, pachd: Pachd, repo: RepoBranch) -> None:
        self._pachd = pachd
        self._where = f"{pachd.address} (--pachd-address)"
        self._repo = pfs.Repo(name=repo.repo, type="user", project=pfs.Project(name=repo.project))
        self._shown = f"{repo.project}/{repo.repo}"
        self._channel = _channel(pachd)
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._ended = False

    def probe(self, branch: str) -> None:
        """Ask for the branch; raises SyncError where pachd, the repo or the branch cannot be reached."""
        self._call(PROBE_SECONDS, lambda api: api.inspect_branch(branch=self._branch(branch)))

    def head(self, branch: str) -> Head | None:
        """Return the branch's head, None where the branch does not exist or has no commit."""
        try:
            found = self._call(CALL_SECONDS, lambda api: api.inspect_branch(branch=self._branch(branch)))
        except SyncError as error:
            if error.reason is Reason.BUCKET_NOT_FOUND:
                return None
            raise
        return self.commit(found.head.id) if found.head and found.head.id else None

    def commit(self, commit: str) -> Head:
        """Return how far a commit is."""
        return _head(self._call(CALL_SECONDS, lambda api: api.inspect_commit(commit=self._commit(commit))))

    def list_files(self, commit: str, prefix: str) -> dict[str, There]:
        """Return all files by key under the directory ``prefix`` (``""``: the whole commit), with their hashes."""

        def walk(api: pfs.ApiStub) -> dict[str, There]:
            found: dict[str, There] = {}
            for info in api.walk_file(file=self._file(commit, prefix)):
                if info.file_type == pfs.FileType.FILE:
                    found[info.file.path.removeprefix("/")] = There(info.size_bytes, info.hash.hex() or None)
                if len(found) >= MAX_FILES:
                    raise SyncError(Reason.SERVER_ERROR, f"{self._shown}:/{prefix} holds {MAX_FILES} files or more.")
            return found

        try:
            return self._call(STREAM_SECONDS, walk)
        except SyncError as error:
            if error.reason is Reason.BUCKET_NOT_FOUND and "does not contain" in error.message:
                return {}
            raise

    def file_at(self, commit: str, directory: str) -> str | None:
        """Return the file, if any, that stands where ``directory`` or one above it would have to be."""
        elements = directory.split("/")
        for depth in range(1, len(elements) + 1):
            candidate = "/".join(elements[:depth])
            if candidate and self._is_file(commit, candidate):
                return candidate
        return None

    def read(self, commit: str, key: str, size: int) -> Iterator[bytes]:
        """Yield the content of a file of about ``size`` bytes; raises BucketNotFound where it is not there."""
        return self._stream(size, lambda api: api.get_file(file=self._file(commit, key)))

    def tar(self, commit: str, prefix: str, size: int) -> Iterator[bytes]:
        """Yield a tar archive of all under the directory ``prefix``, about ``size`` bytes of content, as one stream."""
        return self._stream(size, lambda api: api.get_file_tar(file=self._file(commit, prefix)))

    def modify(self, commit: str, requests: Iterable[pfs.ModifyFileRequest], size: int) -> None:
        """Send one stream of changes to an open commit; it is never sent twice. About ``size`` bytes of content."""

        def whole() -> Iterator[pfs.ModifyFileRequest]:
            yield pfs.ModifyFileRequest(set_commit=self._commit(commit))
            yield from requests

        try:
            self._api(_stream_seconds(size)).modify_file(whole())
        except grpc.RpcError as error:
            raise self._classified(error) from error

    def put(self, commit: str, path: str, content: bytes) -> None:
        """Put a file of ``content`` in place of what is at the absolute ``path``."""
        self.modify(commit, put_requests(path, io.BytesIO(content)), len(content))

    @contextmanager
    def open_commit(self, branch: str, description: str, size: int, wait_for: int = 0, own: str = "") -> Iterator[str]:
        """Start a commit on the branch, which is made where it is missing, and finish it after the block.

        It is dropped where the block fails, or where it cannot be finished: what is finished would be seen, and what
        stays open keeps everybody from the branch. ``size`` is the bytes expected. The description gets a few random
        digits behind it, by which a commit is known again whose start was not answered. While somebody else has the
        head open, it is waited for as long as it may take to write ``wait_for`` bytes (0: not at all). A head that is
        open and whose description begins with ``own`` is dropped.

        Raises:
            SyncError: CommitFailed where it cannot be started, as while somebody else has the head open, or finished.
        """
        commit = self._start_in_turn(branch, f"{description} [{secrets.token_hex(4)}]", wait_for, own)
        try:
            yield commit
        except BaseException:
            with suppress(SyncError):
                self.drop(commit)
            raise
        self._finish(commit, size)

    def set_aside(self, commit: str) -> str:
        """Take what was written to an open commit out of it, and return the file set of that; nothing may be written
        to it meanwhile.

        Raises:
            SyncError: CommitFailed where the commit is open no more; after any error it must be given up.
        """
        kind = pfs.GetFileSetRequestFileSetType.DIFF
        taken = self._on_open(commit, "read", lambda api: api.get_file_set(commit=self._commit(commit), type=kind))
        # What was taken is kept for ten minutes; one that is made of it, as long as asked for.
        kept = self._joined(commit, "read", [taken.file_set_id])
        # Tried again, the first try might come late, and clear what is written next.
        self._on_open(commit, "emptied", lambda api: api.clear_commit(commit=self._commit(commit)), _was_undone)
        return kept

    def put_back(self, commit: str, held: Sequence[str]) -> None:
        """Put what was set aside into an open commit, in place of files that it holds under the same names.

        Raises:
            SyncError: CommitFailed where the commit is open no more, or a file set is not kept any more.
        """
        joined = self._joined(commit, "added to", held)
        # Twice does no harm: each file that was put is in the file set with the deletion of what was there.
        self._on_open(commit, "added to", lambda api: api.add_file_set(commit=self._commit(commit), file_set_id=joined))

    def tells_changes(self) -> bool:
        """Tell whether pachd can take what was written to a commit out of it, and leave what lies below."""
        found = self._tried(lambda: version.ApiStub(self._limited(CALL_SECONDS)).get_version())
        # What was built by hand calls itself 0.0.0.
        return found.major == 0 or (found.major, found.minor) >= TELLS_CHANGES_SINCE

    def drop(self, commit: str) -> None:
        """Remove a commit, which puts its branch's head back; it is fine if it is gone."""
        with _fine_if_missing():
            self._call(CALL_SECONDS, lambda api: api.drop_commit(commit=self._commit(commit), recursive=True))
        # Until it is answered, the end of the process must not leave it to a thread that dies with it.
        with self._lock:
            self._open.discard(commit)

    def abandon(self) -> None:
        """Drop the commits that are open now and start none any more: the process is about to end."""
        with self._lock:
            self._ended = True
            left = tuple(self._open)
        for commit in left:
            with suppress(SyncError):
                self.drop(commit)

    def delete_branch(self, branch: str, mark: str) -> None:
        """Remove a branch and its own commits; it is fine if there is none.

        Its own are those that were made on it, or whose description starts with ``mark``. A branch may have been made
        of another one's head, whose commits it then tells as well; these are left alone. The commits go first: without
        their branch nobody would find them again. Dropping the first of them leaves an empty one, which goes last.
        """
        if self.head(branch) is None:
            return
        for _ in range(REMOVALS):
            for commit in self._own_commits(branch, mark):
                self.drop(commit)
        left = self.head(branch)
        with _fine_if_missing():
            self._call(CALL_SECONDS, lambda api: api.delete_branch(branch=self._branch(branch), force=True))
        if left is not None:
            self._drop_if_forsaken(left.commit)

    def _own_commits(self, branch: str, mark: str) -> list[str]:
        """Return the commits of a branch, newest first, up to the first that is not its own.

        Which branch one was made on is told by its parent alone. Seen on 2.12.
        """
        last = pfs.Commit(repo=self._repo, branch=self._branch(branch))
        infos = self._call(CALL_SECONDS, lambda api: list(api.list_commit(repo=self._repo, to=last)))
        made_here = {child.id for info in infos for child in info.child_commits if child.branch.name == branch}
        own = takewhile(lambda i: i.commit.id in made_here or i.description.startswith(mark), infos)
        return [info.commit.id for info in own]

    def _drop_if_forsaken(self, commit: str) -> None:
        """Drop the first commit of a branch that is gone where no other branch leads to it."""
        with _fine_if_missing():
            info = self._call(CALL_SECONDS, lambda api: api.inspect_commit(commit=self._commit(commit)))
            infos = self._call(CALL_SECONDS, lambda api: list(api.list_branch(repo=self._repo)))
            leads_on = info.parent_commit.id or info.child_commits
            if not leads_on and commit not in {found.head.id for found in infos}:
                self.drop(commit)

    def _start_in_turn(self, branch: str, description: str, wait_for: int, own: str) -> str:
        until = time.monotonic() + (_stream_seconds(wait_for) if wait_for else 0)
        pause = BACKOFF_SECONDS
        while True:
            try:
                return self._start(branch, description)
            except SyncError as error:
                if error.reason is not Reason.COMMIT_FAILED:
                    raise
                if own and self._drop_open(branch, own):
                    own = ""  # Once is enough: nobody is alive who would open another.
                    continue
                if time.monotonic() > until:
                    raise
            # Those who wait for the same head should not all come back at once.
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - No secret is made of it.
            pause = min(LONGEST_TURN_PAUSE, pause * 2)

    def _drop_open(self, branch: str, own: str) -> bool:
        """Drop the branch's head where it is open and its description begins with ``own``; tell whether it was."""
        head = self.head(branch)
        if head is None or not head.open or not head.description.startswith(own):
            return False
        self.drop(head.commit)
        return True

    def _start(self, branch: str, description: str) -> str:
        try:
            started: str | None = self._call(
                CALL_SECONDS, lambda api: api.start_commit(branch=self._branch(branch), description=description)
            ).id
        except SyncError as error:
            started = self._unanswered_start(branch, description)
            if started is None:
                raise self._commit_failed("started", branch, error) from error
        with self._lock:
            self._open.add(str(started))
            ended = self._ended
        if ended:
            self.drop(str(started))
            raise SyncError(Reason.TERMINATED, "The run is being ended.")
        return str(started)

    def _unanswered_start(self, branch: str, description: str) -> str | None:
        """Return the commit that a start made whose answer was lost: the next try then fails on the open head."""
        try:
            head = self.head(branch)
        except SyncError:
            return None
        return head.commit if head is not None and head.description == description else None

    def _finish(self, commit: str, size: int) -> None:
        """Finish the commit and wait until it is FINISHED, when its error is known."""
        with self._lock:
            self._open.discard(commit)
        try:
            self._call(CALL_SECONDS, lambda api: api.finish_commit(commit=self._commit(commit)))
        except SyncError as error:
            # An answer that was lost on its way makes the second try fail on what the first has done.
            if not self._is_finishing(commit, error):
                with suppress(SyncError):
                    self.drop(commit)
                raise self._commit_failed("finished", commit, error) from error
        info = self._call(
            _stream_seconds(size),
            lambda api: api.inspect_commit(commit=self._commit(commit), wait=pfs.CommitState.FINISHED),
        )
        if info.error:
            raise SyncError(
                Reason.COMMIT_FAILED, f"Commit {commit} of {self._shown} finished with an error: {info.error}"
            )

    def _is_finishing(self, commit: str, error: SyncError) -> bool:
        """Tell whether the commit begins to finish; raises ``error`` where that cannot be known."""
        try:
            info = self._call(CALL_SECONDS, lambda api: api.inspect_commit(commit=self._commit(commit)))
        except SyncError:
            raise error from None
        return not _head(info).open

    def _joined(self, commit: str, verb: str, file_sets: Sequence[str]) -> str:
        """Return one file set of many, which is kept for HELD_SECONDS."""
        joined = self._on_open(
            commit, verb, lambda api: api.compose_file_set(file_set_ids=list(file_sets), ttl_seconds=HELD_SECONDS)
        )
        return str(joined.file_set_id)

    def _on_open(
        self, commit: str, verb: str, call: Callable[[pfs.ApiStub], Any], again: Callable[[Any], bool] | None = None
    ) -> Any:
        """Return the answer of a call about an open commit; CommitFailed where pachd refuses it, or has no such one."""
        try:
            return self._tried(lambda: call(self._api(CALL_SECONDS)), again)
        except SyncError as error:
            refusals = (Reason.SERVER_ERROR, Reason.BUCKET_NOT_FOUND)
            raise self._commit_failed(verb, commit, error, refusals) from error

    def _is_file(self, commit: str, key: str) -> bool:
        try:
            info = self._call(CALL_SECONDS, lambda api: api.inspect_file(file=self._file(commit, key)))
        except SyncError as error:
            if error.reason is Reason.BUCKET_NOT_FOUND:
                return False
            raise
        return bool(info.file_type == pfs.FileType.FILE)

    def _stream(self, size: int, request: Callable[[pfs.ApiStub], Iterator[Any]]) -> Iterator[bytes]:
        """Yield a stream's bytes; what was read cannot be read again, so it is not tried twice."""
        try:
            for piece in request(self._api(_stream_seconds(size))):
                yield piece.value
        except grpc.RpcError as error:
            raise self._classified(error) from error

    def _call(self, seconds: float, call: Callable[[pfs.ApiStub], _Result]) -> _Result:
        """Return the answer of a call that may be made twice, each try within ``seconds``."""
        return self._tried(lambda: call(self._api(seconds)))

    def _tried(self, call: Callable[[], _Result], again: Callable[[Any], bool] | None = None) -> _Result:
        """Return what ``call`` does, which is tried again where ``again`` says so of the error, else if it may pass."""
        may_pass = again or _may_pass
        pause = BACKOFF_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return call()
            except grpc.RpcError as error:
                if attempt == ATTEMPTS or not may_pass(error):
                    raise self._classified(error) from error
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _api(self, seconds: float) -> pfs.ApiStub:
        return pfs.ApiStub(self._limited(seconds))

    def _limited(self, seconds: float) -> grpc.Channel:
        return limited(self._channel, seconds, self._pachd.token)

    def _classified(self, error: grpc.RpcError) -> SyncError:
        reason, message = classify(error, self._where, self._shown)
        return SyncError(reason, message)

    def _commit_failed(
        self, verb: str, what: str, error: SyncError, refusals: Sequence[Reason] = (Reason.SERVER_ERROR,)
    ) -> SyncError:
        if error.reason not in refusals:
            return error
        return SyncError(Reason.COMMIT_FAILED, f"{what!r} of {self._shown}: a commit cannot be {verb}: {error.message}")

    def _branch(self, branch: str) -> pfs.Branch:
        return pfs.Branch(repo=self._repo, name=branch)

    def _commit(self, commit: str) -> pfs.Commit:
        return pfs.Commit(repo=self._repo, id=commit)

    def _file(self, commit: str, key: str) -> pfs.File:
        return pfs.File(commit=self._commit(commit), path=f"/{key}")


def put_requests(path: str, stream: Reader) -> Iterator[pfs.ModifyFileRequest]:
    """Yield the messages that put a file in place of what is at ``path``: without the first it would be appended."""
    yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
    piece = stream.read(MESSAGE_BYTES)
    # An empty file takes a message, too.
    yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=piece))
    for more in pieces_of(stream, MESSAGE_BYTES):
        yield pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=more))


def classify(error: Any, where: str, repo: str) -> tuple[Reason, str]:
    """Return the reason and the message for what gRPC raised on a call to ``where`` about ``repo`` (pure)."""
    code, text = error.code(), _one_line(error.details())
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED) or "not authorized" in text:
        return Reason.ACCESS_DENIED, (
            f"{where} refuses the token for {repo} ({text}); check PACHYDERM_TOKEN, or AWS_ACCESS_KEY_ID in its place."
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        found = tls_failure(text, where, "--pachd-address")
        return found or (Reason.PACHD_UNREACHABLE, f"pachd does not answer at {where}; are host and port right? {text}")
    if code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return Reason.PACHD_UNREACHABLE, f"{where} did not answer in time ({text}); is it a pachd, and is it well?"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Reason.PACHD_UNREACHABLE, f"{where} answers, but not as pachd 2.8 or newer does ({text})."
    if code is grpc.StatusCode.NOT_FOUND:
        return (
            Reason.BUCKET_NOT_FOUND,
            f"{where} has no such thing in {repo} ({text}); create its repo and branch first.",
        )
    return Reason.SERVER_ERROR, f"{where} fails on {repo} ({code.name}: {text}); look at pachd's log."


def _was_undone(error: Any) -> bool:
    """Tell whether pachd's database was too busy and has done nothing."""
    return ROLLED_BACK in (error.details() or "")


def _may_pass(error: Any) -> bool:
    """Tell whether a second try may do better: pachd was not reached, and not for its certificate; or it has done
    nothing.
    """
    if _was_undone(error):
        return True
    return error.code() is grpc.StatusCode.UNAVAILABLE and tls_failure(_one_line(error.details()), "", "") is None


@contextmanager
def _fine_if_missing() -> Iterator[None]:
    """Take what is to be removed and is not there for removed, as after an answer that was lost on its way."""
    try:
        yield
    except SyncError as error:
        if error.reason is not Reason.BUCKET_NOT_FOUND:
            raise


def _one_line(details: str | None) -> str:
    """Return the start of what pachd says; a panic's stack would follow."""
    return " ".join((details or "no details").split("\ngoroutine")[0].split())[:400]


def _head(info: Any) -> Head:
    return Head(info.commit.id, _is_set(info.finished), info.error, info.description, not _is_set(info.finishing))


def _is_set(time: Any) -> bool:
    """Unset timestamps read as 1970."""
    return bool(time and time.year > 1970)


def _stream_seconds(size: int) -> float:
    return STREAM_SECONDS + size / SLOWEST_RATE


def _channel(pachd: Pachd) -> grpc.Channel:
    """Return a channel; gRPC always checks certificates, so a relay does without where that is asked for."""
    if not pachd.tls:
        return grpc.insecure_channel(pachd.address, options=_OPTIONS)
    if not pachd.verify_tls:
        options = [*_OPTIONS, ("grpc.default_authority", pachd.address)]
        return grpc.insecure_channel(relay(pachd), options=options)
    ca_file, pair = pachd.ca_file, pachd.client_pair
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_bytes(ca_file or _bundled_cas()),
        private_key=_bytes(pair.key) if pair else None,
        certificate_chain=_bytes(pair.certificate) if pair else None,
    )
    return grpc.secure_channel(pachd.address, credentials, options=_OPTIONS)


def _bundled_cas() -> str:
    import certifi  # noqa: PLC0415 - Few need it.

    return certifi.where()


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - A path of the settings, as text.
        return file.read()
