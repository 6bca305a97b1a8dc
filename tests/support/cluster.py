"""One real Kubernetes for a whole test session."""

from collections.abc import Iterator

import pytest

from s3sync_local.cluster import LocalCluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A local cluster with the real training-operator for all tests of the session; each uses its own namespace."""
    with LocalCluster(tmp_path_factory.mktemp("cluster"), progress=print) as started:
        yield started
