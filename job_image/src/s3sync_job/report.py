"""The report: one line of JSON in which a worker tells the operator how its run ended (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from s3sync_job.outcome import ENDINGS, Failure, Reason
from s3sync_job.plan import SOLE_WORKER, Worker
from s3sync_job.settings import Verify
from s3sync_job.steps import Step

TERMINATION_MESSAGE_LIMIT = 4096
"""Kubernetes keeps so many bytes of a container's termination message."""

LOG_LINE_LIMIT = 16 * 1024 - 1
"""Container runtimes cut a log line into pieces at 16 KiB; the report must stay one."""

LISTED = 10
"""So many of the skipped paths, and of the files that a dry run would delete, are named."""

MESSAGE_LIMIT = 1024
DETAIL_LIMIT = 256


_Document = TypeVar("_Document")


@dataclass(frozen=True)
class Counts:
    """How far a run got: numbers of files and of bytes. ``failed`` counts files of any verdict but Match.

    ``unchanged`` files were in the repo already, and are not among the verified. ``skipped`` paths cannot be synced,
    ``extra`` files are the repo's alone, and ``deleted`` ones are those of them that are to go.
    """

    total_files: int = 0
    copied_files: int = 0
    verified_files: int = 0
    failed_files: int = 0
    total_bytes: int = 0
    copied_bytes: int = 0
    verified_bytes: int = 0
    unchanged_files: int = 0
    unchanged_bytes: int = 0
    skipped_files: int = 0
    extra_files: int = 0
    deleted_files: int = 0


@dataclass(frozen=True)
class Staged:
    """Where an atomic sync's worker left its files: the branch, its last commit, the commit it builds upon, and the
    digest of all workers' files as this one saw them."""

    branch: str
    commit: str
    base: str | None
    plan: str


