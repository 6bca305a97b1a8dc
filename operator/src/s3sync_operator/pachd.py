"""All I/O with pachd's gRPC API: commits and branches of a repo, each call in a thread and within a time limit.

The SDK's stubs take no time limit, so each is made on a channel that an interceptor gives one, and the token.
"""

import asyncio
import os
import ssl
import threading
import time
from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # Else handshakes that fail are told on standard error as well.

import grpc
from pachyderm_sdk.api import pfs

from s3sync_operator.access import NO_AUTH, Target
from s3sync_operator.api import Reason
from s3sync_operator.blotting import blot
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.failures import grpc_error, may_pass
from s3sync_operator.log_context import in_context
from s3sync_operator.metrics import Metrics
from s3sync_operator.pem_files import trusting_context
from s3sync_operator.publish import CommitSeen
from s3sync_operator.slots import Slots
from s3sync_operator.staging import MANIFEST_PATH, BranchSeen, RepoSeen, owner_and_run, staged_mark
from s3sync_operator.tls_relay import relay

THREADS, STREAM_THREADS = 64, 32
CALLS_AT_ONCE, STREAMS_AT_ONCE = 8, 4
"""Of one pachd."""

ATTEMPTS, BACKOFF_SECONDS = 3, 0.5
MOST_COMMITS = 10_000
"""So far back in a target's history a run's commit is looked for: at one a minute, a week of others' commits."""

MODIFY_SECONDS, SECONDS_A_FILE = 60.0, 0.01
"""Limit of a publish. Seen on 2.12: 30,000 files are copied in 23 s."""

