"""What ends verified, and what the bucket then holds."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from tests.job.conftest import REPOSITORY, Job

BOOKS = {
    path.relative_to(REPOSITORY).as_posix(): path.read_bytes() for path in sorted(REPOSITORY.glob("testdata/*/*.txt"))
}


def test_the_two_books_arrive_under_the_input_path(job: Job) -> None:
    job.write(BOOKS)
    run = job.run("-i", "testdata")
    assert (run.code, run.reason, run.report["result"]) == (0, "Verified", "Verified")
    assert {key: job.stored(key) for key in job.listed()} == BOOKS
    size = sum(map(len, BOOKS.values()))
    assert run.report["files"] == {"total": 2, "copied": 2, "verified": 2, "failed": 0}
    assert run.report["bytes"] == {"total": size, "copied": size, "verified": size}
    assert run.errors == ""


def test_the_digest_is_that_of_the_manifest(job: Job) -> None:
    job.write(BOOKS)
    manifest = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {len(content)}  {key}\n" for key, content in sorted(BOOKS.items())
    )
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    assert job.run("-i", "testdata").report["digest"] == f"sha256:{digest}"


def test_the_report_tells_how_long_each_step_took(real_job: Job) -> None:
    real_job.write(BOOKS)
    report = real_job.run("-i", "testdata").report
    steps = report["stepSeconds"]
    assert list(steps) == ["start", "plan", "probe", "load", "copy", "list", "verify"]
    assert 0 < sum(steps.values()) - steps["start"] <= report["durationSeconds"] + 0.01


def test_a_second_run_over_the_first_is_verified_as_well(job: Job) -> None:
    job.write(BOOKS)
    assert job.run("-i", "./testdata/").report["digest"] == job.run("-i", "testdata").report["digest"]


def test_print_shows_the_contents_as_the_seed_does_whatever_bytes_they_are(job: Job) -> None:
    job.write({"in/Moby Dick/1.txt": b"Call me Ishmael.", "in/binary": bytes(range(256)), "in/none": b""})
    output = job.run("-i", "in", "--print").output
    url = f"s3://{job.bucket}/in".encode()
    assert b"walking in\n" in output
    assert b"copying in/Moby Dick/1.txt to " + url + b"/Moby Dick/1.txt\n" in output
    assert b"printing 1.txt in " + url + b"/Moby Dick  as string: >>Call me Ishmael.<<\n" in output
    assert b"printing binary in " + url + b"  as string: >>" + bytes(range(256)) + b"<<\n" in output
    assert b"printing none in " + url + b"  as string: >><<\n" in output


def test_spaces_nested_directories_and_empty_files_are_fine_and_empty_directories_left_out(job: Job) -> None:
    files = {"in/a b/c  d/e f.txt": b"1", "in/a b/.hidden": b"2", "in/empty": b"", "in/~x,y;z='$&%#~.txt": b"3"}
    job.write(files)
    (job.directory / "in/nothing/here").mkdir(parents=True)
    assert job.run("-i", "in").code == 0
    assert {key: job.stored(key) for key in job.listed()} == files


def test_symbolic_links_are_copied_as_what_they_lead_to(job: Job) -> None:
    job.write({"elsewhere/deep/file": b"x", "in/real": b"y"})
    (job.directory / "in/link").symlink_to("real")
    (job.directory / "in/folder").symlink_to(job.directory / "elsewhere")
    assert job.run("-i", "in").code == 0
    assert {key: job.stored(key) for key in job.listed()} == {
        "in/real": b"y",
        "in/link": b"y",
        "in/folder/deep/file": b"x",
    }


def test_an_absolute_path_loses_its_leading_slash(job: Job) -> None:
    job.write({"in/file": b"x"})
    assert job.run("-i", f"{job.directory}/in/").code == 0
    assert job.listed() == [f"{job.directory}/in/file".removeprefix("/")]


def test_a_dot_fills_the_top_level_of_a_bucket_given_as_url(job: Job) -> None:
    job.write({"file": b"x", "folder/file": b"y"})
    run = job.run("-b", f"s3://{job.bucket}/", "-i", ".")
    assert run.code == 0
    assert job.listed() == ["file", "folder/file"]


def test_more_files_than_a_listing_has_room_for_are_all_verified(job: Job) -> None:
    job.write({f"in/{number // 400}/{number:04}": f"{number}".encode() for number in range(1_200)})
    run = job.run("-i", "in", "--threads", "8")
    assert run.code == 0
    assert run.report["files"]["verified"] == len(job.listed()) == 1_200


def test_a_large_file_goes_in_one_put(job: Job) -> None:
    content = os.urandom(1 << 20) * 60
    job.write({"in/large": content})
    job.standin.reset_requests()
    run = job.run("-i", "in")
    assert (run.code, run.report["bytes"]["verified"]) == (0, len(content))
    assert job.standin.requests()["by_method"]["PUT"] == 1
    assert job.stored("in/large") == content


def test_each_worker_takes_its_share_and_together_they_verify_everything(job: Job) -> None:
    job.write({f"in/{number}": b"x" for number in range(5)})
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    first = job.run("-i", "in", TF_CONFIG=json.dumps(config))
    config["task"] = {"type": "worker", "index": 1}
    second = job.run("-i", "in", TF_CONFIG=json.dumps(config))
    assert [run.report["files"]["verified"] for run in (first, second)] == [3, 2]
    assert second.report["worker"] == {"index": 1, "count": 2}
    assert job.listed() == [f"in/{number}" for number in range(5)]


def test_the_report_is_the_termination_message_as_well(job: Job, tmp_path: Path) -> None:
    job.write({"in/file": b"x"})
    run = job.run("-i", "in", S3SYNC_TERMINATION_LOG=str(tmp_path / "message"))
    assert json.loads((tmp_path / "message").read_text()) == run.report


def test_an_allowed_empty_input_is_verified_if_the_bucket_is_empty_too(job: Job) -> None:
    (job.directory / "in").mkdir()
    assert job.run("-i", "in", "--allow-empty").reason == "Verified"
    job.s3.put_object(Bucket=job.bucket, Key="in/left", Body=b"x")
    assert job.run("-i", "in", "--allow-empty").verdicts == {"left": "MissingHere"}
