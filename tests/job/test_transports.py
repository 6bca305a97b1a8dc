"""Three clients, one result: the same tree, digest, report and errors, straight to the branch or staged."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from tests.job.conftest import CLIENTS, Ended, Job

TREE = {
    "in/Moby Dick/Chapter 1.txt": b"Call me Ishmael.",
    "in/empty": b"",
    "in/deep/er/~x,y;z='$&%#~.bin": bytes(range(256)),
    "in/a megabyte": bytes(range(250)) * 5_000,
    "in/larger than what is read whole": os.urandom(9 * 1024 * 1024),
}
SIZE = sum(map(len, TREE.values()))
DIGEST = hashlib.sha256(
    "".join(
        f"{hashlib.sha256(content).hexdigest()}  {len(content)}  {key}\n" for key, content in sorted(TREE.items())
    ).encode()
).hexdigest()
ALL = {"total": len(TREE), "copied": len(TREE), "verified": len(TREE), "failed": 0}
LEVELS = ("Full", "Checksum", "None")


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["direct", "staged"])
def run(request: pytest.FixtureRequest, client: str, job: Job) -> Any:
    """Runs one client, straight to the branch or to a staging branch, with more arguments."""
    if request.param == "staged":
        return lambda *arguments, **variables: job.stage(client, *arguments, **variables)

    def direct(*arguments: str, **variables: str) -> Ended:
        named = ("-i", "in", "--client", client, "--pachd-address", job.standin.pachd_address)
        return job.run(*named, *arguments, **variables)

    return direct


def landed(job: Job) -> dict[str, bytes]:
    """Return what a run wrote, wherever it did."""
    return job.staged() if len(job.branches()) > 1 else {key: job.stored(key) for key in job.listed()}


@pytest.mark.parametrize("level", LEVELS)
def test_every_client_gives_the_same_tree_digest_and_report(job: Job, run: Any, level: str) -> None:
    job.write(TREE)
    ended = run("--verify", level)
    proved = level != "None"
    expected = ("Verified", f"sha256:{DIGEST}", ALL) if proved else ("Copied", None, {**ALL, "verified": 0})
    assert (ended.report["result"], ended.report["digest"], ended.counts) == expected
    assert (ended.code, ended.report["verification"], ended.errors) == (0, level, "")
    assert ended.report["bytes"] == {"total": SIZE, "copied": SIZE, "verified": SIZE if proved else 0}
    assert landed(job) == TREE


@pytest.mark.parametrize(("level", "name"), [("Full", "Moby Dick/Chapter 1.txt"), ("Checksum", "a megabyte")])
def test_a_byte_that_the_store_has_wrong_is_found(job: Job, run: Any, level: str, name: str) -> None:
    job.write(TREE)
    write = {"operation": "PutObject|AddFile", "key": f"/?in/{name}"}
    job.standin.set_faults([{"action": "store-flip", "offset": 7, **write}])
    ended = run("--verify", level)
    assert (ended.code, ended.reason, ended.report["digest"]) == (1, "ContentDiffers", None)
    assert ended.verdicts == {name: "Differ"}
    assert ended.report["failures"][0]["detail"] == f"first difference at byte 7 of {len(TREE[f'in/{name}'])}"
    assert ended.counts == {**ALL, "verified": len(TREE) - 1, "failed": 1}


def test_what_was_written_is_printed_as_read_back(job: Job, run: Any) -> None:
    job.write({"in/a/1.txt": b"Call me Ishmael.", "in/none": b""})
    output = run("--print").output
    assert b"/in/a  as string: >>Call me Ishmael.<<\n" in output
    assert b"as string: >><<\n" in output


def test_a_file_that_changed_replaces_the_one_in_the_branch(job: Job, client: str) -> None:
    arguments = ("-i", "in", "--client", client, "--pachd-address", job.standin.pachd_address)
    for files in ({"in/a": b"one", "in/b": b"x"}, {"in/a": b"two", "in/b": b""}):
        job.write(files)
        assert job.run(*arguments).code == 0
        assert {key: job.stored(key) for key in job.listed()} == files


def test_a_missing_repo_is_told(job: Job, run: Any) -> None:
    job.write({"in/a": b"x"})
    ended = run("-b", "master.nowhere")
    assert (ended.code, ended.reason) == (162, "BucketNotFound")


@pytest.mark.parametrize("times", [1, None])
def test_what_the_server_fails_on_once_is_tried_again_and_what_it_always_fails_on_is_told(
    job: Job, client: str, times: int | None
) -> None:
    job.write({"in/a": b"x", "in/b": b"y"})
    rule = {"code": "UNAVAILABLE", "operation": "StartCommit"} if client == "pfs" else {"operation": "PutObject"}
    job.standin.set_faults([{"action": "status", "times": times, **rule}])
    ended = job.stage(client)
    if times:
        assert (ended.code, job.staged()) == (0, {"in/a": b"x", "in/b": b"y"})
        return
    assert (ended.code, ended.reason) == ((164, "PachdUnreachable") if client == "pfs" else (161, "ServerError"))
    assert (ended.counts["copied"], ended.counts["verified"]) == (0, 0)


def test_a_stream_that_is_cut_is_sent_again(job: Job) -> None:
    job.write({f"in/{number}": b"x" * 1000 for number in range(20)})
    job.standin.set_faults([{"action": "cut", "operation": "ModifyFile", "after_bytes": 5000, "times": 1}])
    ended = job.stage("pfs")
    assert (ended.code, ended.counts["copied"]) == (0, 20)
    assert job.staged() == {f"in/{number}": b"x" * 1000 for number in range(20)}


def test_a_commit_that_cannot_be_finished_is_told_and_dropped(job: Job, client: str) -> None:
    job.write({f"in/{number}": b"x" for number in range(3)})
    job.standin.set_faults([{"action": "status", "code": "UNKNOWN", "operation": "FinishCommit", "message": "no"}])
    ended = job.stage(client)
    assert (ended.code, ended.reason) == (165, "CommitFailed")
    assert ended.counts["copied"] == 0, "its commit was dropped"


def test_a_head_that_somebody_holds_open_fails_a_direct_stream(job: Job) -> None:
    job.write({"in/a": b"x"})
    job.pachd.start(job.branch())
    ended = job.run("-i", "in", "--client", "pfs", "--pachd-address", job.standin.pachd_address)
    assert (ended.code, ended.reason) == (165, "CommitFailed")


def test_a_large_file_is_one_put_and_one_get(job: Job, client: str) -> None:
    job.write({"in/large": os.urandom(1 << 20) * 60})
    job.standin.reset_requests()
    assert job.stage(client).code == 0
    by_operation = job.standin.requests()["by_operation"]
    if client == "pfs":
        assert (by_operation["ModifyFile"], by_operation["GetFileTAR"]) == (2, 1), "the other one is the manifest"
    else:
        assert by_operation["PutObject"] == by_operation["GetObject"] == 1


@pytest.mark.parametrize("beside", [1_000, 9_000_000])
def test_what_others_have_beside_the_files_is_not_streamed_where_asking_for_each_file_is_less(
    job: Job, beside: int
) -> None:
    job.commit({"in/beside": b"x" * beside})
    job.write({"in/one": b"1", "in/two": b"2"})
    job.standin.reset_requests()
    named = ("-i", "in", "--client", "pfs", "--pachd-address", job.standin.pachd_address)
    run = job.run(*named, "--include", "one", "--include", "two")
    asked = job.standin.requests()["by_operation"]
    assert (run.code, run.counts["verified"]) == (0, 2), run.report
    assert (asked.get("GetFile", 0), asked.get("GetFileTAR", 0)) == ((0, 1) if beside < 3_000_000 else (2, 0)), asked
