"""The order of the steps that bring a sync to its end; nothing else.

Everything that decides stands in the cluster, so an operator that is killed between any two steps goes on from there.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from s3sync_operator.access import endpoint_url
from s3sync_operator.api import Client, ConditionType, Phase, Reason, Spec, Status, Sync
from s3sync_operator.cluster import Cluster, EventType, Raw
from s3sync_operator.desired import Found, Run, Staging, run_name, tfjob
from s3sync_operator.errors import ConflictError, PermanentSyncError, TemporarySyncError
from s3sync_operator.following import Follower
from s3sync_operator.log_context import about_run, about_sync
from s3sync_operator.metrics import Metrics
from s3sync_operator.observed import NOTHING, JobSeen, Observation, job_seen, observe, pod_seen, without_texts
from s3sync_operator.opening import Opened, open_sync, secret_of
from s3sync_operator.pachd import Pachd
from s3sync_operator.pachyderm import Gateway
from s3sync_operator.publisher import Order, Publisher
from s3sync_operator.report import Report
from s3sync_operator.settings import Settings
from s3sync_operator.staging import is_atomic, spec_problem
from s3sync_operator.status import Outcome, current_run, invalid_spec_status, is_new, judge, status_after

# Pods and TFJobs wake the reconciler by themselves; looking again at times finds what no event tells.
LOOK_AGAIN = 15.0
SOON = 1.0
CONFLICT_DELAY = 1.0

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the present moment."""
    return datetime.now(UTC)


