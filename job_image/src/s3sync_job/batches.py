"""Cuts a share of files into batches, each of which becomes one commit (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from s3sync_job.plan import PlannedFile

DEFAULT_FILES = 200
"""Files a commit. Seen on 2.12, 400 files of 10 KB in rounds of 16, seconds to copy: 45 by 100 files a commit, 42 by
200, 40 by 400; a batch that fails has to be sent again."""

ROUND_FILES = 16
"""Files that a commit holds at most before they are set aside, since Pachyderm composes all that an open commit holds
at each PUT: N files at once cost N squared, a round 0.1 s. Seen on 2.12, 80 files of 10 KB in one commit, seconds to
copy: 9.2 in rounds of 8, 7.4 of 12, 6.9 of 16, 7.6 of 20, 9.1 of 27, 11.5 all at once."""

LONE_FILES = 40
"""Files a commit where they go all at once. Seen on 2.12, 80 files of 10 KB, seconds to copy: 10.4 by 10 files
a commit, 8.4 by 20, 8.0 by 30, 7.5 to 7.8 by 40, 8.3 by 60, 9.9 by 80."""

DEFAULT_BYTES = 1024**3
"""Bytes a commit: what a batch that fails has to send again."""


def batches(files: Iterable[PlannedFile], max_files: int, max_bytes: int) -> Iterator[tuple[PlannedFile, ...]]:
    """Yield the files in their order, at most ``max_files`` and ``max_bytes`` at a time; a larger file goes alone."""
    batch: list[PlannedFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == max_files or size + file.size > max_bytes):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield tuple(batch)
