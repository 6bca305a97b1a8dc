"""What the real program does, once for each client and each kind of end: a fork of the job server does the same."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.job.conftest import CLIENTS, Ended, Job, begun, ended

FILES = {"in/a": b"Call me Ishmael.", "in/deep/er": bytes(range(256)), "in/empty": b"", "in/large": os.urandom(9 << 20)}
PROGRESS = re.compile(rb'(copied|verified) \d+/|\{"s3syncProgress"')
"""What is shown every so many seconds."""

WRITING = {"file_io": "PutObject", "minio": "PutObject", "pfs": "StartCommit"}
"""What is held before any file is copied: how many pieces of a stream are under way is anybody's guess."""


def told(run: Ended) -> tuple[Any, ...]:
    """Return all that a run tells but for how long it took, and the names that differ from run to run."""
    *lines, last = re.sub(rb"\brepo\d+\b", b"repo", run.output).splitlines()
    report = json.loads(last)
    steps = list(report.pop("stepSeconds"))
    del report["durationSeconds"]
    if staged := report.get("staged"):
        report["staged"] = {**staged, "commit": None, "base": None}
    return run.code, report, steps, [line for line in lines if not PROGRESS.match(line)], run.errors


def verified(job: Job, client: str) -> Ended:
    """Stage some files, for which all is imported that a client may need."""
    return job.stage(client)


def damaged(job: Job, client: str) -> Ended:
    """Copy a file that does not arrive as it is."""
    job.standin.set_faults([{"action": "store-flip", "operation": "PutObject|AddFile", "key": "/?in/deep/er"}])
    named = ("-i", "in", "--client", client, "--pachd-address", job.standin.pachd_address)
    return job.run(*named)


def terminated(job: Job, client: str) -> Ended:
    """Be ended before a file has arrived."""
    job.standin.set_faults([{"action": "hold", "operation": WRITING[client]}])
    with begun(job, WRITING[client], "--client", client) as process:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    return ended(process.returncode, output, errors)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("do", "code", "reason"),
    [(verified, 0, "Verified"), (damaged, 1, "ContentDiffers"), (terminated, 143, "Terminated")],
    ids=["verified", "damaged", "terminated"],
)
def test_the_real_program_ends_as_it_should_and_a_fork_ends_alike(
    job: Job,
    real_job: Job,
    bucket_names: Callable[[], str],
    client: str,
    do: Callable[[Job, str], Ended],
    code: int,
    reason: str,
) -> None:
    fork = replace(job, bucket=bucket_names())
    fork.s3.create_bucket(Bucket=fork.bucket)
    real_job.write(FILES)
    real = do(real_job, client)
    assert (real.code, real.reason) == (code, reason)
    real_job.standin.clear_faults()
    assert told(do(fork, client)) == told(real)
