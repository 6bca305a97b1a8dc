"""Pure: what a sync's status must be, from spec, last status, observation and time; kstatus' rules hold in it.

kstatus: Reconciling and Stalled are present only while True and never both; every write carries the whole list of
conditions and the generation they speak of; passing trouble is Reconciling, a final failure is Stalled. A sync that is
Ready stays so while what its spec means is run once more; one that has failed is tried as if for the first time.

| what happens                                  | Ready                   | Reconciling | Stalled | Syncing |
|-----------------------------------------------|-------------------------|-------------|---------|---------|
| a run of a new spec, or after a failure       | Unknown, False: trouble | True        |         |         |
| the same, between two attempts                | False                   | True        |         |         |
| a re-run of what is Ready, in all its attempts | True                   |             |         | True    |
| any run has succeeded                         | True                    |             |         |         |
| any run has failed for good, or a bad spec    | False                   |             | True    |         |
| a new spec waits in the queue                 | Unknown                 | True        |         |         |
| a re-run, not begun yet, waits in the queue   | as before               |             | as before | True  |
| a new spec is held back by suspend            | Unknown                 |             |         |         |
| the next attempt is held back by suspend      | False, True: of a re-run |            |         |         |
| a re-run, not begun yet, is held back by suspend | as before            |             | as before |       |
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from s3sync_operator.api import (
    DEFAULT_HISTORY,
    FAILURES_IN_STATUS,
    Condition,
    ConditionType,
    Counts,
    DryRun,
    FileFailure,
    Phase,
    Reason,
    Runner,
    SkippedPath,
    Spec,
    Status,
    Sync,
)
from s3sync_operator.desired import Run
from s3sync_operator.durations import duration_text
from s3sync_operator.ledger import at_end, at_run, lasting, replaced
from s3sync_operator.observed import Observation, PodSeen
from s3sync_operator.report import FIRST_RETRYABLE_EXIT_CODE, Report
from s3sync_operator.runs import begins_run, is_new, is_rerun
from s3sync_operator.settings import Settings

KILLED = 137
REASON_LENGTH, MESSAGE_LENGTH = 256, 4096
_PULL_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})

_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_PASSING = frozenset({Reason.POD_UNSCHEDULABLE, Reason.POD_NOT_CREATED, Reason.POD_NOT_STARTED, Reason.MOUNT_FAILED})
"""What keeps a pod from starting that may be gone at the next attempt, when a node or a volume has come."""


@dataclass(frozen=True)
class Outcome:
    """What an observation says of an attempt: it goes on, it succeeded, or it failed (for good or not).

    `troubled` marks an attempt that goes on but cannot proceed as it stands, `soon` one that is looked at again soon;
    `commit` holds what succeeded, and `digest` is its manifest's where that is not in a report.
    """

    kind: Literal["Starting", "Running", "Succeeded", "Retryable", "Permanent"]
    reason: str
    message: str
    troubled: bool = False
    commit: str | None = None
    digest: str | None = None
    soon: bool = False


# --- Judging an observation: rules in order, the first that answers wins. -------------------------------------------


def judge(seen: Observation, now: datetime, settings: Settings) -> Outcome:
    """Return what the observation says of the attempt."""
    outcome = next((found for rule in _RULES if (found := rule(seen, now, settings))), None)
    if outcome is None:
        return Outcome("Starting", Reason.PROGRESSING, f"the {seen.kind.resource.kind} waits for its pod to start")
    if outcome.kind == "Retryable" and _others_stage(seen, now, settings):
        text = (
            f"{outcome.message}; another attempt follows once the other workers have ended, and takes their work over"
        )
        return Outcome("Running", outcome.reason, text, troubled=True)
    return outcome


def _others_stage(seen: Observation, now: datetime, settings: Settings) -> bool:
    """Tell whether workers are under way whose work the next attempt can take over, and are still in time."""
    if seen.job is None or not seen.job.stages or seen.job.deleting:
        return False
    in_time = now - seen.job.begun <= timedelta(seconds=settings.run_deadline)
    return in_time and _first(seen, lambda pod: pod.running and not pod.ended) is not None


def _all_reported(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    del now, settings
    good = [report for report in seen.reports if report.result != "Failed"]
    if seen.report is None or len(good) < seen.workers:
        return None
    # A job that is gone cannot tell how many were to report, nor be published from: its pods outlive it for a while.
    if seen.job is None and any(report.staged or report.worker.count > len(good) for report in good):
        return None
    reason = Reason.COPIED if seen.report.result == "Copied" else Reason.VERIFIED
    return Outcome("Succeeded", reason, seen.report.message)


def _reported_failure(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    del now, settings
    if seen.report is None or seen.report.result != "Failed":
        return None
    return Outcome(_failure_kind(seen.report.exit_code), seen.report.reason, seen.report.message)


def _failure_kind(exit_code: int) -> Literal["Retryable", "Permanent"]:
    return "Retryable" if exit_code >= FIRST_RETRYABLE_EXIT_CODE else "Permanent"


def _suspended(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    """Whoever suspends a job, as Kueue does until there is room, ends its pods, and nothing has failed."""
    del now, settings
    if seen.job is None or not seen.job.suspended or seen.job.deleting or seen.job.state != "Active":
        return None
    text = f"the {seen.kind.resource.kind} is suspended, as Kueue has it until there is room; it goes on once resumed"
    return Outcome("Starting", Reason.QUEUED, text)


def _evicted(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    """A cluster that makes room for others is passing trouble, whatever the exit code says."""
    del now, settings
    if pod := _first(seen, lambda pod: pod.ended and pod.reason in ("Evicted", "Preempting")):
        return Outcome("Retryable", Reason.POD_EVICTED, f"pod {pod.name} was evicted: {pod.message or 'see events'}")
    return None


def _job_gone(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    del now, settings
    if seen.job is not None and not seen.job.deleting:
        return None
    return Outcome("Retryable", seen.kind.reasons.deleted, f"the {seen.kind.resource.kind} was deleted before it ended")


def _pod_failed(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    del now, settings
    # A sidecar can keep the phase at Running after the job's own container has ended.
    pod = _first(seen, lambda pod: pod.phase == "Failed" or pod.exit_code not in (None, 0))
    if pod is None:
        return None
    if pod.reason == "DeadlineExceeded":
        return Outcome("Retryable", Reason.DEADLINE_EXCEEDED, f"pod {pod.name}: {pod.message}")
    if pod.exit_code is None:
        why = pod.message or pod.reason or "it does not say why"
        return Outcome("Retryable", Reason.POD_CRASHED, f"pod {pod.name} failed without running its container: {why}")
    return _exited(pod, pod.exit_code)


def _exited(pod: PodSeen, exit_code: int) -> Outcome:
    said = f": {pod.termination_message.strip()[-200:]}" if pod.termination_message.strip() else ""
    if pod.terminated_reason == "OOMKilled" or exit_code == KILLED:
        return Outcome(
            "Retryable", Reason.OUT_OF_MEMORY if pod.terminated_reason == "OOMKilled" else Reason.POD_CRASHED,
            f"pod {pod.name} was killed (exit code {exit_code}, {pod.terminated_reason or 'no reason given'})",
        )  # fmt: skip
    if pod.terminated_reason in _CONFIG_REASONS | {"ContainerCannotRun"}:
        return Outcome("Permanent", Reason.POD_CONFIG_ERROR, f"pod {pod.name} could not run its command{said}")
    text = f"pod {pod.name} ended with exit code {exit_code} and without a report{said}"
    return Outcome(_failure_kind(exit_code), Reason.POD_CRASHED, text)


def _succeeded_without_report(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    """A job that ended well but proves nothing is not verified."""
    del now, settings
    succeeded = seen.job is not None and seen.job.state == "Succeeded"
    if not succeeded and not _first(seen, lambda pod: pod.exit_code == 0 and pod.report is None):
        return None
    # A pod that was read before it ended still owes its report.
    if _first(seen, lambda pod: not pod.ended and pod.exit_code is None):
        return None
    if seen.job is not None and seen.job.stages and len(seen.pods) < seen.workers:
        text = "pods of the job are gone before what they staged was published; another attempt takes that over"
        return Outcome("Retryable", seen.kind.reasons.deleted, text)
    return Outcome(
        "Permanent",
        Reason.REPORT_MISSING,
        "the job ended without a report, so nothing is known to be verified; use an image that runs s3sync-job",
    )


def _job_failed(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    del now
    if seen.job is None or seen.job.state != "Failed":
        return None
    if "deadline" in seen.job.message.lower():
        text = f"the {seen.kind.resource.kind} did not end within {settings.run_deadline} seconds"
        return Outcome("Retryable", Reason.DEADLINE_EXCEEDED, text)
    why = seen.job.message or f"the {seen.kind.resource.kind} failed without saying why"
    return Outcome("Retryable", seen.kind.reasons.failed, why)


def _overdue(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    """The training-operator looks at a TFJob's deadline only when something else happens to it (seen in v1.8.1)."""
    if seen.job is None or now - seen.job.begun <= timedelta(seconds=settings.run_deadline):
        return None
    return Outcome("Retryable", Reason.DEADLINE_EXCEEDED, f"the job did not end within {settings.run_deadline} seconds")


