"""The real s3sync-job, with real TensorFlow, against the stand-in for Pachyderm's S3 gateway.

Most runs are forks of a process that has all of it loaded (`job`); the real program starts where it is what the test is
about (`real_job`).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from pachyderm_standin.process import StandinProcess
from tests.support.job_server import REAL, JobServer
from tests.support.pachd import Message, Pachd
from tests.support.schemas import validator

REPOSITORY = Path(__file__).parents[2]
SCHEMA = validator(json.loads((REPOSITORY / "tests/golden/report/schema.json").read_text()))
RUN_SECONDS = 90
CLIENTS = ("file_io", "minio", "pfs")
MANIFEST = "/.s3sync/manifest.json"
STAGING = "s3sync-0123456789abcdef"
"""The staging branches of all runs of a test, as the operator names them; a worker's index follows."""


@dataclass(frozen=True)
class Ended:
    """A run that ended: its exit code, its output, and its report, known to fit the schema."""

    code: int
    output: bytes
    errors: str
    report: dict[str, Any]

    @property
    def reason(self) -> str:
        return str(self.report["reason"])

    @property
    def verdicts(self) -> dict[str, str]:
        return {failure["path"]: failure["verdict"] for failure in self.report["failures"]}

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.report["files"])


def ended(code: int, output: bytes, errors: bytes) -> Ended:
    """Return the run, its report being the last line; fails if that is none, or its exit code is not the process's."""
    report = json.loads(output.splitlines()[-1])
    SCHEMA.validate(report)
    assert report["exitCode"] == code, errors.decode()
    return Ended(code, output, errors.decode(), report)


@cache
def s3_at(endpoint: str) -> Any:
    """Return a plain S3 client; one takes longer to make than most tests need it."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


@cache
def pachd_at(address: str) -> Pachd:
    """Return a gRPC client."""
    return Pachd(address)


@dataclass(frozen=True)
class Job:
    """Runs s3sync-job in a working directory of its own against one bucket of the stand-in."""

    program: Path
    standin: StandinProcess
    bucket: str
    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Put files under the working directory."""
        for path, content in files.items():
            target = self.directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def environment(self, **changes: str) -> dict[str, str]:
        """Return the environment of a run: nothing of this process's but the PATH."""
        return {"PATH": "/usr/bin:/bin", "S3_ENDPOINT": self.standin.endpoint, **self.variables, **changes}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a run and return its process."""
        return subprocess.Popen(
            [self.program, "-b", self.bucket, *arguments],
            cwd=self.directory,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, **environment: str) -> Ended:
        """Run to the end."""
        with self.start(*arguments, **environment) as process:
            try:
                output, errors = process.communicate(timeout=RUN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return ended(process.returncode, output, errors)

    def stage(self, client: str, *arguments: str, base: str | None = None, **environment: str) -> Ended:
        """Run to the end as one worker of an atomic sync, on top of the branch's head."""
        return self.run(
            *("-i", "in", "--client", client, "--staging-branch", STAGING),
            *("--base-commit", self.head() if base is None else base),
            *arguments,
            PACHD_ADDRESS=self.standin.pachd_address,
            **environment,
        )

    @property
    def pachd(self) -> Pachd:
        """A gRPC client of the stand-in."""
        return pachd_at(self.standin.pachd_address)

    def branch(self, name: str = "master") -> Message:
        """Name a branch of the bucket's repo."""
        return self.pachd.branch(self.bucket.partition(".")[2], name)

    def head(self, name: str = "master") -> str:
        """Return the ID of the commit at a branch's head."""
        return str(self.pachd.head(self.branch(name)).id)

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Put files into the branch in one commit, by gRPC."""
        self.pachd.commit(self.branch(), {f"/{key}": content for key, content in files.items()})

    def staged(self, worker: int = 0) -> dict[str, bytes]:
        """Return what a worker's staging branch holds, but for its manifest."""
        commit = self.pachd.head(self.branch(f"{STAGING}-w{worker}"))
        files = self.pachd.files(commit)
        return {path.removeprefix("/"): content for path, content in files.items() if path != MANIFEST}

    def manifest(self, worker: int = 0) -> Any:
        """Return the manifest of a worker's staging branch."""
        return json.loads(self.pachd.read(self.pachd.head(self.branch(f"{STAGING}-w{worker}")), MANIFEST))

    def branches(self) -> set[str]:
        """Return the names of the repo's branches."""
        return {info.branch.name for info in self.pachd.api.list_branch(repo=self.branch().repo)}

    @property
    def s3(self) -> Any:
        """A plain S3 client of the stand-in."""
        return s3_at(self.standin.endpoint)

    def stored(self, key: str) -> bytes:
        """Return what the bucket holds under ``key``."""
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def listed(self) -> list[str]:
        """Return the bucket's keys."""
        pages = self.s3.get_paginator("list_objects").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


@contextmanager
def begun(
    job: Job, operation: str, *arguments: str, calls: int = 1, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run, wait until it has made so many calls of the operation, and see it end."""
    job.standin.reset_requests()
    environment["PACHD_ADDRESS"] = job.standin.pachd_address
    with job.start("-i", "in", *arguments, **environment) as process:
        job.standin.wait_for_requests(operation, calls=calls)
        yield process


def staging(
    job: Job, client: str = "pfs", operation: str = "FinishCommit", calls: int = 1, flags: Sequence[str] = ()
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Start a worker of an atomic sync, wait until it has come to an operation, and see it end."""
    where = ("--client", client, "--staging-branch", STAGING, "--base-commit", job.head())
    return begun(job, operation, *where, *flags, calls=calls)


@pytest.fixture(scope="session")
def standin() -> Iterator[StandinProcess]:
    with StandinProcess() as process:
        yield process


@pytest.fixture
def job(
    job_server: JobServer, standin: StandinProcess, tmp_path: Path, bucket_names: Callable[[], str]
) -> Iterator[Job]:
    """A working directory and a bucket that nobody has used; faults end with the test."""
    job = Job(job_server.program, standin, bucket_names(), tmp_path)
    job.s3.create_bucket(Bucket=job.bucket)
    yield job
    standin.begin_outage(0)
    standin.clear_faults()


@pytest.fixture
def real_job(job: Job) -> Job:
    """The same, where each run starts the real program."""
    return replace(job, program=REAL)


@pytest.fixture(scope="session")
def bucket_names() -> Callable[[], str]:
    numbers = iter(range(10_000))
    return lambda: f"master.repo{next(numbers)}"
