"""Fixtures with a Pachyderm stand-in. A suite takes them by importing them into its `conftest.py`."""

from collections.abc import Iterator
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from tests.support.pachd import Pachd
from tests.support.s3 import s3_client

ACCESS_KEY = "any-pair-of-equal-keys"


@pytest.fixture(scope="session")
def session_standin() -> Iterator[StandinProcess]:
    """A stand-in with auth off for all tests of this process; each uses repos of its own."""
    with StandinProcess() as process:
        yield process


@pytest.fixture
def standin(session_standin: StandinProcess) -> Iterator[StandinProcess]:
    """The session's stand-in, which begins to count requests; faults and outages end with the test."""
    session_standin.reset_requests()
    yield session_standin
    session_standin.begin_outage(0)
    session_standin.clear_faults()


@pytest.fixture
def own_standin() -> Iterator[StandinProcess]:
    """A stand-in with auth off of the test's own."""
    with StandinProcess() as process:
        yield process


@pytest.fixture
def s3(standin: StandinProcess) -> Iterator[Any]:
    """A boto3 client of the stand-in."""
    client = s3_client(standin.endpoint, ACCESS_KEY)
    yield client
    client.close()


@pytest.fixture
def pachd(standin: StandinProcess) -> Pachd:
    """A client of the stand-in's gRPC API."""
    return Pachd(standin.pachd_address)