REMOVE_SECONDS = 60.0
DELETE_REPO_SECONDS = 120.0
MANIFEST_SECONDS, MANIFEST_BYTES = 120.0, 24 * 1024 * 1024
"""Of a manifest too large for the operator's memory, s3sync-job tells before it copies anything."""
_UNSET_YEAR = 1970
_OPTIONS = (
    ("grpc.max_receive_message_length", 20 * 1024 * 1024),
    ("grpc.max_send_message_length", 20 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Each call has a channel of its own, whose connection must go with it.
    ("grpc.use_local_subchannel_pool", 1),
)
_Result = TypeVar("_Result")


class Pachd(Protocol):
    """What is asked of pachd. All raise PermanentSyncError or TemporarySyncError with the reason."""

    async def ensure_branch(self, target: Target, branch: str, description: str) -> datetime | None:
        """Make the repo, with a description, and the branch if they are missing; return when the branch was made, None
        where it was there."""

    async def repo_of(self, target: Target) -> RepoSeen | None:
        """Return the repo, None where there is none."""

    async def delete_branch(self, target: Target, branch: str) -> None:
        """Delete a branch that is somebody's result; its commits stay, as with `pachctl delete branch`.

        Raises TemporarySyncError DeletionBlocked while a pipeline reads it.
        """

    async def delete_repo(self, target: Target) -> None:
        """Delete the repo with all that is in it; raises TemporarySyncError DeletionBlocked while a pipeline reads
        it."""

    async def history(self, target: Target, branch: str, since: str | None, most: int) -> tuple[CommitSeen, ...]:
        """Return the commits from the branch's head back to `since` (without that; None: to the first), newest first,
        at most so many. Where `since` is no more, all count."""

    async def start_commit(self, target: Target, branch: str, description: str) -> str:
        """Open a commit on the branch and return its ID."""

    async def modify(
        self, target: Target, commit: str, deletes: Sequence[str], copies: Sequence[tuple[str, str]], files: int
    ) -> None:
        """Delete keys in an open commit, then copy (commit, directory) pairs into it at the same place; so many files
        in all."""

    async def finish_commit(self, target: Target, commit: str) -> None:
        """Close a commit."""

    async def wait_finished(self, target: Target, commit: str) -> None:
        """Wait for a commit to finish, for no longer than a call may take."""

    async def drop_commit(self, target: Target, commit: str) -> None:
        """Remove a commit, which puts its branch's head back; one that is gone is fine."""

    async def drop_open_commit(self, target: Target, commit: str) -> bool:
        """Remove a commit if it is open still, and tell whether it was: a finished one is somebody's result."""

    async def parent_of(self, target: Target, commit: str) -> str | None:
        """Return a commit's parent."""

    async def same_below(self, target: Target, one: str, other: str, directory: str) -> bool:
        """Tell whether two commits hold the same below a directory."""

    async def read_manifest(self, target: Target, commit: str) -> bytes:
        """Return the manifest that a worker left in its staging branch."""

    async def staged_in(self, target: Target) -> frozenset[tuple[str, str]]:
        """Return the repos (project, name) of the whole pachd that have a staging branch."""

    async def list_branches(self, target: Target) -> tuple[BranchSeen, ...]:
        """Return the repo's branches; none where there is no repo."""

    async def remove_branch(self, target: Target, branch: str) -> bool:
        """Remove a branch and its commits, from the last to the first; tell whether all is gone."""


class _MissingError(Exception):
    """What was asked for is not there."""


class _ExistsError(Exception):
    """What was to be made is there."""


class GrpcPachd:
    """The Pachd of a real server; `timeout` (seconds) limits each call but streams and waits."""

    def __init__(self, timeout: int, metrics: Metrics | None = None) -> None:
        self._timeout = float(timeout)
        self._metrics = metrics or Metrics()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pachd")
        self._streams = ThreadPoolExecutor(STREAM_THREADS, thread_name_prefix="pachd-stream")
        self._slots = Slots(CALLS_AT_ONCE, Reason.PACHD_UNREACHABLE)
        self._stream_slots = Slots(STREAMS_AT_ONCE, Reason.PACHD_UNREACHABLE)
        self._channels: set[grpc.Channel] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """End all calls under way, and let go of the threads."""
        for pool in (self._threads, self._streams):
            pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for channel in self._channels:
                channel.close()

    async def ensure_branch(self, target: Target, branch: str, description: str) -> datetime | None:
        """Make the repo and the branch if they are missing; return when the branch was made."""
        return await self._run(target, lambda calls: calls.ensure_branch(branch, description))

    async def repo_of(self, target: Target) -> RepoSeen | None:
        """Return the repo, None where there is none."""
        return await self._run(target, lambda calls: calls.repo_of())

    async def delete_branch(self, target: Target, branch: str) -> None:
        """Delete a branch that is somebody's result."""
        await self._run(target, lambda calls: calls.delete_branch(branch))

    async def delete_repo(self, target: Target) -> None:
        """Delete the repo with all that is in it."""
        await self._run(target, lambda calls: calls.delete_repo(), self._streams)

    async def history(self, target: Target, branch: str, since: str | None, most: int) -> tuple[CommitSeen, ...]:
        """Return the commits from the branch's head back to `since`, newest first."""
        return await self._run(target, lambda calls: calls.history(branch, since, most))

    async def start_commit(self, target: Target, branch: str, description: str) -> str:
        """Open a commit on the branch and return its ID."""
        return await self._run(target, lambda calls: calls.start_commit(branch, description))

    async def modify(
        self, target: Target, commit: str, deletes: Sequence[str], copies: Sequence[tuple[str, str]], files: int
    ) -> None:
        """Delete keys in an open commit, then copy (commit, directory) pairs into it."""
        limit = MODIFY_SECONDS + SECONDS_A_FILE * files
        await self._run(target, lambda calls: calls.modify(commit, deletes, copies, limit), self._streams)

    async def finish_commit(self, target: Target, commit: str) -> None:
        """Close a commit."""
        await self._run(target, lambda calls: calls.finish_commit(commit))

    async def wait_finished(self, target: Target, commit: str) -> None:
        """Wait for a commit to finish, for no longer than a call may take."""
        await self._run(target, lambda calls: calls.wait_finished(commit))

    async def drop_commit(self, target: Target, commit: str) -> None:
        """Remove a commit, which puts its branch's head back."""
        await self._run(target, lambda calls: calls.drop_commit(commit))

    async def drop_open_commit(self, target: Target, commit: str) -> bool:
        """See Pachd."""
        return await self._run(target, lambda calls: calls.drop_open_commit(commit))

    async def parent_of(self, target: Target, commit: str) -> str | None:
        """Return a commit's parent."""
        return await self._run(target, lambda calls: calls.parent_of(commit))

    async def same_below(self, target: Target, one: str, other: str, directory: str) -> bool:
        """Tell whether two commits hold the same below a directory."""
        return await self._run(target, lambda calls: calls.same_below(one, other, directory), self._streams)

    async def staged_in(self, target: Target) -> frozenset[tuple[str, str]]:
        """Return the repos (project, name) that have a staging branch."""
        return await self._run(target, lambda calls: calls.staged_in(), self._streams)

    async def read_manifest(self, target: Target, commit: str) -> bytes:
        """Return the manifest that a worker left in its staging branch."""
        return await self._run(target, lambda calls: calls.read_manifest(commit), self._streams)

    async def list_branches(self, target: Target) -> tuple[BranchSeen, ...]:
        """Return the repo's branches; none where there is no repo."""
        return await self._run(target, lambda calls: calls.list_branches())

    async def remove_branch(self, target: Target, branch: str) -> bool:
        """Remove a branch and its commits, from the last to the first; tell whether all is gone."""
        return await self._run(target, lambda calls: calls.remove_branch(branch), self._streams)

    async def _run(
        self, target: Target, work: Callable[["_Calls"], _Result], pool: ThreadPoolExecutor | None = None
    ) -> _Result:
        loop = asyncio.get_running_loop()
        slots = self._slots if pool is None else self._stream_slots
        async with slots.at(target.host_port), _address_of(target) as address:

            def in_thread() -> _Result:
                with self._channel(target, address) as channel:
                    try:
                        return work(_Calls(channel, target, self._timeout, self._metrics))
                    except (_MissingError, _ExistsError) as error:
                        raise TemporarySyncError(Reason.COMMIT_FAILED, str(error)) from None

            return await loop.run_in_executor(pool or self._threads, in_context(in_thread))

    @contextmanager
    def _channel(self, target: Target, address: str) -> Iterator[grpc.Channel]:
        channel = _open(target, address)
        with self._lock:
            self._channels.add(channel)
        try:
            yield channel
        finally:
            with self._lock:
                self._channels.discard(channel)
            channel.close()


@asynccontextmanager
async def _address_of(target: Target) -> AsyncIterator[str]:
    """Yield where gRPC is to connect to."""
    if not target.encrypted or target.tls.verify:
        yield target.host_port
        return
    async with relay(target.host_port, _trusting(target)) as address:
        yield address


def _trusting(target: Target) -> ssl.SSLContext:
    try:
        return trusting_context(target.tls)
    except (ssl.SSLError, ValueError):
        text = "'tls.crt' and 'tls.key' of the Secret of spec.certSecretRef do not fit together; renew it"
        raise TemporarySyncError(Reason.SECRET_INVALID, text) from None


def _open(target: Target, address: str) -> grpc.Channel:
    if not target.encrypted:
        return grpc.insecure_channel(address, options=_OPTIONS)
    if not target.tls.verify:
        return grpc.insecure_channel(address, options=(*_OPTIONS, ("grpc.default_authority", target.host_port)))
    tls = target.tls
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.ca.encode() if tls.ca else _system_cas(),
        private_key=tls.key.encode() if tls.key and tls.certificate else None,
        certificate_chain=tls.certificate.encode() if tls.key and tls.certificate else None,
    )
    return grpc.secure_channel(address, credentials, options=_OPTIONS)


