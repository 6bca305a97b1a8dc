"""Pachyderm's own API: all files in one gRPC stream there, and in one tar stream back.

A PUT through the gateway makes a commit, or composes an open one anew; here 5,000 files of 10 KB take seconds.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from s3sync_job.outcome import Reason, SyncError
from s3sync_job.pachd import PachdClient, put_requests
from s3sync_job.plan import PlannedFile
from s3sync_job.reading import PieceReader, Reader, WholeReads, open_input
from s3sync_job.transports import Compared, Copied, Place, Started
from s3sync_job.verify import Comparison, compare_streams, verdict
from s3sync_pachyderm.proto import pfs_pb2 as pfs

WORTH_A_REQUEST = 3_000_000
"""Bytes of others that are streamed for less than what a request of its own takes. Seen on 2.12: 30 MB/s, 0.1 s."""


class PfsTransport:
    """Copies into an open commit and reads back from a finished one, ``prefix`` being the directory of all files."""

    def __init__(self, pachd: PachdClient, prefix: str) -> None:
        self._pachd = pachd
        self._prefix = prefix

    def copy(self, place: Place, files: Sequence[PlannedFile], root: Path, started: Started, copied: Copied) -> None:
        """Copy the files over their keys; files that can no longer be read are told of, and left out."""
        stream = _Stream(files, root, started, copied)
        try:
            self._pachd.modify(_commit_of(place), stream.requests(), sum(file.size for file in files))
        except SyncError:
            # What ended the stream from this side is the cause; gRPC then reports no more than that it was ended.
            if stream.failure is not None:
                raise stream.failure from None
            raise

    def compare(self, place: Place, files: Sequence[PlannedFile], root: Path, compared: Compared, listed: int) -> None:
        """Read the files back and compare them byte for byte, in one stream of all that is listed where that pays."""
        if listed - sum(file.size for file in files) > WORTH_A_REQUEST * len(files):
            self._compare_each(place, files, root, compared)
        else:
            self._compare_all(place, files, root, compared, listed)

    def _compare_each(self, place: Place, files: Sequence[PlannedFile], root: Path, compared: Compared) -> None:
        for file in files:
            try:
                with self.open(place, file) as content:
                    result: Comparison | BaseException = _compared(root / file.path, content, file)
            except SyncError as error:
                result = error
            compared(file, result)

    def _compare_all(
        self, place: Place, files: Sequence[PlannedFile], root: Path, compared: Compared, size: int
    ) -> None:
        wanted = {file.key: file for file in files}
        for key, content in self._contents(place, size):
            file = wanted.pop(key, None)
            if file is not None:
                compared(file, _compared(root / file.path, content, file))
        for file in wanted.values():
            compared(file, Comparison(verdict(here=True, there=False, equal=None), f"not in the repo as {file.key!r}"))

    @contextmanager
    def open(self, place: Place, file: PlannedFile) -> Iterator[Reader]:
        """Open one file for reading it back."""
        yield PieceReader(self._pachd.read(_commit_of(place), file.key, file.size))

    def owns(self, error: BaseException) -> bool:
        """Tell whether ``error`` is one that this client's requests raise: they are all told as SyncError."""
        return isinstance(error, SyncError)

    def is_missing(self, error: BaseException) -> bool:
        """Tell whether ``error`` says that the file read is not there."""
        return isinstance(error, SyncError) and error.reason is Reason.BUCKET_NOT_FOUND

    def probe(self, place: Place) -> None:
        """Raise the SyncError that tells why nothing of the place can be reached, if so."""
        self._pachd.probe(place.branch)

    def stop(self) -> None:
        """Do nothing: a stream writes to its commit alone, and ends with that."""

    def _contents(self, place: Place, size: int) -> Iterator[tuple[str, Reader]]:
        """Yield each file under the prefix as it comes; its reader holds until the next."""
        stream = PieceReader(self._pachd.tar(_commit_of(place), self._prefix, size))
        try:
            with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    if content is not None:
                        yield member.name.removeprefix("/"), WholeReads(content)
        except SyncError as error:
            if error.reason is not Reason.BUCKET_NOT_FOUND or "does not contain" not in error.message:
                raise
        except tarfile.TarError as error:
            raise SyncError(Reason.SERVER_ERROR, f"pachd's archive of the files cannot be read: {error}") from error


@dataclass
class _Stream:
    """The messages that carry the files, made in gRPC's thread; ``failure`` is what ended them from this side."""

    files: Sequence[PlannedFile]
    root: Path
    started: Started
    copied: Copied
    failure: BaseException | None = None

    def requests(self) -> Iterator[pfs.ModifyFileRequest]:
        """Yield the messages of all files."""
        root = str(self.root)
        try:
            for file in self.files:
                self.started(file)
                problem: OSError | None = None
                try:
                    with open_input(root, file.path) as raw:
                        yield from put_requests(f"/{file.key}", WholeReads(raw), file.size)
                except OSError as error:
                    problem = error
                self.copied(file, problem)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise


def _compared(source: Path, content: Reader, file: PlannedFile) -> Comparison | BaseException:
    try:
        with source.open("rb") as here:
            return compare_streams(here, content, file.size)
    except OSError as error:
        return error


def _commit_of(place: Place) -> str:
    if place.commit is None:
        raise ValueError("pfs needs a commit to write to or read from")
    return place.commit
