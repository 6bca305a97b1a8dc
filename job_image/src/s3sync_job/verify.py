"""Decides whether what lies in the bucket is what the input holds (pure: it reads from streams that it is given)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from s3sync_job.compare import extra_keys
from s3sync_job.outcome import Failure, Verdict
from s3sync_job.plan import Plan, PlannedFile, Worker
from s3sync_job.reading import Reader

CHUNK = 1024 * 1024
"""Bytes compared at a time: TensorFlow holds five copies of what is asked for at once."""


@dataclass(frozen=True)
class Comparison:
    """The verdict on one file that was read on both sides; ``sha256`` (hex) is known only for a match."""

    verdict: Verdict
    detail: str = ""
    sha256: str | None = None


def verdict(*, here: bool, there: bool, equal: bool | None) -> Verdict:
    """Return the verdict on a path: is it in the input, is it in the bucket, and did the contents compare equal?

    ======  =====  =====  ============
    here    there  equal  verdict
    ======  =====  =====  ============
    yes     yes    yes    Match
    yes     yes    no     Differ
    yes     yes    None   Error (could not be compared: never counts as verified)
    yes     no     any    MissingThere
    no      yes    any    MissingHere
    ======  =====  =====  ============

    Raises:
        ValueError: neither side has the path.
    """
    if not here and not there:
        raise ValueError("a path that neither side has cannot be judged")
    if not there:
        return Verdict.MISSING_THERE
    if not here:
        return Verdict.MISSING_HERE
    if equal is None:
        return Verdict.ERROR
    return Verdict.MATCH if equal else Verdict.DIFFER


def compare_sets(plan: Plan, there: Collection[str], worker: Worker) -> tuple[list[PlannedFile], list[Failure]]:
    """Return this worker's files that are on both sides, and a failure for each path that one side lacks.

    ``there`` holds the bucket's keys under the plan's prefix. A key that no worker's input has fails the sync as well:
    the destination is to *equal* the input, and files of an earlier run would be taken for part of this one. Worker 0
    alone reports those, so that they are counted once.
    """
    common = [file for file in plan.mine if file.key in there]
    failures = [
        Failure(file.path, verdict(here=True, there=False, equal=None), f"not in the bucket as {file.key!r}")
        for file in plan.mine
        if file.key not in there
    ]
    if worker.index == 0:
        failures += [
            Failure(
                plan.relative(key),
                verdict(here=False, there=True, equal=None),
                f"the bucket has {key!r} but the input has no such file; delete it or sync to another path",
            )
            for key in extra_keys(plan, there)
        ]
    return common, failures


def compare_streams(here: Reader, there: Reader, size: int) -> Comparison:
    """Return the verdict on two streams of which the first had ``size`` bytes when it was planned.

    A small file takes one read of a byte more than it has, so that a longer one in the bucket shows at once.
    """
    chunk = min(size + 1, CHUNK)
    digest = hashlib.sha256()
    offset = 0
    while True:
        ours, theirs = here.read(chunk), there.read(chunk)
        if ours != theirs:
            return Comparison(verdict(here=True, there=True, equal=False), _difference(ours, theirs, offset, size))
        digest.update(ours)
        offset += len(ours)
        if len(ours) < chunk:
            if offset != size:
                changed = f"the input changed during the run: it has {offset} bytes and had {size} when it was planned"
                return Comparison(verdict(here=True, there=True, equal=False), changed)
            return Comparison(verdict(here=True, there=True, equal=True), sha256=digest.hexdigest())


def manifest_digest(files: Iterable[PlannedFile], sha256_by_key: Mapping[str, str]) -> str:
    """Return ``sha256:<hex>`` of the manifest: a line ``<sha256>  <size>  <key>`` a file, sorted by key."""
    manifest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.key):
        manifest.update(f"{sha256_by_key[file.key]}  {file.size}  {file.key}\n".encode())
    return f"sha256:{manifest.hexdigest()}"


def first_difference(ours: bytes, theirs: bytes) -> int:
    """Return the length of the common start, found by halving since comparing slices is fast and bytes is not."""
    low, high = 0, min(len(ours), len(theirs))
    while low < high:
        middle = (low + high + 1) // 2
        if ours[low:middle] == theirs[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _difference(ours: bytes, theirs: bytes, offset: int, size: int) -> str:
    """Say where two unequal chunks that start at ``offset`` part."""
    common = first_difference(ours, theirs)
    where = offset + common
    if common == len(theirs):
        return f"ends in the bucket after {where} bytes, the input has more ({size} when it was planned)"
    if common == len(ours):
        return f"goes on in the bucket after the input's {where} bytes"
    return f"first difference at byte {where} of {size}"
