"""What the tests of whole syncs share: a namespace, the operator as a process, and words for what they do."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio import client, config

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from tests.support.api import create_namespaces, delete_namespaces
from tests.support.cluster import JOB_IMAGE
from tests.support.operator_process import OperatorProcess, SharedOperator
from tests.support.pachd import Pachd
from tests.support.standin import own_standin, s3, session_standin, standin
from tests.support.syncs import Syncs, conditions, unique

__all__ = ["Syncs", "conditions", "own_standin", "s3", "session_standin", "standin"]

# Waits are shortened so that what takes minutes in production is seen in seconds.
QUICK: dict[str, Any] = {
    "retry_delay": 1,
    "retry_delay_max": 2,
    "resync_interval": 2,
    "sweep_interval": 2,
    "gateway_timeout": 3,
    "job_image": JOB_IMAGE,
}
WATCHING = QUICK | {"resync_interval": 60, "sweep_interval": 60}
"""What only a resync would notice is noticed too late by this one. It also saves the API server 30 lists a second."""


def plant(trees: Path, name: str, files: dict[str, bytes]) -> str:
    """Put a tree of files where a sync's inputPath can name it."""
    (trees / name).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (trees / name / path).parent.mkdir(parents=True, exist_ok=True)
        (trees / name / path).write_bytes(content)
    return name


def hold(standin: StandinProcess) -> None:
    """Make the job slow, so that there is time to do something to it."""
    standin.set_faults([{"action": "latency", "method": "PUT", "key": ".+", "seconds": 20}])


@pytest.fixture
def namespace(installed: LocalCluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test; where the test asks for the shared `operator`, that serves it."""
    if "operator" in request.fixturenames:
        shared: SharedOperator = request.getfixturevalue("shared_operator")
        with shared.lend_namespace() as name:
            yield name
        return
    name = f"test-{unique()}"
    create_namespaces(installed.kubeconfig, [name])
    yield name
    delete_namespaces(installed.kubeconfig, [name])


@pytest.fixture
def pachd(standin: StandinProcess) -> Pachd:
    """A client of the stand-in's gRPC API, as a person's."""
    return Pachd(standin.pachd_address)


@pytest.fixture
async def gateway() -> AsyncIterator[S3Gateway]:
    """The operator's side of the S3 gateway."""
    found = S3Gateway(timeout=5)
    yield found
    found.close()


@pytest.fixture
async def grpc_pachd() -> AsyncIterator[GrpcPachd]:
    """The operator's side of pachd."""
    found = GrpcPachd(timeout=5)
    yield found
    found.close()


@pytest.fixture
def syncs(installed: LocalCluster, namespace: str, standin: StandinProcess) -> Syncs:
    """Syncs of one test, into a stand-in of its own; the test starts the operator itself."""
    return Syncs(installed, namespace, standin.endpoint)


@pytest.fixture(scope="session")
def shared_operator(installed: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedOperator]:
    """The operator that serves the tests which leave it alone."""
    with SharedOperator(installed, tmp_path_factory.mktemp("operator"), **WATCHING) as shared:
        yield shared


@pytest.fixture
def operator(shared_operator: SharedOperator, namespace: str) -> OperatorProcess:
    """An operator that serves the test's namespace, and those of other tests; it is not to be stopped."""
    assert namespace in shared_operator.namespaces
    return shared_operator.process


@pytest.fixture
def own_operator(installed: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator of the test's own, which serves the test's namespace alone."""
    with OperatorProcess(installed, tmp_path / "operator.log", namespaces=namespace, **QUICK) as process:
        yield process
    process.assert_no_traceback()


@pytest.fixture
async def api(installed: LocalCluster) -> AsyncIterator[client.ApiClient]:
    """A client with all rights on the session's cluster."""
    settings = client.Configuration()
    await config.load_kube_config(config_file=str(installed.kubeconfig), client_configuration=settings)
    async with client.ApiClient(configuration=settings) as api:
        yield api
