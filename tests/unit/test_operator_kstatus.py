"""Whatever happens to a sync, in whatever order, each status that is written is one that kstatus reads rightly."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3sync_operator.admission import Admission
from s3sync_operator.api import ConditionType, Phase, Reason, Status, Sync
from s3sync_operator.errors import TemporarySyncError
from tests.support import objects
from tests.support.memory_cluster import MemoryCluster
from tests.support.world import METRICS, VERIFIED, World

ENOUGH_LOOKS = 20
ONLY_TRUE = (ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.SYNCING)


def assert_legal(before: Status, sync: Sync, now: datetime) -> None:
    """Fail unless the status that a sync has now, and had none of but `before`, is one that kstatus reads rightly."""
    status = sync.status
    kinds = [condition.type for condition in status.conditions]
    present = {condition.type: condition.status for condition in status.conditions}
    assert len(kinds) == len(present), "each type once"
    assert ConditionType.READY in present
    assert all(present.get(kind, "True") == "True" for kind in ONLY_TRUE)
    assert not {ConditionType.RECONCILING, ConditionType.STALLED} <= set(kinds)
    assert status.observed_generation == sync.generation
    assert {condition.observed_generation for condition in status.conditions} == {sync.generation}
    if present[ConditionType.READY] == "True":
        assert not {ConditionType.RECONCILING, ConditionType.STALLED} & set(kinds)
        assert sync.spec
        assert status.spec_digest == sync.spec.digest, "what is Ready is what the spec means"
    if ConditionType.STALLED in present:
        assert present[ConditionType.READY] == "False"
    for condition in status.conditions:
        last = before.condition(condition.type)
        if last and last.status != condition.status:
            assert condition.last_transition_time == now


def assert_consistent(sync: Sync) -> None:
    """Fail where fields of the status contradict each other."""
    status = sync.status
    assert (status.queue_position is not None) == (status.phase is Phase.QUEUED)
    if status.phase is Phase.SUCCEEDED:
        assert status.ready
    if status.phase is Phase.FAILED:
        assert status.condition(ConditionType.STALLED)
    if status.next_attempt_time:
        assert status.phase in (Phase.RETRYING, Phase.QUEUED, Phase.SUSPENDED)
    history = status.history or ()
    times = [past.completion_time for past in history]
    assert times == sorted(times, reverse=True)
    if sync.spec:
        assert len(history) <= sync.spec.effective_history_limit
    ended = [past.result for past in history if past.result != "Replaced"]
    if ended and status.consecutive_failures is not None:
        assert (ended[0] == "Succeeded") == (status.consecutive_failures == 0)


class WatchedCluster(MemoryCluster):
    """Looks at each status that is written."""

    async def write_status(self, sync: Sync, status: Status) -> bool:
        before = self.status
        written = await super().write_status(sync, status)
        assert self.clock
        assert_legal(before, self.sync, self.clock())
        assert_consistent(self.sync)
        return written


class LivelyWorld(World):
    """A world in which anything may happen at any time."""

    async def pod(self, phase: str, state: dict[str, Any]) -> None:
        if self.cluster.jobs:
            self._pod(phase, state)
        await self.look()

    async def lose_job(self) -> None:
        self.cluster.jobs, self.cluster.pods = [], []
        await self.look()

    async def trouble(self) -> None:
        """Have the API server refuse the operator its lists for once."""
        self.cluster.refuse_lists = TemporarySyncError(Reason.OPERATOR_FORBIDDEN, "may not list")
        await self.look()
        self.cluster.refuse_lists = None

    async def fill_queue(self) -> None:
        self.admission = Admission(total=1, metrics=METRICS)
        self.admission.fill({("another", "sync"): "http://elsewhere"})
        await self.look()

    async def empty_queue(self) -> None:
        self.admission = Admission(metrics=METRICS)
        await self.look()

    async def come_to_rest(self) -> None:
        """Take all away that holds the sync back, and have its jobs succeed."""
        await self.empty_queue()
        await self.change(suspend=None, trigger=None, repo="testrepo")
        for _ in range(ENOUGH_LOOKS):
            if not self.cluster.jobs or self.status.finished:
                await self.later(minutes=10)
            if self.status.phase in (Phase.SUCCEEDED, Phase.FAILED):
                return
            await self.end_pods()
            await self.pod("Succeeded", objects.terminated(0, VERIFIED))

    async def end_pods(self) -> None:
        """The pods of jobs that were deleted are gone in the end."""
        names = {job["metadata"]["name"] for job in self.cluster.jobs}
        self.cluster.pods = [pod for pod in self.cluster.pods if pod["metadata"]["name"].rsplit("-worker-")[0] in names]
        await self.look()


Step = Callable[[LivelyWorld], Awaitable[None]]
STEPS: dict[str, Step] = {
    "the pod runs": lambda it: it.pod("Running", objects.RUNNING),
    "the pod succeeds": lambda it: it.pod("Succeeded", objects.terminated(0, VERIFIED)),
    "the pod crashes": lambda it: it.pod("Failed", objects.terminated(139)),
    "the pod fails for good": lambda it: it.pod("Failed", objects.terminated(7)),
    "the image cannot be pulled": lambda it: it.pod("Pending", objects.waiting("ErrImagePull", "not found")),
    "pods of deleted jobs end": lambda it: it.end_pods(),
    "the job is lost": lambda it: it.lose_job(),
    "lists are refused": lambda it: it.trouble(),
    "ten seconds pass": lambda it: it.later(seconds=10),
    "an hour passes": lambda it: it.later(hours=1),
    "a run is requested": lambda it: it.request("a"),
    "another run is requested": lambda it: it.request("b"),
    "the request is taken back": lambda it: it.request(None),
    "it is suspended": lambda it: it.change(suspend=True),
    "it is resumed": lambda it: it.change(suspend=None),
    "its meaning changes": lambda it: it.change(inputPath="other"),
    "its meaning changes back": lambda it: it.change(inputPath=None),
    "it becomes invalid": lambda it: it.change(repo="no spaces"),
    "it becomes valid": lambda it: it.change(repo="testrepo"),
    "it gets a schedule": lambda it: it.change(trigger={"schedule": "*/30 * * * *", "jitter": "5m"}),
    "it gets a schedule that never comes": lambda it: it.change(trigger={"schedule": "30 2 31 2 *"}),
    "its schedule is taken away": lambda it: it.change(trigger=None),
    "runs replace each other": lambda it: it.change(concurrencyPolicy="Replace"),
    "runs wait for each other": lambda it: it.change(concurrencyPolicy="Forbid"),
    "its history is short": lambda it: it.change(historyLimit=1),
    "one attempt is all": lambda it: it.change(runPolicy={"backoffLimit": 0, "ttlSecondsAfterFinished": 60}),
    "others run first": lambda it: it.fill_queue(),
    "there is room": lambda it: it.empty_queue(),
}


async def live(steps: list[str]) -> LivelyWorld:
    it = LivelyWorld(WatchedCluster())
    await it.look()
    for step in steps:
        await STEPS[step](it)
        assert len(it.cluster.jobs) <= 1, "no two runs at once"
    return it


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=14))
def test_each_status_is_one_that_kstatus_reads_rightly_and_the_sync_comes_to_rest(steps: list[str]) -> None:
    async def story() -> None:
        it = await live(steps)
        await it.come_to_rest()
        if it.status.phase is Phase.FAILED:
            await it.request("once more")
            await it.come_to_rest()
        assert it.status.ready, it.status

    asyncio.run(story())


@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        ([], {"Ready": "Unknown", "Reconciling": "True"}),
        (["the pod crashes"], {"Ready": "False", "Reconciling": "True"}),
        (["the pod fails for good"], {"Ready": "False", "Stalled": "True"}),
        (["the pod succeeds"], {"Ready": "True"}),
        (["the pod succeeds", "a run is requested"], {"Ready": "True", "Syncing": "True"}),
        (["the pod succeeds", "a run is requested", "the pod crashes"], {"Ready": "True", "Syncing": "True"}),
        (
            ["the pod succeeds", "a run is requested", "the pod fails for good"],
            {"Ready": "False", "Stalled": "True"},
        ),
        (["the pod fails for good", "a run is requested"], {"Ready": "Unknown", "Reconciling": "True"}),
        (["the pod succeeds", "its meaning changes"], {"Ready": "Unknown", "Reconciling": "True"}),
        (["the pod succeeds", "others run first", "its meaning changes"], {"Ready": "Unknown", "Reconciling": "True"}),
        (["the pod succeeds", "others run first", "a run is requested"], {"Ready": "True", "Syncing": "True"}),
        (
            ["the pod fails for good", "others run first", "a run is requested"],
            {"Ready": "False", "Stalled": "True", "Syncing": "True"},
        ),
        (["the pod succeeds", "it is suspended", "a run is requested"], {"Ready": "True"}),
        (["the pod succeeds", "it is suspended", "its meaning changes"], {"Ready": "Unknown"}),
        (["the pod crashes", "it is suspended"], {"Ready": "False"}),
        (["the pod fails for good", "it is suspended", "a run is requested"], {"Ready": "False", "Stalled": "True"}),
        (["the pod succeeds", "it becomes invalid"], {"Ready": "False", "Stalled": "True"}),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, list) else "",
)
async def test_the_table_of_conditions(steps: list[str], kinds: dict[str, str]) -> None:
    assert (await live(steps)).conditions == kinds
