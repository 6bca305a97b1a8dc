"""A batch of PUTs goes in rounds: what the open commit holds is set aside after each, and put back before it closes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from tests.job.conftest import STAGING, Ended, Job, ended, staging
from tests.support.job_server import JobServer
from tests.support.pachd import is_open

S3_CLIENTS = ("file_io", "minio")
STAGED = f"{STAGING}-w0"
LOST = {"action": "lose-answer", "times": 1}


def files(count: int) -> dict[str, bytes]:
    return {f"in/{number:03}": f"content {number}".encode() for number in range(count)}


TWO_ROUNDS = files(20)


def calls(job: Job) -> Any:
    return job.standin.requests()["by_operation"]


def left_open(job: Job) -> list[str]:
    return [info.description for info in job.pachd.commits(job.branch().repo) if is_open(info)]


@pytest.mark.parametrize("client", S3_CLIENTS)
def test_what_is_set_aside_between_rounds_is_in_the_commit_in_the_end(job: Job, client: str) -> None:
    job.write(files(40))
    job.standin.reset_requests()
    run = job.stage(client)
    assert (run.code, run.counts["verified"], job.staged()) == (0, 40, files(40))
    assert [calls(job)[name] for name in ("ClearCommit", "AddFileSet", "PutObject")] == [2, 1, 40]
    assert calls(job)["StartCommit"] == 2, "and one for the manifest"


def test_a_few_files_take_no_rounds(job: Job) -> None:
    job.write(files(16))
    job.standin.reset_requests()
    assert job.stage("minio").code == 0
    assert not {"GetFileSet", "ClearCommit", "AddFileSet"} & set(calls(job))


def test_the_batches_after_the_first_go_in_rounds_as_well(job: Job) -> None:
    job.write(files(60))
    job.standin.reset_requests()
    run = job.stage("minio", "--batch-files", "20")
    assert (run.code, job.staged()) == (0, files(60))
    assert [calls(job)[name] for name in ("ClearCommit", "AddFileSet")] == [3, 3]
    assert calls(job)["StartCommit"] == 3 + 1, "and one for the manifest"


@pytest.fixture
def older(job_server: JobServer, tmp_path: Path, bucket_names: Callable[[], str]) -> Iterator[Job]:
    """A Pachyderm that takes all that lies below a commit out of it as well."""
    with StandinProcess(release="2.8") as standin:
        job = Job(job_server.program, standin, bucket_names(), tmp_path)
        job.s3.create_bucket(Bucket=job.bucket)
        yield job


def test_on_a_pachyderm_before_2_9_later_batches_are_smaller_and_go_at_once(older: Job) -> None:
    older.write(files(110))
    older.standin.reset_requests()
    run = older.stage("minio", "--batch-files", "60")
    assert (run.code, run.counts["verified"], older.staged()) == (0, 110, files(110))
    assert [calls(older)[name] for name in ("ClearCommit", "AddFileSet")] == [3, 1], "those of the first batch"
    assert calls(older)["StartCommit"] == 1 + 2 + 1, "the other 50 as 40 and 10"


@pytest.mark.parametrize(
    ("operation", "made", "commits"),
    [("GetFileSet", 2, 2), ("ComposeFileSet", 3, 2), ("AddFileSet", 2, 2), ("ClearCommit", 2, 3)],
)
def test_an_answer_that_is_lost_on_its_way_loses_no_round(job: Job, operation: str, made: int, commits: int) -> None:
    """What empties a commit is never tried again on that commit: a first try that came late would take more out."""
    job.write(TWO_ROUNDS)
    job.standin.set_faults([{**LOST, "operation": operation}])
    job.standin.reset_requests()
    run = job.stage("minio")
    assert (run.code, run.counts["verified"], job.staged()) == (0, 20, TWO_ROUNDS)
    assert (calls(job)[operation], calls(job)["StartCommit"]) == (made, commits)


@pytest.mark.parametrize("operation", ["GetFileSet", "ComposeFileSet", "ClearCommit", "AddFileSet"])
def test_a_batch_is_sent_again_from_its_first_round_where_pachd_was_away(job: Job, operation: str) -> None:
    job.write(TWO_ROUNDS)
    away = {"action": "status", "code": "UNAVAILABLE", "message": "away"}
    job.standin.set_faults([{**away, "operation": operation, "times": 1 if operation == "ClearCommit" else 3}])
    job.standin.reset_requests()
    run = job.stage("minio")
    assert (run.code, run.counts["copied"], job.staged()) == (0, 20, TWO_ROUNDS)
    assert calls(job)["StartCommit"] == 3


def test_a_database_that_was_too_busy_to_empty_a_commit_is_asked_again(job: Job) -> None:
    job.write(TWO_ROUNDS)
    undone = {"action": "status", "code": "UNKNOWN", "message": "commit unexpectedly resulted in rollback", "times": 1}
    job.standin.set_faults([{**undone, "operation": "ClearCommit"}])
    job.standin.reset_requests()
    run = job.stage("minio")
    assert (run.code, calls(job)["ClearCommit"], calls(job)["StartCommit"], job.staged()) == (0, 2, 2, TWO_ROUNDS)


@pytest.mark.parametrize("code", ["UNKNOWN", "NOT_FOUND"])
@pytest.mark.parametrize(
    ("operation", "verb"), [("GetFileSet", "read"), ("ClearCommit", "emptied"), ("AddFileSet", "added to")]
)
def test_a_commit_that_cannot_be_worked_on_any_more_fails_the_run_and_is_dropped(
    job: Job, operation: str, verb: str, code: str
) -> None:
    job.write(TWO_ROUNDS)
    job.standin.set_faults([{"action": "status", "code": code, "message": "it is gone", "operation": operation}])
    run = job.stage("minio")
    assert run.reason == "CommitFailed"
    assert f"cannot be {verb}: " in run.report["message"]
    assert "it is gone" in run.report["message"]
    assert left_open(job) == []


def test_a_file_that_arrives_damaged_in_an_early_round_is_found(job: Job) -> None:
    job.write(files(40))
    job.standin.set_faults([{"action": "store-flip", "operation": "PutObject", "key": "in/003", "offset": 0}])
    run = job.stage("minio")
    assert (run.reason, set(run.verdicts)) == ("ContentDiffers", {"003"})


@contextmanager
def about_to_put_back(job: Job, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Begin a run of two rounds that is held when it puts back the first."""
    job.write(TWO_ROUNDS)
    job.standin.set_faults([{"action": "hold", "operation": "AddFileSet", "times": 1}])
    with staging(job, "minio", "AddFileSet", flags=flags) as process:
        yield process


