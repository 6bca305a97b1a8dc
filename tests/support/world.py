"""A sync on a cluster in memory, with an operator and a clock that is set: what happens to them, in words."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from s3sync_operator.access import Credentials, Tls
from s3sync_operator.admission import Admission
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, Status
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings
from tests.support import objects
from tests.support.memory_cluster import MemoryCluster

NOON = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
KEY = ("kubeflow", "books")
SETTINGS = Settings(max_attempts=2, retry_delay=10)
VERIFIED = json.dumps(json.loads((Path(__file__).parent.parent / "golden/report/verified.json").read_text()))
MOST_LOOKS = 12
METRICS = Metrics()
PACHD = GrpcPachd(1, METRICS)


class OpenGateway:
    async def ensure_bucket(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls) -> bool:
        return False


@dataclass
class World:
    """A sync, the operator, and what happens to them; an operator is started anew for each look."""

    cluster: MemoryCluster
    now: datetime = NOON
    admission: Admission = field(default_factory=lambda: Admission(metrics=METRICS))
    pause: float | None = None
    seen: list[Status] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster.clock = lambda: self.now

    @property
    def status(self) -> Status:
        return self.cluster.status

    @property
    def conditions(self) -> dict[str, str]:
        return {item.type.value: item.status for item in self.status.conditions}

    async def look(self) -> None:
        """Have an operator that was just started look until nothing more changes."""
        for _ in range(MOST_LOOKS):
            before = len(self.cluster.writes)
            operator = Reconciler(
                self.cluster, OpenGateway(), PACHD, SETTINGS, lambda: self.now, METRICS, self.admission
            )
            self.pause = await operator.reconcile(KEY)
            self.seen.append(self.status)
            if len(self.cluster.writes) == before:
                return
        raise AssertionError(f"there is no end to what is written: {self.cluster.writes}")

    async def later(self, **span: float) -> None:
        self.now += timedelta(**span)
        await self.look()

    async def request(self, token: str | None) -> None:
        """Set or remove the annotation, which does not raise the generation."""
        annotations = {ANNOTATION_RUN_REQUESTED: token} if token else {}
        self.cluster.raw["metadata"]["annotations"] = annotations
        await self.look()

    async def change(self, **spec: Any) -> None:
        """Change fields of the spec; None removes one."""
        merged = {**self.cluster.raw["spec"], **spec}
        self.cluster.raw["spec"] = {name: value for name, value in merged.items() if value is not None}
        self.cluster.raw["metadata"]["generation"] += 1
        await self.look()

    async def run(self) -> None:
        """Let the pod of the job under way run."""
        self._pod("Running", objects.RUNNING)
        await self.look()

    async def succeed(self) -> None:
        self._pod("Succeeded", objects.terminated(0, VERIFIED))
        await self.look()

    async def crash(self) -> None:
        """End the pod in a way that another attempt may mend."""
        self._pod("Failed", objects.terminated(139))
        await self.look()

    async def fail(self) -> None:
        """End the pod in a way that none may mend."""
        self._pod("Failed", objects.terminated(7))
        await self.look()

    def _pod(self, phase: str, state: dict[str, Any]) -> None:
        (job,) = self.cluster.jobs
        if phase != "Running":
            self.now += timedelta(seconds=5)
        pod = objects.pod_object(job["metadata"]["name"], phase, state=state)
        pod["metadata"]["creationTimestamp"] = job["metadata"]["creationTimestamp"]
        self.cluster.pods = [pod]

    @property
    def jobs_made(self) -> int:
        return self.cluster.writes.count("create")

    @property
    def history(self) -> list[tuple[str, str]]:
        return [(past.result, past.trigger) for past in self.status.history or ()]


async def world(*, finished: bool = True, admission: Admission | None = None, **spec: Any) -> World:
    """Return a world whose sync has been run by its spec."""
    made = World(MemoryCluster(**spec), admission=admission or Admission(metrics=METRICS))
    await made.look()
    if finished:
        await made.succeed()
        assert made.conditions == {"Ready": "True"}
    return made
