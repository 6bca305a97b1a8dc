"""Counts what is done and shows it: plain lines in a log, for people and for the operator; a bar on a terminal."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

from tqdm import tqdm  # type: ignore[import-untyped] # Its stubs are a package of their own.

from s3sync_job.report import Counts

LINE_SECONDS = 5.0
BAR_SECONDS = 0.2


class Tally:
    """The run's counts, added to by many threads and read by the one that shows and reports them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Of a million files each is counted: a frozen object a count would take longer than to hash a small file.
        self._counts = asdict(Counts())
        self._phase = ""

    def start(self, files: int, size: int) -> None:
        """Note what is to be done: a number of files and their size in bytes."""
        self._set(total_files=files, total_bytes=size)

    def enter(self, phase: str) -> None:
        """Note that files are now being ``copied`` or ``verified``, or ``""`` for neither."""
        with self._lock:
            self._phase = phase

    def copied(self, size: int) -> None:
        """Count a file that was copied."""
        self._count("copied_files", "copied_bytes", size)

    def verified(self, size: int) -> None:
        """Count a file that was found equal."""
        self._count("verified_files", "verified_bytes", size)

    def unchanged(self, size: int) -> None:
        """Count a file that the repo had already."""
        self._count("unchanged_files", "unchanged_bytes", size)

    def left(self, *, skipped: int, extra: int, deleted: int) -> None:
        """Note the paths that cannot be synced, and the repo's files that the input lacks, and those of them to go."""
        self._set(skipped_files=skipped, extra_files=extra, deleted_files=deleted)

    @contextmanager
    def provisional(self) -> Iterator[None]:
        """Take back what the block counts as copied where it fails, since its commit is then dropped."""
        _, before = self.snapshot()
        try:
            yield
        except BaseException:
            self._set(copied_files=before.copied_files, copied_bytes=before.copied_bytes)
            raise

    def failed(self, files: int = 1) -> None:
        """Count files that are not verified."""
        with self._lock:
            self._counts["failed_files"] += files

    def snapshot(self) -> tuple[str, Counts]:
        """Return the phase, ``""`` before the first, and the counts."""
        with self._lock:
            return self._phase, Counts(**self._counts)

    def _set(self, **counts: int) -> None:
        with self._lock:
            self._counts.update(counts)

    def _count(self, files: str, size_in: str, size: int) -> None:
        with self._lock:
            self._counts[files] += 1
            self._counts[size_in] += size


class Progress(Protocol):
    """Shows a tally; ``show`` is called every ``interval`` seconds, ``close`` once at the end."""

    interval: float

    def show(self) -> None:
        """Show the counts of now."""
        ...

    def close(self) -> None:
        """Show the last state and leave the line free."""
        ...


class PlainProgress:
    """Writes two lines every few seconds, for a log: one for people, one for the operator."""

    interval = LINE_SECONDS

    def __init__(self, tally: Tally, write: Callable[[str], None]) -> None:
        self._tally = tally
        self._write = write
        self._pace = _Pace()

    def show(self) -> None:
        """Write the lines unless nothing has begun."""
        phase, counts = self._tally.snapshot()
        if phase:
            self._write(progress_line(phase, counts, self._pace.seconds_in(phase)))
            self._write(machine_line(phase, counts))

    def close(self) -> None:
        """Nothing is left to do: each line stood for itself."""


class BarProgress:
    """Draws a bar of bytes for each phase on standard error, for a terminal."""

    interval = BAR_SECONDS

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._phase = ""
        self._bar: Any = None

    def show(self) -> None:
        """Draw the bar of the phase that the run is in."""
        phase, counts = self._tally.snapshot()
        if phase != self._phase:
            self.close()
            self._phase = phase
            self._bar = tqdm(total=counts.total_bytes, desc=phase, unit="B", unit_scale=True, file=sys.stderr)
        self._draw(counts)

    def close(self) -> None:
        """Draw the bar as its phase left it and end its line."""
        if self._bar is not None:
            self._draw(self._tally.snapshot()[1])
            self._bar.close()
            self._bar = None

    def _draw(self, counts: Counts) -> None:
        if self._bar is not None:
            files, size = done(self._phase, counts)
            self._bar.set_postfix_str(f"{files}/{counts.total_files} files", refresh=False)
            self._bar.update(size - self._bar.n)


class _Pace:
    """Knows for how long a phase has been going on."""

    def __init__(self) -> None:
        self._phase = ""
        self._since = time.monotonic()

    def seconds_in(self, phase: str) -> float:
        """Return the seconds since the phase was first asked about, or since the last one."""
        now = time.monotonic()
        if phase != self._phase:
            self._since, self._phase = (now if self._phase else self._since), phase
        return now - self._since


def done(phase: str, counts: Counts) -> tuple[int, int]:
    """Return the files and bytes that are through the phase ``copied`` or ``verified``."""
    if phase == "verified":
        return counts.verified_files + counts.failed_files, counts.verified_bytes
    return counts.copied_files, counts.copied_bytes


def progress_line(phase: str, counts: Counts, seconds: float) -> str:
    """Return such as ``copied 120/1000 files, 1.2/10.0 MB, 4.1 MB/s``."""
    files, size = done(phase, counts)
    rate = size / 1e6 / seconds if seconds > 0 else 0.0
    total = counts.total_bytes / 1e6
    return f"{phase} {files}/{counts.total_files} files, {size / 1e6:.1f}/{total:.1f} MB, {rate:.1f} MB/s"


def machine_line(phase: str, counts: Counts) -> str:
    """Return what the operator reads, one line of JSON: ``copied`` is the step ``copy``, ``verified`` is ``verify``.

    Files that are unchanged are done in either step. A sample stands in tests/golden/progress.
    """
    files, size = done(phase, counts)
    document = {
        "s3syncProgress": 1,
        "step": "verify" if phase == "verified" else "copy",
        "files": min(files + counts.unchanged_files, counts.total_files),
        "totalFiles": counts.total_files,
        "bytes": min(size + counts.unchanged_bytes, counts.total_bytes),
        "totalBytes": counts.total_bytes,
    }
    return json.dumps(document)
