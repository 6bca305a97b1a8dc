"""The operator as a process of its own, as its Deployment runs it: with its own user and no more than its role."""

import itertools
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from s3sync_local.cluster import LocalCluster
from s3sync_local.demo import OPERATOR_USER
from s3sync_local.node.catalogue import Image
from s3sync_local.processes import free_ports
from tests.support.api import SyncsApi, create_namespaces, delete_namespaces
from tests.support.cluster import WORKER, first_come, shared_folder

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
STOP_SECONDS = 60
ENDS_WITH_THE_TESTS = ("setpriv", "--pdeathsig", "KILL", "--")
"""However they end: an operator that nobody stops would go on serving whatever cluster has its port next."""
RESYNC_SECONDS, LOG_SECONDS, SAMPLE_SECONDS = 30, 30, 30
LAST_RESYNC = "s3sync_last_successful_resync_timestamp_seconds"
SECOND_CLUSTER = "second-cluster"
NAMESPACES = 8
"""Of a shared operator: it lists each of them at every resync, so that more would cost more than another start."""


def install(cluster: LocalCluster) -> None:
    """Apply the definition, the namespaces and the operator's role, as `deploy/base` does, but not its Deployment."""
    cluster.kubectl("apply", "-k", str(ROOT / "crd"))
    cluster.wait_for("crd/pachydermsyncs.sync.pachyderm.io", "Established")
    cluster.kubectl("apply", "-f", str(ROOT / "deploy/base/namespace.yaml"), "-f", str(ROOT / "deploy/base/rbac.yaml"))


