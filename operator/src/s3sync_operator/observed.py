"""Pure: raw TFJob or Job, pods and logs in, one frozen Observation out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from s3sync_operator.api import LOG_TAIL_BYTES, Progress
from s3sync_operator.blotting import blot
from s3sync_operator.desired import CONTAINER, STAGING_FLAG
from s3sync_operator.report import Report, combined, find_report, without_report
from s3sync_operator.runners import TFJOB, JobKind, JobState, kind_of_object


@dataclass(frozen=True)
class JobSeen:
    """A TFJob or Job: its state, the message of its last condition, how many workers it has, and whether these stage
    what they copy, for the operator to publish.

    `started` is since when it may have pods, which it may not while it is `suspended`; `warning` is the last of its
    Events that tells why it has none.
    """

    name: str
    created: datetime
    state: JobState
    message: str
    deleting: bool
    workers: int = 1
    stages: bool = False
    kind: JobKind = TFJOB
    started: datetime | None = None
    suspended: bool = False
    warning: str = ""

    @property
    def begun(self) -> datetime:
        """From when on its limits of time count."""
        return self.started or self.created


@dataclass(frozen=True)
class PodSeen:
    """A pod of the run, and its `tensorflow` container: waiting, running, or terminated with an exit code.

    `warning` is the last of its Events that tells why it does not start.
    """

    name: str
    created: datetime
    phase: str
    reason: str
    message: str
    waiting_reason: str
    waiting_message: str
    running: bool
    exit_code: int | None
    terminated_reason: str
    termination_message: str
    unschedulable: str
    finished: datetime | None = None
    report: Report | None = None
    warning: str = ""

    @property
    def ended(self) -> bool:
        """Whether the pod will not run any more."""
        return self.phase in ("Succeeded", "Failed")


@dataclass(frozen=True)
class Observation:
    """All that was seen of a run: `job` is None where the TFJob or Job does not exist."""

    job: JobSeen | None
    pods: tuple[PodSeen, ...]
    log_tail: str
    progress: Progress | None = None
    made_as: JobKind = TFJOB

    @property
    def kind(self) -> JobKind:
        """What the job is, or was made as where it does not exist."""
        return self.job.kind if self.job else self.made_as

    @property
    def workers(self) -> int:
        """How many workers are to report."""
        return self.job.workers if self.job else 1

    @property
    def reports(self) -> tuple[Report, ...]:
        """The workers' reports that there are, by the workers' order."""
        found = (pod.report for pod in self.pods if pod.report)
        return tuple(sorted(found, key=lambda report: report.worker.index))

    @property
    def report(self) -> Report | None:
        """What the reports say together; None where there is none."""
        return combined(self.reports)

    @property
    def ended(self) -> datetime | None:
        """When the last container ended, None where none has."""
        return max((pod.finished for pod in self.pods if pod.finished), default=None)


NOTHING = Observation(job=None, pods=(), log_tail="")


def observe(
    job: Mapping[str, Any] | None,
    pods: Sequence[Mapping[str, Any]],
    logs: Mapping[str, str],
    secrets: Sequence[str] = (),
    warnings: Mapping[str, str] | None = None,
    made_as: JobKind = TFJOB,
) -> Observation:
    """Return what the raw objects tell; `logs` maps pods' names to the ends of their logs, `warnings` the names of pods
    and of the job to what Events tell of what they wait for.

    The termination message comes before the log, since it outlives the log. `secrets` are blotted out of all texts
    before anything is made of them.
    """
    ordered = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    logs = {name: blot(text, secrets) for name, text in logs.items()}
    seen = tuple(_with_report(_blotted(pod_seen(pod, warnings), secrets), logs) for pod in ordered)
    tail = "\n".join(without_report(logs[pod.name]) for pod in seen if logs.get(pod.name))
    return Observation(job_seen(job, warnings) if job else None, seen, log_tail(tail), made_as=made_as)


def _with_report(pod: "PodSeen", logs: Mapping[str, str]) -> "PodSeen":
    texts = (pod.termination_message, logs.get(pod.name, ""))
    return replace(pod, report=next((found for text in texts if (found := find_report(text))), None))


def _blotted(pod: "PodSeen", secrets: Sequence[str]) -> "PodSeen":
    return replace(
        pod,
        message=blot(pod.message, secrets),
        waiting_message=blot(pod.waiting_message, secrets),
        warning=blot(pod.warning, secrets),
        termination_message=blot(pod.termination_message, secrets),
    )


def without_texts(seen: Observation) -> Observation:
    """Return an observation without what a job wrote freely, for when the secrets in it cannot be told; reports stay,
    since s3sync-job keeps its credentials out of them."""
    pods = tuple(replace(pod, termination_message="") for pod in seen.pods)
    return replace(seen, pods=pods, log_tail="")


def job_seen(raw: Mapping[str, Any], warnings: Mapping[str, str] | None = None) -> JobSeen:
    """Return what a TFJob or Job tells of itself."""
    kind, name = kind_of_object(raw), raw["metadata"]["name"]
    state, message = kind.state(raw)
    return JobSeen(
        name=name,
        created=created(raw),
        state=state,
        message=message,
        deleting="deletionTimestamp" in raw["metadata"],
        workers=kind.workers(raw),
        stages=any(flag.startswith(STAGING_FLAG) for flag in _arguments(kind.template(raw))),
        kind=kind,
        started=started(raw),
        suspended=kind.suspended(raw),
        warning=(warnings or {}).get(name, ""),
    )


def _arguments(template: Mapping[str, Any]) -> list[str]:
    containers = template.get("spec", {}).get("containers", ())
    return [str(flag) for container in containers for flag in container.get("args") or ()]


def created(raw: Mapping[str, Any]) -> datetime:
    """Return when an object was made."""
    return parse_time(raw["metadata"]["creationTimestamp"])


def started(raw: Mapping[str, Any]) -> datetime:
    """Return since when a job may have pods: since it was made, or since it was last resumed."""
    resumed = raw.get("status", {}).get("startTime")
    return max(created(raw), parse_time(resumed)) if resumed else created(raw)


def unexplained(job: Mapping[str, Any] | None, pods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what waits without saying why, of which only Events tell: a job without pods; pods that have a node and no
    container yet, as while a volume cannot be mounted."""
    if not pods:
        seen = job_seen(job) if job else None
        return [job] if job and seen and not seen.suspended and seen.state == "Active" else []
    return [pod for pod in pods if pod.get("spec", {}).get("nodeName") and _is_being_made(pod_seen(pod))]


