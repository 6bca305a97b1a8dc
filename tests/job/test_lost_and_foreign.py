"""Answers that are lost, writes by others, and ends at the wrong moment: nobody's head stays open, nothing slips in."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.job.conftest import MANIFEST, STAGING, Ended, Job, begun, ended
from tests.support.pachd import is_open

FILES = {"in/a": b"a", "in/b": b"b"}
LOST = {"action": "lose-answer", "times": 1}
STAGED = f"{STAGING}-w0"
PFS = ("--client", "pfs")


def direct(job: Job, *arguments: str, **environment: str) -> Ended:
    address = job.standin.pachd_address
    return job.run("-i", "in", "--client", "pfs", "--pachd-address", address, *arguments, **environment)


def is_held_open(job: Job, name: str = "master") -> bool:
    """Tell whether a branch's head is a commit that nobody has begun to finish."""
    return is_open(job.pachd.api.inspect_commit(commit=job.pachd.head(job.branch(name))))


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
    assert not is_held_open(job)
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
    with begun(job, "ModifyFile", *PFS) as process:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=15)
    assert ended(process.returncode, output, errors).reason == "Terminated"
    assert job.head() == head


def killed(job: Job, writer: str) -> str:
    """Kill a run outright that writes to the branch itself; return the commit that it leaves open."""
    job.standin.set_faults([{"action": "latency", "operation": "AddFile", "seconds": 20, "times": 1}])
    with begun(job, "ModifyFile", *PFS, S3SYNC_WRITER=writer) as process:
        process.kill()
        process.communicate(timeout=15)
    assert is_held_open(job)
    return job.head()


def test_what_a_run_that_was_killed_outright_left_open_is_removed_by_the_next_of_that_sync(job: Job) -> None:
    job.write(FILES)
    before = job.head()
    left = killed(job, "s3sync-one")
    job.standin.set_faults([])
    run = direct(job, S3SYNC_WRITER="s3sync-one")
    assert (run.code, is_held_open(job)) == (0, False)
    assert {key: job.stored(key) for key in job.listed()} == FILES
    (made,) = [info.commit.id for info in job.pachd.commits(job.branch().repo) if info.commit.id != before]
    assert made != left


@pytest.mark.parametrize("writer", ["s3sync-two", ""])
def test_what_somebody_else_has_open_is_left_to_them(job: Job, writer: str) -> None:
    job.write(FILES)
    left = killed(job, "s3sync-one")
    job.standin.set_faults([])
    assert direct(job, S3SYNC_WRITER=writer).reason == "CommitFailed"
    assert (job.head(), is_held_open(job)) == (left, True)


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
def test_what_others_write_into_the_commit_of_the_manifest_fails_the_run_and_is_not_taken_over_by_the_next(
    job: Job, stray: dict[str, bytes]
) -> None:
    job.write(FILES)
    job.standin.set_faults([{"action": "hold", "operation": "FinishCommit", "after": 1, "times": 1}])
    with begun(job, "FinishCommit", *PFS, *staging(job), calls=2) as process:
        job.pachd.write(job.pachd.head(job.branch(STAGED)), stray)
        job.standin.clear_faults()
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.code, run.reason) == (165, "CommitFailed")
    assert "staged" not in run.report
    again = job.stage("pfs")
    assert (again.code, job.staged()) == (0, FILES)
    assert "earlier attempt" not in again.report["message"]


def test_removing_a_staging_branch_that_was_made_of_another_branch_spares_that_one_s_commits(job: Job) -> None:
    job.commit({"in/precious": b"x"})
    head: Any = job.pachd.head(job.branch())
    job.pachd.api.create_branch(branch=job.branch(STAGED), head=head)
    job.write(FILES)
    assert job.stage("pfs").code == 0
    assert (job.head(), job.stored("in/precious"), job.staged()) == (head.id, b"x", FILES)


BROKEN_DISK = """
import builtins, errno, io, pathlib

class Broken(io.BytesIO):
    def read(self, size=-1):
        content = super().read(size)
        if not content:
            raise OSError(errno.EIO, "Input/output error")
        return content

def breaking(open_any):
    return lambda path, *a, **k: Broken(b"half") if str(path).endswith("/broken") else open_any(path, *a, **k)

pathlib.Path.open = breaking(pathlib.Path.open)
builtins.open = breaking(builtins.open)
"""


