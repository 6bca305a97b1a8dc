"""Words for what tests do with syncs: apply them, and wait for what becomes of them."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml

from s3sync_operator.api import GROUP, KIND, VERSION
from tests.support.cluster import TREES_IMAGE

WAIT_SECONDS = 90
numbers = itertools.count()


class Cluster(Protocol):
    """Anything that kubectl can be run against."""

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl and return what it prints."""


@dataclass
class Syncs:
    """Applies syncs in a namespace of its own and waits for what becomes of them."""

    cluster: Cluster
    namespace: str
    endpoint: str
    names: Iterator[str] = field(default_factory=lambda: (f"sync-{number}" for number in numbers))

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl in the namespace; a `wait` in it must end within the time limit (seconds)."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin, timeout=timeout)

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
