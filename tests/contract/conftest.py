"""The gateway under test: the stand-in, or a real Pachyderm where `S3_ENDPOINT` names one.

With a real one: `S3_ACCESS_KEY` (and `S3_SECRET_KEY`), else `AWS_ACCESS_KEY_ID` (and `AWS_SECRET_ACCESS_KEY`) hold the
Pachyderm token; without auth any word will do. Each test works in a repo of its own, which it removes.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from pachyderm_standin.process import StandinProcess
from tests.support.s3 import RawS3, empty_and_delete, s3_client
from tests.support.standin import ACCESS_KEY


@dataclass(frozen=True)
class Target:
    """The gateway under test; `standin` is `None` for a real one."""

    endpoint: str
    access_key: str
    secret_key: str
    standin: StandinProcess | None = None


def _from_environment(name: str, fallback: str) -> str:
    return os.environ.get(f"S3_{name}") or os.environ.get(fallback, "")


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    endpoint = os.environ.get("S3_ENDPOINT", "").rstrip("/")
    if endpoint:
        access_key = _from_environment("ACCESS_KEY", "AWS_ACCESS_KEY_ID") or ACCESS_KEY
        secret_key = _from_environment("SECRET_KEY", "AWS_SECRET_ACCESS_KEY") or access_key
        url = endpoint if "://" in endpoint else f"http://{endpoint}"
        yield Target(url, access_key, secret_key)
        return
    with StandinProcess() as standin:
        yield Target(standin.endpoint, ACCESS_KEY, ACCESS_KEY, standin)


@pytest.fixture
def standin(target: Target) -> Iterator[StandinProcess]:
    """The stand-in's control API, with no faults before and after."""
    if target.standin is None:
        pytest.skip("needs the stand-in's control API: on a real Pachyderm only gRPC can do this")
    target.standin.reset_requests()
    yield target.standin
    target.standin.clear_faults()


@pytest.fixture(scope="session")
def s3(target: Target) -> Iterator[Any]:
    client = s3_client(target.endpoint, target.access_key, target.secret_key)
    yield client
    client.close()


@pytest.fixture(scope="session")
def raw(target: Target) -> RawS3:
    return RawS3(target.endpoint, target.access_key, target.secret_key)


@pytest.fixture
def repo(s3: Any) -> Iterator[str]:
    """The name of a repo that does not exist yet; all its branches are removed afterwards."""
    name = f"contract-{uuid4().hex[:12]}"
    yield name
    for listed in s3.list_buckets()["Buckets"]:
        if listed["Name"].split(".")[1:2] == [name]:
            empty_and_delete(s3, listed["Name"])


@pytest.fixture
def bucket(s3: Any, repo: str) -> str:
    """A new bucket on branch master."""
    s3.create_bucket(Bucket=f"master.{repo}")
    return f"master.{repo}"


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
