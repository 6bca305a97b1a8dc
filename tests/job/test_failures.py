"""What must not end verified: each cause with its own reason, exit code and message."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from pachyderm_standin.process import StandinProcess
from tests.job.conftest import CLIENTS, Job, ended
from tests.support.job_server import JobServer

TEN_FILES = {f"in/file {number}": b"some content %d" % number for number in range(10)}


def test_wrong_credentials_are_told_from_a_missing_bucket_and_never_printed(job: Job) -> None:
    job.write(TEN_FILES)
    run = job.run("-i", "in", AWS_ACCESS_KEY_ID="one-secret-token", AWS_SECRET_ACCESS_KEY="another-secret-token")
    assert (run.code, run.reason) == (7, "AccessDenied")
    assert "AWS_ACCESS_KEY_ID" in run.report["message"]
    assert b"secret-token" not in run.output
    assert "secret-token" not in run.errors


def test_an_endpoint_where_nobody_listens_is_unreachable(job: Job) -> None:
    job.write(TEN_FILES)
    with socket.create_server(("127.0.0.1", 0)) as server:
        unused = f"127.0.0.1:{server.getsockname()[1]}"
    run = job.run("-i", "in", S3_ENDPOINT=unused)
    assert (run.code, run.reason) == (160, "EndpointUnreachable")
    assert unused in run.report["message"]


def test_an_endpoint_that_accepts_and_says_nothing_is_unreachable(job: Job) -> None:
    job.write(TEN_FILES)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        run = job.run("-i", "in", S3_ENDPOINT=endpoint, S3_REQUEST_TIMEOUT_MSEC="1000")
    assert (run.code, run.reason) == (160, "EndpointUnreachable")


def test_tls_towards_an_endpoint_without_names_the_variable(job: Job) -> None:
    job.write(TEN_FILES)
    run = job.run("-i", "in", S3_USE_HTTPS="1")
    assert (run.code, run.reason) == (2, "InvalidArguments")
    assert run.report["message"].startswith("S3_USE_HTTPS")


def test_a_missing_bucket_may_be_mended_by_a_retry(job: Job) -> None:
    job.write(TEN_FILES)
    run = job.run("-b", "master.nowhere", "-i", "in")
    assert (run.code, run.reason) == (162, "BucketNotFound")


@pytest.mark.parametrize("client", ["minio", "pfs"])
def test_a_file_that_opens_but_cannot_be_read_is_unreadable_and_no_bug(job: Job, client: str) -> None:
    job.write(TEN_FILES)
    (job.directory / "in/broken").symlink_to("/proc/self/mem")
    run = job.stage(client)
    assert (run.code, run.reason, set(run.verdicts)) == (5, "InputUnreadable", {"broken"})


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_that_is_cut_short_while_it_is_sent_ends_in_a_report_and_not_verified(job: Job, client: str) -> None:
    job.write({"in/large": bytes(60 * 1024 * 1024)})
    job.standin.reset_requests()
    with job.start("-i", "in", "--client", client, PACHD_ADDRESS=job.standin.pachd_address) as process:
        job.standin.wait_for_requests("PutObject", "ModifyFile")
        os.truncate(job.directory / "in/large", 1000)
        output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.code != 0, run.report["digest"], run.counts["verified"]) == (True, None, 0)


def test_a_file_in_place_of_the_destination_is_found_before_anything_is_copied(job: Job) -> None:
    job.write({"a/in/file": b"x"})
    job.s3.put_object(Bucket=job.bucket, Key="a", Body=b"in the way")
    run = job.run("-i", "a/in")
    assert (run.code, run.reason) == (6, "InvalidKey")
    assert job.listed() == ["a"]


@pytest.mark.parametrize(("here", "there"), [("in/name/file", "in/name"), ("in/name", "in/name/file")])
def test_a_file_on_one_side_and_a_directory_on_the_other_is_found_before_anything_is_copied(
    job: Job, here: str, there: str
) -> None:
    job.write({here: b"x"})
    job.s3.put_object(Bucket=job.bucket, Key=there, Body=b"in the way")
    run = job.run("-i", "in")
    assert (run.code, run.reason) == (6, "InvalidKey")
    assert list(run.verdicts) == [here.removeprefix("in/")]
    assert job.listed() == [there]


def test_a_bucket_that_vanishes_midway_is_missing(job: Job) -> None:
    job.write(TEN_FILES)
    job.standin.set_faults([{"action": "drop-bucket", "bucket": job.bucket, "method": "PUT", "after": 3, "times": 1}])
    run = job.run("-i", "in")
    assert (run.code, run.reason) == (162, "BucketNotFound")
    assert run.report["files"]["verified"] == 0
    assert run.report["failures"]


def test_a_gateway_that_dies_midway_is_unreachable(job_server: JobServer, tmp_path: Path) -> None:
    with StandinProcess() as standin:
        job = Job(job_server.program, standin, "master.testrepo", tmp_path)
        job.s3.create_bucket(Bucket=job.bucket)
        job.write(TEN_FILES)
        standin.set_faults([{"action": "hold", "method": "PUT", "after": 3}])
        standin.reset_requests()
        with job.start("-i", "in") as process:
            standin.wait_for_requests("PutObject", calls=4)
            standin.kill()
            output, errors = process.communicate(timeout=60)
    run = ended(process.returncode, output, errors)
    assert (run.code, run.reason) == (160, "EndpointUnreachable")
    assert run.report["files"]["verified"] == 0


def test_credentials_refused_midway_are_told(job: Job) -> None:
    job.write(TEN_FILES)
    rule = {"action": "status", "bucket": job.bucket, "status": 403, "code": "InvalidAccessKeyId"}
    job.standin.set_faults([{**rule, "after": 20}])
    run = job.run("-i", "in", "--threads", "2")
    assert (run.code, run.reason) == (7, "AccessDenied")


@pytest.mark.parametrize(("action", "method"), [("flip", "GET"), ("store-flip", "PUT")])
def test_a_flipped_byte_is_found_on_the_wire_and_in_the_store(job: Job, action: str, method: str) -> None:
    job.write({"in/good": b"x" * 2000, "in/bad": b"y" * 2000})
    job.standin.set_faults(
        [{"action": action, "method": method, "bucket": job.bucket, "key": "in/bad", "offset": 1234}]
    )
    run = job.run("-i", "in")
    assert (run.code, run.reason) == (1, "ContentDiffers")
    assert run.verdicts == {"bad": "Differ"}
    assert run.report["failures"][0]["detail"] == "first difference at byte 1234 of 2000"
    assert run.report["files"] == {"total": 2, "copied": 2, "verified": 1, "failed": 1}
    assert run.report["digest"] is None


def test_a_file_that_only_the_bucket_has_fails_the_run(job: Job) -> None:
    job.write(TEN_FILES)
    job.s3.put_object(Bucket=job.bucket, Key="in/of an earlier run", Body=b"x")
    job.s3.put_object(Bucket=job.bucket, Key="in another directory", Body=b"x")
    run = job.run("-i", "in")
    assert (run.code, run.reason) == (1, "ContentDiffers")
    assert run.verdicts == {"of an earlier run": "MissingHere"}
    assert run.report["files"] == {"total": 10, "copied": 10, "verified": 10, "failed": 1}


def test_a_gateway_that_fails_at_once_is_a_server_error(job: Job) -> None:
    job.write(TEN_FILES)
    job.standin.set_faults([{"action": "status", "bucket": job.bucket, "status": 500, "code": "InternalError"}])
    run = job.run("-i", "in")
    assert (run.code, run.reason) == (161, "ServerError")


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_file_that_the_gateway_fails_on_is_named(job: Job, method: str) -> None:
    job.write(TEN_FILES)
    rule = {"action": "status", "bucket": job.bucket, "status": 500, "code": "InternalError"}
    job.standin.set_faults([{**rule, "method": method, "key": "in/file 7"}])
    run = job.run("-i", "in", AWS_MAX_ATTEMPTS="1")
    assert (run.code, run.reason) == (161, "ServerError")
    assert run.verdicts == {"file 7": "Error"}


def test_one_failed_request_is_tried_again(job: Job) -> None:
    job.write(TEN_FILES)
    rule = {"action": "status", "bucket": job.bucket, "status": 503, "code": "SlowDown"}
    job.standin.set_faults([{**rule, "method": "PUT", "times": 1}])
    assert job.run("-i", "in").code == 0


def test_writing_that_is_refused_stops_after_a_few_files(job: Job) -> None:
    job.write({f"in/{number}": b"x" for number in range(200)})
    rule = {"action": "status", "bucket": job.bucket, "status": 500, "code": "InternalError"}
    job.standin.set_faults([{**rule, "method": "PUT"}])
    run = job.run("-i", "in", AWS_MAX_ATTEMPTS="1")
    assert (run.code, run.reason) == (161, "ServerError")
    assert len(run.report["failures"]) == 10


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_midway_leaves_a_report_and_no_staged_file(real_job: Job, number: signal.Signals, code: int) -> None:
    mark = os.urandom(16)
    real_job.write({f"in/{number}": mark for number in range(10)})
    real_job.standin.set_faults([{"action": "latency", "bucket": real_job.bucket, "method": "PUT", "seconds": 60}])
    with real_job.start("-i", "in", "--print") as process:
        while not staged_files_of(process.pid) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    run = ended(process.returncode, output, errors)
    assert (run.code, run.reason) == (code, "Terminated")
    assert run.report["files"] == {"total": 10, "copied": 0, "verified": 0, "failed": 0}
    assert mark not in {path.read_bytes() for path in Path("/tmp").glob("_s3_filesystem_*") if path.exists()}


def staged_files_of(pid: int) -> list[Path]:
    """Return the files that TensorFlow's plugin stages in a process."""
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(descriptor.readlink())
        except FileNotFoundError:
            continue
    return [link for link in links if link.name.startswith("_s3_filesystem_")]
