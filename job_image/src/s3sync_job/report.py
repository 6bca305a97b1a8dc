"""The report: one line of JSON in which a worker tells the operator how its run ended (pure)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from s3sync_job.outcome import ENDINGS, Failure, Reason
from s3sync_job.plan import SOLE_WORKER, Worker
from s3sync_job.steps import Step

TERMINATION_MESSAGE_LIMIT = 4096
"""Kubernetes keeps so many bytes of a container's termination message."""

LOG_LINE_LIMIT = 16 * 1024 - 1
"""Container runtimes cut a log line into pieces at 16 KiB; the report must stay one."""

MESSAGE_LIMIT = 1024
DETAIL_LIMIT = 256


@dataclass(frozen=True)
class Counts:
    """How far a run got: numbers of files and of bytes. ``failed`` counts files of any verdict but Match."""

    total_files: int = 0
    copied_files: int = 0
    verified_files: int = 0
    failed_files: int = 0
    total_bytes: int = 0
    copied_bytes: int = 0
    verified_bytes: int = 0


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

    def line(self, limit: int) -> str:
        """Return the report as one line of ASCII of at most ``limit`` bytes (2,048 or more).

        Failures that do not fit are dropped from the end and counted in ``failuresOmitted``; a message that does not
        fit even so is cut.
        """
        message = _clip(self.message, MESSAGE_LIMIT)
        while len(_dump(self._document(message, (), len(self.failures)))) > limit:
            message = _clip(message, len(message) * 3 // 4)
        room = limit - len(_dump(self._document(message, (), len(self.failures))))
        kept = []
        for document in _failure_documents(self.failures):
            room -= len(_dump(document)) + len(", ")
            if room < 0:
                break
            kept.append(document)
        return _dump(self._document(message, kept, len(self.failures) - len(kept)))

    def rewritten(self, change: Callable[[str], str]) -> Report:
        """Return the report with ``change`` done to its message and failures, such as blanking out secrets."""
        failures = tuple(Failure(change(f.path), f.verdict, change(f.detail)) for f in self.failures)
        return replace(self, message=change(self.message), failures=failures)

    def _document(self, message: str, failures: Iterable[dict[str, str]], omitted: int) -> dict[str, Any]:
        counts = self.counts
        return {
            "s3syncReport": 1,
            "result": "Verified" if self.reason is Reason.VERIFIED else "Failed",
            "reason": self.reason.value,
            "message": message,
            "exitCode": self.exit_code,
            "files": {
                "total": counts.total_files,
                "copied": counts.copied_files,
                "verified": counts.verified_files,
                "failed": counts.failed_files,
            },
            "bytes": {"total": counts.total_bytes, "copied": counts.copied_bytes, "verified": counts.verified_bytes},
            "durationSeconds": round(self.duration_seconds, 3),
            "stepSeconds": {step.value: round(seconds, 3) for step, seconds in self.step_seconds.items()},
            "digest": self.digest,
            "worker": {"index": self.worker.index, "count": self.worker.count},
            "failures": list(failures),
            "failuresOmitted": omitted,
        }


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


def _failure_documents(failures: Iterable[Failure]) -> Iterable[dict[str, str]]:
    for failure in failures:
        yield {
            "path": printable(failure.path),
            "verdict": failure.verdict.value,
            "detail": _clip(failure.detail, DETAIL_LIMIT),
        }


def _clip(text: str, limit: int) -> str:
    """Return ``text`` in one line of at most ``limit`` characters, an ellipsis in place of what is cut."""
    line = printable(text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=True)
