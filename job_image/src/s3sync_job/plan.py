"""What is to be copied where: the sorted files with their keys, checked before anything is sent (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from s3sync_job.keys import join_key, key_problem
from s3sync_job.outcome import Failure, Reason, SyncError, Verdict


@dataclass(frozen=True)
class LocalFile:
    """A file found under the input path: its relative path and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class PlannedFile:
    """A file to copy: its path under the input path, its key in the bucket and its size in bytes."""

    path: str
    key: str
    size: int


@dataclass(frozen=True)
class Worker:
    """Which of how many workers this process is: ``0 <= index < count``."""

    index: int = 0
    count: int = 1


SOLE_WORKER = Worker()
"""The place of a process that shares its work with no other."""


@dataclass(frozen=True)
class Plan:
    """All files of the sync sorted by key, and ``mine``, the share that this worker copies and verifies."""

    prefix: str
    everything: tuple[PlannedFile, ...]
    mine: tuple[PlannedFile, ...]

    @property
    def total_bytes(self) -> int:
        """The size of this worker's share in bytes."""
        return sum(file.size for file in self.mine)

    @property
    def largest(self) -> int:
        """The size of the share's largest file in bytes, 0 for an empty share."""
        return max((file.size for file in self.mine), default=0)


def make_plan(prefix: str, found: Iterable[LocalFile], worker: Worker, *, allow_empty: bool) -> Plan:
    """Return the plan for the files ``found``; every ``worker.count``-th of the sorted files is this worker's.

    Raises:
        SyncError: InputEmpty without any file unless ``allow_empty``; InvalidKey naming *every* file whose key
            Pachyderm would refuse, so that one run shows all that has to be renamed.
    """
    everything = tuple(
        sorted((PlannedFile(f.path, join_key(prefix, f.path), f.size) for f in found), key=lambda file: file.key)
    )
    if not everything and not allow_empty:
        raise SyncError(
            Reason.INPUT_EMPTY,
            "The input path holds no file, so nothing can be verified; put files there or allow it with --allow-empty.",
        )
    _check_keys(prefix, everything)
    return Plan(prefix, everything, everything[worker.index :: worker.count])


def check_conflicts(plan: Plan, there: Iterable[str]) -> None:
    """Check that no path would be a file on one side and a directory on the other; ``there`` holds the bucket's keys.

    Raises:
        SyncError: InvalidKey naming every file of the input that is in conflict.
    """
    there_files = set(there)
    there_directories = {directory for key in there_files for directory in _directories(key)}
    conflicts = tuple(
        Failure(file.path, Verdict.ERROR, problem)
        for file in plan.everything
        if (problem := _conflict(file.key, there_files, there_directories)) is not None
    )
    if conflicts:
        raise SyncError(
            Reason.INVALID_KEY,
            f"{len(conflicts)} of {len(plan.everything)} files cannot stand beside what the bucket has, the first "
            f"being {conflicts[0].path!r}: {conflicts[0].detail}; delete that or sync elsewhere. Nothing was copied.",
            conflicts,
        )


def _conflict(key: str, there_files: set[str], there_directories: set[str]) -> str | None:
    """Return what in the bucket keeps ``key`` from being a file there."""
    if key in there_directories:
        return f"the bucket has a directory {key!r}"
    blocking = next((directory for directory in _directories(key) if directory in there_files), None)
    return f"the bucket has a file {blocking!r}" if blocking else None


def _directories(key: str) -> Iterator[str]:
    """Yield the directories above ``key``, the top one first."""
    for position, character in enumerate(key):
        if character == "/":
            yield key[:position]


def _check_keys(prefix: str, files: tuple[PlannedFile, ...]) -> None:
    """Raise InvalidKey with all files whose keys Pachyderm would refuse."""
    prefix_problem = key_problem(prefix) if prefix else None
    if prefix_problem:
        raise SyncError(
            Reason.INVALID_KEY,
            f"-i/--inputpath {prefix!r} cannot be the start of a key: {prefix_problem}; rename the directory.",
        )
    refused = tuple(
        Failure(file.path, Verdict.ERROR, problem) for file in files if (problem := key_problem(file.key)) is not None
    )
    if refused:
        first = refused[0]
        raise SyncError(
            Reason.INVALID_KEY,
            f"{len(refused)} of {len(files)} files have names that Pachyderm refuses, the first being {first.path!r}: "
            f"{first.detail}; rename them. Nothing was copied.",
            refused,
        )
