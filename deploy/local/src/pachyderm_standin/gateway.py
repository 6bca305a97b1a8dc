"""What all S3 operations share: the file system, the blobs, who may come in, what goes wrong, what was asked."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from pachyderm_standin.blobs import BlobStore
from pachyderm_standin.costs import Meter
from pachyderm_standin.faults import Faults
from pachyderm_standin.finisher import Finisher
from pachyderm_standin.model import (
    BranchNotFoundError,
    Changes,
    Commit,
    CommitRef,
    File,
    InvalidPathError,
    OutputBranchError,
    Pfs,
    PfsError,
    RepoNotFoundError,
    RepoRef,
    Tree,
    Write,
)
from pachyderm_standin.names import parse_bucket
from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.sigv4 import Authenticator


class Release(NamedTuple):
    """A release of Pachyderm."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


NEWEST, OLDEST = Release(2, 12), Release(2, 8)


@dataclass(eq=False)
class RequestCounts:
    """How many requests came in since the start or the last reset."""

    by_method: Counter[str] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)
    _counted: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, method: str, operation: str) -> None:
        """Count one request."""
        self.by_method[method] += 1
        self.by_operation[operation] += 1
        self._counted.set()
        self._counted = asyncio.Event()

    async def wait_for(self, operations: Collection[str], calls: int, seconds: float) -> None:
        """Wait until so many calls of these operations, in all, came in. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while sum(self.by_operation[operation] for operation in operations) < calls:
                await self._counted.wait()

    def reset(self) -> None:
        """Start again at zero."""
        self.by_method.clear()
        self.by_operation.clear()


@dataclass(eq=False)
class Gateway:
    """One running gateway. Errors of the file system leave as `S3Error` where S3 has a code for them."""

    pfs: Pfs
    blobs: BlobStore
    finisher: Finisher
    authenticator: Authenticator
    faults: Faults = field(default_factory=Faults)
    meter: Meter = field(default_factory=Meter)
    counts: RequestCounts = field(default_factory=RequestCounts)
    outage_until: float = 0
    release: Release = NEWEST

    def begin_outage(self, seconds: float) -> None:
        """Be as good as down for so long: as a pachd that is started again, which keeps what it has stored."""
        self.outage_until = time.monotonic() + seconds

    def check_up(self) -> None:
        """Raise `ConnectionRefusedError` during an outage."""
        if time.monotonic() < self.outage_until:
            raise ConnectionRefusedError("pachd is down: a fault rule says so")

    def bucket_ref(self, bucket: str) -> CommitRef:
        """Read a bucket's name, whether or not the bucket is there."""
        try:
            name = parse_bucket(bucket)
        except ValueError as error:
            raise S3Error("InternalError", str(error)) from error
        return CommitRef(RepoRef(name.repo, name.project), name.branch, name.commit)

    def existing_bucket(self, bucket: str) -> CommitRef:
        """Read the name of a bucket whose branch must be there, also when a commit is named."""
        ref = self.bucket_ref(bucket)
        if not (ref.repo.name and ref.branch):
            # The gateway tells a missing bucket by the error's words, in which it expects a name.
            raise S3Error("InternalError", f'branch "{ref.branch}" not found in repo {ref.repo}')
        try:
            self.pfs.branch(ref.repo, ref.branch)
        except (RepoNotFoundError, BranchNotFoundError) as error:
            raise S3Error("NoSuchBucket") from error
        return ref

    def modify(self, ref: CommitRef, changes: Changes, *, validate: bool = True) -> Commit:
        """Write files, with the gateway's codes for what may be wrong with a PUT."""
        try:
            return self.modify_with(ref, changes, validate=validate)
        except InvalidPathError as error:
            raise S3Error("InvalidFilePath") from error
        except OutputBranchError as error:
            raise S3Error("WriteToOutputBranch") from error

    def modify_with(self, ref: CommitRef, write: Write, *, validate: bool = True, join: bool = True) -> Commit:
        """Write files, and see to it that a commit made for them finishes; raises what `Pfs.modify` does."""
        self.check_up()
        commit = self.pfs.modify(ref, write, validate=validate, join=join)
        if commit.finishing and not commit.finished:
            self.finisher.submit(commit)
        return commit

    async def opened(self, ref: CommitRef) -> tuple[Commit, Tree]:
        """Give the commit that `ref` points at and its files, once it is readable."""
        return await self.opened_commit(self.pfs.pick(ref))

    async def opened_commit(self, commit: Commit) -> tuple[Commit, Tree]:
        """Give a commit's files, once it is readable; an open one takes longer the more it was written to."""
        await self.finisher.wait(commit)
        self.pfs.check_readable(commit)
        if not commit.finishing:
            await self.meter.work(self.meter.costs.composing(commit.writes))
        return commit, self.pfs.tree(commit)

    async def inspect(self, ref: CommitRef, path: str) -> tuple[Commit, File]:
        """Find a file, or raise `S3Error` NoSuchKey; a file beside a directory of its name cannot be looked at."""
        commit, tree = await self.opened(ref)
        file = tree.files.get(path)
        if file is None:
            raise S3Error("NoSuchKey")
        if below := tree.first_below(path):
            raise PfsError(f"file / directory path collision (/{below})")
        return commit, file


def as_s3_error(error: Exception) -> S3Error:
    """Tell how an error that no operation gave a code leaves the gateway."""
    if isinstance(error, S3Error):
        return error
    if isinstance(error, PfsError | TimeoutError):
        return S3Error("InternalError", str(error) or "timed out")
    return S3Error("InternalError", f"{type(error).__name__}: {error}")
