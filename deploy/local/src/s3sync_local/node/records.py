"""What the node knows about a pod: immutable container states, and the record that the pod's status is derived from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

Manifest: TypeAlias = Mapping[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True)
class Waiting:
    """The container is not running yet, or not again; with ``retry_at`` None it may be started at once."""

    reason: str = "ContainerCreating"
    message: str | None = None
    since: datetime | None = None
    retry_at: datetime | None = None
    attempts: int = 0
    """Tries that failed in a row, which the back-off grows with."""


@dataclass(frozen=True)
class Running:
    """The container's process is alive."""

    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """The container's process has ended; a signal N counts as exit code 128+N."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime
    container_id: str


State: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerRecord:
    """One container of a pod: its state, how its run before ended, and how often it was started again."""

    name: str
    image: str
    state: State = field(default_factory=Waiting)
    last: Terminated | None = None
    restarts: int = 0
    container_id: str = ""

    @property
    def ran(self) -> bool:
        """Whether a process of this container was ever tried."""
        return self.last is not None or not isinstance(self.state, Waiting)

    def waiting(self, waiting: Waiting) -> "ContainerRecord":
        """The same container, waiting; a run that has ended becomes the last one."""
        last = self.state if isinstance(self.state, Terminated) else self.last
        return replace(self, state=waiting, last=last)


@dataclass(frozen=True)
class Verdict:
    """Why the node fails a pod as a whole, whatever its containers do."""

    reason: str
    message: str
    grace: float = 0.0
    """Seconds between SIGTERM and SIGKILL."""
    disruption: bool = False
    """Whether the pod gets the condition DisruptionTarget, as a kubelet's eviction sets it."""


@dataclass
class PodRecord:
    """All that the node knows about one pod beyond its manifest."""

    start_time: datetime
    init: dict[str, ContainerRecord]
    main: dict[str, ContainerRecord]
    verdict: Verdict | None = None

    @classmethod
    def fresh(cls, pod: Manifest, now: datetime) -> "PodRecord":
        """The record of a pod of which nothing has run yet."""
        spec = pod["spec"]
        return cls(now, _records(spec.get("initContainers", ())), _records(spec["containers"]))

    def all(self) -> list[ContainerRecord]:
        """Init containers first, each kind in the order of the manifest."""
        return [*self.init.values(), *self.main.values()]

    def get(self, name: str) -> ContainerRecord:
        """The container of that name: init and other containers share one name space."""
        return self.init[name] if name in self.init else self.main[name]

    def put(self, record: ContainerRecord) -> None:
        """Replace the container's record."""
        (self.init if record.name in self.init else self.main)[record.name] = record


def _records(containers: Iterable[Manifest]) -> dict[str, ContainerRecord]:
    return {c["name"]: ContainerRecord(c["name"], c.get("image", "")) for c in containers}
