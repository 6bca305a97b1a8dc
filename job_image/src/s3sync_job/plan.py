"""What is to be copied where: the sorted files with their keys, checked before anything is sent (pure)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from s3sync_job.filters import EVERYTHING, Filter
from s3sync_job.keys import join_key, key_problem
from s3sync_job.outcome import Failure, Reason, SyncError, Verdict

FILE_COST_BYTES = 1_000_000
"""What a file costs beside its bytes, when shares are balanced: about what is sent in the time that a commit takes."""


class OnInvalidPath(StrEnum):
    """What becomes of a run that finds paths which cannot be synced."""

    FAIL = "Fail"
    SKIP = "Skip"


@dataclass(frozen=True)
class LocalFile:
    """A file found under the input path: its relative path, its size in bytes, and when its content last changed
    (nanoseconds since 1970 by the file system's clock, 0: not known)."""

    path: str
    size: int
    modified: int = field(default=0, compare=False)


@dataclass(frozen=True)
class PlannedFile:
    """A file to copy: its path under the input path, its key in the bucket, its size in bytes, and ``modified`` as of
    its LocalFile."""

    path: str
    key: str
    size: int
    modified: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Worker:
    """Which of how many workers this process is: ``0 <= index < count``."""

    index: int = 0
    count: int = 1


SOLE_WORKER = Worker()
"""The place of a process that shares its work with no other."""


@dataclass(frozen=True)
class Plan:
    """All files of the sync sorted by key, and ``mine``, the share that this worker copies and verifies.

    ``skipped`` holds what cannot be synced and is left out on demand; ``filter`` chose the files.
    """

    prefix: str
    everything: tuple[PlannedFile, ...]
    mine: tuple[PlannedFile, ...]
    skipped: tuple[Failure, ...] = ()
    filter: Filter = EVERYTHING

    @property
    def total_bytes(self) -> int:
        """The size of this worker's share in bytes."""
        return sum(file.size for file in self.mine)

    @property
    def largest(self) -> int:
        """The size of the share's largest file in bytes, 0 for an empty share."""
        return max((file.size for file in self.mine), default=0)

    def relative(self, key: str) -> str:
        """Return the path under the input path that a key under the plan's prefix stands for."""
        return key.removeprefix(f"{self.prefix}/") if self.prefix else key


def make_plan(
    prefix: str,
    found: Iterable[LocalFile],
    worker: Worker,
    *,
    allow_empty: bool,
    on_invalid_path: OnInvalidPath = OnInvalidPath.FAIL,
    skipped: Iterable[Failure] = (),
    chosen_by: Filter = EVERYTHING,
) -> Plan:
    """Return the plan for the files ``found``, to be copied under ``prefix``; each worker gets its share of them.

    ``skipped`` holds what the scan left out already.

    Raises:
        SyncError: InputEmpty without any file unless ``allow_empty``; InvalidKey naming *every* file whose key
            Pachyderm would refuse, so that one run shows all that has to be renamed, unless they are to be skipped.
    """
    _check_prefix(prefix)
    planned = (PlannedFile(file.path, join_key(prefix, file.path), file.size, file.modified) for file in found)
    files = sorted(planned, key=lambda file: file.key)
    refused = {file.path: problem for file in files if (problem := key_problem(file.key)) is not None}
    if refused and on_invalid_path is OnInvalidPath.FAIL:
        raise _invalid_keys(refused, len(files))
    everything = tuple(file for file in files if file.path not in refused)
    if not everything and not allow_empty:
        raise SyncError(
            Reason.INPUT_EMPTY,
            "The input path holds no file to sync, so nothing can be verified; put files there, look at --include and "
            "--exclude, or allow it with --allow-empty.",
        )
    left_out = (*skipped, *(Failure(path, Verdict.ERROR, problem) for path, problem in refused.items()))
    return Plan(prefix, everything, share(everything, worker), left_out, chosen_by)


def share(files: tuple[PlannedFile, ...], worker: Worker) -> tuple[PlannedFile, ...]:
    """Return the worker's part of ``files``, in their order; all workers' parts are balanced by bytes and by count.

    The largest file goes first, each to the worker who has least so far, which every worker works out alike.
    """
    if worker.count == 1:
        return files
    loads = [(0, index) for index in range(worker.count)]
    mine: set[str] = set()
    for file in sorted(files, key=lambda file: (-file.size, file.key)):
        load, index = loads[0]
        heapq.heapreplace(loads, (load + file.size + FILE_COST_BYTES, index))
        if index == worker.index:
            mine.add(file.key)
    return tuple(file for file in files if file.key in mine)


def settle_conflicts(plan: Plan, there: Iterable[str], on_invalid_path: OnInvalidPath) -> Plan:
    """Return the plan without files whose paths would be a file on one side and a directory on the other.

    ``there`` holds the keys that the repo has and keeps.

    Raises:
        SyncError: InvalidKey naming every file of the input that is in conflict, unless they are to be skipped.
    """
    conflicts = _conflicts(plan, there)
    if not conflicts:
        return plan
    if on_invalid_path is OnInvalidPath.FAIL:
        raise SyncError(
            Reason.INVALID_KEY,
            f"{len(conflicts)} of {len(plan.everything)} files cannot stand beside what the bucket has, the first "
            f"being {conflicts[0].path!r}: {conflicts[0].detail}; delete that or sync elsewhere. Nothing was copied.",
            conflicts,
        )
    left_out = {failure.path for failure in conflicts}
    return replace(
        plan,
        everything=tuple(file for file in plan.everything if file.path not in left_out),
        mine=tuple(file for file in plan.mine if file.path not in left_out),
        skipped=(*plan.skipped, *conflicts),
    )


def directories(path: str) -> Iterator[str]:
    """Yield the directories above ``path``, the top one first."""
    for position, character in enumerate(path):
        if character == "/":
            yield path[:position]


def _conflicts(plan: Plan, there: Iterable[str]) -> tuple[Failure, ...]:
    there_files = set(there)
    there_directories = {directory for key in there_files for directory in directories(key)}
    return tuple(
        Failure(file.path, Verdict.ERROR, problem)
        for file in plan.everything
        if (problem := _conflict(file.key, there_files, there_directories)) is not None
    )


def _conflict(key: str, there_files: set[str], there_directories: set[str]) -> str | None:
    """Return what in the bucket keeps ``key`` from being a file there."""
    if key in there_directories:
        return f"the bucket has a directory {key!r}"
    blocking = next((directory for directory in directories(key) if directory in there_files), None)
    return f"the bucket has a file {blocking!r}" if blocking else None


def _check_prefix(prefix: str) -> None:
    """Raise InvalidKey where no key could start with ``prefix``."""
    problem = key_problem(prefix) if prefix else None
    if problem:
        raise SyncError(
            Reason.INVALID_KEY,
            f"The destination, by --destination-path or else -i/--inputpath {prefix!r}, cannot be the start of a key: "
            f"{problem}; sync to another path with --destination-path, or rename the directory.",
        )


def _invalid_keys(refused: dict[str, str], files: int) -> SyncError:
    """Return the error that names all files whose keys Pachyderm would refuse."""
    failures = tuple(Failure(path, Verdict.ERROR, problem) for path, problem in refused.items())
    return SyncError(
        Reason.INVALID_KEY,
        f"{len(failures)} of {files} files have names that Pachyderm refuses, the first being {failures[0].path!r}: "
        f"{failures[0].detail}; rename them, leave them out with --exclude, or skip them with --on-invalid-path Skip. "
        "Nothing was copied.",
        failures,
    )
