"""What the process makes of a bug, of a termination log that it cannot write, and of what is wrong from the start."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from s3sync_job import __main__ as process
from s3sync_job import signals
from s3sync_job.console import Console
from s3sync_job.outcome import ENDINGS, Failure, Reason, Verdict
from s3sync_job.progress import Tally
from s3sync_job.report import Counts, failed
from s3sync_job.run import Run
from s3sync_job.settings import Gateway, Settings
from s3sync_job.steps import Steps
from tests.support.schemas import validator

SCHEMA = validator(json.loads((Path(__file__).parents[1] / "golden/report/schema.json").read_text()))
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


@dataclass(frozen=True)
class Ended:
    """How a run ended, without a process of its own."""

    code: int
    report: Mapping[str, Any]

    @property
    def reason(self) -> str:
        return str(self.report["reason"])

    @property
    def failed(self) -> set[str]:
        return {failure["path"] for failure in self.report["failures"]}


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server that nobody may speak to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.fixture
def run(
    server: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Iterator[Callable[..., Ended]]:
    """Does what the process does, but for its end, in an empty folder; nothing may be sent to the server."""
    monkeypatch.chdir(tmp_path)
    address = f"127.0.0.1:{server.getsockname()[1]}"
    before = {number: signal.getsignal(number) for number in signals.ENDING}

    def run(*arguments: str, **environment: str) -> Ended:
        variables = {"S3_ENDPOINT": address, "PACHD_ADDRESS": address, **environment}
        code = process.run_process(["-b", "master.testrepo", *arguments], variables)
        output, errors = capfdbinary.readouterr()
        report = json.loads(output.splitlines()[-1])
        SCHEMA.validate(report)
        assert (report["exitCode"], errors) == (code, b"")
        return Ended(code, report)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def plant(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"x")


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["-i", ""], {}, "--inputpath"),
        (["-i", "../in"], {}, "--inputpath"),
        (["-i", "in", "-b", "s3://bucket/path"], {}, "--bucket"),
        (["-i", "in", "--threads", "0"], {}, "--threads"),
        (["-i", "in", "--thraeds", "4"], {}, "--thraeds"),
        (["-i", "in"], {"S3_ENDPOINT": ""}, "S3_ENDPOINT"),
        (["-i", "in"], {"AWS_ACCESS_KEY_ID": "token\n", "AWS_SECRET_ACCESS_KEY": "token\n"}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_bad_arguments_name_the_flag_or_variable_and_are_reported_like_all_else(
    run: Callable[..., Ended], arguments: list[str], environment: dict[str, str], named: str
) -> None:
    ended = run(*arguments, "--termination-log", "message", **environment)
    assert (ended.code, ended.reason) == (2, "InvalidArguments")
    assert named in ended.report["message"]
    assert json.loads(Path("message").read_text())["reason"] == "InvalidArguments"


@pytest.mark.parametrize("client", ["minio", "pfs"])
@pytest.mark.parametrize("name", ["S3SYNC_CLIENT_CERT", "S3_CA_FILE"])
def test_a_certificate_that_is_none_is_told_by_its_variable(
    run: Callable[..., Ended], server: socket.socket, client: str, name: str
) -> None:
    plant("in/file", "garbage")
    port = server.getsockname()[1]
    files = {name: "garbage", **({"S3SYNC_CLIENT_KEY": "garbage"} if "CLIENT" in name else {})}
    secure = {"S3_ENDPOINT": f"https://127.0.0.1:{port}", "PACHD_ADDRESS": f"grpcs://127.0.0.1:{port}"}
    ended = run("-i", "in", "--client", client, **secure, **files)
    assert (ended.code, ended.reason) == (163, "TLSFailed")
    assert ended.report["message"].startswith(name)


@pytest.mark.parametrize("path", ["missing", "file"])
def test_an_input_path_that_is_no_directory_is_not_found(run: Callable[..., Ended], path: str) -> None:
    plant("file")
    ended = run("-i", path)
    assert (ended.code, ended.reason) == (3, "InputPathNotFound")
    assert path in ended.report["message"]


def test_a_run_that_fails_tells_the_steps_that_it_reached(run: Callable[..., Ended]) -> None:
    assert list(run("-i", "nowhere").report["stepSeconds"]) == ["start", "plan"]


def test_an_empty_input_is_never_verified(run: Callable[..., Ended]) -> None:
    Path("in/only/directories").mkdir(parents=True)
    ended = run("-i", "in")
    assert (ended.code, ended.reason) == (4, "InputEmpty")


def test_whatever_cannot_be_read_is_named_before_anything_is_copied(run: Callable[..., Ended]) -> None:
    plant("in/file")
    Path("in/dangling").symlink_to("nothing")
    Path("in/loop").symlink_to(".")
    os.mkfifo("in/pipe")
    ended = run("-i", "in")
    assert (ended.code, ended.reason) == (5, "InputUnreadable")
    assert ended.failed == {"dangling", "loop", "pipe"}


def test_all_names_that_pachyderm_refuses_are_reported_before_anything_is_copied(run: Callable[..., Ended]) -> None:
    plant("in/fine.txt", "in/Chapter [1].txt", "in/ü/a.txt", "in/a+b")
    ended = run("-i", "in")
    assert (ended.code, ended.reason) == (6, "InvalidKey")
    assert ended.failed == {"Chapter [1].txt", "ü/a.txt", "a+b"}
