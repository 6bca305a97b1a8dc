"""pachd's gRPC API for one repo: commits, branches, listings and streams, each call with a time limit.

A call is tried again, a few times, only if pachd was not reached (UNAVAILABLE) or has undone it. Errors are SyncErrors.
"""

from __future__ import annotations

import io
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BytesValue

from s3sync_job.compare import There
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.reading import Reader, pieces_of
from s3sync_job.settings import Pachd, RepoBranch
from s3sync_job.tls import tls_message
from s3sync_pachyderm import methods
from s3sync_pachyderm.channel import Channel, RpcError, Trust
from s3sync_pachyderm.errors import Cause, grpc_cause, may_pass, one_line, was_undone
from s3sync_pachyderm.methods import Download, Unary
from s3sync_pachyderm.proto import pfs_pb2 as pfs
from s3sync_pachyderm.refs import RepoRef
from s3sync_pachyderm.retries import BACKOFF_SECONDS, tried
from s3sync_pachyderm.times import time_of
from s3sync_pachyderm.tls_relay import relay_in_thread, trusting_context

CALL_SECONDS = 30.0
PROBE_SECONDS = 15.0
STREAM_SECONDS = 900.0
SLOWEST_RATE = 1e6
"""A stream may take a quarter of an hour, and 1 s more for each megabyte; so may a commit that finishes."""

LONGEST_TURN_PAUSE = 5.0
"""Seconds between two looks whether the head is free."""

REMOVALS = 2
"""How often a branch's commits are removed before it goes: a PUT that was under way may make one meanwhile."""

HELD_SECONDS = 4 * 3600
"""How long pachd keeps what is set aside: a batch must be over by then. What is not put back goes after that."""

TELLS_CHANGES_SINCE = (2, 9)
"""The first release that can take out of a commit what was written to it, and leave what lies below. Before, it passes
over what it is asked, and adds all below. Read in the protocols of 2.8 and 2.9."""

MESSAGE_BYTES = 3 * 1024 * 1024
"""Content a message. Seen: 256 MB in 7.5 s."""

MAX_FILES = 10_000_000
"""A listing longer than this ends with an error instead of filling the memory."""

