"""The calls of pachd's gRPC API; each blocks its thread, and ends within a time limit."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from google.protobuf.message import Message

from s3sync_operator.access import NO_AUTH, Target
from s3sync_operator.api import Reason
from s3sync_operator.blotting import blot
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.failures import grpc_error
from s3sync_operator.metrics import Metrics
from s3sync_operator.publish import MOST_COMMITS, CommitSeen
from s3sync_operator.staging import MANIFEST_PATH, BranchSeen, RepoSeen, owner_and_run, staged_mark
from s3sync_pachyderm import methods
from s3sync_pachyderm.channel import Channel, RpcError, Trust
from s3sync_pachyderm.methods import Download, Method, Unary
from s3sync_pachyderm.proto import pfs_pb2 as pfs
from s3sync_pachyderm.refs import RepoRef
from s3sync_pachyderm.retries import ATTEMPTS, tried
from s3sync_pachyderm.times import time_of

REMOVE_SECONDS = 60.0
DELETE_REPO_SECONDS = 120.0
MANIFEST_SECONDS, MANIFEST_BYTES = 120.0, 24 * 1024 * 1024
"""Of a manifest too large for the operator's memory, s3sync-job tells before it copies anything."""
_Result = TypeVar("_Result")
_Request = TypeVar("_Request", bound=Message)
_Answer = TypeVar("_Answer", bound=Message)


class StateError(Exception):
    """What a call is about is not as it must be."""


class MissingError(StateError):
    """What was asked for is not there."""


class ExistsError(StateError):
    """What was to be made is there."""


def _open(target: Target, address: str) -> Channel:
    token, tls = target.credentials.access_key, target.tls
    if not target.encrypted:
        return Channel(address, token)
    if not tls.verify:
        return Channel(address, token, authority=target.host_port)
    ca = tls.ca.encode() if tls.ca else None
    if not (tls.certificate and tls.key):
        return Channel(address, token, Trust(ca))
    return Channel(address, token, Trust(ca, tls.certificate.encode(), tls.key.encode()))


