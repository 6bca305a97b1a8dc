"""The order of the steps that bring a sync to its end; nothing else.

Everything that decides stands in the cluster, so an operator that is killed between any two steps goes on from there.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from s3sync_operator.access import endpoint_url
from s3sync_operator.admission import Admission
from s3sync_operator.api import Client, ConcurrencyPolicy, Phase, Reason, Spec, Status, Sync, Trigger
from s3sync_operator.cluster import Cluster, Raw
from s3sync_operator.deletion import Deletion, finalizers_of, is_held
from s3sync_operator.desired import Found, Run, Staging, run_name
from s3sync_operator.ended_logs import EndedLogs
from s3sync_operator.errors import ConflictError, PermanentSyncError, SyncError, TemporarySyncError
from s3sync_operator.following import Follower
from s3sync_operator.log_context import about_run, about_sync
from s3sync_operator.metrics import Metrics
from s3sync_operator.observed import (
    NOTHING,
    JobSeen,
    Observation,
    created,
    job_seen,
    observe,
    pod_seen,
    unexplained,
    without_texts,
)
from s3sync_operator.opening import Opened, open_sync, secret_of
from s3sync_operator.pachd import Pachd
from s3sync_operator.pachyderm import Gateway
from s3sync_operator.publisher import Order, Publisher
from s3sync_operator.rendering import job_object
from s3sync_operator.report import Report
from s3sync_operator.runners import KINDS, JobKind, job_of_pod, kind_of
from s3sync_operator.runs import current_run, has_failed, is_new, limits
from s3sync_operator.schedule import schedule_problem
from s3sync_operator.settings import Settings
from s3sync_operator.staging import is_atomic, spec_problem
from s3sync_operator.standing import held, queued, settled
from s3sync_operator.status import Outcome, deleting_status, invalid_spec_status, judge, status_after
from s3sync_operator.transitions import transition_events

# Pods and jobs wake the reconciler by themselves; looking again at times finds what no event tells.
LOOK_AGAIN = 15.0
SOON, SOONER_THAN_LATER = 1.0, 10
CONFLICT_DELAY = 1.0
LONGEST_WAIT = 3600.0
QUIETLY_ENDING = 30.0
# What waits for so many seconds without saying why is looked for in Events, of a few objects at a time.
UNEXPLAINED = 5.0
MOST_EXPLAINED = 4

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
        admission: Admission | None = None,
    ) -> None:
        self._cluster = cluster
        self._gateway = gateway
        self._settings = settings
        self._now = now
        self._metrics = metrics or Metrics()
        self._publisher = Publisher(pachd, self._metrics)
        self._follower = Follower(cluster, settings.progress_interval)
        self._ended_logs = EndedLogs(cluster)
        self._admission = admission or Admission()
        self._deletion = Deletion(cluster, pachd, settings, now)
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
            self._admission.leave(key)
            return None
        if unanswered and unanswered[1] == sync.status:
            await self._tell(*unanswered)
        try:
            return await self._step(sync)
        except ConflictError:
            return CONFLICT_DELAY

    async def _step(self, sync: Sync) -> float | None:
        if sync.deleted_at:
            return await self._leave(sync, sync.deleted_at)
        if sync.spec is None:
            return await self._refuse(sync, sync.spec_error or "")
        return 0.0 if await self._fit_finalizers(sync, sync.spec) else await self._decide(sync, sync.spec)

    async def _decide(self, sync: Sync, spec: Spec) -> float | None:
        run = current_run(sync, spec, self._now())
        new = is_new(sync, run)
        if problem := schedule_problem(spec.trigger) or (spec_problem(spec, self._settings) if new else None):
            return await self._refuse(sync, problem)
        if spec.suspend and (new or sync.status.next_attempt_time):
            return await self._hold(sync, spec, run)
        if not new:
            return await self._look_after(sync, spec, run)
        pause = await self._begin(sync, spec, run)
        return await self._go_on(sync, spec, run) if pause is None else pause

    async def _look_after(self, sync: Sync, spec: Spec, run: Run) -> float | None:
        if sync.status.finished:
            return await self._settle(sync, spec)
        if sync.status.next_attempt_time:
            return await self._await_attempt(sync, spec, sync.status.next_attempt_time)
        return await self._go_on(sync, spec, run)

    async def _go_on(self, sync: Sync, spec: Spec, run: Run) -> float | None:
        """Take the attempt as far as it goes now, and write how it stands."""
        self._admission.occupy(sync.key, endpoint_url(spec, self._settings))
        settings = limits(spec, self._settings)
        outcome, seen = await self._advance(sync, spec, run, settings)
        status = status_after(sync, spec, run, outcome, seen, self._now(), settings)
        await self._write(sync, status, seen.report)
        if status.finished or status.next_attempt_time:
            self._admission.leave(sync.key)
        if outcome.reason == Reason.DEADLINE_EXCEEDED:
            await self._end_leftovers(sync)
        return self._look_again(outcome, status, seen, settings)

    async def _leave(self, sync: Sync, deleted_at: datetime) -> float | None:
        """Clean up after a sync that is deleted, as far as it goes now."""
        self._publisher.forget(sync.key)
        self._admission.leave(sync.key)
        held_by = await self._deletion.go_on(sync, self._still_ending)
        if held_by is None:
            return None
        # Pods take a while to end, of which nobody needs to hear.
        if held_by.reason != Reason.DELETING or self._now() - deleted_at > timedelta(seconds=QUIETLY_ENDING):
            await self._write(sync, deleting_status(sync, held_by.reason, held_by.message, self._now()))
        return self._deletion.pause(sync)

    async def _still_ending(self, sync: Sync) -> str | None:
        """End the sync's jobs, and name what of them is still there."""
        jobs = await self._all_jobs(sync)
        waiting = await self._end_others(sync, "", jobs, await self._cluster.list_pods(sync))
        return waiting.message if waiting else None

    async def _fit_finalizers(self, sync: Sync, spec: Spec) -> bool:
        """Hold the sync where it is to be cleaned up after, and let go of it where not; tell whether that was written.

        Where it must not be written, no run begins: see `_start`.
        """
        wanted = finalizers_of(sync, spec, self._settings)
        if wanted == sync.finalizers:
            return False
        try:
            return await self._cluster.write_finalizers(sync, wanted)
        except TemporarySyncError as error:
            logger.warning("its finalizers are not written: %s", error)
            return False

    async def _refuse(self, sync: Sync, problem: str) -> float | None:
        await self._write(sync, invalid_spec_status(sync, problem, self._now()))
        await self._end_replaced(sync)
        self._admission.leave(sync.key)
        return None

    async def _hold(self, sync: Sync, spec: Spec, run: Run) -> float | None:
        """Begin nothing; a run under way that the spec no longer means is over."""
        status = held(sync, spec, run, self._now())
        await self._write(sync, status)
        self._admission.leave(sync.key)
        if status.spec_digest is None:
            await self._end_replaced(sync)
        pauses = [self._until_next(status), await self._end_kept_jobs(sync, spec) if status.finished else None]
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _end_replaced(self, sync: Sync) -> None:
        self._publisher.forget(sync.key)
        await self._end_leftovers(sync)

    async def _begin(self, sync: Sync, spec: Spec, run: Run) -> float | None:
        """Return None if the attempt may begin now, else the seconds after which to look again."""
        key = sync.key
        if not self._admission.ask(key, endpoint_url(spec, self._settings)):
            return await self._queue_up(sync, spec, run)
        self._publisher.forget(key)
        if run.trigger is Trigger.SPEC and not self._admission.capped:
            return None
        # What began the run, and that it counts, must stand in the cluster before its job does: an operator that starts
        # anew could tell neither, since the time has moved on by then.
        begins = Outcome("Starting", Reason.PROGRESSING, "the run begins")
        settings = limits(spec, self._settings)
        await self._write(sync, status_after(sync, spec, run, begins, NOTHING, self._now(), settings))
        return 0.0

    async def _queue_up(self, sync: Sync, spec: Spec, run: Run) -> float:
        """Write the place in the queue, but not at each look: a thousand that wait would never be done with that."""
        if not self._admission.ready:
            return SOON
        key, now = sync.key, self._now()
        may_tell = self._admission.may_tell(key, now)
        if may_tell or sync.status.phase != Phase.QUEUED or sync.status.observed_generation != sync.generation:
            status = queued(sync, spec, run, self._admission.place(key), now)
            await self._write(sync, status)
            if status.spec_digest is None:
                await self._end_replaced(sync)
        kept = await self._end_kept_jobs(sync, spec) if sync.status.next_attempt_time is None else None
        return min(self._admission.refresh_after(key), LONGEST_WAIT if kept is None else kept)

    def _look_again(self, outcome: Outcome, status: Status, seen: Observation, settings: Settings) -> float | None:
        if status.finished:
            return self._until_next(status)
        if status.next_attempt_time:
            return self._until(status.next_attempt_time)
        if outcome.soon:
            return self._soon(status, seen)
        usual = min(LOOK_AGAIN, settings.progress_interval) if outcome.kind == "Running" else LOOK_AGAIN
        return min(usual, self._until_overdue(seen, settings))

    def _until_overdue(self, seen: Observation, settings: Settings) -> float:
        if seen.job is None or seen.job.suspended:
            return LONGEST_WAIT
        return self._until(seen.job.begun + timedelta(seconds=settings.run_deadline, milliseconds=1)) or SOON

    def _soon(self, status: Status, seen: Observation) -> float:
        """Return a pause that is the longer, the longer it is waited already: since the job's end, if it has ended."""
        since = seen.ended or (status.telling.last_transition_time if status.telling else None) or self._now()
        waited = (self._now() - since).total_seconds()
        return min(LOOK_AGAIN, max(SOON, waited / SOONER_THAN_LATER))

    def _until_next(self, status: Status) -> float | None:
        """Clocks are set, and machines sleep: what is far away is looked for in steps."""
        if status.next_schedule_time is None or status.next_schedule_time <= self._now():
            return None
        return min(LONGEST_WAIT, self._until(status.next_schedule_time))

    def _until(self, moment: datetime) -> float:
        return max(0.0, (moment - self._now()).total_seconds())

    async def _await_attempt(self, sync: Sync, spec: Spec, due: datetime) -> float:
        self._admission.leave(sync.key)
        pauses = [self._until(due)]
        if spec.concurrency_policy is ConcurrencyPolicy.REPLACE and (start := self._until_next(sync.status)):
            pauses.append(start)
        return min(pauses)

    async def _settle(self, sync: Sync, spec: Spec) -> float | None:
        """A new generation that means the same needs no run, but its number must be acknowledged."""
        self._admission.leave(sync.key)
        if sync.status.observed_generation != sync.generation:
            # A spec in between may have got a job that nobody came to write down. Before that is known, the number is
            # not acknowledged: whoever looks next would have no reason to ask.
            try:
                await self._end_strays(sync)
            except TemporarySyncError as error:
                logger.warning("the jobs cannot be listed: %s", error)
                return LOOK_AGAIN
        status = settled(sync, spec, self._now())
        await self._write(sync, status)
        if has_failed(status):
            await self._end_leftovers(sync)
        pauses = [self._until_next(status), await self._end_kept_jobs(sync, spec)]
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _end_kept_jobs(self, sync: Sync, spec: Spec) -> float | None:
        """Delete the job of a finished run once it has been kept long enough; return the seconds until then.

        The TFJob's own field for that is not used: it has lagged by hours, and knows of no publish.
        """
        kept = spec.run_policy.ttl_seconds_after_finished if spec.run_policy else None
        if kept is None or sync.status.completion_time is None:
            return None
        if pause := self._until(sync.status.completion_time + timedelta(seconds=kept)):
            return min(LONGEST_WAIT, pause)
        jobs, _ = await self._jobs_and_pods(sync)
        await self._delete(sync, [job_seen(job) for job in jobs])
        return None

    async def _end_leftovers(self, sync: Sync) -> None:
        """A sync that is given up must not write any more, however late its pod would start."""
        await self._delete(sync, _writing_jobs(*await self._jobs_and_pods(sync)))

    async def _end_strays(self, sync: Sync) -> None:
        """End all jobs that may write but that of the run that is written down; raises where they cannot be listed."""
        jobs = [job for job in await self._all_jobs(sync) if job["metadata"]["name"] != sync.status.job]
        await self._delete(sync, _writing_jobs(jobs, await self._cluster.list_pods(sync)) if jobs else [])

    async def _jobs_and_pods(self, sync: Sync) -> tuple[list[Raw], list[Raw]]:
        """Return what there is of a sync whose status says already what is final; nothing where it cannot be listed."""
        try:
            jobs = await self._all_jobs(sync)
            return jobs, await self._cluster.list_pods(sync) if jobs else []
        except TemporarySyncError as error:
            logger.info("the jobs cannot be listed: %s", error)
            return [], []

    async def _delete(self, sync: Sync, jobs: list[JobSeen]) -> None:
        for job in jobs:
            if not job.deleting:
                await self._cluster.delete_job(sync.namespace, job.kind, job.name)

    async def _all_jobs(self, sync: Sync) -> list[Raw]:
        """Return the sync's jobs of every kind that the cluster has."""
        return [job for kind in KINDS for job in await self._jobs_if_known(sync, kind)]

    async def _jobs_if_known(self, sync: Sync, kind: JobKind) -> list[Raw]:
        try:
            return await self._cluster.list_jobs(sync, kind)
        except TemporarySyncError as error:
            if error.reason != Reason.TFJOB_CRD_NOT_INSTALLED:
                raise
            return []

    async def _jobs(self, sync: Sync, spec: Spec, run: Run) -> list[Raw]:
        """Return the sync's jobs: once the run has its own, those of other kinds have ended."""
        own = kind_of(spec.effective_runner)
        jobs = await self._cluster.list_jobs(sync, own)
        if not is_new(sync, run) and sync.status.job:
            return jobs
        others = [job for kind in KINDS if kind is not own for job in await self._jobs_if_known(sync, kind)]
        return jobs + others

    async def _advance(self, sync: Sync, spec: Spec, run: Run, settings: Settings) -> tuple[Outcome, Observation]:
        """Take the run as far as it goes now, and return how it stands."""
        try:
            # In this order, the pods are never older than what their job says of them.
            jobs = await self._jobs(sync, spec, run)
            pods = await self._cluster.list_pods(sync)
            name = _job_name(sync, run)
            about_run(name, run.attempt)
            if waiting := await self._end_others(sync, name, jobs, pods):
                return waiting, NOTHING
            job = next((item for item in jobs if item["metadata"]["name"] == name), None)
            if job is None and (is_new(sync, run) or sync.status.job is None):
                job = await self._start(sync, spec, run, settings)
            seen = await self._observe(sync, spec, job, [pod for pod in pods if job_of_pod(pod) == name])
            outcome = judge(seen, self._now(), settings)
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
        if is_new(sync, run) or sync.status.job is None:
            return Outcome("Retryable", error.reason, error.message)
        kind: Literal["Starting", "Running"] = "Running" if sync.status.phase == Phase.RUNNING else "Starting"
        return Outcome(kind, error.reason, error.message, troubled=True)

    async def _observe(self, sync: Sync, spec: Spec, job: Raw | None, pods: list[Raw]) -> Observation:
        """A log is shown only with the Secret at hand, whose values must not be in it."""
        logs = await self._logs(sync, pods)
        warnings = await self._warnings(sync, job, pods)
        secret: Mapping[str, str] | None = {}
        try:
            secret = await secret_of(self._cluster, sync, spec) if logs else {}
        except TemporarySyncError:
            # The job has what it needs; a Secret that is gone by now fails the next run, not this one.
            secret = None
        seen = observe(job, pods, logs, [*(secret or {}).values()], warnings, kind_of(spec.effective_runner))
        return without_texts(seen) if secret is None else seen

    async def _warnings(self, sync: Sync, job: Raw | None, pods: list[Raw]) -> dict[str, str]:
        """Return what Events tell of what waits for longer than it usually takes, by the objects' names."""
        late = [item for item in unexplained(job, pods) if self._now() - created(item) > timedelta(seconds=UNEXPLAINED)]
        found = [(item["metadata"]["name"], item["metadata"]["uid"]) for item in late[:MOST_EXPLAINED]]
        notes = await asyncio.gather(*(self._cluster.warnings(sync.namespace, uid) for _, uid in found))
        return {name: note for (name, _), note in zip(found, notes, strict=True) if note}

    async def _end_others(self, sync: Sync, name: str, jobs: list[Raw], pods: list[Raw]) -> Outcome | None:
        """Delete the jobs of other runs; this run waits for their pods, or it would verify a mixture."""
        others = [job for job in map(job_seen, jobs) if job.name != name]
        await self._delete(sync, others)
        writing = [pod["metadata"]["name"] for pod in pods if job_of_pod(pod) != name and not pod_seen(pod).ended]
        # A job that is only now deleted may still get a pod; its being gone is seen at the next look.
        if not others and not writing:
            return None
        text = f"{', '.join(([job.name for job in others] + writing)[:2])} of the previous run is still ending"
        if self._waited_too_long(sync, Reason.PREVIOUS_RUN_TERMINATING):
            return Outcome("Retryable", Reason.PREVIOUS_RUN_TERMINATING, text)
        return Outcome("Starting", Reason.PREVIOUS_RUN_TERMINATING, text, soon=True)

    def _waited_too_long(self, sync: Sync, reason: Reason) -> bool:
        telling = sync.status.telling
        if telling is None or telling.reason != reason:
            return False
        return self._now() - telling.last_transition_time > timedelta(seconds=self._settings.start_deadline)

    async def _start(self, sync: Sync, spec: Spec, run: Run, settings: Settings) -> Raw:
        """Make repo and branch, then the TFJob or Job."""
        if (wanted := finalizers_of(sync, spec, self._settings)) != sync.finalizers:
            await self._cluster.write_finalizers(sync, wanted)
            raise ConflictError("it was changed just now")
        opened = await open_sync(self._cluster, sync, spec)
        staging = await self._staged_where(sync, spec, run, opened)
        if staging is None or spec.effective_client is not Client.PFS:
            # What keeps the job from the gateway is told at once, not once its pod has started.
            url = endpoint_url(spec, self._settings)
            if await self._gateway.ensure_bucket(url, spec.bucket, opened.credentials, opened.tls):
                await self._tell_of_branch(sync, spec)
        found = Found(opened.secret_keys, opened.certificate_keys, staging)
        job = await self._cluster.create_job(job_object(sync, spec, run, settings, found))
        owners = [owner["uid"] for owner in job["metadata"].get("ownerReferences", ())]
        if sync.uid not in owners:
            text = f"a {job['kind']} '{job['metadata']['name']}' that is not this sync's is in the way; delete it"
            raise TemporarySyncError(Reason.NAME_CONFLICT, text)
        return job

    async def _staged_where(self, sync: Sync, spec: Spec, run: Run, opened: Opened) -> Staging | None:
        """Make the target ready by pachd, where that has a part in it; return where to stage, None where Direct."""
        atomic = is_atomic(spec, self._settings)
        if not (atomic or is_held(spec, self._settings) or spec.effective_client is Client.PFS):
            return None
        order = Order(sync, spec, run, opened.target(spec, self._settings))
        if atomic or is_held(spec, self._settings):
            await self._make_branch(order)
        if atomic:
            return await self._prepare(order)
        try:
            await self._publisher.release(order)
        except SyncError as error:
            # The job says it itself where that is in its way.
            logger.info("what an earlier run may hold open is left: %s", error)
        return None

    async def _make_branch(self, order: Order) -> None:
        """Make repo and branch where they are missing; that the branch is the sync's own is written down at once."""
        made = await self._publisher.ensure_branch(order)
        if made is None:
            return
        sync = order.sync
        await self._cluster.write_status(sync, sync.status.model_copy(update={"branch_created_at": made}))
        await self._tell_of_branch(sync, order.spec)
        raise ConflictError("it was changed just now")

    async def _prepare(self, order: Order) -> Staging:
        staging = await self._publisher.prepare(order)
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
        ended = [pod["metadata"] for pod in pods if pod_seen(pod).exit_code is not None]
        return await self._ended_logs.read(sync.namespace, ((item["name"], item.get("uid", "")) for item in ended))

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
            self._unanswered[sync.key] = (sync, status, report)
            raise
        if written:
            await self._tell(sync, status, report)

    async def _tell(self, sync: Sync, status: Status, report: Report | None) -> None:
        """Count what a written status brought to an end, and post an event if people should hear of it."""
        self._metrics.status_written(sync.status, status, report)
        for event in transition_events(sync.status, status):
            logger.log(logging.WARNING if event[0] == "Warning" else logging.INFO, "%s: %s", event[1], event[2])
            await self._cluster.post_event(sync, *event)


def _publish_trouble(error: TemporarySyncError) -> Outcome:
    """What was staged is lost with a failed commit; any other trouble, and a target that is busy, is waited out."""
    if error.reason in (Reason.COMMIT_FAILED, Reason.INPUT_CHANGED):
        return Outcome("Retryable", error.reason, error.message)
    busy = error.reason == Reason.TARGET_BUSY
    return Outcome("Running", error.reason, error.message, troubled=not busy, soon=True)


def _job_name(sync: Sync, run: Run) -> str:
    """A job under way keeps the name it was given, perhaps by another version of the operator."""
    return run_name(sync, run) if is_new(sync, run) else sync.status.job or run_name(sync, run)


def _writing_jobs(jobs: Iterable[Raw], pods: Iterable[Raw]) -> list[JobSeen]:
    """Return the jobs that may still write."""
    writing = {job_of_pod(pod) for pod in pods if not pod_seen(pod).ended}
    return [job for job in map(job_seen, jobs) if job.state == "Active" or job.name in writing]
