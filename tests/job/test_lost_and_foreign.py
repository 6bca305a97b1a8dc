"""Answers that are lost, writes by others, and ends at the wrong moment: nobody's head stays open, nothing slips in."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.job.conftest import MANIFEST, STAGING, Ended, Job, ended

FILES = {"in/a": b"a", "in/b": b"b"}
LOST = {"action": "lose-answer", "times": 1}
STAGED = f"{STAGING}-w0"


def direct(job: Job, *arguments: str) -> Ended:
    return job.run("-i", "in", "--client", "pfs", "--pachd-address", job.standin.pachd_address, *arguments)


def is_open(job: Job, name: str = "master") -> bool:
    """Tell whether a branch's head is a commit that nobody has begun to finish."""
    info = job.pachd.api.inspect_commit(commit=job.pachd.head(job.branch(name)))
    return bool(info.finishing.year == 1970)


@contextmanager
def begun(job: Job, operation: str, *arguments: str, calls: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run, wait until it has made so many calls of the operation, and see it end."""
    job.standin.reset_requests()
    with job.start("-i", "in", "--client", "pfs", *arguments, PACHD_ADDRESS=job.standin.pachd_address) as process:
        deadline = time.monotonic() + 30
        while job.standin.requests()["by_operation"].get(operation, 0) < calls:
            assert time.monotonic() < deadline, f"the run does not come to its {operation}"
            time.sleep(0.05)
        yield process


def staging(job: Job) -> tuple[str, ...]:
    return ("--staging-branch", STAGING, "--base-commit", job.head())


@pytest.mark.parametrize("operation", ["StartCommit", "FinishCommit", "InspectCommit", "DeleteBranch", "DropCommit"])
def test_an_answer_that_is_lost_on_its_way_costs_a_staged_run_nothing(job: Job, operation: str) -> None:
    job.write({"in/a": b"before"})
    job.stage("pfs")
    job.write(FILES)
    job.standin.set_faults([{**LOST, "operation": operation}])
    run = job.stage("pfs")
    assert (run.code, run.counts["verified"], job.staged()) == (0, 2, FILES)


@pytest.mark.parametrize("operation", ["StartCommit", "FinishCommit"])
def test_an_answer_that_is_lost_on_its_way_leaves_no_head_of_the_target_open(job: Job, operation: str) -> None:
    job.write(FILES)
    job.standin.set_faults([{**LOST, "operation": operation}])
    assert direct(job).code == 0
    assert not is_open(job)
    assert {key: job.stored(key) for key in job.listed()} == FILES


def test_a_commit_of_the_target_that_cannot_be_finished_is_removed(job: Job) -> None:
    job.write(FILES)
    head = job.head()
    job.standin.set_faults([{"action": "status", "code": "UNKNOWN", "operation": "FinishCommit", "message": "no"}])
    assert direct(job).reason == "CommitFailed"
    assert job.head() == head


def test_a_run_that_is_ended_by_a_signal_leaves_no_head_of_the_target_open(job: Job) -> None:
    job.write(FILES)
    head = job.head()
    job.standin.set_faults([{"action": "latency", "operation": "AddFile", "seconds": 20}])
    with begun(job, "ModifyFile") as process:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=15)
    assert ended(process.returncode, output, errors).reason == "Terminated"
    assert job.head() == head


@pytest.mark.parametrize("stray", [{"/in/stray": b"x"}, {"/in/a": b"A"}])
def test_what_others_wrote_to_the_staging_branch_after_its_manifest_is_not_taken_over(
    job: Job, stray: dict[str, bytes]
) -> None:
    job.write(FILES)
    job.stage("pfs")
    job.pachd.commit(job.branch(STAGED), stray)
    run = job.stage("pfs")
    assert (run.code, job.staged()) == (0, FILES)
    assert "earlier attempt" not in run.report["message"]


@pytest.mark.parametrize("stray", [{"/in/stray": b"x"}, {"/in/a": b"A"}])
def test_what_others_write_into_the_commit_of_the_manifest_fails_the_run(job: Job, stray: dict[str, bytes]) -> None:
    job.write(FILES)
    job.standin.set_faults([{"action": "latency", "operation": "FinishCommit", "seconds": 3, "after": 1, "times": 1}])
    with begun(job, "FinishCommit", *staging(job), calls=2) as process:
        job.pachd.write(job.pachd.head(job.branch(STAGED)), stray)
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.code, run.reason) == (165, "CommitFailed")
    assert "staged" not in run.report


def test_removing_a_staging_branch_that_was_made_of_another_branch_spares_that_one_s_commits(job: Job) -> None:
    job.commit({"in/precious": b"x"})
    head: Any = job.pachd.head(job.branch())
    job.pachd.api.create_branch(branch=job.branch(STAGED), head=head)
    job.write(FILES)
    assert job.stage("pfs").code == 0
    assert (job.head(), job.stored("in/precious"), job.staged()) == (head.id, b"x", FILES)


def test_manifests_of_workers_that_saw_the_same_input_tell_the_same_plan(job: Job) -> None:
    job.write(FILES)
    plans = []
    for index in range(2):
        config = f'{{"cluster":{{"worker":["w:1","w:1"]}},"task":{{"type":"worker","index":{index}}}}}'
        job.stage("pfs", TF_CONFIG=config)
        plans.append(job.manifest(index)["plan"])
        if index == 1:
            job.write({"in/c": b"c"})
            job.stage("pfs", TF_CONFIG=config)
            plans.append(job.manifest(index)["plan"])
    assert plans[0] == plans[1] != plans[2]
    assert MANIFEST not in job.staged()
