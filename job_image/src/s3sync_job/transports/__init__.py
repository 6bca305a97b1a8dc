"""The ways into and out of a repo: one small protocol, so that a run is the same whichever client moves its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from s3sync_job.plan import PlannedFile
from s3sync_job.reading import Reader
from s3sync_job.verify import Comparison


@dataclass(frozen=True)
class Place:
    """Where files go or come from: a bucket, which is what an S3 client sees of ``branch`` or of its ``commit``.

    ``commit`` is None where only the branch's head is meant; ``pfs`` needs it.
    """

    bucket: str
    branch: str
    commit: str | None = None


Copied = Callable[[PlannedFile, BaseException | None], None]
"""Told of each file that was sent, or could not be, from any thread; what it raises ends the transfer."""

Compared = Callable[[PlannedFile, Comparison | BaseException], None]
"""Told of each file's comparison, or why it could not be read back; what it raises ends the transfer."""

Started = Callable[[PlannedFile], None]
"""Told of each file before it is sent."""


class Transport(Protocol):
    """Moves files between the input path ``root`` and a place."""

    def copy(self, place: Place, files: Sequence[PlannedFile], root: Path, started: Started, copied: Copied) -> None:
        """Copy the files over their keys; raises what ``copied`` raises, or SyncError."""
        ...

    def compare(self, place: Place, files: Sequence[PlannedFile], root: Path, compared: Compared, listed: int) -> None:
        """Read the files back and compare them byte for byte; raises what ``compared`` raises, or SyncError.

        ``listed`` is how many bytes the place holds under the destination, the files' own among them.
        """
        ...

    def open(self, place: Place, file: PlannedFile) -> AbstractContextManager[Reader]:
        """Open one file for reading it back."""
        ...

    def owns(self, error: BaseException) -> bool:
        """Tell whether ``error`` is one that this client's requests raise."""
        ...

    def is_missing(self, error: BaseException) -> bool:
        """Tell whether ``error`` says that the file read is not there."""
        ...

    def probe(self, place: Place) -> None:
        """Raise the SyncError that tells why nothing of the place can be reached, if so."""
        ...

    def stop(self) -> None:
        """Write nothing more: begin no more requests that do, and wait a few seconds for those under way."""
        ...
