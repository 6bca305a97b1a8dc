"""Pure: what a sync's status tells beyond its present run: what began it, what comes next, and what was before."""

from datetime import datetime
from typing import Any, Literal

from s3sync_operator.api import ConditionType, PastRun, Phase, Spec, Status, Sync, Trigger
from s3sync_operator.desired import Run
from s3sync_operator.durations import duration_text
from s3sync_operator.runs import begins_run, due_time, next_start

LASTING = (
    "last_handled_run_request",
    "last_schedule_time",
    "last_successful_time",
    "consecutive_failures",
    "history",
    "branch_created_at",
)
"""Fields of the status that no run, and no spec that breaks a rule, makes an end of."""


def lasting(status: Status, limit: int) -> dict[str, Any]:
    """Return the fields that outlive any run, with at most `limit` runs in the history."""
    kept = {name: getattr(status, name) for name in LASTING}
    kept["history"] = status.history and status.history[:limit]
    if kept["last_successful_time"] is None and status.phase is Phase.SUCCEEDED:
        # Versions before this field told of the last run alone.
        kept["last_successful_time"] = status.completion_time
    return kept


def always(sync: Sync, spec: Spec, now: datetime) -> dict[str, Any]:
    """Return the lasting fields as they are while no run begins or ends."""
    return lasting(sync.status, spec.effective_history_limit) | {
        "observed_generation": sync.generation,
        "applied_digest": spec.applied_digest,
        "next_schedule_time": next_start(sync, spec, now, begins=False),
    }


def at_run(sync: Sync, spec: Spec, run: Run, now: datetime) -> dict[str, Any]:
    """Return the lasting fields, and what began the run, while that goes on; if it begins, all that was due is done."""
    if not begins_run(sync, run):
        return always(sync, spec, now) | {"trigger": run.trigger}
    due = _occasion_time(run) or due_time(sync, spec, now)
    return (
        always(sync, spec, now)
        | replaced(sync, spec.effective_history_limit, now)
        | {
            "trigger": run.trigger,
            "next_schedule_time": next_start(sync, spec, now, begins=True),
            "last_schedule_time": due or sync.status.last_schedule_time,
            "last_handled_run_request": sync.run_request or sync.status.last_handled_run_request,
        }
    )


def _occasion_time(run: Run) -> datetime | None:
    return datetime.fromisoformat(run.occasion) if run.trigger is Trigger.SCHEDULE else None


def replaced(sync: Sync, limit: int, now: datetime) -> dict[str, Any]:
    """Return the history, of at most `limit` runs, with the run of the status if that ends before its time."""
    status = sync.status
    if status.finished or (status.spec_digest is None and status.job is None):
        return {}
    past = _past(status, "Replaced", "Replaced", now)
    return {"history": _with(past, status, limit)}


def at_end(ended: Status, spec: Spec) -> Status:
    """Return the status of a run that has just ended, with that run in its history."""
    if ended.completion_time is None:
        return ended
    ready = ended.condition(ConditionType.READY)
    result: Literal["Succeeded", "Failed"] = "Succeeded" if ended.ready else "Failed"
    past = _past(ended, result, ready.reason if ready else "", ended.completion_time)
    failures = 0 if ended.ready else (ended.consecutive_failures or 0) + 1
    update: dict[str, Any] = {
        "history": _with(past, ended, spec.effective_history_limit),
        "consecutive_failures": failures,
    }
    if ended.ready:
        update["last_successful_time"] = ended.completion_time
    return ended.model_copy(update=update)


def _with(past: PastRun, status: Status, limit: int) -> tuple[PastRun, ...]:
    return (past, *(status.history or ()))[:limit]


def _past(
    status: Status, result: Literal["Succeeded", "Failed", "Replaced"], reason: str, completed: datetime
) -> PastRun:
    counts = status.counts.model_dump(include={"files", "bytes", "verified", "failed"}) if status.counts else {}
    return PastRun(
        result=result,
        reason=reason,
        trigger=status.trigger or Trigger.SPEC,
        attempts=status.attempt or 1,
        start_time=status.start_time,
        completion_time=completed,
        duration=duration_text(completed - status.start_time) if status.start_time else None,
        commit=status.commit,
        **counts,
    )
