"""What the process makes of a bug, and of a termination log that it cannot write."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from s3sync_job import __main__ as process
from s3sync_job.console import Console
from s3sync_job.outcome import ENDINGS, Failure, Reason, Verdict
from s3sync_job.progress import Tally
from s3sync_job.report import Counts, failed
from s3sync_job.run import Run
from s3sync_job.settings import Gateway, Settings
from s3sync_job.steps import Steps

TOKEN = "hunter2-hunter2"
SETTINGS = Settings(
    bucket="master.testrepo",
    input_path="in",
    prefix="in",
    gateway=Gateway("http://127.0.0.1:1", access_key=TOKEN, secret_key=TOKEN),
)


def console_of(stream: io.BytesIO) -> Console:
    console = Console(stream)
    console.keep_secret(SETTINGS.gateway.secrets)
    return console


def test_a_bug_becomes_a_report_and_its_traceback_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(run: Run) -> None:
        raise RuntimeError(f"no idea about {TOKEN}")

    monkeypatch.setattr(Run, "execute", fail)
    stream = io.BytesIO()
    console = console_of(stream)
    report = process._execute(Run(SETTINGS, Tally(), console, Steps()), SETTINGS, Tally(), console)
    process._publish(report, console_of(stream), None)
    errors = capsys.readouterr().err
    assert (report.reason, report.exit_code) == (Reason.INTERNAL_ERROR, ENDINGS[Reason.INTERNAL_ERROR].code)
    assert "Traceback" in errors
    assert TOKEN not in errors + stream.getvalue().decode()
    assert json.loads(stream.getvalue().splitlines()[-1])["reason"] == "InternalError"


def test_a_bug_before_the_settings_are_known_becomes_a_report_too(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def fail(*_: object) -> Settings:
        raise RuntimeError(f"no idea about {TOKEN}")

    monkeypatch.setattr(process, "parse_settings", fail)
    monkeypatch.setattr(process, "_listen", lambda _: None)
    monkeypatch.setattr(process, "_deafen", lambda: None)
    code = process.run_process(["-b", "x", "-i", "x"], {})
    output, errors = capfdbinary.readouterr()
    assert (code, json.loads(output.splitlines()[-1])["reason"]) == (8, "InternalError")
    assert TOKEN.encode() not in output + errors


def test_failures_stand_a_line_each_before_the_report_which_is_last(tmp_path: Path) -> None:
    stream = io.BytesIO()
    listed = tuple(Failure(f"file {number}", Verdict.DIFFER, TOKEN) for number in range(300))
    report = failed(Reason.CONTENT_DIFFERS, "Why.", Counts(), 1, failures=listed)
    process._publish(report, console_of(stream), tmp_path / "message")
    *lines, last = stream.getvalue().decode().splitlines()
    assert lines == [f"Differ file {number}: ***" for number in range(300)] + [
        "ContentDiffers (exit code 1): Why.",
    ]
    message = json.loads((tmp_path / "message").read_text())
    assert len(message["failures"]) < len(json.loads(last)["failures"]) <= 300
    assert len(message["failures"]) + message["failuresOmitted"] == 300


def test_a_termination_log_that_cannot_be_written_changes_nothing_but_is_told(tmp_path: Path) -> None:
    stream = io.BytesIO()
    process._publish(failed(Reason.INPUT_EMPTY, "Why.", Counts(), 1), console_of(stream), tmp_path / "no/such/folder")
    warning, *_, last = stream.getvalue().decode().splitlines()[1:]
    assert "--termination-log" in warning
    assert json.loads(last)["reason"] == "InputEmpty"
