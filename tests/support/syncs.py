"""Words for what tests do with syncs: apply them, and wait for what becomes of them."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import yaml

from s3sync_operator.api import GROUP, KIND, VERSION
from tests.support.api import SyncsApi
from tests.support.cluster import TREES_IMAGE, WORKER

WAIT_SECONDS = 90
_numbers = itertools.count()


def unique() -> str:
    """Return what no other name of the session has for its end."""
    return f"{WORKER}-{next(_numbers)}"


class Cluster(Protocol):
    """Anything that kubectl can be run against."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl and return what it prints."""


@dataclass
class Syncs:
    """Applies syncs in a namespace of its own and waits for what becomes of them."""

    cluster: Cluster
    namespace: str
    endpoint: str
    names: Iterator[str] = field(default_factory=lambda: (f"sync-{unique()}" for _ in itertools.count()))

    @cached_property
    def api(self) -> SyncsApi:
        """The namespace's syncs without kubectl."""
        return SyncsApi(self.cluster.kubeconfig, self.namespace)

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
        """Return the sync as stored; raises KubectlError where it is not there."""
        return self.api.get(name)

    def acknowledged(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the statuses that speak of the sync's present spec."""
        for changed in self.api.changes(name, WAIT_SECONDS):
            status = changed.get("status", {})
            if status.get("observedGeneration") == changed["metadata"]["generation"]:
                yield status

    def statuses(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the sync's status as it is and at each change, for as long as tests wait."""
        return (changed.get("status", {}) for changed in self.api.changes(name, WAIT_SECONDS))

    def wait_for(self, name: str, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Wait until the status is as wanted and return it."""
        return self._first(name, self.statuses(name), wanted, what)

    def _wait_acknowledged(self, name: str, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        return self._first(name, self.acknowledged(name), wanted, what)

    def _first(
        self, name: str, statuses: Iterator[dict[str, Any]], wanted: Callable[[dict[str, Any]], bool], what: str
    ) -> dict[str, Any]:
        for status in statuses:
            if wanted(status):
                return status
        raise AssertionError(f"{name} is not {what}: {yaml.safe_dump(self.get(name))}\n{self.objects()}")

    def wait_gone(self, name: str) -> None:
        """Wait until the sync has been deleted."""
        assert self.api.wait_gone(name, WAIT_SECONDS), f"{name} is still there: {yaml.safe_dump(self.get(name))}"

    def wait_ready(self, name: str) -> dict[str, Any]:
        """Wait until the sync is verified."""
        return self._wait_acknowledged(
            name, lambda status: conditions(status).get("Ready", {}).get("status") == "True", "ready"
        )

    def wait_stalled(self, name: str) -> dict[str, Any]:
        """Wait until the sync has failed for good."""
        return self._wait_acknowledged(name, lambda status: "Stalled" in conditions(status), "stalled")

    def wait_reason(self, name: str, reason: str) -> dict[str, Any]:
        """Wait until Ready gives the reason."""
        return self._wait_acknowledged(
            name, lambda status: conditions(status).get("Ready", {}).get("reason") == reason, f"at {reason}"
        )

    def wait_phase(self, name: str, phase: str) -> dict[str, Any]:
        """Wait until the sync is in a phase."""
        return self._wait_acknowledged(name, lambda status: status.get("phase") == phase, phase)

    def events(self, name: str, *, until: str = "", times: int = 1) -> list[str]:
        """Return the reasons of the sync's Events, in their order.

        Events are posted after the status that they tell of is written: `until` waits for that reason.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := self._events(name)).count(until) < times and until:
            assert time.monotonic() < deadline, f"{name} has no Event {until}, only {found}"
            time.sleep(0.1)
        return found

    def _events(self, name: str) -> list[str]:
        found = json.loads(self.kubectl("get", "events", f"--field-selector=involvedObject.name={name}", "-o", "json"))
        items = sorted(found["items"], key=lambda item: str(item.get("eventTime") or item["firstTimestamp"]))
        return [item["reason"] for item in items]

    def objects(self) -> str:
        """Return what there is in the namespace, for a failed test's message."""
        return self.kubectl("get", "tfjobs,pods", "-o", "wide")


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a status' conditions by their types."""
    return {item["type"]: item for item in status.get("conditions", ())}
