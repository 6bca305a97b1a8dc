"""Finds the files under the input path and proves that each can be read, before anything is copied."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from s3sync_job.filters import EVERYTHING, Filter
from s3sync_job.outcome import Failure, Reason, SyncError, Verdict
from s3sync_job.plan import LocalFile, OnInvalidPath, PlannedFile

ROOT = "."
"""The path by which the input path itself is named among what cannot be read."""

MAX_DEPTH = 256
"""Directories deeper than this are taken for a mistake (S3 keys end at 1,024 bytes anyway)."""


@dataclass(frozen=True)
class Found:
    """The files under the input path, and what is there that cannot be synced and is to be skipped."""

    files: tuple[LocalFile, ...]
    skipped: tuple[Failure, ...] = ()


def find_files(
    root: Path, chosen_by: Filter = EVERYTHING, on_invalid_path: OnInvalidPath = OnInvalidPath.FAIL
) -> Found:
    """Return every file under ``root`` that the filter takes; empty directories are left out, as S3 has none.

    Symbolic links are followed, to files and to directories, since the copy is to hold what a reader of the tree sees.
    A link that leads back to a directory above it is refused, as is whatever has no content to copy.

    Raises:
        SyncError: InputPathNotFound where ``root`` is no directory; InputUnreadable naming every entry that cannot be
            read, unless these are to be skipped, and in any case where ``root`` itself cannot be.
    """
    _require_directory(root)
    files: list[LocalFile] = []
    problems: list[Failure] = []
    for found in _walk(root, "", ()):
        if isinstance(found, LocalFile):
            if chosen_by.takes(found.path):
                files.append(found)
        elif not _is_left_out(found, chosen_by):
            problems.append(Failure(found.path, Verdict.ERROR, found.detail))
    if problems and (on_invalid_path is OnInvalidPath.FAIL or problems[0].path == ROOT):
        first = problems[0]
        raise SyncError(
            Reason.INPUT_UNREADABLE,
            f"{len(problems)} entries under {str(root)!r} cannot be read, the first being {first.path!r}: "
            f"{first.detail}. Remove them, make them readable, leave them out with --exclude, or skip them with "
            "--on-invalid-path Skip. Nothing was copied.",
            tuple(problems),
        )
    return Found(tuple(files), tuple(problems))


@dataclass(frozen=True)
class _Problem:
    """An entry that cannot be synced and why; what a ``directory`` would hold is not known."""

    path: str
    detail: str
    directory: bool


def _is_left_out(problem: _Problem, chosen_by: Filter) -> bool:
    """Tell whether the filter does without the entry; a directory might hold what it includes."""
    if problem.directory:
        return chosen_by.excludes(f"{problem.path}/")
    return not chosen_by.takes(problem.path)


def _require_directory(root: Path) -> None:
    """Raise InputPathNotFound unless ``root`` is a directory."""
    if root.is_dir():
        return
    what = "is not a directory; name the directory that holds it" if root.exists() else "does not exist"
    raise SyncError(
        Reason.INPUT_PATH_NOT_FOUND,
        f"-i/--inputpath {str(root)!r} {what}. Relative paths start at {str(Path.cwd())!r}.",
    )


def _walk(directory: Path, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[LocalFile | _Problem]:
    """Yield the files and unreadable entries under ``directory``; ``above`` identifies the directories on the way."""
    try:
        status = directory.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            yield _Problem(relative, "a symbolic link that leads back to a directory above it", directory=True)
            return
        if len(above) >= MAX_DEPTH:
            yield _Problem(relative, f"nested more than {MAX_DEPTH} directories deep", directory=True)
            return
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield _Problem(relative or ROOT, error.strerror or "cannot be listed", directory=True)
        return
    for entry in entries:
        path = f"{relative}/{entry.name}" if relative else entry.name
        found_there = _entry(entry, path)
        if found_there is None:
            yield from _walk(directory / entry.name, path, (*above, identity))
        else:
            yield found_there


def _entry(entry: os.DirEntry[str], relative: str) -> LocalFile | _Problem | None:
    """Return what a directory's entry is, by one `stat`; None for a directory."""
    try:
        status = entry.stat()
    except OSError as error:
        dangling = " (a dangling symbolic link?)" if entry.is_symlink() else ""
        return _Problem(relative, f"{error.strerror}{dangling}", directory=False)
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        return _Problem(relative, "a socket, pipe or device, which has no content to copy", directory=False)
    return _file(entry.path, LocalFile(relative, status.st_size, status.st_mtime_ns))


def changes(root: Path, file: PlannedFile) -> str | None:
    """Return how a file is not any more what it was when it was found, None where it is the same by size and time."""
    try:
        status = (root / file.path).stat()
    except FileNotFoundError:
        return "it is gone"
    except OSError:
        return None
    if status.st_size != file.size:
        return f"it has {status.st_size} bytes and had {file.size}"
    return "it was written to" if file.modified and status.st_mtime_ns != file.modified else None


def _file(path: str, found: LocalFile) -> LocalFile | _Problem:
    """Return the file once it has been opened; access() would answer for the real user, not for this process."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        return _Problem(found.path, error.strerror or "cannot be opened", directory=False)
    return found
