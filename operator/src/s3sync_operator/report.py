"""The report in which a job's worker tells how its run ended: one JSON line, in the log and as the termination message.

The schema stands in tests/golden/report/schema.json; both sides test against it.
"""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

MARK = "s3syncReport"

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
        "PachdUnreachable",
        "ServerError",
        "CommitFailed",
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
    """Numbers of files."""

    total: int
    copied: int
    verified: int
    failed: int


class Bytes(_Part):
    """Sizes in bytes."""

    total: int
    copied: int
    verified: int


class Failure(_Part):
    """A file that failed."""

    path: str
    verdict: str
    detail: str


class Report(_Part):
    """How a worker's run ended."""

    version: Literal[1] = Field(alias="s3syncReport")
    result: Literal["Verified", "Failed"]
    reason: str
    message: str
    exit_code: int
    files: Files
    bytes: Bytes
    duration_seconds: float
    digest: str | None
    failures: tuple[Failure, ...]
    failures_omitted: int


def find_report(text: str) -> Report | None:
    """Return the last report among the lines of a log or a termination message, or None."""
    return next((found for line in reversed(text.splitlines()) if (found := _parse(line))), None)


def without_report(text: str) -> str:
    """Return a log without its report lines: what a person reads."""
    return "\n".join(line for line in text.splitlines() if _parse(line) is None)


def _parse(line: str) -> Report | None:
    if MARK not in line or not line.startswith("{"):
        return None
    try:
        return Report.model_validate(json.loads(line))
    except (ValueError, ValidationError):
        return None