_MEANINGS = {
    Cause.DENIED: (
        Reason.ACCESS_DENIED,
        "{where} refuses the token for {repo} ({text}); check PACHYDERM_TOKEN, or AWS_ACCESS_KEY_ID in its place.",
    ),
    Cause.UNREACHABLE: (
        Reason.PACHD_UNREACHABLE,
        "pachd does not answer at {where}; are host and port right? {text}",
    ),
    Cause.TOO_SLOW: (
        Reason.PACHD_UNREACHABLE,
        "{where} did not answer in time ({text}); is it a pachd, and is it well?",
    ),
    Cause.NOT_PACHD: (Reason.PACHD_UNREACHABLE, "{where} answers, but not as pachd 2.8 or newer does ({text})."),
    Cause.MISSING: (
        Reason.BUCKET_NOT_FOUND,
        "{where} has no such thing in {repo} ({text}); create its repo and branch first.",
    ),
}
_FAILED = (Reason.SERVER_ERROR, "{where} fails on {repo} ({code}: {text}); look at pachd's log.")
_Result = TypeVar("_Result")
_Request = TypeVar("_Request", bound=Message)
_Answer = TypeVar("_Answer", bound=Message)


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
        self._repo = RepoRef(repo.project, repo.repo)
        self._channel = _channel(pachd)
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._ended = False

    def probe(self, branch: str) -> None:
        """Ask for the branch; raises SyncError where pachd, the repo or the branch cannot be reached."""
        self._inspect_branch(branch, PROBE_SECONDS)

    def head(self, branch: str) -> Head | None:
        """Return the branch's head, None where the branch does not exist or has no commit."""
        try:
            found = self._inspect_branch(branch)
        except SyncError as error:
            if error.reason is Reason.BUCKET_NOT_FOUND:
                return None
            raise
        return self.commit(found.head.id) if found.head.id else None

    def commit(self, commit: str) -> Head:
        """Return how far a commit is."""
        return _head(self._inspect_commit(commit))

    def list_files(self, commit: str, prefix: str) -> dict[str, There]:
        """Return all files by key under the directory ``prefix`` (``""``: the whole commit), with their hashes."""

        request = pfs.WalkFileRequest(file=self._file(commit, prefix))

        def walk() -> dict[str, There]:
            found: dict[str, There] = {}
            for info in self._channel.download(methods.WALK_FILE, request, STREAM_SECONDS):
                if info.file_type == pfs.FILE:
                    found[info.file.path.removeprefix("/")] = There(info.size_bytes, info.hash.hex() or None)
                if len(found) >= MAX_FILES:
                    raise SyncError(Reason.SERVER_ERROR, f"{self._repo}:/{prefix} holds {MAX_FILES} files or more.")
            return found

        try:
            return self._tried(walk)
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
        return self._stream(methods.GET_FILE, commit, key, size)

    def tar(self, commit: str, prefix: str, size: int) -> Iterator[bytes]:
        """Yield a tar archive of all under the directory ``prefix``, about ``size`` bytes of content, as one stream."""
        return self._stream(methods.GET_FILE_TAR, commit, prefix, size)

    def modify(self, commit: str, requests: Iterable[pfs.ModifyFileRequest], size: int) -> None:
        """Send one stream of changes to an open commit; it is never sent twice. About ``size`` bytes of content."""

        def whole() -> Iterator[pfs.ModifyFileRequest]:
            yield pfs.ModifyFileRequest(set_commit=self._repo.commit(commit))
            yield from requests

        try:
            self._channel.upload(methods.MODIFY_FILE, whole(), _stream_seconds(size))
        except RpcError as error:
            raise self._classified(error) from error

    def put(self, commit: str, path: str, content: bytes) -> None:
        """Put a file of ``content`` in place of what is at the absolute ``path``."""
        self.modify(commit, put_requests(path, io.BytesIO(content), len(content)), len(content))

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
        named = self._repo.commit(commit)
        changes = pfs.GetFileSetRequest(commit=named, type=pfs.GetFileSetRequest.DIFF)
        taken = self._on_open(commit, "read", methods.GET_FILE_SET, changes)
        # What was taken is kept for ten minutes; one that is made of it, as long as asked for.
        kept = self._joined(commit, "read", [taken.file_set_id])
        # Tried again, the first try might come late, and clear what is written next.
        clear = pfs.ClearCommitRequest(commit=named)
        self._on_open(commit, "emptied", methods.CLEAR_COMMIT, clear, lambda _, details: was_undone(details))
        return kept

    def put_back(self, commit: str, held: Sequence[str]) -> None:
        """Put what was set aside into an open commit, in place of files that it holds under the same names.

        Raises:
            SyncError: CommitFailed where the commit is open no more, or a file set is not kept any more.
        """
        joined = self._joined(commit, "added to", held)
        # Twice does no harm: each file that was put is in the file set with the deletion of what was there.
        added = pfs.AddFileSetRequest(commit=self._repo.commit(commit), file_set_id=joined)
        self._on_open(commit, "added to", methods.ADD_FILE_SET, added)

    def tells_changes(self) -> bool:
        """Tell whether pachd can take what was written to a commit out of it, and leave what lies below."""
        found = self._call(methods.GET_VERSION, Empty())
        # What was built by hand calls itself 0.0.0.
        return found.major == 0 or (found.major, found.minor) >= TELLS_CHANGES_SINCE

    def drop(self, commit: str) -> None:
        """Remove a commit, which puts its branch's head back; it is fine if it is gone."""
        with _fine_if_missing():
            self._call(methods.DROP_COMMIT, pfs.DropCommitRequest(commit=self._repo.commit(commit), recursive=True))
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
            request = pfs.DeleteBranchRequest(branch=self._repo.branch(branch), force=True)
            self._call(methods.DELETE_BRANCH, request)
        if left is not None:
            self._drop_if_forsaken(left.commit)

    def _own_commits(self, branch: str, mark: str) -> list[str]:
        """Return the commits of a branch, newest first, up to the first that is not its own.

        Which branch one was made on is told by its parent alone. Seen on 2.12.
        """
        request = pfs.ListCommitRequest(repo=self._repo.message, to=self._repo.head(branch))
        infos = self._list(methods.LIST_COMMIT, request)
        made_here = {child.id for info in infos for child in info.child_commits if child.branch.name == branch}
        own = takewhile(lambda i: i.commit.id in made_here or i.description.startswith(mark), infos)
        return [info.commit.id for info in own]

    def _drop_if_forsaken(self, commit: str) -> None:
        """Drop the first commit of a branch that is gone where no other branch leads to it."""
        with _fine_if_missing():
            info = self._inspect_commit(commit)
            infos = self._list(methods.LIST_BRANCH, pfs.ListBranchRequest(repo=self._repo.message))
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
            request = pfs.StartCommitRequest(branch=self._repo.branch(branch), description=description)
            started: str | None = self._call(methods.START_COMMIT, request).id
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
            self._call(methods.FINISH_COMMIT, pfs.FinishCommitRequest(commit=self._repo.commit(commit)))
        except SyncError as error:
            # An answer that was lost on its way makes the second try fail on what the first has done.
            if not self._is_finishing(commit, error):
                with suppress(SyncError):
                    self.drop(commit)
                raise self._commit_failed("finished", commit, error) from error
        request = pfs.InspectCommitRequest(commit=self._repo.commit(commit), wait=pfs.FINISHED)
        info = self._call(methods.INSPECT_COMMIT, request, _stream_seconds(size))
        if info.error:
            raise SyncError(
                Reason.COMMIT_FAILED, f"Commit {commit} of {self._repo} finished with an error: {info.error}"
            )

    def _is_finishing(self, commit: str, error: SyncError) -> bool:
        """Tell whether the commit begins to finish; raises ``error`` where that cannot be known."""
        try:
            info = self._inspect_commit(commit)
        except SyncError:
            raise error from None
        return not _head(info).open

    def _joined(self, commit: str, verb: str, file_sets: Sequence[str]) -> str:
        """Return one file set of many, which is kept for HELD_SECONDS."""
        request = pfs.ComposeFileSetRequest(file_set_ids=file_sets, ttl_seconds=HELD_SECONDS)
        return self._on_open(commit, verb, methods.COMPOSE_FILE_SET, request).file_set_id

    def _on_open(
        self,
        commit: str,
        verb: str,
        method: Unary[_Request, _Answer],
        request: _Request,
        again: Callable[[str, str | None], bool] = may_pass,
    ) -> _Answer:
        """Return the answer of a call about an open commit; CommitFailed where pachd refuses it, or has no such one."""
        try:
            return self._tried(lambda: self._channel.unary(method, request, CALL_SECONDS), again)
        except SyncError as error:
            refusals = (Reason.SERVER_ERROR, Reason.BUCKET_NOT_FOUND)
            raise self._commit_failed(verb, commit, error, refusals) from error

    def _is_file(self, commit: str, key: str) -> bool:
        try:
            info = self._call(methods.INSPECT_FILE, pfs.InspectFileRequest(file=self._file(commit, key)))
        except SyncError as error:
            if error.reason is Reason.BUCKET_NOT_FOUND:
                return False
            raise
        return info.file_type == pfs.FILE

    def _inspect_branch(self, branch: str, seconds: float = CALL_SECONDS) -> pfs.BranchInfo:
        request = pfs.InspectBranchRequest(branch=self._repo.branch(branch))
        return self._call(methods.INSPECT_BRANCH, request, seconds)

    def _inspect_commit(self, commit: str) -> pfs.CommitInfo:
        return self._call(methods.INSPECT_COMMIT, pfs.InspectCommitRequest(commit=self._repo.commit(commit)))

    def _stream(
        self, method: Download[pfs.GetFileRequest, BytesValue], commit: str, path: str, size: int
    ) -> Iterator[bytes]:
        """Yield a stream's bytes; what was read cannot be read again, so it is not tried twice."""
        request = pfs.GetFileRequest(file=self._file(commit, path))
        try:
            for piece in self._channel.download(method, request, _stream_seconds(size)):
                yield piece.value
        except RpcError as error:
            raise self._classified(error) from error

    def _call(self, method: Unary[_Request, _Answer], request: _Request, seconds: float = CALL_SECONDS) -> _Answer:
        """Return the answer of a call that may be made twice, each try within ``seconds``."""
        return self._tried(lambda: self._channel.unary(method, request, seconds))

    def _list(self, method: Download[_Request, _Answer], request: _Request) -> list[_Answer]:
        return self._tried(lambda: list(self._channel.download(method, request, CALL_SECONDS)))

    def _tried(self, call: Callable[[], _Result], again: Callable[[str, str | None], bool] = may_pass) -> _Result:
        """Return what ``call`` does, which is tried again where ``again`` says so of the error's code and details."""
        try:
            return tried(call, again)
        except RpcError as error:
            raise self._classified(error) from error

    def _classified(self, error: Any) -> SyncError:
        reason, message = classify(error.code().name, error.details(), self._where, str(self._repo))
        return SyncError(reason, message)

    def _commit_failed(
        self, verb: str, what: str, error: SyncError, refusals: Sequence[Reason] = (Reason.SERVER_ERROR,)
    ) -> SyncError:
        if error.reason not in refusals:
            return error
        return SyncError(Reason.COMMIT_FAILED, f"{what!r} of {self._repo}: a commit cannot be {verb}: {error.message}")

    def _file(self, commit: str, key: str) -> pfs.File:
        return self._repo.file(commit, f"/{key}")


