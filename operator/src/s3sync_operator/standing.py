"""Pure: the status of a sync whose run does not begin: suspended, waiting in the queue, or with nothing to do.

See the table in status.py. A run that a new spec wants and that has not begun leaves no run in the status: whatever the
spec is once it may begin, that is a new run.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from s3sync_operator.api import Condition, ConditionType, Phase, Reason, Spec, Status, Sync, Trigger
from s3sync_operator.desired import Run
from s3sync_operator.ledger import always, replaced
from s3sync_operator.runs import begins_run
from s3sync_operator.status import condition


def settled(sync: Sync, spec: Spec, now: datetime) -> Status:
    """Return the status of a sync whose run has ended and that nothing asks to be run again."""
    phase = sync.status.phase
    if phase in (Phase.SUSPENDED, Phase.QUEUED):
        phase = Phase.SUCCEEDED if sync.status.ready else Phase.FAILED
    return _as_it_was(sync, spec, now, phase, _kept(sync, (ConditionType.READY, ConditionType.STALLED)))


def held(sync: Sync, spec: Spec, run: Run, now: datetime) -> Status:
    """Return the status of a sync whose next run, or next attempt, suspend holds back."""
    if _of_new_spec(sync, run):
        text = "spec.suspend holds the run back; remove it, or set it to false"
        return _not_begun(sync, spec, now, Phase.SUSPENDED, [_ready_unknown(sync, Reason.SUSPENDED, text, now)])
    conditions = list(_kept(sync, (ConditionType.READY, ConditionType.STALLED)))
    due = sync.status.next_attempt_time
    if due and not sync.status.ready:
        conditions = [_failed_before(sync, now)]
    # Once it is resumed, the next attempt has waited long enough.
    update = {"next_attempt_time": due and min(due, now.replace(microsecond=0))}
    return _as_it_was(sync, spec, now, Phase.SUSPENDED, conditions, **update)


def _failed_before(sync: Sync, now: datetime) -> Condition:
    ready = sync.status.condition(ConditionType.READY)
    said = f"{ready.reason}: {ready.message}" if ready else "it does not say why"
    text = f"spec.suspend holds the next attempt back; the last one failed ({said})"
    if ready and ready.reason == Reason.SUSPENDED:
        text = ready.message
    return condition(sync, sync.status, now, ConditionType.READY, "False", Reason.SUSPENDED, text)


def queued(sync: Sync, spec: Spec, run: Run, place: int, now: datetime) -> Status:
    """Return the status of a sync whose next run, or next attempt, waits in the queue, where its place is from 1."""
    text = f"the run waits for its turn, at place {place} of the queue"
    if _of_new_spec(sync, run):
        conditions = [
            _ready_unknown(sync, Reason.QUEUED, text, now),
            condition(sync, sync.status, now, ConditionType.RECONCILING, "True", Reason.QUEUED, text),
        ]
        return _not_begun(sync, spec, now, Phase.QUEUED, conditions, queue_position=place)
    kind = ConditionType.SYNCING if sync.status.ready or sync.status.finished else ConditionType.RECONCILING
    conditions = [
        *_kept(sync, (ConditionType.READY, ConditionType.STALLED)),
        condition(sync, sync.status, now, kind, "True", Reason.QUEUED, text),
    ]
    return _as_it_was(sync, spec, now, Phase.QUEUED, conditions, queue_position=place)


def _of_new_spec(sync: Sync, run: Run) -> bool:
    return run.trigger is Trigger.SPEC and begins_run(sync, run)


def _ready_unknown(sync: Sync, reason: Reason, text: str, now: datetime) -> Condition:
    return condition(sync, sync.status, now, ConditionType.READY, "Unknown", reason, text)


def _not_begun(
    sync: Sync, spec: Spec, now: datetime, phase: Phase, conditions: Iterable[Condition], **update: Any
) -> Status:
    fields = always(sync, spec, now) | replaced(sync, spec.effective_history_limit, now) | update
    return Status(
        **fields, phase=phase, branch=spec.effective_branch, destination=spec.destination, conditions=tuple(conditions)
    )


def _as_it_was(
    sync: Sync, spec: Spec, now: datetime, phase: Phase | None, conditions: Iterable[Condition], **update: Any
) -> Status:
    fields = always(sync, spec, now) | {"queue_position": None} | update
    return sync.status.model_copy(update=fields | {"phase": phase, "conditions": tuple(conditions)})


def _kept(sync: Sync, kinds: tuple[ConditionType, ...]) -> tuple[Condition, ...]:
    update = {"observed_generation": sync.generation}
    return tuple(item.model_copy(update=update) for item in sync.status.conditions if item.type in kinds)
