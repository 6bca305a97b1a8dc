"""Finds out why a file could not be copied or read, which the clients' own errors do not tell."""

from __future__ import annotations

from pathlib import Path

from s3sync_job.outcome import Failure, Reason, SyncError, Verdict
from s3sync_job.plan import PlannedFile
from s3sync_job.transports import Place, Transport

MAX_ERRORS = 10
"""After so many files that could not be copied or read, the rest is not tried: a thousand would fail as well."""

COPIED = "copied"
READ_BACK = "read back"
"""What was done with a file when it failed."""


class ErrorLog:
    """Collects the files that could not be COPIED or READ_BACK (``verb``), with their causes, up to a bound."""

    def __init__(self, verb: str, root: Path, transport: Transport, place: Place) -> None:
        self._verb = verb
        self._root = root
        self._transport = transport
        self._place = place
        self._first: SyncError | None = None
        self.failures: list[Failure] = []

    def note(self, file: PlannedFile, error: BaseException) -> None:
        """Record that ``file`` failed with ``error``.

        Raises:
            SyncError: the cause holds for all files, or this is one error too many.
        """
        try:
            cause = self._cause(file, error)
        except SyncError as systemic:
            self.failures.append(Failure(file.path, Verdict.ERROR, str(error)))
            raise SyncError(systemic.reason, self._message(systemic.message), tuple(self.failures)) from error
        missing = cause.reason is Reason.CONTENT_DIFFERS
        self.failures.append(Failure(file.path, Verdict.MISSING_THERE if missing else Verdict.ERROR, cause.message))
        self._first = self._first or cause
        if len(self.failures) >= MAX_ERRORS:
            self.raise_if_any("; the rest was not tried")

    def raise_if_any(self, note: str = "") -> None:
        """Raise a SyncError with all failures and the first one's cause, if there was any."""
        if self._first is not None:
            raise SyncError(self._first.reason, self._message(self._first.message + note), tuple(self.failures))

    def _message(self, cause: str) -> str:
        count = len(self.failures)
        return f"{count} {'file' if count == 1 else 'files'} could not be {self._verb}: {cause}"

    def _cause(self, file: PlannedFile, error: BaseException) -> SyncError:
        """Return why this file alone failed.

        Raises:
            SyncError: the place cannot be reached at all.
            BaseException: ``error`` itself where it is none of the client's and no file's, hence a bug.
        """
        unreadable = self._unreadable(file)
        if unreadable is not None:
            return SyncError(Reason.INPUT_UNREADABLE, f"{file.path!r} is no longer readable: {unreadable}")
        if not self._transport.owns(error):
            if isinstance(error, OSError):  # Of the file, where it is none of the client's.
                return SyncError(Reason.INPUT_UNREADABLE, f"{file.path!r} cannot be read: {error.strerror or error}")
            raise error
        self._transport.probe(self._place)
        url = f"s3://{self._place.bucket}/{file.key}"
        if self._verb == READ_BACK and self._transport.is_missing(error):
            return SyncError(Reason.CONTENT_DIFFERS, f"{url} was listed but is not there any more")
        return SyncError(Reason.SERVER_ERROR, f"{url}: {str(error) or type(error).__name__}")

    def _unreadable(self, file: PlannedFile) -> str | None:
        """Return why the local file cannot be read any more, or None if it can."""
        try:
            with (self._root / file.path).open("rb") as stream:
                # A disk that fails may still open files.
                stream.read(1)
                return None
        except OSError as error:
            return error.strerror or "it cannot be opened"
