"""All I/O with pachd's gRPC API: commits and branches of a repo, each call in a thread and within a time limit."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from s3sync_operator.access import Target
from s3sync_operator.api import Reason
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.log_context import in_context
from s3sync_operator.metrics import Metrics
from s3sync_operator.pem_files import trusting
from s3sync_operator.publish import CommitSeen
from s3sync_operator.slots import Slots
from s3sync_operator.staging import BranchSeen, RepoSeen
from s3sync_pachyderm.tls_relay import relay

if TYPE_CHECKING:
    from s3sync_operator.pachd_calls import Calls

THREADS, STREAM_THREADS = 64, 32
CALLS_AT_ONCE, STREAMS_AT_ONCE = 8, 4
"""Of one pachd."""

MODIFY_SECONDS, SECONDS_A_FILE = 60.0, 0.01
"""Limit of a publish. Seen on 2.12: 30,000 files are copied in 23 s."""

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


class GrpcPachd:
    """The Pachd of a real server; `timeout` (seconds) limits each call but streams and waits."""

    def __init__(self, timeout: int, metrics: Metrics | None = None) -> None:
        self._timeout = float(timeout)
        self._metrics = metrics or Metrics()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pachd")
        self._streams = ThreadPoolExecutor(STREAM_THREADS, thread_name_prefix="pachd-stream")
        self._slots = Slots(CALLS_AT_ONCE, Reason.PACHD_UNREACHABLE)
        self._stream_slots = Slots(STREAMS_AT_ONCE, Reason.PACHD_UNREACHABLE)
        self._open: set[Calls] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """End all calls under way, and let go of the threads."""
        for pool in (self._threads, self._streams):
            pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for calls in self._open:
                calls.close()

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
        self, target: Target, work: Callable[["Calls"], _Result], pool: ThreadPoolExecutor | None = None
    ) -> _Result:
        loop = asyncio.get_running_loop()
        slots = self._slots if pool is None else self._stream_slots
        async with slots.at(target.host_port), _address_of(target) as address:

            def in_thread() -> _Result:
                with self._calls(target, address) as calls:
                    return work(calls)

            return await loop.run_in_executor(pool or self._threads, in_context(in_thread))

    @contextmanager
    def _calls(self, target: Target, address: str) -> Iterator["Calls"]:
        from s3sync_operator.pachd_calls import Calls, StateError  # noqa: PLC0415 - It imports gRPC: a second of CPU.

        calls = Calls(target, address, self._timeout, self._metrics)
        with self._lock:
            self._open.add(calls)
        try:
            yield calls
        except StateError as error:
            raise TemporarySyncError(Reason.COMMIT_FAILED, str(error)) from None
        finally:
            with self._lock:
                self._open.discard(calls)
            calls.close()


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
        return trusting(target.tls)
    except (ssl.SSLError, ValueError):
        text = "'tls.crt' and 'tls.key' of the Secret of spec.certSecretRef do not fit together; renew it"
        raise TemporarySyncError(Reason.SECRET_INVALID, text) from None
