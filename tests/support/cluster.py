"""One real Kubernetes for a whole test session."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s3sync_local.cluster import LocalCluster
from s3sync_local.node.catalogue import Image

ROOT = Path(__file__).resolve().parents[2]
JOB_IMAGE = "pachyderm-s3-sync/job:test"
TREES_IMAGE = "pachyderm-s3-sync/trees:test"


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the image TREES_IMAGE: what a test puts here, a sync's inputPath can name."""
    return tmp_path_factory.mktemp("trees")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, trees: Path) -> Iterator[LocalCluster]:
    """A local cluster with the real training-operator for all tests of the session; each uses its own namespace.

    Its node knows two images that run s3sync-job: JOB_IMAGE has the project's testdata, TREES_IMAGE the tests' trees.
    """
    programs = (Path(sys.executable).parent,)
    images = {
        JOB_IMAGE: Image(path=programs, workdir=ROOT),
        TREES_IMAGE: Image(path=programs, workdir=trees),
    }
    with LocalCluster(tmp_path_factory.mktemp("cluster"), images=images, progress=print) as started:
        yield started
