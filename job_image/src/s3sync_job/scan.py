"""Finds the files under the input path and proves that each can be read, before anything is copied."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from s3sync_job.outcome import Failure, Reason, SyncError, Verdict
from s3sync_job.plan import LocalFile

MAX_DEPTH = 256
"""Directories deeper than this are taken for a mistake (S3 keys end at 1,024 bytes anyway)."""


def find_files(root: Path) -> list[LocalFile]:
    """Return every file under ``root``; empty directories are left out, as S3 has none.

    Symbolic links are followed, to files and to directories, since the copy is to hold what a reader of the tree sees.
    A link that leads back to a directory above it is refused, as is whatever has no content to copy.

    Raises:
        SyncError: InputPathNotFound where ``root`` is no directory; InputUnreadable naming every entry that cannot be
            read.
    """
    _require_directory(root)
    files: list[LocalFile] = []
    problems: list[Failure] = []
    for found in _walk(root, "", ()):
        if isinstance(found, LocalFile):
            files.append(found)
        else:
            problems.append(found)
    if problems:
        first = problems[0]
        raise SyncError(
            Reason.INPUT_UNREADABLE,
            f"{len(problems)} entries under {str(root)!r} cannot be read, the first being {first.path!r}: "
            f"{first.detail}. Remove them or make them readable. Nothing was copied.",
            tuple(problems),
        )
    return files


def _require_directory(root: Path) -> None:
    """Raise InputPathNotFound unless ``root`` is a directory."""
    if root.is_dir():
        return
    what = "is not a directory; name the directory that holds it" if root.exists() else "does not exist"
    raise SyncError(
        Reason.INPUT_PATH_NOT_FOUND,
        f"-i/--inputpath {str(root)!r} {what}. Relative paths start at {str(Path.cwd())!r}.",
    )


def _walk(directory: Path, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[LocalFile | Failure]:
    """Yield the files and unreadable entries under ``directory``; ``above`` identifies the directories on the way."""
    try:
        status = directory.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            yield _problem(relative, "a symbolic link that leads back to a directory above it")
            return
        if len(above) >= MAX_DEPTH:
            yield _problem(relative, f"nested more than {MAX_DEPTH} directories deep")
            return
        names = sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        yield _problem(relative, error.strerror or "cannot be listed")
        return
    for name in names:
        yield from _entry(directory / name, f"{relative}/{name}" if relative else name, (*above, identity))


def _entry(path: Path, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[LocalFile | Failure]:
    """Yield what is at ``path``: itself if it is a file, else what is under it."""
    try:
        status = path.stat()
    except OSError as error:
        yield _problem(
            relative, f"{error.strerror} (a dangling symbolic link?)" if path.is_symlink() else str(error.strerror)
        )
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _walk(path, relative, above)
    elif not stat.S_ISREG(status.st_mode):
        yield _problem(relative, "a socket, pipe or device, which has no content to copy")
    else:
        yield _file(path, relative, status.st_size)


def _file(path: Path, relative: str, size: int) -> LocalFile | Failure:
    """Return the file once it has been opened; access() would answer for the real user, not for this process."""
    try:
        with path.open("rb"):
            return LocalFile(relative, size)
    except OSError as error:
        return _problem(relative, error.strerror or "cannot be opened")


def _problem(relative: str, detail: str) -> Failure:
    return Failure(relative or ".", Verdict.ERROR, detail)
