"""The report fits its schema and its room, whatever happened; exit codes keep their meaning."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3sync_job.cli import build_parser
from s3sync_job.outcome import ENDINGS, RETRY_FROM, Failure, Reason, Verdict
from s3sync_job.report import LOG_LINE_LIMIT, TERMINATION_MESSAGE_LIMIT, Counts, Report, Staged, failed
from s3sync_job.settings import Verify
from tests.support.schemas import validator

GOLDEN = Path(__file__).parents[1] / "golden/report"
SCHEMA = json.loads((GOLDEN / "schema.json").read_text())
REPORTS = validator(SCHEMA)
failures = st.builds(
    Failure,
    st.text(max_size=600),
    st.sampled_from([v for v in Verdict if v is not Verdict.MATCH]),
    st.text(max_size=600),
)


@pytest.mark.parametrize("sample", sorted(GOLDEN.glob("[!s]*.json")), ids=lambda path: path.stem)
def test_the_samples_fit_the_schema(sample: Path) -> None:
    REPORTS.validate(json.loads(sample.read_text()))


@given(st.text(max_size=3000), st.lists(failures, max_size=40), st.sampled_from([4096, LOG_LINE_LIMIT]))
@settings(deadline=None)
def test_a_report_fits_schema_and_room_and_counts_what_it_omits(
    message: str, listed: list[Failure], limit: int
) -> None:
    report = failed(
        Reason.CONTENT_DIFFERS, message, Counts(10**9, 1, 2, 3, 10**15, 5, 6), 1.23456, failures=tuple(listed)
    )
    line = report.line(limit)
    document = json.loads(line)
    REPORTS.validate(document)
    assert len(line.encode()) <= limit
    assert "\n" not in line
    assert len(document["failures"]) + document["failuresOmitted"] == len(listed)


def test_what_an_atomic_sync_adds_fits_schema_and_room_and_counts_what_it_omits() -> None:
    skipped = tuple(Failure("ü" * 100, Verdict.ERROR, "x" * 300) for _ in range(40))
    report = Report(
        Reason.VERIFIED,
        "Staged.",
        0,
        Counts(unchanged_files=1, unchanged_bytes=2, skipped_files=40, extra_files=3, deleted_files=4),
        1.5,
        verification=Verify.CHECKSUM,
        staged=Staged("s3sync-1-w0", "0" * 32, None, f"sha256:{0:064}"),
        skipped=skipped,
        would_delete=tuple(f"in/{number}" for number in range(100)),
    )
    for limit in (TERMINATION_MESSAGE_LIMIT, LOG_LINE_LIMIT):
        line = report.line(limit)
        document = json.loads(line)
        REPORTS.validate(document)
        assert len(line) <= limit
        assert len(document["skipped"]) + document["skippedOmitted"] == 40
        assert len(document["dryRun"]["delete"]) + document["dryRun"]["deleteOmitted"] == 100
    assert (len(document["skipped"]), len(document["dryRun"]["delete"])) == (10, 10)
    assert document["files"] | {"unchanged": 1, "skipped": 40, "extra": 3, "deleted": 4} == document["files"]


def test_a_short_report_keeps_every_failure_and_the_whole_message() -> None:
    listed = tuple(Failure(f"file {number}", Verdict.DIFFER, "at byte 1") for number in range(20))
    document = json.loads(failed(Reason.CONTENT_DIFFERS, "Why.", Counts(), 1, failures=listed).line(4096))
    assert (document["message"], len(document["failures"]), document["failuresOmitted"]) == ("Why.", 20, 0)


def test_a_thousand_failures_leave_as_many_as_there_is_room_for() -> None:
    listed = tuple(Failure(f"file {number}", Verdict.DIFFER, "at byte 1") for number in range(1000))
    line = failed(Reason.CONTENT_DIFFERS, "Why.", Counts(), 1, failures=listed).line(TERMINATION_MESSAGE_LIMIT)
    assert TERMINATION_MESSAGE_LIMIT - 100 < len(line) <= TERMINATION_MESSAGE_LIMIT


def test_names_that_are_not_unicode_are_shown_as_escapes() -> None:
    report = failed(Reason.INVALID_KEY, "x", Counts(), 1, failures=(Failure("\udcff\nü", Verdict.ERROR, ""),))
    assert json.loads(report.line(4096))["failures"][0]["path"] == "\\xff ü"


def test_rewriting_changes_message_and_failures() -> None:
    report = failed(Reason.SERVER_ERROR, "a hunter2", Counts(), 1, failures=(Failure("p", Verdict.ERROR, "b hunter2"),))
    assert "hunter2" not in report.rewritten(lambda text: text.replace("hunter2", "***")).line(4096)


def test_only_a_verified_run_has_the_result_verified_and_only_a_copied_one_copied() -> None:
    for reason, ending in ENDINGS.items():
        document = json.loads(Report(reason, "", ending.code, Counts(), 0).line(4096))
        assert (document["result"] == "Verified") == (reason is Reason.VERIFIED)
        assert (document["result"] == "Copied") == (reason is Reason.COPIED)
        assert (document["result"] == "Failed") == (ending.code != 0)


def test_every_reason_has_an_exit_code_of_its_own_and_is_in_the_schema() -> None:
    assert set(ENDINGS) == set(Reason)
    assert {reason.value for reason in Reason} == set(SCHEMA["properties"]["reason"]["enum"])
    codes = [ending.code for reason, ending in ENDINGS.items() if reason is not Reason.COPIED]
    assert len(set(codes)) == len(codes)


def test_exactly_what_a_retry_may_mend_ends_with_128_or_more() -> None:
    may_be_mended = {reason for reason, ending in ENDINGS.items() if ending.code >= RETRY_FROM}
    assert may_be_mended == {
        Reason.TERMINATED,
        Reason.ENDPOINT_UNREACHABLE,
        Reason.SERVER_ERROR,
        Reason.BUCKET_NOT_FOUND,
        Reason.TLS_FAILED,
        Reason.CERTIFICATE_UNTRUSTED,
        Reason.CERTIFICATE_EXPIRED,
        Reason.PACHD_UNREACHABLE,
        Reason.COMMIT_FAILED,
        Reason.INPUT_CHANGED,
    }


def test_help_lists_every_exit_code() -> None:
    text = build_parser().format_help()
    assert all(re.search(rf"^ +{ending.code} +{reason}\b", text, re.MULTILINE) for reason, ending in ENDINGS.items())
