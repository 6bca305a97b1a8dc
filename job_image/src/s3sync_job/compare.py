"""What a sync changes: the plan beside the repo's files of the commit that it builds upon (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import Plan, PlannedFile, directories


@dataclass(frozen=True)
class There:
    """A file in the repo: its size in bytes and Pachyderm's hash of its content (hex), None where nobody told it."""

    size: int
    hash: str | None = None


@dataclass(frozen=True)
class Prune:
    """How files that the input lacks are deleted: ``dry_run`` only lists them, ``max_delete_percent`` bounds them."""

    dry_run: bool = False
    max_delete_percent: int = 100


@dataclass(frozen=True)
class Delta:
    """This worker's share, cut in two, in the plan's order: what is to be staged, and what the repo has already."""

    stage: tuple[PlannedFile, ...]
    unchanged: tuple[PlannedFile, ...]


def may_be_unchanged(plan: Plan, there: Mapping[str, There]) -> tuple[PlannedFile, ...]:
    """Return this worker's files whose key and size the repo has with a hash: only these are worth hashing here."""
    return tuple(
        file
        for file in plan.mine
        if (found := there.get(file.key)) is not None and found.hash is not None and found.size == file.size
    )


def delta(plan: Plan, there: Mapping[str, There], hashes: Mapping[str, str]) -> Delta:
    """Return what this worker stages and what it leaves, given Pachyderm's ``hashes`` of local files by key."""
    unchanged = {key for key, known in hashes.items() if key in there and there[key].hash == known}
    return Delta(
        stage=tuple(file for file in plan.mine if file.key not in unchanged),
        unchanged=tuple(file for file in plan.mine if file.key in unchanged),
    )


def extra_keys(plan: Plan, there: Iterable[str]) -> tuple[str, ...]:
    """Return the repo's keys that no file of the input has, sorted.

    What the filter leaves out, and what was skipped as invalid together with all below it, is not looked at on the
    repo's side either: to leave a file out of a sync is not to delete it.
    """
    planned = {file.key for file in plan.everything}
    skipped = {failure.path for failure in plan.skipped}

    def is_extra(key: str) -> bool:
        path = plan.relative(key)
        left_out = path in skipped or any(directory in skipped for directory in directories(path))
        return key not in planned and not left_out and plan.filter.takes(path)

    return tuple(sorted(filter(is_extra, there)))


def check_prune_limit(prune: Prune, extra: Collection[str], files_there: int) -> None:
    """Check that no more of the repo's files would be deleted than allowed; a dry run deletes none.

    Raises:
        SyncError: PruneLimitExceeded.
    """
    if prune.dry_run or len(extra) * 100 <= prune.max_delete_percent * files_there:
        return
    first = min(extra)
    raise SyncError(
        Reason.PRUNE_LIMIT_EXCEEDED,
        f"Pruning would delete {len(extra)} of the {files_there} files that the repo has under the destination, the "
        f"first being {first!r}; at most {prune.max_delete_percent} % may be. Check that the input is complete, "
        "or allow more with --max-delete-percent. Nothing was copied.",
    )
