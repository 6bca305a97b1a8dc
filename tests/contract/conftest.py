"""The Pachyderm under test: the stand-in, or a real one where `S3_ENDPOINT` and `PACHD_ADDRESS` name it.

With a real one: `S3_ACCESS_KEY` (and `S3_SECRET_KEY`), else `AWS_ACCESS_KEY_ID` (and `AWS_SECRET_ACCESS_KEY`) hold the
Pachyderm token; without auth any word will do. `PACHD_CA_FILE` names the certificates (PEM) to trust for `https://` and
`grpcs://`. Each test works in a repo of its own, which it removes.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pachyderm_sdk.api import pfs
from pachyderm_sdk.errors import AuthServiceNotActivated

from pachyderm_standin.process import StandinProcess
from tests.support.pachd import Message, Pachd
from tests.support.s3 import RawS3, empty_and_delete, s3_client
from tests.support.standin import ACCESS_KEY

TOKEN = "a-pachyderm-token"
ROLES = ("repoReader", "repoWriter", "repoOwner")
with_auth = pytest.mark.xdist_group("contract with auth")
"""What needs a stand-in with auth on, which is started once."""


@dataclass(frozen=True)
class Target:
    """The Pachyderm under test; `standin` is `None` for a real one, `pachd_address` empty if only S3 is at hand."""

    endpoint: str
    access_key: str
    secret_key: str
    pachd_address: str
    ca_file: str = ""
    standin: StandinProcess | None = None


def _from_environment(name: str, fallback: str) -> str:
    return os.environ.get(f"S3_{name}") or os.environ.get(fallback, "")


def _url(text: str, scheme: str) -> str:
    return text if "://" in text or not text else f"{scheme}://{text}"


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    endpoint = os.environ.get("S3_ENDPOINT", "").rstrip("/")
    pachd_address = os.environ.get("PACHD_ADDRESS", "")
    if endpoint:
        access_key = _from_environment("ACCESS_KEY", "AWS_ACCESS_KEY_ID") or ACCESS_KEY
        secret_key = _from_environment("SECRET_KEY", "AWS_SECRET_ACCESS_KEY") or access_key
        ca_file = os.environ.get("PACHD_CA_FILE", "")
        yield Target(_url(endpoint, "http"), access_key, secret_key, _url(pachd_address, "grpc"), ca_file)
        return
    if pachd_address:
        raise pytest.UsageError("PACHD_ADDRESS is set, S3_ENDPOINT is not: name both of the same Pachyderm, or none")
    with StandinProcess() as standin:
        yield Target(standin.endpoint, ACCESS_KEY, ACCESS_KEY, standin.pachd_address, standin=standin)


@pytest.fixture
def standin(target: Target) -> Iterator[StandinProcess]:
    """The stand-in's control API, with no faults before and after."""
    if target.standin is None:
        pytest.skip("needs the stand-in's control API: a real Pachyderm does not fail on demand")
    target.standin.reset_requests()
    yield target.standin
    _heal(target)


@pytest.fixture
def until_called(target: Target) -> Callable[[str], None]:
    """Waits until a call has come in that was made in this test; a real Pachyderm is given a moment for it."""
    if target.standin is None:
        return lambda _: time.sleep(0.3)
    target.standin.reset_requests()
    return target.standin.wait_for_requests


def _heal(target: Target) -> None:
    if target.standin:
        target.standin.begin_outage(0)
        target.standin.clear_faults()


def target_client(target: Target, token: str | None) -> Pachd:
    """A client of the gRPC API."""
    certificates = Path(target.ca_file).read_bytes() if target.ca_file else None
    return Pachd(target.pachd_address, token, certificates)


def auth_is_on(target: Target) -> bool:
    """Ask whether the gRPC API knows who is calling."""
    try:
        target_client(target, target.access_key).client.auth.who_am_i()
    except AuthServiceNotActivated:
        return False
    return True


@pytest.fixture(scope="session")
def guarded(target: Target) -> Iterator[Target]:
    """A Pachyderm with auth on: the one under test if it is a real one, where that has auth on."""
    if target.standin is None:
        if not target.pachd_address or not auth_is_on(target):
            pytest.skip("needs a Pachyderm with auth on, its PACHD_ADDRESS, and its token in S3_ACCESS_KEY")
        yield target
        return
    of_roles = [f"{token_of(role)} {role} default/{repo_of(role)}" for role in ROLES]
    with StandinProcess(tokens=[TOKEN, "another-token", *of_roles]) as standin:
        yield Target(standin.endpoint, TOKEN, TOKEN, standin.pachd_address, standin=standin)


def token_of(role: str) -> str:
    """The stand-in's token of somebody who has a role on one repo and no other right."""
    return f"token-of-{role}"


def repo_of(role: str) -> str:
    """That repo's name."""
    return f"contract-{role.lower()}"


@pytest.fixture(scope="session")
def pachd_session(target: Target) -> Pachd | None:
    return target_client(target, target.access_key) if target.pachd_address else None


@pytest.fixture
def pachd(pachd_session: Pachd | None) -> Pachd:
    """The gRPC API."""
    if pachd_session is None:
        pytest.skip("needs the gRPC API: name it with PACHD_ADDRESS=host:port")
    return pachd_session


@pytest.fixture(scope="session")
def s3(target: Target) -> Iterator[Any]:
    client = s3_client(target.endpoint, target.access_key, target.secret_key, verify=target.ca_file or None)
    yield client
    client.close()


@pytest.fixture(scope="session")
def raw(target: Target) -> RawS3:
    return RawS3(target.endpoint, target.access_key, target.secret_key, target.ca_file)


@pytest.fixture
def repo(target: Target, s3: Any, pachd_session: Pachd | None) -> Iterator[str]:
    """The name of a repo that does not exist yet; all its branches are removed afterwards."""
    name = f"contract-{uuid4().hex[:12]}"
    yield name
    _heal(target)
    if pachd_session:
        pachd_session.api.delete_repo(repo=pfs.Repo(name=name, type="user"))
        return
    for listed in s3.list_buckets()["Buckets"]:
        if listed["Name"].split(".")[1:2] == [name]:
            empty_and_delete(s3, listed["Name"])


@pytest.fixture
def bucket(s3: Any, repo: str) -> str:
    """A new bucket on branch master."""
    s3.create_bucket(Bucket=f"master.{repo}")
    return f"master.{repo}"


@pytest.fixture
def master(pachd: Pachd, bucket: str, repo: str) -> Message:
    """The new bucket's branch, as gRPC names it; its head is empty and finished."""
    return pachd.branch(repo)


@pytest.fixture
def put(s3: Any, bucket: str) -> Callable[..., dict[str, Any]]:
    """Writes a file into the bucket and tells the answer."""

    def _put(key: str, body: bytes = b"content", into: str = "") -> dict[str, Any]:
        answer: dict[str, Any] = s3.put_object(Bucket=into or bucket, Key=key, Body=body)
        return answer

    return _put


@pytest.fixture
def keys(s3: Any, bucket: str) -> Callable[[], list[str]]:
    """Lists the bucket's keys."""

    def _keys() -> list[str]:
        return [item["Key"] for item in s3.list_objects(Bucket=bucket).get("Contents", ())]

    return _keys
