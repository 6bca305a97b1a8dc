"""Every way that a sync takes, step by step, with how kstatus must see it: a table for all who judge a sync's health.

Each step is the object as the API server would show it, after the operator has written what it has to.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from s3sync_operator.access import Credentials, Tls
from s3sync_operator.admission import Admission
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, Reason
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings
from tests.support import objects
from tests.support.kstatus import Verdict
from tests.support.memory_cluster import MemoryCluster

REPORTS = Path(__file__).parent.parent / "golden" / "report"
NOON = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
KEY = ("kubeflow", "books")
SETTINGS = Settings(max_attempts=2, start_deadline=600)
METRICS = Metrics()
PACHD = GrpcPachd(1, METRICS)


@dataclass(frozen=True)
class Step:
    """A sync after something happened, and how kstatus must see it.

    kstatus knows of no suspension, and waits for what is held back before it has succeeded; `suspended` is for those
    who know better.
    """

    way: str
    happened: str
    raw: dict[str, Any]
    verdict: Verdict
    suspended: bool = False

    @property
    def knowing_suspension(self) -> Verdict:
        """How somebody must see it who does not wait for what is suspended."""
        return "Current" if self.suspended else self.verdict

    def __str__(self) -> str:
        return f"{self.way}: {self.happened}"


class OpenGateway:
    """A gateway that lets everybody in, and has every bucket."""

    async def ensure_bucket(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls) -> bool:
        return False


class Way:
    """One sync in a cluster in memory, on which a test acts, and what the operator made of each act."""

    def __init__(self, name: str, **spec: Any) -> None:
        self.name = name
        self.cluster = MemoryCluster(**spec)
        self.now = NOON
        self.cluster.clock = lambda: self.now
        self.admission = Admission(metrics=METRICS)
        self.steps: list[Step] = []

    def take(self, happened: str, verdict: Verdict, *, suspended: bool = False) -> None:
        """Note the sync as it stands."""
        raw = json.loads(json.dumps(self.cluster.raw))
        self.steps.append(Step(self.name, happened, raw, verdict, suspended))

    async def look(self, happened: str, verdict: Verdict, *, after: float = 0, suspended: bool = False) -> None:
        """Let the operator look at the sync so many seconds later, until it writes nothing more, and note it."""
        self.now += timedelta(seconds=after)
        for _ in range(8):
            before = json.dumps(self.cluster.raw, sort_keys=True)
            # Each look is that of an operator that has just been started.
            operator = Reconciler(
                self.cluster, OpenGateway(), PACHD, SETTINGS, lambda: self.now, METRICS, admission=self.admission
            )
            await operator.reconcile(KEY)
            if json.dumps(self.cluster.raw, sort_keys=True) == before:
                break
        else:
            raise AssertionError(f"{self.name}: {happened}: the operator writes on and on")
        self.take(happened, verdict, suspended=suspended)

    def request(self, token: str) -> None:
        """Ask for another run, as `kubectl annotate` does."""
        self.cluster.raw["metadata"]["annotations"] = {ANNOTATION_RUN_REQUESTED: token}

    async def re_run(self, token: str, verdict: Verdict = "Current") -> None:
        """Ask for another run, and let its pod run."""
        self.request(token)
        self.take(f"run {token} is asked for", self.steps[-1].verdict)
        await self.look(f"run {token} begins", verdict, after=5)
        self.pod("Running", objects.RUNNING)
        await self.look(f"the pod of run {token} runs", verdict)

    def change(self, happened: str, verdict: Verdict, **spec: Any) -> None:
        """Change the spec, which the operator has not seen then."""
        self.cluster.raw["spec"] |= spec
        self.cluster.raw["metadata"]["generation"] += 1
        self.take(happened, verdict)

    def pod(self, phase: str, state: Any, **status: Any) -> None:
        """Let the current job's pod be as given."""
        self.cluster.pods = [objects.pod_object(str(self.cluster.status.tf_job_name), phase, state=state, **status)]

    def ends(self, sample: str) -> None:
        """Let the pod end with a report of the samples."""
        text = json.dumps(json.loads((REPORTS / f"{sample}.json").read_text()))
        code = json.loads(text)["exitCode"]
        self.pod("Failed" if code else "Succeeded", objects.terminated(code, text))


