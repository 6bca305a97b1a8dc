"""Fixtures with a Pachyderm stand-in. A suite takes them by importing them into its `conftest.py`."""

from collections.abc import Iterator
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from tests.support.pachd import Pachd
from tests.support.s3 import s3_client

ACCESS_KEY = "any-pair-of-equal-keys"


@pytest.fixture
def standin() -> Iterator[StandinProcess]:
    """A fresh stand-in with auth off."""
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
