"""The report in which a job's worker tells how its run ended: one JSON line, in the log and as the termination message.

The schema stands in tests/golden/report/schema.json; both sides test against it.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from s3sync_operator.marked_lines import last_marked, parse_marked
from s3sync_operator.progress import is_progress

MARK = "s3syncReport"
FIRST_RETRYABLE_EXIT_CODE = 128

JOB_REASONS = frozenset(
    {
        "Verified",
        "Copied",
        "ContentDiffers",
        "InvalidArguments",
        "InputPathNotFound",
        "InputEmpty",
        "InputUnreadable",
        "InvalidKey",
        "AccessDenied",
        "BucketNotFound",
        "EndpointUnreachable",
        "TLSFailed",
        "CertificateUntrusted",
        "CertificateExpired",
        "PachdUnreachable",
        "ServerError",
        "CommitFailed",
        "ManifestTooLarge",
        "InputChanged",
        "PruneLimitExceeded",
        "Terminated",
        "InternalError",
    }
)
"""The reasons of s3sync-job, by the schema; other images may report others."""


class _Part(BaseModel):
    # A newer job may tell more than this operator knows: what it does not know, it passes over.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Files(_Part):
    """Numbers of files; the last three are told by worker 0 alone."""

    total: int
    copied: int
    verified: int
    failed: int
    unchanged: int = 0
    skipped: int = 0
    extra: int = 0
    deleted: int = 0


class Bytes(_Part):
    """Sizes in bytes."""

    total: int
    copied: int
    verified: int
    unchanged: int = 0


class WorkerPlace(_Part):
    """Which of how many workers tells."""

    index: int
    count: int


class Staged(_Part):
    """Where a worker left what is to be published: its branch, that one's last commit, the commit it builds upon, and
    the digest of all workers' files as it saw them (None of older jobs)."""

    branch: str
    commit: str
    base: str | None
    plan: str | None = None


class Skipped(_Part):
    """A path that cannot be synced, and was left out."""

    path: str
    detail: str


class WouldDelete(_Part):
    """What pruning would delete: the first keys, and how many more there are."""

    delete: tuple[str, ...]
    delete_omitted: int


class Failure(_Part):
    """A file that failed."""

    path: str
    verdict: str
    detail: str


class Report(_Part):
    """How a worker's run ended."""

    version: Literal[1] = Field(alias="s3syncReport")
    result: Literal["Verified", "Copied", "Failed"]
    reason: str
    message: str
    exit_code: int
    files: Files
    bytes: Bytes
    duration_seconds: float
    digest: str | None
    failures: tuple[Failure, ...]
    failures_omitted: int
    worker: WorkerPlace = WorkerPlace(index=0, count=1)
    staged: Staged | None = None
    skipped: tuple[Skipped, ...] = ()
    dry_run: WouldDelete | None = None

    @property
    def retryable(self) -> bool:
        """Whether another attempt may mend what failed."""
        return self.exit_code >= FIRST_RETRYABLE_EXIT_CODE


def combined(reports: Sequence[Report]) -> Report | None:
    """Return what the workers' reports say together, None where there is none; a failure that no retry mends leads.

    The digest of several workers is not theirs to tell: each knows its own files only.
    """
    if len(reports) < 2:
        return reports[0] if reports else None
    failed = sorted((report for report in reports if report.result == "Failed"), key=lambda report: report.retryable)
    leader = (failed or [report for report in reports if report.result == "Copied"] or list(reports))[0]
    files = Files(**_sums(Files, [report.files for report in reports]))
    size = Bytes(**_sums(Bytes, [report.bytes for report in reports]))
    told = (
        f"worker {leader.worker.index}: {leader.message}"
        if failed
        else f"{files.total} files, {size.total} bytes by {len(reports)} workers: {files.verified} verified, "
        f"{files.unchanged} unchanged."
    )
    update = {
        "message": told,
        "files": files,
        "bytes": size,
        "duration_seconds": max(report.duration_seconds for report in reports),
        "digest": None,
        "failures": tuple(failure for report in reports for failure in report.failures),
        "failures_omitted": sum(report.failures_omitted for report in reports),
        "skipped": tuple(skipped for report in reports for skipped in report.skipped),
        "dry_run": next((report.dry_run for report in reports if report.dry_run), None),
        "staged": None,
    }
    return leader.model_copy(update=update)


def _sums(kind: type[_Part], parts: Sequence[_Part]) -> dict[str, int]:
    return {name: sum(getattr(part, name) for part in parts) for name in kind.model_fields}


def find_report(text: str) -> Report | None:
    """Return the last report among the lines of a log or a termination message, or None."""
    return last_marked(text, MARK, Report)


def without_report(text: str) -> str:
    """Return a log without its lines for machines, reports and progress: what a person reads."""
    return "\n".join(line for line in text.splitlines() if not (_is_report(line) or is_progress(line)))


def _is_report(line: str) -> bool:
    return parse_marked(line, MARK, Report) is not None