def _system_cas() -> bytes | None:
    """Return the CAs that the system trusts; None, where it names none, has gRPC take those that it came with."""
    path: str | None = ssl.get_default_verify_paths().cafile
    if path is None:
        return None
    with open(path, "rb") as file:  # noqa: PTH123 - A path as text.
        return file.read()


_Details = namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression"))


class _CallDetails(_Details, grpc.ClientCallDetails):  # type: ignore[misc] # grpc has no types.
    """A call's details, as gRPC wants them."""


class _Limit(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
):
    """Sets the time limit in seconds, for the whole of a stream, and the token of every call."""

    def __init__(self, seconds: float, token: str) -> None:
        self._seconds = seconds
        self._token = token

    def _intercepted(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), ("authn-token", self._token))
        wait, compression = getattr(details, "wait_for_ready", None), getattr(details, "compression", None)
        call = _CallDetails(details.method, self._seconds, metadata, details.credentials, wait, compression)
        return continuation(call, request)

    intercept_unary_unary = _intercepted
    intercept_unary_stream = _intercepted
    intercept_stream_unary = _intercepted


class _Calls:
    """The calls themselves, in a thread, over one channel."""

    def __init__(self, channel: grpc.Channel, target: Target, seconds: float, metrics: Metrics) -> None:
        self._channel = channel
        self._target = target
        self._seconds = seconds
        self._metrics = metrics
        self._repo = pfs.Repo(name=target.repo, type="user", project=pfs.Project(name=target.project))

    def ensure_branch(self, branch: str, description: str) -> datetime | None:
        named = self._branch(branch)
        with suppress(_MissingError):
            self._call("InspectBranch", lambda api: api.inspect_branch(branch=named))
            return None
        self._create_repo(description)
        self._call("CreateBranch", lambda api: api.create_branch(branch=named))
        made = self._call("InspectBranch", lambda api: api.inspect_branch(branch=named)).created_at
        return made if _is_set(made) else datetime.now(UTC)

    def repo_of(self) -> RepoSeen | None:
        try:
            found = self._call("InspectRepo", lambda api: api.inspect_repo(repo=self._repo))
            branches = self._call("ListBranch", lambda api: list(api.list_branch(repo=self._repo)))
        except _MissingError:
            return None
        made = {info.branch.name: info.created_at if _is_set(info.created_at) else None for info in branches}
        return RepoSeen(found.description, made)

    def delete_branch(self, branch: str) -> None:
        with suppress(_MissingError):
            self._call("DeleteBranch", lambda api: api.delete_branch(branch=self._branch(branch), force=False))

    def delete_repo(self) -> None:
        self._call("DeleteRepo", lambda api: api.delete_repo(repo=self._repo, force=False), DELETE_REPO_SECONDS)

    def _create_repo(self, description: str) -> None:
        try:
            self._call("InspectRepo", lambda api: api.inspect_repo(repo=self._repo))
        except _MissingError:
            pass
        else:
            return
        try:
            self._call("CreateRepo", lambda api: api.create_repo(repo=self._repo, description=description))
        except _ExistsError:
            # Somebody else was faster, which is as good.
            return
        except _MissingError as error:
            text = f"{self._target.host_port} refuses repo {self._target.shown} ({error}); create the project"
            raise PermanentSyncError(Reason.BUCKET_REFUSED, text) from None

    def history(self, branch: str, since: str | None, most: int) -> tuple[CommitSeen, ...]:
        try:
            return self._list_commits(branch, since, most)
        except _MissingError:
            return self._list_commits(branch, None, most) if since else ()

    def _list_commits(self, branch: str, since: str | None, most: int) -> tuple[CommitSeen, ...]:
        head = self._head(branch)
        if head is None or head == since:
            return ()
        last, first = self._commit(head), self._commit(since) if since else None
        return self._call(
            "ListCommit",
            lambda api: _seen_with_branches(list(api.list_commit(repo=self._repo, to=last, from_=first, number=most))),
        )

    def _head(self, branch: str) -> str | None:
        found = self._call("InspectBranch", lambda api: api.inspect_branch(branch=self._branch(branch)))
        return str(found.head.id) if found.head and found.head.id else None

    def start_commit(self, branch: str, description: str) -> str:
        started = self._call(
            "StartCommit", lambda api: api.start_commit(branch=self._branch(branch), description=description)
        )
        return str(started.id)

    def modify(self, commit: str, deletes: Sequence[str], copies: Sequence[tuple[str, str]], limit: float) -> None:
        def steps() -> Iterator[Any]:
            yield pfs.ModifyFileRequest(set_commit=self._commit(commit))
            yield from (pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=f"/{key}")) for key in deletes)
            yield from (pfs.ModifyFileRequest(copy_file=self._copy(source, folder)) for source, folder in copies)

        self._call("ModifyFile", lambda api: api.modify_file(steps()), limit, attempts=1)

    def _copy(self, source: str, folder: str) -> pfs.CopyFile:
        return pfs.CopyFile(src=pfs.File(commit=self._commit(source), path=f"/{folder}"), dst=f"/{folder}")

    def finish_commit(self, commit: str) -> None:
        try:
            self._call("FinishCommit", lambda api: api.finish_commit(commit=self._commit(commit)))
        except SyncError:
            # An answer that was lost on its way makes the second try fail on what the first has done.
            if self._inspect(commit).state == "Open":
                raise

    def wait_finished(self, commit: str) -> None:
        try:
            self._call(
                "InspectCommit",
                lambda api: api.inspect_commit(commit=self._commit(commit), wait=pfs.CommitState.FINISHED),
                attempts=1,
            )
        except TemporarySyncError as error:
            # It is looked at again; whether pachd is there at all, that look tells.
            if error.reason != Reason.PACHD_UNREACHABLE:
                raise

    def drop_commit(self, commit: str) -> None:
        try:
            self._call("DropCommit", lambda api: api.drop_commit(commit=self._commit(commit), recursive=True))
        except _MissingError:
            return

    def drop_open_commit(self, commit: str) -> bool:
        try:
            if self._inspect(commit).state != "Open":
                return False
        except _MissingError:
            return False
        self.drop_commit(commit)
        return True

    def parent_of(self, commit: str) -> str | None:
        return self._inspect(commit).parent

    def _inspect(self, commit: str) -> CommitSeen:
        return _seen(self._call("InspectCommit", lambda api: api.inspect_commit(commit=self._commit(commit))))

    def same_below(self, one: str, other: str, directory: str) -> bool:
        """A directory's hash would not do: Pachyderm takes it of the contents alone, not of the names. Seen on 2.12."""
        old, new = (pfs.File(commit=self._commit(commit), path=f"/{directory}") for commit in (one, other))
        return self._call(
            "DiffFile",
            lambda api: next(iter(api.diff_file(new_file=new, old_file=old)), None) is None,
            MANIFEST_SECONDS,
        )

    def staged_in(self) -> frozenset[tuple[str, str]]:
        found = self._call("ListBranch", lambda api: [info.branch for info in api.list_branch()], MANIFEST_SECONDS)
        return frozenset((item.repo.project.name, item.repo.name) for item in found if owner_and_run(item.name))

    def read_manifest(self, commit: str) -> bytes:
        file = pfs.File(commit=self._commit(commit), path=f"/{MANIFEST_PATH}")
        return self._call("GetFile", lambda api: _read(api.get_file(file=file)), MANIFEST_SECONDS)

    def list_branches(self) -> tuple[BranchSeen, ...]:
        try:
            found = self._call("ListBranch", lambda api: list(api.list_branch(repo=self._repo)))
        except _MissingError:
            return ()
        return tuple(BranchSeen(info.branch.name, self._written(info)) for info in found)

    def _written(self, info: Any) -> datetime | None:
        """Return when a staging branch was last written to; of other branches nobody asks."""
        if owner_and_run(info.branch.name) is None or not info.head or not info.head.id:
            return None
        head = self._commit(info.head.id)
        try:
            found = self._call("InspectCommit", lambda api: api.inspect_commit(commit=head))
        except _MissingError:
            return None
        return found.started if _is_set(found.started) else None

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
            self._call("DeleteBranch", lambda api: api.delete_branch(branch=self._branch(branch), force=True))
        except _MissingError:
            return True
        if len(left) == 1:
            self._drop_if_forsaken(left[0].id)
        return True

    def _drop_if_forsaken(self, commit: str) -> None:
        """Drop a commit that no branch leads to."""
        with suppress(_MissingError):
            found = self._call("InspectCommit", lambda api: api.inspect_commit(commit=self._commit(commit)))
            heads = self._call("ListBranch", lambda api: [info.head.id for info in api.list_branch(repo=self._repo)])
            if not found.child_commits and commit not in heads:
                self.drop_commit(commit)

    def _call(
        self,
        operation: str,
        call: Callable[[pfs.ApiStub], _Result],
        seconds: float | None = None,
        *,
        attempts: int = ATTEMPTS,
    ) -> _Result:
        """Return the answer of a call, tried again after a pause where pachd was not reached; each try is counted."""
        pause = BACKOFF_SECONDS
        for attempt in range(1, attempts + 1):
            try:
                return self._once(operation, call, seconds)
            except grpc.RpcError as error:
                failed: Any = error
                if attempt == attempts or not may_pass(failed.code().name, failed.details()):
                    raise self._translated(failed) from None
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _once(self, operation: str, call: Callable[[pfs.ApiStub], _Result], seconds: float | None) -> _Result:
        begun, result = time.monotonic(), "ok"
        limit = _Limit(seconds or self._seconds, self._target.credentials.access_key)
        try:
            return call(pfs.ApiStub(grpc.intercept_channel(self._channel, limit)))
        except grpc.RpcError as error:
            failed: Any = error
            code = failed.code().name
            result = "missing" if code == "NOT_FOUND" else self._explained(failed).reason
            raise
        finally:
            self._metrics.pachd_answered(operation, result, time.monotonic() - begun)

    def _translated(self, error: Any) -> Exception:
        known = {"NOT_FOUND": _MissingError, "ALREADY_EXISTS": _ExistsError}.get(error.code().name)
        explained = self._explained(error)
        return known(explained.message) if known else explained

    def _explained(self, error: Any) -> SyncError:
        target, details = self._target, error.details() or ""
        if target.credentials != NO_AUTH:
            # Before anything is cut off, or a part of a secret would be no secret to be found.
            details = blot(details, (target.credentials.access_key, target.credentials.secret_key))
        return grpc_error(error.code().name, details, target.host_port, target.shown)

    def _branch(self, name: str) -> pfs.Branch:
        return pfs.Branch(repo=self._repo, name=name)

    def _commit(self, commit: str) -> pfs.Commit:
        return pfs.Commit(repo=self._repo, id=commit)


