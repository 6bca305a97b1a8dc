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

ROOT = Path(__file__).resolve().parents[2]
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
"""The process of the session that this is. Its name is part of what must be unique in the shared cluster."""

JOB_IMAGE = "pachyderm-s3-sync/job:test"
TREES_IMAGE = f"pachyderm-s3-sync/trees:{WORKER}"


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


def workers() -> list[str]:
    """Return the names of the session's processes that run tests."""
    if WORKER == "main":
        return [WORKER]
    return [f"gw{number}" for number in range(int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))]


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the image TREES_IMAGE: what a test puts here, a sync's inputPath can name."""
    folder = _trees_of(tmp_path_factory, WORKER)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _trees_of(factory: pytest.TempPathFactory, worker: str) -> Path:
    return shared_folder(factory) / "trees" / worker


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory, trees: Path) -> dict[str, Image]:
    """What the clusters' nodes know as images, all of which run s3sync-job.

    JOB_IMAGE has the project's testdata, TREES_IMAGE the tests' trees, those of each process apart.
    """
    programs = (Path(sys.executable).parent,)
    found = {JOB_IMAGE: Image(path=programs, workdir=ROOT)}
    for worker in workers():
        name = TREES_IMAGE.removesuffix(WORKER) + worker
        found[name] = Image(path=programs, workdir=_trees_of(tmp_path_factory, worker))
    return found


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, images: dict[str, Image]) -> LocalCluster:
    """A local cluster with the real training-operator for all tests of the session; each uses its own namespace.

    It ends with the session, see `end_shared_cluster`.
    """
    folder = shared_folder(tmp_path_factory)
    with first_come(folder, "cluster") as first:
        if first:
            _start(folder, images)
    return LocalCluster.attach(folder / "cluster")


def _start(folder: Path, images: dict[str, Image]) -> None:
    """Start the session's cluster by the command line, so that it belongs to the whole session."""
    catalogue = folder / "images.yaml"
    catalogue.write_text(
        json.dumps({"images": {name: image.model_dump(mode="json") for name, image in images.items()}})
    )
    session = os.getpid() if WORKER == "main" else os.getppid()
    flags = [f"--owner-pid={session}", f"--state-dir={folder / 'cluster'}", f"--images={catalogue}"]
    command = [sys.executable, "-m", "s3sync_local", "up", "--detach", *flags]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def end_shared_cluster(config: pytest.Config) -> None:
    """Stop the session's cluster in order; without this it would end with the session's first process as well."""
    factory: pytest.TempPathFactory | None = getattr(config, "_tmp_path_factory", None)
    if WORKER != "main" or factory is None:
        return
    statedir.stop(factory.getbasetemp() / "cluster")
