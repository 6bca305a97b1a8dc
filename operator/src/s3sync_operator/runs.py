"""Pure: which run a sync is at, and what begins the next one: its spec, its schedule, or a request.

A spec that means something new is run at once, and so is one that failed for good and was changed in anything but
`suspend`. A finished spec is run once more for each new request, and once for all times of its schedule that have come
since its last run began. While a run is under way the next one waits (concurrencyPolicy Forbid) or takes its place
(Replace); between two attempts nothing is under way that a request would have to wait for.
"""

from dataclasses import replace
from datetime import datetime

from s3sync_operator.api import ConcurrencyPolicy, Phase, Spec, Status, Sync, Trigger, to_utc_text
from s3sync_operator.desired import Run
from s3sync_operator.schedule import ScheduleError, Timetable, timetable
from s3sync_operator.settings import Settings


def limits(spec: Spec, settings: Settings) -> Settings:
    """Return the operator's settings as far as the sync's run policy does not say otherwise."""
    policy = spec.run_policy
    if policy is None:
        return settings
    attempts = settings.max_attempts if policy.backoff_limit is None else policy.backoff_limit + 1
    deadline = policy.active_deadline_seconds or settings.run_deadline
    return replace(settings, max_attempts=attempts, run_deadline=deadline)


def current_run(sync: Sync, spec: Spec, now: datetime) -> Run:
    """Return the run that the sync is at: the one in its status, its next attempt once that is due, or a new one."""
    recorded = recorded_run(sync, spec.digest)
    if recorded is None or (has_failed(sync.status) and _reapplied(sync, spec)):
        return Run(sync.generation, 1, spec.digest)
    if following := _following(sync, spec, now):
        return following
    due = sync.status.next_attempt_time is not None and sync.status.next_attempt_time <= now
    return replace(recorded, attempt=recorded.attempt + 1) if due else recorded


def recorded_run(sync: Sync, digest: str) -> Run | None:
    """Return the run that the status speaks of, or None where that is no run of the spec with this digest.

    Another version of the operator may have left fields out or take the digest otherwise; the spec of one generation is
    the same all the same.
    """
    status = sync.status
    if status.spec_digest is None and status.job is None:
        return None
    generation = _run_generation(sync)
    if status.spec_digest != digest and generation != sync.generation:
        return None
    trigger = status.trigger or Trigger.SPEC
    return Run(generation, status.attempt or 1, status.spec_digest or digest, trigger, _occasion(status, trigger))


def _run_generation(sync: Sync) -> int:
    known = (sync.status.run_generation, sync.status.observed_generation, sync.generation)
    return next(generation for generation in known if generation is not None and generation > 0)


def _occasion(status: Status, trigger: Trigger) -> str:
    if trigger is Trigger.REQUEST:
        return status.last_handled_run_request or ""
    if trigger is Trigger.SCHEDULE and status.last_schedule_time:
        return to_utc_text(status.last_schedule_time)
    return ""


def is_new(sync: Sync, run: Run) -> bool:
    """Tell whether the status does not yet speak of this attempt."""
    return recorded_run(sync, run.digest) != run


def begins_run(sync: Sync, run: Run) -> bool:
    """Tell whether the status does not yet speak of the run, in whichever attempt."""
    recorded = recorded_run(sync, run.digest)
    return recorded is None or recorded.first_attempt != run.first_attempt


def is_rerun(sync: Sync, run: Run) -> bool:
    """Tell whether the run repeats what has succeeded: until it has ended, the sync stays as ready as that left it."""
    return run.trigger is not Trigger.SPEC and sync.status.ready


def has_failed(status: Status) -> bool:
    """Tell whether the last run has failed for good and none has begun since."""
    return status.phase is Phase.FAILED or (
        status.finished and status.phase is not Phase.SUCCEEDED and not status.ready
    )


def _reapplied(sync: Sync, spec: Spec) -> bool:
    """Versions that kept no digest of the whole spec saw its generation at least."""
    known = sync.status.applied_digest
    return sync.status.observed_generation != sync.generation if known is None else known != spec.applied_digest


def _following(sync: Sync, spec: Spec, now: datetime) -> Run | None:
    """Return the run that is due and need not wait for the one that the status speaks of."""
    replaces = spec.concurrency_policy is ConcurrencyPolicy.REPLACE and not spec.suspend
    free = sync.status.finished or replaces
    if (free or sync.status.next_attempt_time) and requested(sync):
        return Run(sync.generation, 1, spec.digest, Trigger.REQUEST, sync.run_request or "")
    if free and (time := due_time(sync, spec, now)):
        return Run(sync.generation, 1, spec.digest, Trigger.SCHEDULE, to_utc_text(time))
    return None


def requested(sync: Sync) -> bool:
    """Tell whether a run is asked for by a token that none was begun for yet."""
    return sync.run_request is not None and sync.run_request != sync.status.last_handled_run_request


def times_of(sync: Sync, spec: Spec) -> Timetable | None:
    """Return the times of the sync's schedule; None where it has none, or one that never comes."""
    try:
        return timetable(spec.trigger, sync.uid) if spec.trigger else None
    except ScheduleError:
        return None


def due_time(sync: Sync, spec: Spec, now: datetime) -> datetime | None:
    """Return the last of the schedule's times that no run was begun for yet, or None.

    The status holds the first of them. One that the schedule does not have is another schedule's, which is over.
    """
    times, start = times_of(sync, spec), sync.status.next_schedule_time
    if times is None or start is None or start > now or not times.has_start(start):
        return None
    return times.time_of_last_start(now)


def next_start(sync: Sync, spec: Spec, now: datetime, *, begins: bool) -> datetime | None:
    """Return the next start by the schedule, which may be past; a run that `begins` now is for all until now."""
    times, start = times_of(sync, spec), sync.status.next_schedule_time
    if times is None:
        return None
    if start and not begins and times.has_start(start):
        return start
    return times.start_after(now)