def put_requests(path: str, stream: Reader, size: int) -> Iterator[pfs.ModifyFileRequest]:
    """Yield the messages that put a file in place of what is at ``path``: without the first it would be appended.

    ``size`` is about that of the content; memory for no more than that is asked for at a time.
    """
    yield pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path))
    most = min(MESSAGE_BYTES, size + 1)
    # An empty file takes a message, too.
    piece = stream.read(most)
    yield _add(path, piece)
    if len(piece) < most:
        return
    for more in pieces_of(stream, MESSAGE_BYTES):
        yield _add(path, more)


def _add(path: str, content: bytes) -> pfs.ModifyFileRequest:
    return pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=BytesValue(value=content)))


def classify(code: str, details: str | None, where: str, repo: str) -> tuple[Reason, str]:
    """Return the reason and the message for a failed call to ``where`` about ``repo``, by its status (pure)."""
    cause, text = grpc_cause(code, details), one_line(details)
    if found := tls_message(cause, text, where, "--pachd-address"):
        return found
    reason, said = _MEANINGS.get(cause, _FAILED)
    return reason, said.format(where=where, repo=repo, text=text, code=code)


@contextmanager
def _fine_if_missing() -> Iterator[None]:
    """Take what is to be removed and is not there for removed, as after an answer that was lost on its way."""
    try:
        yield
    except SyncError as error:
        if error.reason is not Reason.BUCKET_NOT_FOUND:
            raise


def _head(info: pfs.CommitInfo) -> Head:
    finished, finishing = time_of(info, "finished"), time_of(info, "finishing")
    return Head(info.commit.id, finished is not None, info.error, info.description, finishing is None)


def _stream_seconds(size: int) -> float:
    return STREAM_SECONDS + size / SLOWEST_RATE


def _channel(pachd: Pachd) -> Channel:
    """Return a connection; gRPC always checks certificates, so a relay skips that if asked to."""
    if not pachd.tls:
        return Channel(pachd.address, pachd.token)
    pair = pachd.client_pair
    if not pachd.verify_tls:
        context = trusting_context((pair.certificate, pair.key) if pair else None)
        return Channel(relay_in_thread(pachd.address, context), pachd.token, authority=pachd.address)
    trust = Trust(
        ca=Path(pachd.ca_file).read_bytes() if pachd.ca_file else None,
        certificate=Path(pair.certificate).read_bytes() if pair else None,
        key=Path(pair.key).read_bytes() if pair else None,
    )
    return Channel(pachd.address, pachd.token, trust)