@pytest.mark.parametrize("client", ["file_io", "pfs"])
def test_a_file_that_cannot_be_read_to_its_end_does_not_arrive_cut_off(real_job: Job, client: str) -> None:
    real_job.commit({"in/broken": b"as it was"})
    real_job.write({"in/broken": b"halfway", "in/sound": b"sound", "site/sitecustomize.py": BROKEN_DISK.encode()})
    address = real_job.standin.pachd_address
    run = real_job.run(
        "-i", "in", "--client", client, "--pachd-address", address, PYTHONPATH=str(real_job.directory / "site")
    )
    assert (run.code != 0, list(run.verdicts), real_job.stored("in/broken")) == (True, ["broken"], b"as it was")


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


HELD_FINISH = {"action": "hold", "operation": "FinishCommit", "times": 1}


@pytest.mark.parametrize("change", [b"another", b"b"], ids=["of another size", "of the same size"])
@pytest.mark.parametrize("staged", [True, False], ids=["atomic", "direct"])
def test_an_input_that_changes_after_it_was_copied_may_do_better_at_a_retry(
    job: Job, change: bytes, staged: bool
) -> None:
    job.write(FILES)
    job.standin.set_faults([HELD_FINISH])
    with begun(job, "FinishCommit", *PFS, *(staging(job) if staged else ())) as process:
        job.write({"in/a": change})
        job.standin.clear_faults()
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.code, run.reason, run.verdicts) == (166, "InputChanged", {"a": "Differ"})


def test_an_input_that_goes_after_it_was_copied_may_do_better_at_a_retry(job: Job) -> None:
    job.write(FILES)
    job.standin.set_faults([HELD_FINISH])
    with begun(job, "FinishCommit", *PFS, *staging(job)) as process:
        (job.directory / "in/a").unlink()
        job.standin.clear_faults()
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.code, run.reason) == (166, "InputChanged")
    assert "'a': it is gone" in run.report["message"]


def test_a_difference_that_no_change_of_the_input_explains_is_no_change_of_it(job: Job) -> None:
    job.write(FILES)
    job.commit({"in/strange": b"x"})
    job.standin.set_faults([HELD_FINISH])
    with begun(job, "FinishCommit", *PFS) as process:
        job.write({"in/a": b"another"})
        job.standin.clear_faults()
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.reason, run.verdicts) == ("ContentDiffers", {"a": "Differ", "strange": "MissingHere"})


def test_workers_take_turns_at_the_one_open_commit_that_a_branch_has(job: Job) -> None:
    files = {f"in/{number:02}": b"x" * number for number in range(40)}
    job.write(files)
    workers = [
        job.start("-i", "in", "--client", "pfs", PACHD_ADDRESS=job.standin.pachd_address, TF_CONFIG=place(index, 4))
        for index in range(4)
    ]
    outputs = [(*worker.communicate(timeout=90), worker.returncode) for worker in workers]
    runs = [ended(code, output, errors) for output, errors, code in outputs]
    assert [run.reason for run in runs] == ["Verified"] * 4
    assert sum(run.counts["verified"] for run in runs) == 40
    assert {key: job.stored(key) for key in job.listed()} == files


def place(index: int, count: int) -> str:
    workers = ",".join(['"w:1"'] * count)
    return f'{{"cluster":{{"worker":[{workers}]}},"task":{{"type":"worker","index":{index}}}}}'


def test_a_run_that_dies_while_it_removes_a_staging_branch_leaves_no_commit_without_a_branch(job: Job) -> None:
    job.write(FILES)
    job.stage("pfs")
    job.write({"in/a": b"A"})
    job.standin.set_faults([{"action": "latency", "operation": "DeleteBranch", "seconds": 20}])
    with begun(job, "DeleteBranch", *PFS, *staging(job)) as process:
        process.kill()
        process.communicate(timeout=15)
    job.standin.clear_faults()
    assert not any(info.description for info in job.pachd.commits(job.branch().repo))
    assert job.stage("pfs").code == 0
    assert job.staged() == FILES | {"in/a": b"A"}