def _is_being_made(pod: PodSeen) -> bool:
    waits = pod.waiting_reason in ("", "ContainerCreating", "PodInitializing")
    return pod.phase == "Pending" and waits and pod.exit_code is None and not pod.running


def parse_time(text: str) -> datetime:
    """Return the moment of a metav1.Time."""
    return datetime.fromisoformat(text)


def pod_seen(raw: Mapping[str, Any], warnings: Mapping[str, str] | None = None) -> PodSeen:
    """Return what a pod tells of itself and of its `tensorflow` container."""
    status = raw.get("status", {})
    containers = [item for item in status.get("containerStatuses") or () if item.get("name") == CONTAINER]
    state = containers[0].get("state") or {} if containers else {}
    waiting, terminated = state.get("waiting") or {}, state.get("terminated") or {}
    return PodSeen(
        name=raw["metadata"]["name"],
        created=created(raw),
        phase=status.get("phase", "Pending"),
        reason=status.get("reason", "") or _disruption(status),
        message=status.get("message", ""),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        running="running" in state and state["running"] is not None,
        exit_code=terminated.get("exitCode"),
        terminated_reason=terminated.get("reason", ""),
        termination_message=terminated.get("message", ""),
        unschedulable=_unschedulable(status),
        finished=parse_time(terminated["finishedAt"]) if terminated.get("finishedAt") else None,
        warning=(warnings or {}).get(raw["metadata"]["name"], ""),
    )


def _conditions(status: Mapping[str, Any], kind: str, wanted: str) -> Mapping[str, Any]:
    found = (item for item in status.get("conditions") or () if item.get("type") == kind)
    return next((item for item in found if item.get("status") == wanted), {})


def _disruption(status: Mapping[str, Any]) -> str:
    """A pod that was evicted through the API or preempted says so in a condition alone."""
    return "Evicted" if _conditions(status, "DisruptionTarget", "True") else ""


def _unschedulable(status: Mapping[str, Any]) -> str:
    scheduled = _conditions(status, "PodScheduled", "False")
    return scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else ""


def log_tail(text: str) -> str:
    """Return the last whole lines of a log in at most 1 KiB of UTF-8."""
    data = text.rstrip().encode()
    if len(data) <= LOG_TAIL_BYTES:
        return data.decode()
    cut = data[-LOG_TAIL_BYTES:]
    _, newline, whole = cut.partition(b"\n")
    return (whole if newline and whole else cut).decode(errors="ignore")