@dataclass(frozen=True)
class Report:
    """How a run ended. ``digest`` is that of the manifest, None unless everything is verified."""

    reason: Reason
    message: str
    exit_code: int
    counts: Counts
    duration_seconds: float
    worker: Worker = SOLE_WORKER
    digest: str | None = None
    failures: tuple[Failure, ...] = ()
    step_seconds: Mapping[Step, float] = field(default_factory=dict)
    verification: Verify | None = None
    staged: Staged | None = None
    skipped: tuple[Failure, ...] = ()
    would_delete: tuple[str, ...] | None = None

    def line(self, limit: int) -> str:
        """Return the report as one line of ASCII of at most ``limit`` bytes (2,048 or more).

        Failures that do not fit are dropped from the end and counted in ``failuresOmitted``, and so are skipped paths
        and files that would be deleted; a message that does not fit even so is cut.
        """
        message = _clip(self.message, MESSAGE_LIMIT)
        while len(_dump(self._document(message))) > limit:
            message = _clip(message, len(message) * 3 // 4)
        room = limit - len(_dump(self._document(message)))
        failures, room = _fitting(map(_failure_document, self.failures), room)
        skipped, room = _fitting(map(_skipped_document, self.skipped[:LISTED]), room)
        deleted, room = _fitting(map(_clipped_path, (self.would_delete or ())[:LISTED]), room)
        return _dump(self._document(message, failures, skipped, deleted))

    def rewritten(self, change: Callable[[str], str]) -> Report:
        """Return the report with ``change`` done to its message and failures, such as blanking out secrets."""

        def changed(failures: Iterable[Failure]) -> tuple[Failure, ...]:
            return tuple(Failure(change(f.path), f.verdict, change(f.detail)) for f in failures)

        deleted = None if self.would_delete is None else tuple(map(change, self.would_delete))
        return replace(
            self,
            message=change(self.message),
            failures=changed(self.failures),
            skipped=changed(self.skipped),
            would_delete=deleted,
        )

    def _document(
        self,
        message: str,
        failures: Sequence[Mapping[str, str]] = (),
        skipped: Sequence[Mapping[str, str]] = (),
        deleted: Sequence[str] = (),
    ) -> dict[str, Any]:
        counts = self.counts
        return {
            "s3syncReport": 1,
            "result": _RESULTS.get(self.reason, "Failed"),
            "reason": self.reason.value,
            "message": message,
            "exitCode": self.exit_code,
            "files": {
                "total": counts.total_files,
                "copied": counts.copied_files,
                "verified": counts.verified_files,
                "failed": counts.failed_files,
                **_where_not_zero(
                    unchanged=counts.unchanged_files,
                    skipped=counts.skipped_files,
                    extra=counts.extra_files,
                    deleted=counts.deleted_files,
                ),
            },
            "bytes": {
                "total": counts.total_bytes,
                "copied": counts.copied_bytes,
                "verified": counts.verified_bytes,
                **_where_not_zero(unchanged=counts.unchanged_bytes),
            },
            "durationSeconds": round(self.duration_seconds, 3),
            "stepSeconds": {step.value: round(seconds, 3) for step, seconds in self.step_seconds.items()},
            "digest": self.digest,
            "worker": {"index": self.worker.index, "count": self.worker.count},
            **self._additions(skipped, deleted),
            "failures": list(failures),
            "failuresOmitted": len(self.failures) - len(failures),
        }

    def _additions(self, skipped: Sequence[Mapping[str, str]], deleted: Sequence[str]) -> dict[str, Any]:
        """Return the fields that are there only where they mean something."""
        additions: dict[str, Any] = {}
        if self.verification is not None:
            additions["verification"] = self.verification.value
        if self.staged is not None:
            additions["staged"] = {
                "branch": self.staged.branch,
                "commit": self.staged.commit,
                "base": self.staged.base,
                "plan": self.staged.plan,
            }
        if self.skipped:
            additions |= {"skipped": list(skipped), "skippedOmitted": len(self.skipped) - len(skipped)}
        if self.would_delete is not None:
            omitted = len(self.would_delete) - len(deleted)
            additions["dryRun"] = {"delete": list(deleted), "deleteOmitted": omitted}
        return additions


def failed(
    reason: Reason,
    message: str,
    counts: Counts,
    seconds: float,
    worker: Worker = SOLE_WORKER,
    failures: tuple[Failure, ...] = (),
) -> Report:
    """Return the report of a run that ended for ``reason``, with that reason's exit code."""
    return Report(reason, message, ENDINGS[reason].code, counts, seconds, worker, failures=failures)


def printable(text: str) -> str:
    """Return ``text`` as one line of valid Unicode: undecodable bytes become escapes, line breaks spaces."""
    decoded = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(character if character.isprintable() else " " for character in decoded)


_RESULTS = {Reason.VERIFIED: "Verified", Reason.COPIED: "Copied"}


def _failure_document(failure: Failure) -> dict[str, str]:
    return {
        "path": printable(failure.path),
        "verdict": failure.verdict.value,
        "detail": _clip(failure.detail, DETAIL_LIMIT),
    }


def _skipped_document(failure: Failure) -> dict[str, str]:
    return {"path": _clipped_path(failure.path), "detail": _clip(failure.detail, DETAIL_LIMIT)}


def _clipped_path(path: str) -> str:
    return _clip(path, DETAIL_LIMIT)


def _fitting(documents: Iterable[_Document], room: int) -> tuple[list[_Document], int]:
    """Return as many of the documents, from the first, as ``room`` bytes hold, and the room that is left."""
    kept: list[_Document] = []
    for document in documents:
        needed = len(_dump(document)) + len(", ")
        if needed > room:
            break
        room -= needed
        kept.append(document)
    return kept, room


def _where_not_zero(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _clip(text: str, limit: int) -> str:
    """Return ``text`` in one line of at most ``limit`` characters, an ellipsis in place of what is cut."""
    line = printable(text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _dump(document: Any) -> str:
    return json.dumps(document, ensure_ascii=True)