@pytest.fixture(scope="session")
def installed(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> LocalCluster:
    """The session's cluster with the definition and the operator's role."""
    with first_come(shared_folder(tmp_path_factory), "installed") as first:
        if first:
            install(cluster)
    return cluster


@pytest.fixture(scope="session")
def second_cluster(images: dict[str, Image], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A cluster like `installed`, for tests that change what all namespaces share.

    They belong into one xdist_group, SECOND_CLUSTER, so that one process runs them and there is but one of it.
    """
    with LocalCluster(tmp_path_factory.mktemp("second") / "state", images=images, progress=print) as started:
        install(started)
        yield started


class OperatorProcess:
    """`python -m s3sync_operator` against a cluster; settings are given as its environment variables."""

    def __init__(
        self, cluster: LocalCluster, log: Path, *, kubeconfig: Path | None = None, command: str = "", **settings: object
    ) -> None:
        self.log = log
        self.temporary = log.parent / "operator-tmp"
        self._kubeconfig = kubeconfig or cluster.kubeconfig_for(OPERATOR_USER)
        self._port, self._metrics_port = free_ports(2)
        self._command = command
        self._settings = {f"S3SYNC_{name.upper()}": str(value) for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "OperatorProcess":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process
        return self._process.pid

    @property
    def health_url(self) -> str:
        """Where its liveness is asked for."""
        return f"http://127.0.0.1:{self._port}/healthz"

    @property
    def ready_url(self) -> str:
        """Where its readiness is asked for."""
        return f"http://127.0.0.1:{self._port}/readyz"

    @property
    def metrics_url(self) -> str:
        """Where its metrics are scraped."""
        return f"http://127.0.0.1:{self._metrics_port}/metrics"

    def start(self) -> "OperatorProcess":
        """Start it and wait until it answers its probe."""
        self.temporary.mkdir(exist_ok=True)
        environment = {
            "TMPDIR": str(self.temporary),
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "KUBECONFIG": str(self._kubeconfig),
            "S3SYNC_HEALTH_ADDRESS": f"127.0.0.1:{self._port}",
            "S3SYNC_METRICS_ADDRESS": f"127.0.0.1:{self._metrics_port}",
            **self._settings,
        }
        argv = [sys.executable, "-m", "s3sync_operator"]
        if self._command == "kopf":
            argv = [sys.executable, "-m", "kopf", "run", "-m", "s3sync_operator.handlers", "--standalone", "-A"]
            argv += [f"--liveness={self.health_url}"]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*ENDS_WITH_THE_TESTS, *argv], env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_healthy()
        except BaseException:
            self.kill()
            raise
        return self

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process
            assert self._process.poll() is None, f"the operator ended:\n{self.log.read_text()}"
            if self.health() == 200:
                return
            time.sleep(0.1)
        raise AssertionError(f"the operator does not answer its probe:\n{self.log.read_text()}")

    def health(self) -> int:
        """Return the HTTP status of its probe; 0 where nobody answers."""
        return answer(self.health_url)[0]

    def readiness(self) -> tuple[int, str]:
        """Return HTTP status and text of its readiness; 0 where nobody answers."""
        return answer(self.ready_url)

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Scrape its metrics: the value of each series, by name and labels."""
        status, text = answer(self.metrics_url)
        assert status == 200, text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def sample(self, name: str, **labels: str) -> float:
        """Return one value of its metrics; 0 where the series does not exist."""
        return self.samples().get((name, frozenset(labels.items())), 0)

    def wait_for_sample(self, wanted: float, name: str, **labels: str) -> None:
        """Wait until one value of its metrics is this: it follows from what the operator's own watch has delivered."""
        deadline = time.monotonic() + SAMPLE_SECONDS
        while (found := self.sample(name, **labels)) != wanted:
            assert time.monotonic() < deadline, f"{name} {labels} is {found}, not {wanted}"
            time.sleep(0.1)

    def assert_no_traceback(self, begins_at: int = 0) -> None:
        """Fail where the log from there on (bytes) tells of an error that nobody foresaw."""
        with self.log.open("rb") as log:
            log.seek(begins_at)
            text = log.read().decode(errors="replace")
        assert "Traceback" not in text, text

    def wait_for_log(self, text: str, times: int = 1) -> None:
        """Wait until its log holds the text so often: it is logged after it is written to the status."""
        deadline = time.monotonic() + LOG_SECONDS
        while self.log.read_text().count(text) < times:
            assert time.monotonic() < deadline, f"{text} is not logged:\n{self.log.read_text()}"
            time.sleep(0.1)

    def wait_for_resyncs(self, count: int) -> None:
        """Wait until it has looked at everything that it serves so many times more."""
        deadline = time.monotonic() + RESYNC_SECONDS * count
        seen = {self.sample(LAST_RESYNC)}
        while len(seen) <= count:
            assert time.monotonic() < deadline, "the operator does not look at what it serves"
            time.sleep(0.1)
            seen.add(self.sample(LAST_RESYNC))
        assert self.health() == 200

    def kill(self) -> None:
        """End it without a chance to do anything more."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the operator did not stop:\n{self.log.read_text()[-4000:]}") from None


class SharedOperator:
    """An operator for many tests, each in a namespace of its own.

    It serves a fixed list of namespaces. Once each of them has been lent, another process follows with new ones.
    """

    def __init__(self, cluster: LocalCluster, folder: Path, **settings: Any) -> None:
        self._cluster, self._folder, self._settings = cluster, folder, settings
        self._numbers = itertools.count()
        self._process: OperatorProcess | None = None
        self._unused: list[str] = []
        self.namespaces: list[str] = []

    def __enter__(self) -> "SharedOperator":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def process(self) -> OperatorProcess:
        """The process that serves the namespace lent last."""
        assert self._process
        return self._process

    @contextmanager
    def lend_namespace(self) -> Iterator[str]:
        """Lend a namespace that no test has used; its syncs are deleted after it.

        Fails where the operator's log tells of an unforeseen error meanwhile.
        """
        if not self._unused:
            self._end()
            self._begin()
        begins_at = self.process.log.stat().st_size
        name = self._unused.pop()
        yield name
        SyncsApi(self._cluster.kubeconfig, name).delete_all()
        self.process.assert_no_traceback(begins_at)

    def _begin(self) -> None:
        self.namespaces = [f"shared-{WORKER}-{next(self._numbers)}" for _ in range(NAMESPACES)]
        self._unused = list(self.namespaces)
        create_namespaces(self._cluster.kubeconfig, self.namespaces)
        log = self._folder / f"{self.namespaces[0]}.log"
        self._process = OperatorProcess(
            self._cluster, log, namespaces=",".join(self.namespaces), **self._settings
        ).start()

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.stop()
        self._process.assert_no_traceback()
        self._process = None
        delete_namespaces(self._cluster.kubeconfig, self.namespaces)


def answer(url: str) -> tuple[int, str]:
    """Return HTTP status and text of a URL; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as found:
            return int(found.status), found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)