class Reconciler:
    """Brings one sync at a time closer to what its spec says; idempotent, safe to stop and repeat at any point."""

    def __init__(
        self,
        cluster: Cluster,
        gateway: Gateway,
        pachd: Pachd,
        settings: Settings,
        now: Callable[[], datetime] = utc_now,
        metrics: Metrics | None = None,
    ) -> None:
        self._cluster = cluster
        self._gateway = gateway
        self._settings = settings
        self._now = now
        self._metrics = metrics or Metrics()
        self._publisher = Publisher(pachd, self._metrics)
        self._follower = Follower(cluster, settings.progress_interval)
        self._unanswered: dict[tuple[str, str], tuple[Sync, Status, Report | None]] = {}

    def close(self) -> None:
        """Leave publishes under way to the next operator."""
        self._publisher.close()

    async def reconcile(self, key: tuple[str, str]) -> float | None:
        """Do what is due for the sync (namespace, name); return the seconds after which to look again, or None."""
        unanswered = self._unanswered.pop(key, None)
        about_sync(*key)
        sync = await self._cluster.get_sync(*key)
        if sync is None:
            self._publisher.forget(key)
            self._follower.forget(key)
            return None
        if unanswered and unanswered[1] == sync.status:
            await self._tell(*unanswered)
        try:
            return await self._step(sync)
        except ConflictError:
            return CONFLICT_DELAY

    async def _step(self, sync: Sync) -> float | None:
        if sync.spec is None:
            await self._refuse(sync, sync.spec_error or "")
            return None
        run = current_run(sync, sync.spec, self._now())
        if is_new(sync, run):
            self._publisher.forget((sync.namespace, sync.name))
            if problem := spec_problem(sync.spec, self._settings):
                await self._refuse(sync, problem)
                return None
        else:
            if sync.status.finished:
                await self._settle(sync)
                return None
            if sync.status.next_attempt_time:
                return self._until(sync.status.next_attempt_time)
        outcome, seen = await self._advance(sync, sync.spec, run)
        status = status_after(sync, sync.spec, run, outcome, seen, self._now(), self._settings)
        await self._write(sync, status, seen.report)
        return self._look_again(outcome, status)

    async def _refuse(self, sync: Sync, problem: str) -> None:
        await self._write(sync, invalid_spec_status(sync, problem, self._now()))
        await self._end_leftovers(sync)

    def _look_again(self, outcome: Outcome, status: Status) -> float | None:
        if status.next_attempt_time:
            return self._until(status.next_attempt_time)
        if outcome.soon:
            return SOON
        if outcome.kind == "Running":
            return min(LOOK_AGAIN, self._settings.progress_interval)
        return LOOK_AGAIN if outcome.kind == "Starting" else None

    def _until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._now()).total_seconds())

    async def _settle(self, sync: Sync) -> None:
        """A new generation that means the same needs no run, but its number must be acknowledged."""
        if sync.status.observed_generation != sync.generation:
            conditions = tuple(
                item.model_copy(update={"observed_generation": sync.generation}) for item in sync.status.conditions
            )
            update = {"observed_generation": sync.generation, "conditions": conditions}
            await self._write(sync, sync.status.model_copy(update=update))
        if sync.status.phase == Phase.FAILED:
            await self._end_leftovers(sync)

    async def _end_leftovers(self, sync: Sync) -> None:
        """A sync that is given up must not write any more, however late its pod would start."""
        try:
            jobs = await self._cluster.list_tfjobs(sync)
            pods = await self._cluster.list_pods(sync) if jobs else []
        except TemporarySyncError as error:
            # Without the definition there is no TFJob; and the status says already what is final.
            logger.info("the TFJobs cannot be listed: %s", error)
            return
        writing = {_job_of(pod) for pod in pods if not pod_seen(pod).ended}
        ended = [job for job in map(job_seen, jobs) if job.state == "Active" or job.name in writing]
        await self._delete(sync, ended)

    async def _delete(self, sync: Sync, jobs: list[JobSeen]) -> None:
        for job in jobs:
            if not job.deleting:
                await self._cluster.delete_tfjob(sync.namespace, job.name)

    async def _advance(self, sync: Sync, spec: Spec, run: Run) -> tuple[Outcome, Observation]:
        """Take the run as far as it goes now, and return how it stands."""
        try:
            # In this order, the pods are never older than what their TFJob says of them.
            jobs = await self._cluster.list_tfjobs(sync)
            pods = await self._cluster.list_pods(sync)
            name = _job_name(sync, run)
            about_run(name, run.attempt)
            if waiting := await self._end_others(sync, name, jobs, pods):
                return waiting, NOTHING
            job = next((item for item in jobs if item["metadata"]["name"] == name), None)
            if job is None and (is_new(sync, run) or sync.status.tf_job_name is None):
                job = await self._start(sync, spec, run)
            seen = await self._observe(sync, spec, job, [pod for pod in pods if _job_of(pod) == name])
            outcome = judge(seen, self._now(), self._settings)
            seen = replace(seen, progress=await self._follower.progress(sync, seen, self._now()))
            if outcome.kind == "Succeeded" and seen.job and seen.job.stages:
                outcome = await self._publish(sync, spec, run, seen)
        except TemporarySyncError as error:
            return self._troubled(sync, run, error), NOTHING
        except PermanentSyncError as error:
            return Outcome("Permanent", error.reason, error.message), NOTHING
        return outcome, seen

    def _troubled(self, sync: Sync, run: Run, error: TemporarySyncError) -> Outcome:
        """A job under way is not ended because one look at it failed; before it started, an attempt is used up."""
        if error.reason == Reason.TARGET_BUSY and not self._waited_too_long(sync, Reason.TARGET_BUSY):
            return Outcome("Starting", error.reason, error.message, soon=True)
        if is_new(sync, run) or sync.status.tf_job_name is None:
            return Outcome("Retryable", error.reason, error.message)
        kind: Literal["Starting", "Running"] = "Running" if sync.status.phase == Phase.RUNNING else "Starting"
        return Outcome(kind, error.reason, error.message, troubled=True)

    async def _observe(self, sync: Sync, spec: Spec, job: Raw | None, pods: list[Raw]) -> Observation:
        """A log is shown only with the Secret at hand, whose values must not be in it."""
        logs = await self._logs(sync, pods)
        try:
            secret = await secret_of(self._cluster, sync, spec) if logs else {}
        except TemporarySyncError:
            # The job has what it needs; a Secret that is gone by now fails the next run, not this one.
            return without_texts(observe(job, pods, logs))
        return observe(job, pods, logs, [*secret.values()])

    async def _end_others(self, sync: Sync, name: str, jobs: list[Raw], pods: list[Raw]) -> Outcome | None:
        """Delete the TFJobs of other runs; this run waits for their pods, or it would verify a mixture."""
        others = [job for job in map(job_seen, jobs) if job.name != name]
        await self._delete(sync, others)
        writing = [pod["metadata"]["name"] for pod in pods if _job_of(pod) != name and not pod_seen(pod).ended]
        # A TFJob that is only now deleted may still get a pod; its being gone is seen at the next look.
        if not others and not writing:
            return None
        text = f"{', '.join(([job.name for job in others] + writing)[:2])} of the previous run is still ending"
        if self._waited_too_long(sync, Reason.PREVIOUS_RUN_TERMINATING):
            return Outcome("Retryable", Reason.PREVIOUS_RUN_TERMINATING, text)
        return Outcome("Starting", Reason.PREVIOUS_RUN_TERMINATING, text, soon=True)

    def _waited_too_long(self, sync: Sync, reason: Reason) -> bool:
        ready = sync.status.condition(ConditionType.READY)
        if ready is None or ready.reason != reason:
            return False
        return self._now() - ready.last_transition_time > timedelta(seconds=self._settings.start_deadline)

    async def _start(self, sync: Sync, spec: Spec, run: Run) -> Raw:
        """Make repo and branch, then the TFJob."""
        opened = await open_sync(self._cluster, sync, spec)
        staging = await self._prepare(sync, spec, run, opened) if is_atomic(spec, self._settings) else None
        if staging is None or spec.effective_client is not Client.PFS:
            # What keeps the job from the gateway is told at once, not once its pod has started.
            url = endpoint_url(spec, self._settings)
            if await self._gateway.ensure_bucket(url, spec.bucket, opened.credentials, opened.tls):
                await self._tell_of_branch(sync, spec)
        found = Found(opened.secret_keys, opened.certificate_keys, staging)
        job = await self._cluster.create_tfjob(tfjob(sync, spec, run, self._settings, found))
        owners = [owner["uid"] for owner in job["metadata"].get("ownerReferences", ())]
        if sync.uid not in owners:
            text = f"a TFJob '{job['metadata']['name']}' that is not this sync's is in the way; delete it"
            raise TemporarySyncError(Reason.NAME_CONFLICT, text)
        return job

    async def _prepare(self, sync: Sync, spec: Spec, run: Run, opened: Opened) -> Staging:
        order = Order(sync, spec, run, opened.target(spec, self._settings))
        staging, created = await self._publisher.prepare(order)
        if created:
            await self._tell_of_branch(sync, spec)
        await self._publisher.remove_earlier(order)
        return staging

    async def _tell_of_branch(self, sync: Sync, spec: Spec) -> None:
        note = f"created branch '{spec.effective_branch}' of repo '{spec.repo}'"
        await self._cluster.post_event(sync, "Normal", "BranchCreated", note)

    async def _publish(self, sync: Sync, spec: Spec, run: Run, seen: Observation) -> Outcome:
        """Take the publish as far as it goes now; trouble is waited out within the limit, with what was staged kept."""
        try:
            opened = await open_sync(self._cluster, sync, spec)
        except PermanentSyncError as error:
            return Outcome("Permanent", error.reason, error.message)
        except TemporarySyncError as error:
            return self._within_limit(seen, _publish_trouble(error))
        order = Order(sync, spec, run, opened.target(spec, self._settings))
        try:
            outcome = await self._publisher.publish(order, seen)
        except PermanentSyncError as error:
            outcome = Outcome("Permanent", error.reason, error.message)
        except TemporarySyncError as error:
            outcome = _publish_trouble(error)
        outcome = self._within_limit(seen, outcome)
        if outcome.kind in ("Retryable", "Permanent"):
            await self._publisher.give_up(order)
        return outcome

    def _within_limit(self, seen: Observation, outcome: Outcome) -> Outcome:
        late = seen.ended is not None and self._now() - seen.ended > timedelta(seconds=self._settings.publish_deadline)
        if outcome.kind != "Running" or not late:
            return outcome
        text = f"{outcome.message}; not published within {self._settings.publish_deadline} seconds"
        reason = Reason.DEADLINE_EXCEEDED if outcome.reason == Reason.PROGRESSING else outcome.reason
        return Outcome("Retryable", reason, text)

    async def _logs(self, sync: Sync, pods: list[Raw]) -> dict[str, str]:
        ended = [pod["metadata"]["name"] for pod in pods if pod_seen(pod).exit_code is not None]
        texts = await asyncio.gather(*(self._cluster.pod_log(sync.namespace, name) for name in ended))
        return dict(zip(ended, texts, strict=True))

    async def _write(self, sync: Sync, status: Status, report: Report | None = None) -> None:
        """Write the status if it says anything new, and tell of it."""
        if status == sync.status:
            return
        try:
            written = await self._cluster.write_status(sync, status)
        except ConflictError:
            raise
        except BaseException:
            # The answer alone may be lost: the next look shows whether there is anything to tell.
            self._unanswered[sync.namespace, sync.name] = (sync, status, report)
            raise
        if written:
            await self._tell(sync, status, report)

    async def _tell(self, sync: Sync, status: Status, report: Report | None) -> None:
        """Count what a written status brought to an end, and post an event if people should hear of it."""
        self._metrics.status_written(sync.status, status, report)
        if event := transition_event(sync.status, status):
            logger.info("%s: %s", event[1], event[2])
            await self._cluster.post_event(sync, *event)