def _read(pieces: Iterator[Any]) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece.value
        if len(found) > MANIFEST_BYTES:
            text = f"a worker's manifest has more than {MANIFEST_BYTES} bytes; let more spec.workers share the files"
            raise PermanentSyncError(Reason.MANIFEST_TOO_LARGE, text)
    return bytes(found)


def _seen_with_branches(infos: Sequence[Any]) -> tuple[CommitSeen, ...]:
    """A commit's branch is told by its parent alone. Seen on 2.12."""
    branches = {child.id: child.branch.name for info in infos for child in info.child_commits}
    return tuple(replace(_seen(info), branch=branches.get(info.commit.id, "")) for info in infos)


def _seen(info: Any) -> CommitSeen:
    state: Literal["Open", "Finishing", "Finished"] = "Open"
    if _is_set(info.finished):
        state = "Finished"
    elif _is_set(info.finishing):
        state = "Finishing"
    parent = str(info.parent_commit.id) if info.parent_commit and info.parent_commit.id else None
    started = info.started if _is_set(info.started) else None
    return CommitSeen(str(info.commit.id), parent, info.description, state, info.error, started)


def _is_set(moment: Any) -> bool:
    """An unset time reads as 1970."""
    return bool(moment) and moment.year > _UNSET_YEAR
