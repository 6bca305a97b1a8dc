"""The calls of pachd's gRPC API; each blocks its thread, and ends within a time limit.

The SDK's stubs take no time limit, so each is made on a channel that an interceptor gives one, and the token.
"""

import os
import ssl
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # Else handshakes that fail are told on standard error as well.

import grpc
from pachyderm_sdk.api import pfs

from s3sync_operator.access import NO_AUTH, Target
from s3sync_operator.api import Reason
from s3sync_operator.blotting import blot
from s3sync_operator.errors import PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.failures import grpc_error, may_pass
from s3sync_operator.metrics import Metrics
from s3sync_operator.publish import MOST_COMMITS, CommitSeen
from s3sync_operator.staging import MANIFEST_PATH, BranchSeen, RepoSeen, owner_and_run, staged_mark

ATTEMPTS, BACKOFF_SECONDS = 3, 0.5
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


class StateError(Exception):
    """What a call is about is not as it must be."""


class MissingError(StateError):
    """What was asked for is not there."""


class ExistsError(StateError):
    """What was to be made is there."""


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


class Calls:
    """The calls about one repo, over a connection of their own to `address`; to be closed."""

    def __init__(self, target: Target, address: str, seconds: float, metrics: Metrics) -> None:
        self._channel = _open(target, address)
        self._target = target
        self._seconds = seconds
        self._metrics = metrics
        self._repo = pfs.Repo(name=target.repo, type="user", project=pfs.Project(name=target.project))

    def close(self) -> None:
        """Close the connection, which ends a call under way."""
        self._channel.close()

    def ensure_branch(self, branch: str, description: str) -> datetime | None:
        """See Pachd."""
        named = self._branch(branch)
        with suppress(MissingError):
            self._call("InspectBranch", lambda api: api.inspect_branch(branch=named))
            return None
        self._create_repo(description)
        self._call("CreateBranch", lambda api: api.create_branch(branch=named))
        made = self._call("InspectBranch", lambda api: api.inspect_branch(branch=named)).created_at
        return made if _is_set(made) else datetime.now(UTC)

    def repo_of(self) -> RepoSeen | None:
        """See Pachd."""
        try:
            found = self._call("InspectRepo", lambda api: api.inspect_repo(repo=self._repo))
            branches = self._call("ListBranch", lambda api: list(api.list_branch(repo=self._repo)))
        except MissingError:
            return None
        made = {info.branch.name: info.created_at if _is_set(info.created_at) else None for info in branches}
        return RepoSeen(found.description, made)

    def delete_branch(self, branch: str) -> None:
        """See Pachd."""
        with suppress(MissingError):
            self._call("DeleteBranch", lambda api: api.delete_branch(branch=self._branch(branch), force=False))

    def delete_repo(self) -> None:
        """See Pachd."""
        self._call("DeleteRepo", lambda api: api.delete_repo(repo=self._repo, force=False), DELETE_REPO_SECONDS)

    def _create_repo(self, description: str) -> None:
        try:
            self._call("InspectRepo", lambda api: api.inspect_repo(repo=self._repo))
        except MissingError:
            pass
        else:
            return
        try:
            self._call("CreateRepo", lambda api: api.create_repo(repo=self._repo, description=description))
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
        last, first = self._commit(head), self._commit(since) if since else None
        return self._call(
            "ListCommit",
            lambda api: _seen_with_branches(list(api.list_commit(repo=self._repo, to=last, from_=first, number=most))),
        )

    def _head(self, branch: str) -> str | None:
        found = self._call("InspectBranch", lambda api: api.inspect_branch(branch=self._branch(branch)))
        return str(found.head.id) if found.head and found.head.id else None

    def start_commit(self, branch: str, description: str) -> str:
        """See Pachd."""
        started = self._call(
            "StartCommit", lambda api: api.start_commit(branch=self._branch(branch), description=description)
        )
        return str(started.id)

    def modify(self, commit: str, deletes: Sequence[str], copies: Sequence[tuple[str, str]], limit: float) -> None:
        """See Pachd."""

        def steps() -> Iterator[Any]:
            yield pfs.ModifyFileRequest(set_commit=self._commit(commit))
            yield from (pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=f"/{key}")) for key in deletes)
            yield from (pfs.ModifyFileRequest(copy_file=self._copy(source, folder)) for source, folder in copies)

        self._call("ModifyFile", lambda api: api.modify_file(steps()), limit, attempts=1)

    def _copy(self, source: str, folder: str) -> pfs.CopyFile:
        return pfs.CopyFile(src=pfs.File(commit=self._commit(source), path=f"/{folder}"), dst=f"/{folder}")

    def finish_commit(self, commit: str) -> None:
        """See Pachd."""
        try:
            self._call("FinishCommit", lambda api: api.finish_commit(commit=self._commit(commit)))
        except SyncError:
            # An answer that was lost on its way makes the second try fail on what the first has done.
            if self._inspect(commit).state == "Open":
                raise

    def wait_finished(self, commit: str) -> None:
        """See Pachd."""
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
        """See Pachd."""
        try:
            self._call("DropCommit", lambda api: api.drop_commit(commit=self._commit(commit), recursive=True))
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
        """See Pachd."""
        found = self._call("ListBranch", lambda api: [info.branch for info in api.list_branch()], MANIFEST_SECONDS)
        return frozenset((item.repo.project.name, item.repo.name) for item in found if owner_and_run(item.name))

    def read_manifest(self, commit: str) -> bytes:
        """See Pachd."""
        file = pfs.File(commit=self._commit(commit), path=f"/{MANIFEST_PATH}")
        return self._call("GetFile", lambda api: _read(api.get_file(file=file)), MANIFEST_SECONDS)

    def list_branches(self) -> tuple[BranchSeen, ...]:
        """See Pachd."""
        try:
            found = self._call("ListBranch", lambda api: list(api.list_branch(repo=self._repo)))
        except MissingError:
            return ()
        return tuple(BranchSeen(info.branch.name, self._written(info)) for info in found)

    def _written(self, info: Any) -> datetime | None:
        """Return when a staging branch was last written to; of other branches nobody asks."""
        if owner_and_run(info.branch.name) is None or not info.head or not info.head.id:
            return None
        head = self._commit(info.head.id)
        try:
            found = self._call("InspectCommit", lambda api: api.inspect_commit(commit=head))
        except MissingError:
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
        except MissingError:
            return True
        if len(left) == 1:
            self._drop_if_forsaken(left[0].id)
        return True

    def _drop_if_forsaken(self, commit: str) -> None:
        """Drop a commit that no branch leads to."""
        with suppress(MissingError):
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
        known = {"NOT_FOUND": MissingError, "ALREADY_EXISTS": ExistsError}.get(error.code().name)
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