async def _succeeds(way: Way) -> None:
    way.take("it is made", "InProgress")
    await way.look("its TFJob is made", "InProgress")
    way.pod("Running", objects.RUNNING)
    await way.look("its pod runs", "InProgress")
    way.ends("verified")
    await way.look("it is verified", "Current")


async def _success(way: Way) -> None:
    await _succeeds(way)
    await way.look("an hour passes", "Current", after=3600)
    way.change("a default is written out", "InProgress", branch="master")
    await way.look("that means the same", "Current")
    way.change("another path is asked for", "InProgress", inputPath="other")
    way.cluster.pods = []
    await way.look("the earlier TFJob ends", "InProgress")
    await way.look("the next run's TFJob is made", "InProgress", after=2)
    way.cluster.raw["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    way.take("it is deleted", "Terminating")


async def _tries_again(way: Way) -> None:
    await way.look("its TFJob is made", "InProgress")
    way.ends("endpoint-unreachable")
    await way.look("an attempt fails", "InProgress")
    way.cluster.pods = []
    await way.look("the next attempt begins", "InProgress", after=60)


async def _retries(way: Way) -> None:
    await _tries_again(way)
    way.ends("verified")
    await way.look("it is verified", "Current")


async def _gives_up(way: Way) -> None:
    await _tries_again(way)
    way.ends("endpoint-unreachable")
    await way.look("the last attempt fails", "Failed")
    way.cluster.pods = []
    await way.look("an hour passes", "Failed", after=3600)
    way.change("another path is asked for", "InProgress", inputPath="other")
    await way.look("another run begins", "InProgress")


async def _differs(way: Way) -> None:
    await way.look("its TFJob is made", "InProgress")
    way.ends("content-differs")
    await way.look("what was read back differs", "Failed")


async def _cannot_start(way: Way) -> None:
    await way.look("its TFJob is made", "InProgress")
    way.pod("Pending", objects.waiting("ErrImagePull", "not found"))
    await way.look("its image cannot be pulled", "InProgress")
    await way.look("the start deadline passes", "Failed", after=700)


async def _bad_spec(way: Way) -> None:
    way.take("it is made", "InProgress")
    await way.look("the operator refuses it", "Failed")
    del way.cluster.raw["spec"]["fromTheFuture"]
    way.change("it is mended", "InProgress")
    await way.look("its TFJob is made", "InProgress")


async def _no_kubeflow(way: Way) -> None:
    way.cluster.refuse_lists = TemporarySyncError(Reason.TFJOB_CRD_NOT_INSTALLED, "install it")
    await way.look("Kubeflow is not there", "InProgress")
    way.cluster.refuse_lists = None
    await way.look("Kubeflow is installed", "InProgress", after=60)


async def _trouble(way: Way) -> None:
    await way.look("its TFJob is made", "InProgress")
    way.pod("Running", objects.RUNNING)
    await way.look("its pod runs", "InProgress")
    way.cluster.refuse_lists = TemporarySyncError(Reason.OPERATOR_FORBIDDEN, "may not list")
    await way.look("the operator may not look", "InProgress")
    way.cluster.refuse_lists = None
    way.pod("Failed", objects.terminated(143), reason="Evicted", message="low on memory")
    await way.look("the pod is evicted", "InProgress")


async def _runs_again(way: Way) -> None:
    await _succeeds(way)
    await way.re_run("one")
    way.ends("verified")
    await way.look("run one is verified", "Current", after=5)
    await way.re_run("two")
    way.ends("endpoint-unreachable")
    await way.look("an attempt of run two fails", "Current", after=5)
    way.cluster.pods = []
    await way.look("the next attempt of run two begins", "Current", after=60)
    way.ends("endpoint-unreachable")
    await way.look("the last attempt of run two fails", "Failed", after=5)
    await way.re_run("three", "InProgress")
    way.ends("verified")
    await way.look("run three is verified", "Current", after=5)


async def _scheduled(way: Way) -> None:
    await _succeeds(way)
    await way.look("its time has not come", "Current", after=600)
    way.cluster.pods = []
    await way.look("its time has come", "Current", after=3600)
    way.pod("Running", objects.RUNNING)
    await way.look("the scheduled run's pod runs", "Current")
    way.ends("content-differs")
    await way.look("the scheduled run fails for good", "Failed", after=5)
    way.cluster.pods = []
    await way.look("its time has come again", "InProgress", after=3600)


async def _suspended_from_the_start(way: Way) -> None:
    way.take("it is made", "InProgress")
    await way.look("the operator holds it back", "InProgress", suspended=True)
    way.change("it is resumed", "InProgress", suspend=False)
    await way.look("its TFJob is made", "InProgress")


async def _suspended_later(way: Way) -> None:
    await _succeeds(way)
    way.change("it is suspended", "InProgress", suspend=True)
    await way.look("the operator has seen that", "Current", suspended=True)
    way.request("one")
    await way.look("a run is asked for and held back", "Current", suspended=True)
    way.change("it is resumed", "InProgress", suspend=False)
    await way.look("the run begins", "Current", after=5)
    way.ends("endpoint-unreachable")
    await way.look("an attempt fails", "Current", after=5)
    way.change("it is suspended between two attempts", "InProgress", suspend=True)
    await way.look("the next attempt is held back", "Current", suspended=True)
    way.change("another path is asked for", "InProgress", inputPath="other")
    await way.look("the new spec's run is held back", "InProgress", suspended=True)


async def _suspended_while_it_runs(way: Way) -> None:
    await way.look("its TFJob is made", "InProgress")
    way.change("it is suspended", "InProgress", suspend=True)
    way.pod("Running", objects.RUNNING)
    await way.look("its pod runs on", "InProgress")
    way.ends("endpoint-unreachable")
    await way.look("an attempt fails, and no other begins", "InProgress", suspended=True)


async def _suspended_after_it_failed(way: Way) -> None:
    await way.look("its TFJob is made", "InProgress")
    way.ends("content-differs")
    await way.look("what was read back differs", "Failed")
    way.change("it is suspended", "InProgress", suspend=True)
    await way.look("the operator has seen that", "Failed")


async def _queued(way: Way) -> None:
    way.admission = Admission(total=1, metrics=METRICS)
    way.admission.fill({("kubeflow", "another"): "an-endpoint"})
    await way.look("another sync runs", "InProgress")
    way.admission.leave(("kubeflow", "another"))
    await way.look("it is its turn", "InProgress", after=60)
    way.ends("verified")
    await way.look("it is verified", "Current", after=5)
    assert way.admission.ask(("kubeflow", "another"), "an-endpoint")
    way.request("one")
    await way.look("another sync runs before its next run", "Current", after=5)


WAYS: tuple[tuple[str, Callable[[Way], Awaitable[None]], dict[str, Any]], ...] = (
    ("a sync that succeeds and is changed", _success, {}),
    ("a sync that is retried", _retries, {}),
    ("a sync that is given up", _gives_up, {}),
    ("a sync whose content differs", _differs, {}),
    ("a sync that cannot start", _cannot_start, {}),
    ("a sync with a bad spec", _bad_spec, {"fromTheFuture": True}),
    ("a cluster without Kubeflow", _no_kubeflow, {}),
    ("a run in trouble", _trouble, {}),
    ("a sync that is run again", _runs_again, {}),
    ("a sync with a schedule", _scheduled, {"trigger": {"schedule": "0 * * * *"}}),
    ("a sync that is suspended from the start", _suspended_from_the_start, {"suspend": True}),
    ("a sync that is suspended later", _suspended_later, {}),
    ("a sync that is suspended while it runs", _suspended_while_it_runs, {}),
    ("a sync that is suspended after it failed", _suspended_after_it_failed, {}),
    ("a sync that waits in the queue", _queued, {}),
)


async def transitions() -> AsyncIterator[Step]:
    """Yield all steps of all ways."""
    for name, walk, spec in WAYS:
        way = Way(name, **spec)
        await walk(way)
        for step in way.steps:
            yield step