def transition_event(before: Status, after: Status) -> tuple[EventType, str, str] | None:
    """Return type, reason and note of the event that tells of the change, or None where people need not hear of it."""
    ready_before, ready = before.condition(ConditionType.READY), after.condition(ConditionType.READY)
    if ready is None:
        return None
    same = ready_before is not None and ready_before.reason == ready.reason
    if (before.phase, before.attempt, before.spec_digest) == (after.phase, after.attempt, after.spec_digest) and same:
        return None
    if ready.status == "False":
        return "Warning", ready.reason, ready.message
    if after.phase == Phase.STARTING and after.tf_job_name:
        return "Normal", "TFJobCreated", f"TFJob '{after.tf_job_name}' is created (attempt {after.attempt})"
    return ("Normal", ready.reason, ready.message) if ready.status == "True" else None


def _publish_trouble(error: TemporarySyncError) -> Outcome:
    """What was staged is lost with a failed commit; any other trouble, and a target that is busy, is waited out."""
    if error.reason == Reason.COMMIT_FAILED:
        return Outcome("Retryable", error.reason, error.message)
    busy = error.reason == Reason.TARGET_BUSY
    return Outcome("Running", error.reason, error.message, troubled=not busy, soon=True)


def _job_name(sync: Sync, run: Run) -> str:
    """A TFJob under way keeps the name it was given, perhaps by another version of the operator."""
    return run_name(sync, run) if is_new(sync, run) else sync.status.tf_job_name or run_name(sync, run)


def _job_of(pod: Raw) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["name"]) for owner in owners if owner.get("kind") == "TFJob"), "")
