"""Pure: which Events tell people of a change of a sync's status."""

from typing import Literal

from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, Phase, Reason, Status, Trigger, to_utc_text

EventType = Literal["Normal", "Warning"]
Told = tuple[EventType, str, str]
"""Type, reason and note of an Event."""

_WAITING = (Phase.SUSPENDED, Phase.QUEUED)


def transition_events(before: Status, after: Status) -> list[Told]:
    """Return the Events that tell of the change; none where people need not hear of it."""
    told = [_resumed(before, after)]
    if after.phase in _WAITING:
        told.append(_held_back(before, after))
    else:
        told.append(_begun(before, after) or _progress(before, after))
    return [event for event in told if event]


def _resumed(before: Status, after: Status) -> Told | None:
    if before.phase is not Phase.SUSPENDED or after.phase is Phase.SUSPENDED:
        return None
    return "Normal", "Resumed", "runs are no longer held back"


def _held_back(before: Status, after: Status) -> Told | None:
    """A sync that moves up in the queue does so in silence."""
    if after.phase is before.phase:
        return None
    if after.phase is Phase.SUSPENDED:
        return "Normal", "Suspended", "spec.suspend holds back what is due"
    return "Normal", "Queued", f"the run waits for its turn, at place {after.queue_position} of the queue"


def _begun(before: Status, after: Status) -> Told | None:
    if after.phase is not Phase.STARTING or after.attempt != 1 or _run(before) == _run(after):
        return None
    if after.trigger is Trigger.REQUEST:
        asked = f"{ANNOTATION_RUN_REQUESTED}={after.last_handled_run_request}"
        return "Normal", "RunRequested", f"a run begins as asked for by annotation {asked}"
    if after.trigger is Trigger.SCHEDULE and after.last_schedule_time:
        return "Normal", "Scheduled", f"a run begins for {to_utc_text(after.last_schedule_time)} of the schedule"
    return None


def _run(status: Status) -> tuple[object, ...]:
    return (status.trigger, status.last_handled_run_request, status.last_schedule_time, status.run_generation)


def _progress(before: Status, after: Status) -> Told | None:
    """What a re-run comes upon is told by Syncing, until it has ended."""
    was, telling = before.telling, after.telling
    if telling is None:
        return None
    same = was is not None and (was.type, was.reason) == (telling.type, telling.reason)
    if same and _attempt(before) == _attempt(after):
        return None
    quiet = telling.reason in (Reason.PROGRESSING, Reason.QUEUED) or _waits_for_the_run_before(after)
    if telling.status == "False" or (after.ready and not after.finished and not quiet):
        return "Warning", telling.reason, telling.message
    if after.phase is Phase.STARTING and after.job:
        kind = "Job" if after.job_name else "TFJob"
        return "Normal", f"{kind}Created", f"{kind} '{after.job}' is created (attempt {after.attempt})"
    return ("Normal", telling.reason, telling.message) if after.finished else None


def _waits_for_the_run_before(status: Status) -> bool:
    """Each re-run ends its predecessor's job first, of which nobody need hear unless that takes too long."""
    waits = status.telling is not None and status.telling.reason == Reason.PREVIOUS_RUN_TERMINATING
    return waits and status.phase is Phase.STARTING


def _attempt(status: Status) -> tuple[object, ...]:
    return (status.phase, status.attempt, status.spec_digest, status.job)