def end_of(job: Job, process: subprocess.Popen[bytes]) -> Ended:
    job.standin.clear_faults()
    output, errors = process.communicate(timeout=60)
    return ended(process.returncode, output, errors)


def test_a_file_that_others_put_below_one_that_is_set_aside_is_found_when_the_commit_finishes(job: Job) -> None:
    with about_to_put_back(job) as process:
        job.pachd.write(job.pachd.head(job.branch(STAGED)), {"/in/003/below": b"x"})
        run = end_of(job, process)
    assert run.reason == "CommitFailed"
    assert "collision" in run.report["message"]


@pytest.mark.parametrize(("verify", "reason"), [("None", "CommitFailed"), ("Checksum", "ContentDiffers")])
def test_a_round_that_others_take_out_is_missed_whatever_is_verified(job: Job, verify: str, reason: str) -> None:
    with about_to_put_back(job, "--verify", verify) as process:
        job.pachd.api.clear_commit(commit=job.pachd.head(job.branch(STAGED)))
        run = end_of(job, process)
    assert run.reason == reason
    assert "in/016" in run.report["message"] or set(run.verdicts) == {"016", "017", "018", "019"}


def test_what_nobody_verifies_goes_in_rounds_as_well(job: Job) -> None:
    job.write(files(40))
    run = job.stage("minio", "--verify", "None")
    assert (run.reason, run.counts["copied"], job.staged()) == ("Copied", 40, files(40))


def test_a_commit_that_others_drop_between_two_rounds_fails_the_run(job: Job) -> None:
    with about_to_put_back(job) as process:
        job.pachd.api.drop_commit(commit=job.pachd.head(job.branch(STAGED)))
        run = end_of(job, process)
    assert run.reason == "CommitFailed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_ends_with_a_round_set_aside_leaves_nothing_in_the_way_of_the_next(job: Job, number: int) -> None:
    with about_to_put_back(job) as process:
        process.send_signal(number)
        process.communicate(timeout=30)
    assert len(left_open(job)) == (1 if number == signal.SIGKILL else 0)
    job.standin.clear_faults()
    assert (job.stage("minio").code, job.staged(), left_open(job)) == (0, TWO_ROUNDS, [])
