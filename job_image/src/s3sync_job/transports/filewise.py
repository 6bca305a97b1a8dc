"""Moves files one request each, many at a time: what TensorFlow's ``file_io`` and the MinIO client have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from s3sync_job.gateway import GatewayClient
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.parallel import Admission, ByteBudget, ClosedError, StalledError, unordered
from s3sync_job.plan import PlannedFile
from s3sync_job.reading import Reader
from s3sync_job.transports import Compared, Copied, Place, Started
from s3sync_job.verify import CHUNK, Comparison, compare_streams

MIN_PATIENCE = 600.0
SLOWEST_RATE = 1e6
"""If no file is finished for ten minutes, and 1 s more for each of the largest file's megabytes, the gateway hangs."""

COPY_BUDGET = 32 * 1024 * 1024
"""Bytes of small files on their way at once; a larger file is copied alone by a client that holds it in memory."""

STREAMED_FROM = 8 * 1024 * 1024
"""Files from this size on are read back by one streamed GET, smaller ones are read whole."""

READ_BUDGET = 32 * 1024 * 1024
"""Bytes of small files being read back at once."""

STOP_SECONDS = 4.0
"""How long PUTs under way are waited for when a signal has ended the run."""

_Result = TypeVar("_Result")


class FilewiseTransport(ABC):
    """A transport of single requests, ``threads`` at a time; a place's ``probe`` is a plain S3 client's."""

    errors: tuple[type[BaseException], ...] = ()
    """What the client's requests raise."""

    def __init__(self, gateway: GatewayClient, endpoint: str, threads: int) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._threads = threads
        self._writing = Admission()

    @abstractmethod
    def put(self, place: Place, source: Path, file: PlannedFile) -> None:
        """Copy a local file over the file's key; raises one of ``errors``."""

    @abstractmethod
    def open(self, place: Place, file: PlannedFile) -> AbstractContextManager[Reader]:
        """Open the file for reading it back; raises one of ``errors``."""

    @abstractmethod
    def is_missing(self, error: BaseException) -> bool:
        """Tell whether ``error`` says that the file read is not there."""

    @abstractmethod
    def held(self, file: PlannedFile) -> int:
        """Return how many bytes of memory copying the file takes."""

    def owns(self, error: BaseException) -> bool:
        """Tell whether ``error`` is one that this client's requests raise."""
        return isinstance(error, self.errors)

    def stop(self) -> None:
        """Begin no more PUTs, and wait for those under way: after its commit is dropped, each would make another."""
        self._writing.close(STOP_SECONDS)

    def probe(self, place: Place) -> None:
        """Raise the SyncError that tells why nothing of the place can be reached, if so."""
        self._gateway.probe(place.bucket)

    def copy(self, place: Place, files: Sequence[PlannedFile], root: Path, started: Started, copied: Copied) -> None:
        """Copy the files over their keys."""
        budget = ByteBudget(COPY_BUDGET)

        def copy_one(file: PlannedFile) -> None:
            with budget.hold(self.held(file)), self._writing.of_one():
                started(file)
                self.put(place, root / file.path, file)

        for file, future in self._each(copy_one, files):
            error = future.exception()
            if isinstance(error, ClosedError):
                # What this raises drops the commit, which those under way must not outlast.
                self.stop()
                raise SyncError(Reason.TERMINATED, "The run is being ended.")
            copied(file, error)

    def compare(self, place: Place, files: Sequence[PlannedFile], root: Path, compared: Compared, listed: int) -> None:
        """Read the files back and compare them byte for byte."""
        del listed
        budget = ByteBudget(READ_BUDGET)

        def compare_one(file: PlannedFile) -> Comparison:
            held = CHUNK if file.size >= STREAMED_FROM else file.size + 1
            with budget.hold(held), (root / file.path).open("rb") as here, self.open(place, file) as there:
                return compare_streams(here, there, file.size)

        for file, future in self._each(compare_one, files):
            compared(file, future.exception() or future.result())

    def _each(
        self, work: Callable[[PlannedFile], _Result], files: Iterable[PlannedFile]
    ) -> Iterator[tuple[PlannedFile, Future[_Result]]]:
        """Do ``work`` on all files with many threads, the largest first.

        TensorFlow's plugin keeps the memory that a transfer has touched, by thread. In this order only the first
        threads meet large files, and no large file is left to the end.
        """
        largest_first = sorted(files, key=lambda file: -file.size)
        patience = MIN_PATIENCE + (largest_first[0].size / SLOWEST_RATE if largest_first else 0)
        try:
            yield from unordered(work, largest_first, threads=self._threads, patience=patience)
        except StalledError as error:
            raise SyncError(Reason.SERVER_ERROR, f"{self._endpoint} hangs: {error}.") from error
