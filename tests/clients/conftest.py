"""S3 clients that people have, against the stand-in, or the Pachyderm that `S3_ENDPOINT` and `PACHD_ADDRESS` name."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pachyderm_sdk.api import pfs

from s3sync_local.clients import ensure_clients
from tests.clients.programs import PROGRAMS, Program
from tests.contract.conftest import Target, pachd_session, s3, target
from tests.support.job_server import JobServer
from tests.support.pachd import Pachd
from tests.support.s3 import empty_and_delete

__all__ = ["pachd_session", "s3", "target"]

STAGING = "s3sync-0123456789abcdef"
JOB_SECONDS = 240
WAYS = [
    pytest.param((client, publish), marks=pytest.mark.xdist_group(f"written by {client} {publish}"))
    for client in ("file_io", "minio", "pfs")
    for publish in ("Direct", "Atomic")
]

TREE = {
    "in/Moby Dick/Chapter 1 Loomings.txt": b"Call me Ishmael.",
    "in/empty": b"",
    "in/deep/er/~x,y;z='$&%#~.bin": bytes(range(256)),
    "in/nine megabytes": bytes(range(250)) * 36_000,
}
"""An empty file, names that must be encoded, and a file that the AWS CLI fetches in several ranges."""


@dataclass(frozen=True)
class Written:
    """What s3sync-job wrote: the bucket that shows it, and its files by key."""

    bucket: str
    files: dict[str, bytes]


@pytest.fixture
def find(target: Target, tmp_path: Path) -> Callable[[str], Program]:
    """Gives a client by its name, with an empty home."""

    def found(name: str) -> Program:
        (path,) = ensure_clients([name], lambda text: print(text, file=sys.stderr)).values()
        home = tmp_path / "home"
        home.mkdir()
        return PROGRAMS[name](path, target, home)

    return found


@pytest.fixture(params=sorted(PROGRAMS))
def program(find: Callable[[str], Program], request: pytest.FixtureRequest) -> Program:
    """One client after the other."""
    return find(request.param)


@pytest.fixture(scope="session")
def new_bucket(target: Target, s3: Any, pachd_session: Pachd | None) -> Iterator[Callable[[], str]]:
    """Makes a bucket on branch master of a new repo, which is removed in the end."""
    repos: list[str] = []

    def make() -> str:
        repos.append(f"clients-{uuid4().hex[:12]}")
        s3.create_bucket(Bucket=f"master.{repos[-1]}")
        return f"master.{repos[-1]}"

    yield make
    for repo in repos:
        if pachd_session:
            pachd_session.api.delete_repo(repo=pfs.Repo(name=repo, type="user"))
        else:
            empty_and_delete(s3, f"master.{repo}")


@pytest.fixture
def bucket(new_bucket: Callable[[], str]) -> str:
    return new_bucket()


@pytest.fixture(scope="session", params=WAYS, ids="-".join)
def written(
    request: pytest.FixtureRequest,
    target: Target,
    job_server: JobServer,
    new_bucket: Callable[[], str],
    tmp_path_factory: Any,
) -> Written:
    """A tree that s3sync-job wrote, in one way after the other."""
    client, publish = request.param
    if not target.pachd_address and (client == "pfs" or publish == "Atomic"):
        pytest.skip("needs the gRPC API: name it with PACHD_ADDRESS=host:port")
    root: Path = tmp_path_factory.mktemp("input")
    for key, content in TREE.items():
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(content)
    bucket = new_bucket()
    flags = ["--client", client, *(["--staging-branch", STAGING] if publish == "Atomic" else [])]
    run_job(job_server.program, target, root, "-b", bucket, "-i", "in", *flags)
    if publish == "Direct":
        return Written(bucket, TREE)
    return Written(f"{STAGING}-w0.{bucket.partition('.')[2]}", TREE)


def run_job(program: Path, target: Target, folder: Path, *arguments: str) -> None:
    """Run s3sync-job to its good end."""
    environment = {
        "PATH": os.environ["PATH"],
        "S3_ENDPOINT": target.endpoint,
        "PACHD_ADDRESS": target.pachd_address,
        "AWS_ACCESS_KEY_ID": target.access_key,
        "AWS_SECRET_ACCESS_KEY": target.secret_key,
        **({"S3_CA_FILE": target.ca_file} if target.ca_file else {}),
    }
    done = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=JOB_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
