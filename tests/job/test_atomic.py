"""What a worker stages for the operator to publish: what differs, a manifest, and nothing on the target branch."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.job.conftest import CLIENTS, MANIFEST, STAGING, Job, ended, staging
from tests.support.pachd import is_open

BEFORE = {"in/same": b"same", "in/changed": b"before", "in/gone": b"gone", "elsewhere": b"x"}
NOW = {"in/same": b"same", "in/changed": b"now", "in/new": b"new"}


@pytest.mark.parametrize("client", CLIENTS)
def test_only_what_differs_from_the_base_is_staged_and_the_target_is_left_alone(job: Job, client: str) -> None:
    job.commit(BEFORE)
    job.write(NOW)
    base = job.head()
    run = job.stage(client)
    assert (run.code, run.reason) == (0, "Verified")
    assert run.counts == {"total": 3, "copied": 2, "verified": 2, "failed": 0, "unchanged": 1, "extra": 1}
    assert run.report["bytes"] == {"total": 10, "copied": 6, "verified": 6, "unchanged": 4}
    assert job.staged() == {"in/changed": b"now", "in/new": b"new"}
    assert job.head() == base
    staged = {"branch": f"{STAGING}-w0", "commit": job.head(f"{STAGING}-w0"), "base": base}
    assert run.report["staged"] == staged | {"plan": job.manifest()["plan"]}


def test_the_manifest_tells_the_operator_all_that_it_needs(job: Job) -> None:
    job.commit(BEFORE)
    job.write(NOW)
    job.stage("pfs", "--prune", "--verify", "Checksum")
    manifest = job.manifest()
    assert all(manifest.pop(name).startswith("sha256:") for name in ("plan", "tree"))
    assert [[key, size, state] for key, size, _, state in manifest.pop("files")] == [
        ["in/changed", 3, "staged"],
        ["in/new", 3, "staged"],
        ["in/same", 4, "unchanged"],
    ]
    assert manifest == {
        "s3syncManifest": 1,
        "base": job.head(),
        "worker": {"index": 0, "count": 1},
        "destination": "/in",
        "verification": "Checksum",
        "delete": ["in/gone"],
        "complete": True,
    }


def test_large_files_are_found_unchanged_as_well(job: Job) -> None:
    content = {"in/large": os.urandom(12_000_000)}
    job.commit(content)
    job.write(content)
    run = job.stage("pfs")
    assert run.counts == {"total": 1, "copied": 0, "verified": 0, "failed": 0, "unchanged": 1}
    assert (run.reason, job.staged()) == ("Verified", {})


def test_the_digest_is_that_of_the_whole_share_whatever_was_unchanged(job: Job) -> None:
    job.write(NOW)
    whole = job.stage("pfs").report["digest"]
    job.commit({"in/same": b"same"})
    assert job.stage("pfs").report["digest"] == whole


def test_a_branch_without_a_commit_of_its_own_is_built_upon_nothing(job: Job) -> None:
    job.write(NOW)
    run = job.stage("pfs", base="")
    assert (run.code, run.report["staged"]["base"], job.staged()) == (0, None, NOW)


@pytest.mark.parametrize("client", ["minio", "pfs"])
def test_files_go_in_batches_a_commit_each(job: Job, client: str) -> None:
    job.write({f"in/{number}": b"x" for number in range(7)})
    job.standin.reset_requests()
    job.stage(client, "--batch-files", "3")
    started = job.standin.requests()["by_operation"]["StartCommit"]
    assert started == (2 if client == "pfs" else 4), "and one for the manifest"


def test_an_attempt_after_one_that_ended_well_reports_what_that_staged(job: Job) -> None:
    job.commit(BEFORE)
    job.write(NOW)
    first = job.stage("pfs", "--prune")
    job.standin.reset_requests()
    second = job.stage("minio", "--prune")
    assert "StartCommit" not in job.standin.requests()["by_operation"]
    for name in ("result", "files", "bytes", "digest", "staged"):
        assert second.report[name] == first.report[name]
    assert "earlier attempt" in second.report["message"]


@pytest.mark.parametrize("change", ["content", "size", "base", "unverified", "damaged"])
def test_what_an_earlier_attempt_staged_of_another_state_is_staged_anew(job: Job, change: str) -> None:
    job.write(NOW)
    job.stage("pfs", "--verify", "None" if change == "unverified" else "Full")
    earlier = job.head(f"{STAGING}-w0")
    if change in ("content", "size"):
        job.write({"in/new": b"neW" if change == "content" else b"newer"})
    if change == "base":
        job.commit({"elsewhere": b"x"})
    if change == "damaged":
        job.pachd.commit(job.branch(f"{STAGING}-w0"), {MANIFEST: b"{"})
    run = job.stage("pfs")
    assert (run.code, run.counts["verified"]) == (0, 3)
    assert job.head(f"{STAGING}-w0") != earlier
    assert job.staged() == {**NOW, "in/new": (job.directory / "in/new").read_bytes()}


@pytest.mark.parametrize("head", ["open", "finished"])
def test_what_a_killed_attempt_left_is_removed_first(job: Job, head: str) -> None:
    job.write(NOW)
    left = job.pachd.start(job.branch(f"{STAGING}-w0"), f"s3sync-job on {STAGING}-w0: stages 1 files [0123abcd]")
    job.pachd.write(left, {"/in/left": b"x"})
    if head == "finished":
        job.pachd.finish(left)
    assert job.stage("pfs").code == 0
    assert job.staged() == NOW
    assert left.id not in {info.commit.id for info in job.pachd.commits(job.branch().repo)}


def test_what_a_killed_attempts_writers_put_after_their_commit_was_dropped_is_removed_first(job: Job) -> None:
    staged = job.branch(f"{STAGING}-w0")
    job.write(NOW)
    job.pachd.commit(staged, {"/in/left": b"x"})
    late = job.pachd.commit(staged, {"/in/late": b"x"})
    assert job.stage("pfs").code == 0
    assert job.staged() == NOW
    assert late.id not in {info.commit.id for info in job.pachd.commits(job.branch().repo)}


@pytest.mark.parametrize("drops", ["lost", "late"])
@pytest.mark.parametrize("client", ["file_io", "minio"])
def test_a_signal_in_the_midst_of_copying_leaves_no_put_behind_the_commit_that_it_drops(
    job: Job, client: str, drops: str
) -> None:
    job.write({f"in/{index}": b"x" for index in range(400)})
    # Between the first try and the second, others have time to write.
    slow = [
        {"action": "latency", "operation": "PutObject", "key": f".*{keys}", "seconds": seconds}
        for keys, seconds in (("[0-4]", 0.05), ("[5-9]", 0.5))
    ]
    drop = {"operation": "DropCommit", "times": 1}
    lost, late = {"action": "lose-answer", **drop}, {"action": "latency", "seconds": 1, **drop}
    job.standin.set_faults([*slow, lost if drops == "lost" else late])
    before = {info.commit.id for info in job.pachd.commits(job.branch().repo)}
    with staging(job, client, "PutObject", calls=20) as process:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert ended(process.returncode, output, errors).reason == "Terminated"
    left = [info for info in job.pachd.commits(job.branch().repo) if info.commit.id not in before]
    assert not [info for info in left if info.parent_commit.id and not info.description.startswith("s3sync-job on ")]
    assert [info.description for info in left if is_open(info)] == []


def test_pruning_names_what_is_to_go_and_lets_a_directory_take_its_place(job: Job) -> None:
    job.commit({"in/a": b"a file", "in/b/c": b"below a directory", "in/keep": b"x"})
    job.write({"in/a/x": b"now a directory", "in/b": b"now a file", "in/keep": b"x"})
    assert job.stage("pfs").reason == "InvalidKey"
    run = job.stage("pfs", "--prune")
    assert (run.code, run.counts["deleted"], run.counts["extra"]) == (0, 2, 2)
    assert job.manifest()["delete"] == ["in/a", "in/b/c"]
    assert job.staged() == {"in/a/x": b"now a directory", "in/b": b"now a file"}


def test_a_dry_run_tells_what_pruning_would_delete_and_deletes_nothing(job: Job) -> None:
    job.commit({f"in/{number:03}": b"x" for number in range(100)})
    job.write({"in/000": b"x"})
    run = job.stage("pfs", "--prune-dry-run", "--max-delete-percent", "10")
    assert run.code == 0
    assert run.report["dryRun"] == {"delete": [f"in/{number:03}" for number in range(1, 11)], "deleteOmitted": 89}
    assert (run.counts["extra"], run.counts.get("deleted", 0), job.manifest()["delete"]) == (99, 0, [])


def test_pruning_more_than_allowed_copies_nothing(job: Job) -> None:
    job.commit({f"in/{number}": b"x" for number in range(10)})
    job.write({"in/new": b"x"})
    run = job.stage("pfs", "--prune", "--max-delete-percent", "99")
    assert (run.code, run.reason) == (9, "PruneLimitExceeded")
    assert job.branches() == {"master"}


def test_four_workers_stage_everything_once_and_the_first_alone_prunes_and_skips(job: Job) -> None:
    job.commit({"in/gone": b"x"})
    files = {f"in/{number}": b"x" * (number * 1000) for number in range(11)}
    job.write({**files, "in/b*d": b"x"})
    runs = []
    for index in range(4):
        config = {"cluster": {"worker": ["w:1"] * 4}, "task": {"type": "worker", "index": index}}
        flags = ("--prune", "--on-invalid-path", "Skip")
        runs.append(job.stage("pfs", *flags, TF_CONFIG=json.dumps(config)))
    assert [run.code for run in runs] == [0] * 4
    staged = [job.staged(index) for index in range(4)]
    assert {key: content for part in staged for key, content in part.items()} == files
    assert sum(map(len, staged)) == sum(run.counts["verified"] for run in runs) == len(files)
    assert [run.counts.get("deleted", 0) for run in runs] == [1, 0, 0, 0]
    assert [len(job.manifest(index)["delete"]) for index in range(4)] == [1, 0, 0, 0]
    assert [run.counts.get("skipped", 0) for run in runs] == [1, 0, 0, 0]


def test_a_worker_without_a_share_leaves_a_manifest_too(job: Job) -> None:
    job.write({"in/only": b"x"})
    config = {"cluster": {"worker": ["w:1"] * 2}, "task": {"type": "worker", "index": 1}}
    run = job.stage("file_io", TF_CONFIG=json.dumps(config))
    assert (run.code, run.reason, run.counts["total"]) == (0, "Verified", 0)
    assert (job.staged(1), job.manifest(1)["files"]) == ({}, [])


@pytest.mark.parametrize(("path", "prefix"), [("/", ""), ("/deep/er", "deep/er/"), ("other", "other/")])
def test_the_destination_may_be_another_directory_or_the_top_level(job: Job, path: str, prefix: str) -> None:
    job.commit({"kept": b"x"})
    job.write(NOW)
    run = job.stage("pfs", "--destination-path", path)
    assert run.code == 0
    assert job.staged() == {prefix + key.removeprefix("in/"): content for key, content in NOW.items()}
    assert job.manifest()["destination"] == f"/{prefix.removesuffix('/')}"


def test_only_what_the_globs_choose_is_synced_and_the_rest_is_not_pruned(job: Job) -> None:
    job.commit({"in/old.txt": b"x", "in/old.csv": b"x", "in/cache/old.txt": b"x"})
    job.write({"in/a.txt": b"x", "in/a.csv": b"x", "in/cache/b.txt": b"x"})
    run = job.stage("pfs", "--prune", "--include", "*.txt", "--include", "*.md", "--exclude", "cache/")
    assert (run.code, job.staged(), job.manifest()["delete"]) == (0, {"in/a.txt": b"x"}, ["in/old.txt"])


def test_what_cannot_be_synced_is_skipped_on_demand_named_and_never_pruned(job: Job) -> None:
    job.commit({"in/pipe": b"from when it was a file"})
    job.write({"in/good": b"x", "in/b[a]d": b"x", "in/ü": b"x"})
    (job.directory / "in/dangling").symlink_to("nothing")
    os.mkfifo(job.directory / "in/pipe")
    run = job.stage("pfs", "--prune", "--on-invalid-path", "Skip")
    assert (run.code, run.counts["skipped"], run.counts["total"]) == (0, 4, 1)
    assert {skipped["path"] for skipped in run.report["skipped"]} == {"b[a]d", "ü", "dangling", "pipe"}
    assert job.manifest()["delete"] == []


def test_a_file_that_appears_in_the_staged_tree_is_found(job: Job) -> None:
    """Somebody else writes to the staging branch while it is filled."""
    job.write({f"in/{number}": b"x" for number in range(3)})
    job.standin.set_faults([{"action": "hold", "operation": "FinishCommit", "times": 1}])
    with staging(job) as process:
        job.pachd.write(job.pachd.head(job.branch(f"{STAGING}-w0")), {"/in/strange": b"x"})
        job.standin.clear_faults()
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.reason, run.verdicts) == ("ContentDiffers", {"strange": "MissingHere"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_attempt_that_is_killed_midway_leaves_nothing_in_the_way_of_the_next(job: Job, number: int) -> None:
    job.write({f"in/{index}": b"x" for index in range(30)})
    job.standin.set_faults([{"action": "hold", "operation": "FinishCommit"}])
    with staging(job) as process:
        process.send_signal(number)
    job.standin.clear_faults()
    assert job.stage("pfs").code == 0
    assert len(job.staged()) == 30
