"""One real Kubernetes for a whole test session, which all its processes share."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s3sync_local import statedir
from s3sync_local.cluster import LocalCluster
from s3sync_local.node.catalogue import Image
from tests.support.job_server import JobServer

ROOT = Path(__file__).resolve().parents[2]
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
"""The process of the session that this is. Its name is part of what must be unique in the shared cluster."""

JOB_IMAGE = f"pachyderm-s3-sync/job:{WORKER}"
TREES_IMAGE = f"pachyderm-s3-sync/trees:{WORKER}"
"""Each process has images of its own, since its job server, which runs their s3sync-job, ends with it."""


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all processes of the session see."""
    return factory.getbasetemp() if WORKER == "main" else factory.getbasetemp().parent


@contextmanager
def first_come(folder: Path, name: str) -> Iterator[bool]:
    """Tell whether this process is the session's first here; the others wait until the first has left the block.

    Where the first fails, the next one is the first again.
    """
    done = folder / f"{name}.done"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the image TREES_IMAGE: what a test puts here, a sync's inputPath can name."""
    return tmp_path_factory.mktemp("trees")


@pytest.fixture(scope="session")
def images(trees: Path, job_server: JobServer) -> dict[str, Image]:
    """What a cluster's node knows as images of this process; all of them run s3sync-job.

    JOB_IMAGE has the project's testdata, TREES_IMAGE the tests' trees.
    """
    programs = (job_server.programs, Path(sys.executable).parent)
    return {JOB_IMAGE: Image(path=programs, workdir=ROOT), TREES_IMAGE: Image(path=programs, workdir=trees)}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, images: dict[str, Image]) -> LocalCluster:
    """A local cluster with the real training-operator for all tests of the session; each uses its own namespace.

    It ends with the session, see `end_shared_cluster`.
    """
    folder = shared_folder(tmp_path_factory)
    catalogue = folder / "images.json"
    with first_come(folder, "cluster") as first:
        _add(catalogue, images)
        if first:
            _start(folder / "cluster", catalogue)
    return LocalCluster.attach(folder / "cluster")


def _add(catalogue: Path, images: dict[str, Image]) -> None:
    """Add images to the catalogue of the session's node, which reads it again when it has changed."""
    known = json.loads(catalogue.read_text())["images"] if catalogue.exists() else {}
    known |= {name: image.model_dump(mode="json") for name, image in images.items()}
    part = catalogue.with_suffix(".part")
    part.write_text(json.dumps({"images": known}))
    part.rename(catalogue)


def _start(state: Path, catalogue: Path) -> None:
    """Start the session's cluster by the command line, so that it belongs to the whole session."""
    session = os.getpid() if WORKER == "main" else os.getppid()
    flags = [f"--owner-pid={session}", f"--state-dir={state}", f"--images={catalogue}"]
    command = [sys.executable, "-m", "s3sync_local", "up", "--detach", *flags]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def end_shared_cluster(config: pytest.Config) -> None:
    """Stop the session's cluster in order; without this it would end with the session's first process as well."""
    factory: pytest.TempPathFactory | None = getattr(config, "_tmp_path_factory", None)
    if WORKER != "main" or factory is None:
        return
    statedir.stop(factory.getbasetemp() / "cluster")