def _running(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    del now, settings
    if pod := _first(seen, lambda pod: pod.running):
        who = f"pod {pod.name} copies and verifies" if seen.workers == 1 else f"{seen.workers} workers copy and verify"
        return Outcome("Running", Reason.PROGRESSING, who)
    return None


def _waiting(seen: Observation, now: datetime, settings: Settings) -> Outcome | None:
    """A pod that cannot start is trouble, and after the start deadline a failure."""
    trouble = next((found for pod in seen.pods if (found := _start_trouble(pod))), None)
    # The newest pod's own time counts: one that is lost may be replaced, even after hours.
    begun = [pod.created for pod in seen.pods] or ([seen.job.begun] if seen.job else [now])
    late = now - max(begun) > timedelta(seconds=settings.start_deadline)
    trouble = trouble or _no_pod(seen)
    if trouble is None:
        return _not_started(seen, settings) if late else None
    reason, message, hopeless = trouble
    if late or hopeless:
        return Outcome("Retryable" if reason in _PASSING else "Permanent", reason, message)
    return Outcome("Starting", reason, message, troubled=True)


def _no_pod(seen: Observation) -> tuple[str, str, bool] | None:
    if seen.pods or seen.job is None or not seen.job.warning:
        return None
    return Reason.POD_NOT_CREATED, f"no pod is made for the {seen.kind.resource.kind}: {seen.job.warning}", False


def _not_started(seen: Observation, settings: Settings) -> Outcome:
    within = f"within {settings.start_deadline} seconds"
    late = _first(seen, lambda pod: not pod.ended and pod.exit_code is None)
    if late is None:
        kind = seen.kind
        text = f"no pod was made for a worker of the {kind.resource.kind} {within}; is {kind.controller} running?"
        return Outcome("Retryable", Reason.POD_NOT_CREATED, text)
    return Outcome("Retryable", Reason.POD_NOT_STARTED, f"pod {late.name} did not start {within}")


def _start_trouble(pod: PodSeen) -> tuple[str, str, bool] | None:
    """Return reason, message and whether waiting is without hope."""
    said = f"pod {pod.name}: {pod.waiting_message or pod.waiting_reason}"
    if pod.waiting_reason in _PULL_REASONS:
        hint = "check spec.image, or the operator's --job-image"
        return Reason.IMAGE_PULL_FAILED, f"{said}; {hint}", pod.waiting_reason == "InvalidImageName"
    if pod.waiting_reason in _CONFIG_REASONS:
        return Reason.POD_CONFIG_ERROR, said, False
    if pod.unschedulable:
        return Reason.POD_UNSCHEDULABLE, f"pod {pod.name} fits on no node: {pod.unschedulable}", False
    if pod.warning and not pod.ended and not pod.running:
        mount = pod.warning.startswith(_MOUNT_EVENTS)
        return Reason.MOUNT_FAILED if mount else Reason.POD_NOT_STARTED, f"pod {pod.name}: {pod.warning}", False
    return None


def _first(seen: Observation, wanted: Callable[[PodSeen], bool]) -> PodSeen | None:
    return next((pod for pod in seen.pods if wanted(pod)), None)


_RULES: tuple[Callable[[Observation, datetime, Settings], Outcome | None], ...] = (
    _all_reported,
    _suspended,
    _evicted,
    _reported_failure,
    _job_gone,
    _pod_failed,
    _succeeded_without_report,
    _job_failed,
    _overdue,
    _running,
    _waiting,
)


# --- Writing the status. --------------------------------------------------------------------------------------------


def status_after(
    sync: Sync, spec: Spec, run: Run, outcome: Outcome, seen: Observation, now: datetime, settings: Settings
) -> Status:
    """Return the status that says how the attempt stands after an outcome."""
    if outcome.kind == "Retryable" and run.attempt >= settings.max_attempts:
        given_up = f"{outcome.message} (given up after {run.attempt} attempts)"
        outcome = Outcome("Permanent", outcome.reason, given_up)
    ended = outcome.kind in ("Succeeded", "Permanent")
    started = seen.job.created if seen.job else _kept_start(sync, run)
    completed = now if ended else None
    report = seen.report
    # What a re-run was Ready with stays true until that ends.
    shown = sync.status if is_rerun(sync, run) and not ended else Status()
    after = Status(
        **at_run(sync, spec, run, now),
        phase=_phase(outcome),
        branch=spec.effective_branch,
        destination=spec.destination,
        spec_digest=run.digest,
        run_generation=run.generation,
        attempt=run.attempt,
        next_attempt_time=now + settings.retry_after(run.attempt) if outcome.kind == "Retryable" else None,
        **_job_names(sync, run, seen),
        # Pods are named once they run, so that a pod that merely appears costs no write of its own.
        pod_names=tuple(pod.name for pod in seen.pods) if outcome.kind != "Starting" and seen.pods else None,
        start_time=started,
        completion_time=completed,
        duration=duration_text(completed - started) if completed and started else None,
        counts=_counts(report),
        commit=outcome.commit or shown.commit,
        manifest_digest=outcome.digest or shown.manifest_digest or _digest(report, outcome),
        failures=_failures(report),
        skipped=_skipped(report),
        dry_run=_dry_run(report),
        log_tail=seen.log_tail or None,
        progress=seen.progress if outcome.kind == "Running" else None,
        conditions=_conditions(sync, run, outcome, now, settings),
    )
    return at_end(after, spec)


def _digest(report: Report | None, outcome: Outcome) -> str | None:
    return report.digest if report and outcome.kind == "Succeeded" else None


def invalid_spec_status(sync: Sync, problem: str, now: datetime) -> Status:
    """Return the status of a sync whose spec breaks a rule that admission did not know."""
    outcome = Outcome("Permanent", Reason.INVALID_SPEC, problem)
    before = sync.status if sync.status.observed_generation == sync.generation else Status()
    limit = sync.spec.effective_history_limit if sync.spec else DEFAULT_HISTORY
    # Without a digest, a mended spec is a new run, even if it is the one from before.
    kept = lasting(sync.status, limit) | replaced(sync, limit, now) | {"observed_generation": sync.generation}
    wanted = _failed(outcome)
    return Status(**kept, phase=Phase.FAILED, conditions=tuple(condition(sync, before, now, *item) for item in wanted))


def deleting_status(sync: Sync, reason: str, message: str, now: datetime) -> Status:
    """Return the status of a sync that is deleted and waits for something; of its runs it says what it said."""
    conditions = (
        condition(sync, sync.status, now, ConditionType.READY, "False", reason, message),
        condition(sync, sync.status, now, ConditionType.RECONCILING, "True", reason, message),
    )
    return sync.status.model_copy(update={"observed_generation": sync.generation, "conditions": conditions})


def _kept_start(sync: Sync, run: Run) -> datetime | None:
    return None if is_new(sync, run) else sync.status.start_time


def _job_names(sync: Sync, run: Run, seen: Observation) -> dict[str, str | None]:
    """A job that is gone is still told of by its name, until the next attempt."""
    if seen.job is None:
        kept = Status() if is_new(sync, run) else sync.status
        return {"tf_job_name": kept.tf_job_name, "job_name": kept.job_name}
    return {"job_name" if seen.kind.runner is Runner.JOB else "tf_job_name": seen.job.name}


def _phase(outcome: Outcome) -> Phase:
    if outcome.kind == "Starting" and outcome.reason == Reason.QUEUED:
        return Phase.QUEUED
    return {
        "Starting": Phase.STARTING,
        "Running": Phase.RUNNING,
        "Succeeded": Phase.SUCCEEDED,
        "Retryable": Phase.RETRYING,
        "Permanent": Phase.FAILED,
    }[outcome.kind]


def _counts(report: Report | None) -> Counts | None:
    if report is None:
        return None
    files = report.files
    return Counts(
        files=files.total,
        bytes=report.bytes.total,
        verified=files.verified,
        failed=files.failed,
        # What only some syncs have is told where it happened.
        unchanged=files.unchanged or None,
        skipped=files.skipped or None,
        extra=files.extra or None,
        deleted=files.deleted or None,
    )


def _skipped(report: Report | None) -> tuple[SkippedPath, ...] | None:
    if report is None or not report.skipped:
        return None
    return tuple(SkippedPath(path=item.path, detail=item.detail) for item in report.skipped[:FAILURES_IN_STATUS])


def _dry_run(report: Report | None) -> DryRun | None:
    if report is None or report.dry_run is None:
        return None
    found = report.dry_run
    return DryRun(delete=found.delete[:FAILURES_IN_STATUS], count=len(found.delete) + found.delete_omitted)


def _failures(report: Report | None) -> tuple[FileFailure, ...] | None:
    if report is None or not report.failures:
        return None
    first = report.failures[:FAILURES_IN_STATUS]
    return tuple(FileFailure(path=item.path, verdict=item.verdict, detail=item.detail) for item in first)


def _same_run(sync: Sync, run: Run) -> Status:
    """A new run's conditions are new, so that the time they stand tells how long this run has waited."""
    return Status() if begins_run(sync, run) else sync.status


Wanted = tuple[ConditionType, Literal["True", "False", "Unknown"], str, str]


def _conditions(sync: Sync, run: Run, outcome: Outcome, now: datetime, settings: Settings) -> tuple[Condition, ...]:
    """The whole list: Ready always; Reconciling while work goes on; Stalled once it has failed for good; of a re-run,
    Syncing and Ready as it was until it ends."""
    before = _same_run(sync, run)
    ready = sync.status.condition(ConditionType.READY)
    if ready is None or not is_rerun(sync, run):
        return tuple(condition(sync, before, now, *item) for item in _wanted(run, outcome, settings))
    if outcome.kind in ("Succeeded", "Permanent"):
        return tuple(condition(sync, sync.status, now, *item) for item in _wanted(run, outcome, settings))
    text = _again(run, outcome, settings) if outcome.kind == "Retryable" else outcome.message
    if is_new(sync, run):
        # Its time tells how long this attempt has waited, as Ready's does in other runs.
        before = Status()
    return (
        condition(sync, sync.status, now, ConditionType.READY, "True", ready.reason, ready.message),
        condition(sync, before, now, ConditionType.SYNCING, "True", outcome.reason, text),
    )


def _wanted(run: Run, outcome: Outcome, settings: Settings) -> list[Wanted]:
    if outcome.kind == "Succeeded":
        return [(ConditionType.READY, "True", outcome.reason, outcome.message)]
    if outcome.kind == "Permanent":
        return _failed(outcome)
    if outcome.kind == "Retryable":
        again = _again(run, outcome, settings)
        return [
            (ConditionType.READY, "False", outcome.reason, outcome.message),
            (ConditionType.RECONCILING, "True", Reason.PROGRESSING_WITH_RETRY, again),
        ]
    reason = Reason.PROGRESSING_WITH_RETRY if outcome.troubled or run.attempt > 1 else Reason.PROGRESSING
    return [
        (ConditionType.READY, "False" if outcome.troubled else "Unknown", outcome.reason, outcome.message),
        (ConditionType.RECONCILING, "True", reason, outcome.message),
    ]


def _failed(outcome: Outcome) -> list[Wanted]:
    return [
        (ConditionType.READY, "False", outcome.reason, outcome.message),
        (ConditionType.STALLED, "True", outcome.reason, outcome.message),
    ]


def _again(run: Run, outcome: Outcome, settings: Settings) -> str:
    return f"attempt {run.attempt} of {settings.max_attempts} failed ({outcome.reason}); another follows"


def condition(
    sync: Sync,
    last: Status,
    now: datetime,
    kind: ConditionType,
    value: Literal["True", "False", "Unknown"],
    reason: str,
    message: str,
) -> Condition:
    """Return a condition; it stands since it last changed from what it was in the `last` status."""
    before = last.condition(kind)
    since = before.last_transition_time if before and before.status == value else now
    return Condition(
        type=kind,
        status=value,
        # A foreign image may report at any length.
        reason=reason[:REASON_LENGTH],
        message=message[:MESSAGE_LENGTH],
        last_transition_time=since,
        observed_generation=sync.generation,
    )
