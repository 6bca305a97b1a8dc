"""A batch of PUTs goes in rounds: what the open commit holds is set aside after each, and put back before it closes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from tests.job.conftest import STAGING, Job, ended, staging
from tests.support.pachd import is_open

S3_CLIENTS = ("file_io", "minio")
TWO_ROUNDS = {f"in/{number:03}": f"content {number}".encode() for number in range(20)}
LOST = {"action": "lose-answer", "times": 1}


def files(count: int) -> dict[str, bytes]:
    return {f"in/{number:03}": f"content {number}".encode() for number in range(count)}


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
    assert calls(job)["StartCommit"] == 3 + 2, "one to see what pachd can, and one for the manifest"


@pytest.fixture
def older(job: Job, tmp_path: Path, bucket_names: Callable[[], str]) -> Iterator[Job]:
    """A Pachyderm that takes all that lies below a commit out of it as well."""
    with StandinProcess(release="2.8") as standin:
        older = Job(standin, bucket_names(), tmp_path)
        older.s3.create_bucket(Bucket=older.bucket)
        yield older


def test_on_a_pachyderm_before_2_9_later_batches_are_smaller_and_go_at_once(older: Job) -> None:
    older.write(files(110))
    older.standin.reset_requests()
    run = older.stage("minio", "--batch-files", "60")
    assert (run.code, run.counts["verified"], older.staged()) == (0, 110, files(110))
    assert [calls(older)[name] for name in ("ClearCommit", "AddFileSet")] == [3, 1], "those of the first batch"
    assert calls(older)["StartCommit"] == 1 + 2 + 2, "the other 50 as 40 and 10"


@pytest.mark.parametrize("operation", ["GetFileSet", "ComposeFileSet", "ClearCommit", "AddFileSet"])
def test_an_answer_that_is_lost_on_its_way_loses_no_round(job: Job, operation: str) -> None:
    job.write(TWO_ROUNDS)
    job.standin.set_faults([{**LOST, "operation": operation}])
    run = job.stage("minio")
    assert (run.code, run.counts["verified"], job.staged()) == (0, 20, TWO_ROUNDS)


@pytest.mark.parametrize("operation", ["GetFileSet", "ComposeFileSet", "ClearCommit", "AddFileSet"])
def test_a_batch_is_sent_again_from_its_first_round_where_pachd_was_away(job: Job, operation: str) -> None:
    job.write(TWO_ROUNDS)
    away = {"action": "status", "code": "UNAVAILABLE", "message": "away", "times": 3}
    job.standin.set_faults([{**away, "operation": operation}])
    job.standin.reset_requests()
    run = job.stage("minio")
    assert (run.code, run.counts["copied"], job.staged()) == (0, 20, TWO_ROUNDS)
    assert calls(job)["StartCommit"] == 3


@pytest.mark.parametrize(("operation", "words"), [("ClearCommit", "emptied"), ("AddFileSet", "added to")])
def test_a_commit_that_takes_nothing_back_fails_the_run_and_is_dropped(job: Job, operation: str, words: str) -> None:
    job.write(TWO_ROUNDS)
    job.standin.set_faults([{"action": "status", "code": "UNKNOWN", "message": "gone", "operation": operation}])
    run = job.stage("minio")
    assert run.reason == "CommitFailed"
    assert f"cannot be {words}: " in run.report["message"]
    assert "gone" in run.report["message"]
    assert left_open(job) == []


def test_a_file_that_arrives_damaged_in_an_early_round_is_found(job: Job) -> None:
    job.write(files(40))
    job.standin.set_faults([{"action": "store-flip", "operation": "PutObject", "key": "in/003", "offset": 0}])
    run = job.stage("minio")
    assert (run.reason, set(run.verdicts)) == ("ContentDiffers", {"003"})


def test_a_file_below_a_file_is_found_though_they_came_in_different_rounds(job: Job) -> None:
    job.write(files(40))
    staged = job.branch(f"{STAGING}-w0")
    job.standin.set_faults([{"action": "latency", "operation": "AddFileSet", "seconds": 2, "times": 1}])
    with staging(job, "minio", "AddFileSet") as process:
        job.pachd.write(job.pachd.head(staged), {"/in/003/below": b"x"})
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert run.reason == "CommitFailed"
    assert "collision" in run.report["message"]
