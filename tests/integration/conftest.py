"""What the tests of whole syncs share: a namespace, the operator as a process, and words for what they do."""

import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import client, config

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import GROUP, KIND, VERSION
from tests.support.cluster import JOB_IMAGE, TREES_IMAGE
from tests.support.operator_process import OperatorProcess
from tests.support.standin import s3, standin

__all__ = ["s3", "standin"]

WAIT_SECONDS = 90
_numbers = itertools.count()

# Waits are shortened so that what takes minutes in production is seen in seconds.
QUICK: dict[str, Any] = {
    "retry_delay": 1,
    "retry_delay_max": 2,
    "resync_interval": 2,
    "gateway_timeout": 3,
    "job_image": JOB_IMAGE,
}


@dataclass
class Syncs:
    """Applies syncs in a namespace of its own and waits for what becomes of them."""

    cluster: LocalCluster
    namespace: str
    endpoint: str
    names: Iterator[str] = field(default_factory=lambda: (f"sync-{number}" for number in _numbers))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def apply(self, name: str | None = None, **spec: Any) -> str:
        """Apply a sync and return its name."""
        name = name or next(self.names)
        spec = {"repo": name, "endpoint": self.endpoint} | spec
        raw = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(raw))
        return name

    def apply_tree(self, tree: str, **spec: Any) -> str:
        """Apply a sync of a directory among the tests' trees."""
        return self.apply(image=TREES_IMAGE, inputPath=tree, **spec)

    def get(self, name: str) -> dict[str, Any]:
        """Return the sync as stored."""
        return dict(json.loads(self.kubectl("get", "ps3", name, "-o", "json")))

    def wait_for(self, name: str, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait until the status is as wanted and return it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            status: dict[str, Any] = self.get(name).get("status", {})
            if wanted(status):
                return status
            time.sleep(0.1)
        raise AssertionError(f"{name} is not {what}: {yaml.safe_dump(self.get(name))}\n{self.objects()}")

    def wait_ready(self, name: str) -> dict[str, Any]:
        """Wait until the sync is verified."""
        return self.wait_for(name, lambda status: conditions(status).get("Ready", {}).get("status") == "True", "ready")

    def wait_stalled(self, name: str) -> dict[str, Any]:
        """Wait until the sync has failed for good."""
        return self.wait_for(name, lambda status: "Stalled" in conditions(status), "stalled")

    def wait_reason(self, name: str, reason: str) -> dict[str, Any]:
        """Wait until Ready gives the reason."""
        return self.wait_for(
            name, lambda status: conditions(status).get("Ready", {}).get("reason") == reason, f"at {reason}"
        )

    def wait_phase(self, name: str, phase: str) -> dict[str, Any]:
        """Wait until the sync is in a phase."""
        return self.wait_for(name, lambda status: status.get("phase") == phase, phase)

    def events(self, name: str) -> list[str]:
        """Return the reasons of the sync's Events, in their order."""
        found = json.loads(self.kubectl("get", "events", f"--field-selector=involvedObject.name={name}", "-o", "json"))
        items = sorted(found["items"], key=lambda item: str(item.get("eventTime") or item["firstTimestamp"]))
        return [item["reason"] for item in items]

    def objects(self) -> str:
        """Return what there is in the namespace, for a failed test's message."""
        return self.kubectl("get", "tfjobs,pods", "-o", "wide")


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a status' conditions by their types."""
    return {item["type"]: item for item in status.get("conditions", ())}


def plant(trees: Path, name: str, files: dict[str, bytes]) -> str:
    """Put a tree of files where a sync's inputPath can name it."""
    (trees / name).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (trees / name / path).parent.mkdir(parents=True, exist_ok=True)
        (trees / name / path).write_bytes(content)
    return name


@pytest.fixture
def namespace(installed: LocalCluster) -> Iterator[str]:
    """A namespace for one test."""
    name = f"test-{next(_numbers)}"
    installed.create_namespace(name)
    yield name
    installed.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def syncs(installed: LocalCluster, namespace: str, standin: StandinProcess) -> Syncs:
    """Syncs of one test, into a stand-in of its own; the test starts the operator itself."""
    return Syncs(installed, namespace, standin.endpoint)


@pytest.fixture
def operator(installed: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """The operator, serving the test's namespace."""
    with OperatorProcess(installed, tmp_path / "operator.log", namespaces=namespace, **QUICK) as process:
        yield process
        text = process.log.read_text()
    assert "Traceback" not in text, text


@pytest.fixture
async def api(installed: LocalCluster) -> AsyncIterator[client.ApiClient]:
    """A client with all rights on the session's cluster."""
    settings = client.Configuration()
    await config.load_kube_config(config_file=str(installed.kubeconfig), client_configuration=settings)
    async with client.ApiClient(configuration=settings) as api:
        yield api