class Calls:
    """The calls about one repo, over a connection of their own to `address`; to be closed."""

    def __init__(self, target: Target, address: str, seconds: float, metrics: Metrics) -> None:
        self._channel = _open(target, address)
        self._target = target
        self._seconds = seconds
        self._metrics = metrics
        self._repo = RepoRef(target.project, target.repo)

    def close(self) -> None:
        """Close the connection, which ends a call under way."""
        self._channel.close()

    def ensure_branch(self, branch: str, description: str) -> datetime | None:
        """See Pachd."""
        with suppress(MissingError):
            self._inspect_branch(branch)
            return None
        self._create_repo(description)
        self._call(methods.CREATE_BRANCH, pfs.CreateBranchRequest(branch=self._repo.branch(branch)))
        return time_of(self._inspect_branch(branch), "created_at") or datetime.now(UTC)

    def repo_of(self) -> RepoSeen | None:
        """See Pachd."""
        try:
            found = self._inspect_repo()
            branches = self._branches()
        except MissingError:
            return None
        return RepoSeen(found.description, {info.branch.name: time_of(info, "created_at") for info in branches})

    def delete_branch(self, branch: str) -> None:
        """See Pachd."""
        with suppress(MissingError):
            self._call(methods.DELETE_BRANCH, pfs.DeleteBranchRequest(branch=self._repo.branch(branch)))

    def delete_repo(self) -> None:
        """See Pachd."""
        self._call(methods.DELETE_REPO, pfs.DeleteRepoRequest(repo=self._repo.message), DELETE_REPO_SECONDS)

    def _create_repo(self, description: str) -> None:
        try:
            self._inspect_repo()
        except MissingError:
            pass
        else:
            return
        try:
            request = pfs.CreateRepoRequest(repo=self._repo.message, description=description)
            self._call(methods.CREATE_REPO, request)
        except ExistsError:
            # Somebody else was faster, which is as good.
            return
        except MissingError as error:
            text = f"{self._target.host_port} refuses repo {self._target.shown} ({error}); create the project"
            raise PermanentSyncError(Reason.BUCKET_REFUSED, text) from None

    def history(self, branch: str, since: str | None, most: int) -> tuple[CommitSeen, ...]:
        """See Pachd."""
        try:
            return self._list_commits(branch, since, most)
        except MissingError:
            return self._list_commits(branch, None, most) if since else ()

    def _list_commits(self, branch: str, since: str | None, most: int) -> tuple[CommitSeen, ...]:
        head = self._head(branch)
        if head is None or head == since:
            return ()
        request = pfs.ListCommitRequest(
            repo=self._repo.message,
            to=self._repo.commit(head),
            since=self._repo.commit(since) if since else None,
            number=most,
        )
        return _seen_with_branches(self._list(methods.LIST_COMMIT, request))

    def _head(self, branch: str) -> str | None:
        return self._inspect_branch(branch).head.id or None

    def start_commit(self, branch: str, description: str) -> str:
        """See Pachd."""
        request = pfs.StartCommitRequest(branch=self._repo.branch(branch), description=description)
        return self._call(methods.START_COMMIT, request).id

    def modify(self, commit: str, deletes: Sequence[str], copies: Sequence[tuple[str, str]], limit: float) -> None:
        """See Pachd."""

        def steps() -> Iterator[pfs.ModifyFileRequest]:
            yield pfs.ModifyFileRequest(set_commit=self._repo.commit(commit))
            yield from (pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=f"/{key}")) for key in deletes)
            yield from (pfs.ModifyFileRequest(copy_file=self._copy(source, folder)) for source, folder in copies)

        method = methods.MODIFY_FILE
        self._tried(method, lambda: self._channel.upload(method, steps(), limit), attempts=1)

    def _copy(self, source: str, folder: str) -> pfs.CopyFile:
        return pfs.CopyFile(src=self._repo.file(source, f"/{folder}"), dst=f"/{folder}")

    def finish_commit(self, commit: str) -> None:
        """See Pachd."""
        try:
            self._call(methods.FINISH_COMMIT, pfs.FinishCommitRequest(commit=self._repo.commit(commit)))
        except SyncError:
            # An answer that was lost on its way makes the second try fail on what the first has done.
            if self._inspect(commit).state == "Open":
                raise

    def wait_finished(self, commit: str) -> None:
        """See Pachd."""
        request = pfs.InspectCommitRequest(commit=self._repo.commit(commit), wait=pfs.FINISHED)
        try:
            self._call(methods.INSPECT_COMMIT, request, attempts=1)
        except TemporarySyncError as error:
            # It is looked at again; whether pachd is there at all, that look tells.
            if error.reason != Reason.PACHD_UNREACHABLE:
                raise

    def drop_commit(self, commit: str) -> None:
        """See Pachd."""
        try:
            request = pfs.DropCommitRequest(commit=self._repo.commit(commit), recursive=True)
            self._call(methods.DROP_COMMIT, request)
        except MissingError:
            return

    def drop_open_commit(self, commit: str) -> bool:
        """See Pachd."""
        try:
            if self._inspect(commit).state != "Open":
                return False
        except MissingError:
            return False
        self.drop_commit(commit)
        return True

    def parent_of(self, commit: str) -> str | None:
        """See Pachd."""
        return self._inspect(commit).parent

    def _inspect(self, commit: str) -> CommitSeen:
        return _seen(self._inspect_commit(commit))

    def _inspect_commit(self, commit: str) -> pfs.CommitInfo:
        return self._call(methods.INSPECT_COMMIT, pfs.InspectCommitRequest(commit=self._repo.commit(commit)))

    def _inspect_branch(self, branch: str) -> pfs.BranchInfo:
        return self._call(methods.INSPECT_BRANCH, pfs.InspectBranchRequest(branch=self._repo.branch(branch)))

    def _inspect_repo(self) -> pfs.RepoInfo:
        return self._call(methods.INSPECT_REPO, pfs.InspectRepoRequest(repo=self._repo.message))

    def _branches(self) -> list[pfs.BranchInfo]:
        return self._list(methods.LIST_BRANCH, pfs.ListBranchRequest(repo=self._repo.message))

    def same_below(self, one: str, other: str, directory: str) -> bool:
        """A directory's hash would not do: Pachyderm takes it of the contents alone, not of the names. Seen on 2.12."""
        old, new = (self._repo.file(commit, f"/{directory}") for commit in (one, other))
        request = pfs.DiffFileRequest(new_file=new, old_file=old)
        method = methods.DIFF_FILE
        return self._tried(
            method, lambda: next(self._channel.download(method, request, MANIFEST_SECONDS), None) is None
        )

    def staged_in(self) -> frozenset[tuple[str, str]]:
        """See Pachd."""
        found = self._list(methods.LIST_BRANCH, pfs.ListBranchRequest(), MANIFEST_SECONDS)
        named = (info.branch for info in found)
        return frozenset((item.repo.project.name, item.repo.name) for item in named if owner_and_run(item.name))

    def read_manifest(self, commit: str) -> bytes:
        """See Pachd."""
        request = pfs.GetFileRequest(file=self._repo.file(commit, f"/{MANIFEST_PATH}"))
        method = methods.GET_FILE
        return self._tried(method, lambda: _read(self._channel.download(method, request, MANIFEST_SECONDS)))

    def list_branches(self) -> tuple[BranchSeen, ...]:
        """See Pachd."""
        try:
            found = self._branches()
        except MissingError:
            return ()
        return tuple(BranchSeen(info.branch.name, self._written(info)) for info in found)

    def _written(self, info: pfs.BranchInfo) -> datetime | None:
        """Return when a staging branch was last written to; of other branches nobody asks."""
        if owner_and_run(info.branch.name) is None or not info.head.id:
            return None
        try:
            found = self._inspect_commit(info.head.id)
        except MissingError:
            return None
        return time_of(found, "started")

    def remove_branch(self, branch: str) -> bool:
        """The commits go first: without their branch nobody would find them again. Dropping the first of them leaves
        an empty one, which goes last.

        Seen: a PUT that comes after its open commit was dropped makes a commit of its own, with no mark. A branch that
        somebody made of another one's head has that one's commits too, which are left alone."""
        until = time.monotonic() + REMOVE_SECONDS

        def is_own(commit: CommitSeen) -> bool:
            return commit.branch == branch or commit.description.startswith(staged_mark(branch))

        try:
            for commit in self._list_commits(branch, None, MOST_COMMITS):
                if time.monotonic() > until:
                    return False
                if not is_own(commit):
                    break
                self.drop_commit(commit.id)
            left = self._list_commits(branch, None, 2)
            if left and is_own(left[0]):
                return False
            request = pfs.DeleteBranchRequest(branch=self._repo.branch(branch), force=True)
            self._call(methods.DELETE_BRANCH, request)
        except MissingError:
            return True
        if len(left) == 1:
            self._drop_if_forsaken(left[0].id)
        return True

    def _drop_if_forsaken(self, commit: str) -> None:
        """Drop a commit that no branch leads to."""
        with suppress(MissingError):
            found = self._inspect_commit(commit)
            heads = [info.head.id for info in self._branches()]
            if not found.child_commits and commit not in heads:
                self.drop_commit(commit)

    def _call(
        self,
        method: Unary[_Request, _Answer],
        request: _Request,
        seconds: float | None = None,
        *,
        attempts: int = ATTEMPTS,
    ) -> _Answer:
        limit = seconds or self._seconds
        return self._tried(method, lambda: self._channel.unary(method, request, limit), attempts=attempts)

    def _list(
        self, method: Download[_Request, _Answer], request: _Request, seconds: float | None = None
    ) -> list[_Answer]:
        limit = seconds or self._seconds
        return self._tried(method, lambda: list(self._channel.download(method, request, limit)))

    def _tried(self, method: Method[Any, Any], call: Callable[[], _Result], *, attempts: int = ATTEMPTS) -> _Result:
        """Return what a call answers, tried again after a pause if pachd was not reached; each try is counted."""
        try:
            return tried(lambda: self._once(method.name, call), attempts=attempts)
        except RpcError as error:
            raise self._translated(error) from None

    def _once(self, operation: str, call: Callable[[], _Result]) -> _Result:
        begun, result = time.monotonic(), "ok"
        try:
            return call()
        except RpcError as error:
            failed: Any = error
            code = failed.code().name
            result = "missing" if code == "NOT_FOUND" else self._explained(failed).reason
            raise
        finally:
            self._metrics.pachd_answered(operation, result, time.monotonic() - begun)

    def _translated(self, error: Any) -> Exception:
        known = {"NOT_FOUND": MissingError, "ALREADY_EXISTS": ExistsError}.get(error.code().name)
        explained = self._explained(error)
        return known(explained.message) if known else explained

    def _explained(self, error: Any) -> SyncError:
        target, details = self._target, error.details() or ""
        if target.credentials != NO_AUTH:
            # Before anything is cut off, or a part of a secret would be no secret to be found.
            details = blot(details, (target.credentials.access_key, target.credentials.secret_key))
        return grpc_error(error.code().name, details, target.host_port, target.shown)


def _read(pieces: Iterator[Any]) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece.value
        if len(found) > MANIFEST_BYTES:
            text = f"a worker's manifest has more than {MANIFEST_BYTES} bytes; let more spec.workers share the files"
            raise PermanentSyncError(Reason.MANIFEST_TOO_LARGE, text)
    return bytes(found)


def _seen_with_branches(infos: Sequence[pfs.CommitInfo]) -> tuple[CommitSeen, ...]:
    """A commit's branch is told by its parent alone. Seen on 2.12."""
    branches = {child.id: child.branch.name for info in infos for child in info.child_commits}
    return tuple(replace(_seen(info), branch=branches.get(info.commit.id, "")) for info in infos)


def _seen(info: pfs.CommitInfo) -> CommitSeen:
    state: Literal["Open", "Finishing", "Finished"] = "Open"
    if time_of(info, "finished"):
        state = "Finished"
    elif time_of(info, "finishing"):
        state = "Finishing"
    parent = info.parent_commit.id or None
    return CommitSeen(info.commit.id, parent, info.description, state, info.error, time_of(info, "started"))
