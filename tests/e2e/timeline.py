"""Where the time from `kubectl apply` to Ready goes, from the API server's audit log and the job's report; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Entry = Mapping[str, Any]
OURS = ("reconcile", "start", "plan", "status")


class IncompleteError(ValueError):
    """The audit log lacks a request without which the time cannot be split."""


@dataclass(frozen=True)
class Moments:
    """When (POSIX seconds) what each step ends with was seen."""

    applied: float
    tfjob_created: float
    pod_created: float
    process_ended: float
    pod_ended: float
    ready: float


def moments(entries: Iterable[Entry], namespace: str, sync: str, job: str, process_ended: float) -> Moments:
    """Return the moments of a sync of one run; `process_ended` is that of the last line of its log.

    Raises IncompleteError where the log lacks a request.
    """
    mine = [entry for entry in entries if entry.get("objectRef", {}).get("namespace") == namespace]
    pod = f"{job}-worker-0"
    return Moments(
        applied=_first(mine, "create", "pachydermsyncs", sync),
        tfjob_created=_first(mine, "create", "tfjobs", job),
        pod_created=_first(mine, "create", "pods", pod),
        process_ended=process_ended,
        pod_ended=_first(mine, "patch", "pods", pod, "status", after=process_ended),
        ready=max(_all(mine, "patch", "pachydermsyncs", sync, "status")),
    )


def _first(
    entries: list[Entry], verb: str, resource: str, name: str, subresource: str | None = None, after: float = 0
) -> float:
    found = [when for when in _all(entries, verb, resource, name, subresource) if when >= after]
    if not found:
        raise IncompleteError(f"no {verb} of {resource}/{name} {subresource or ''} after its process ended")
    return min(found)


def _all(entries: list[Entry], verb: str, resource: str, name: str, subresource: str | None) -> list[float]:
    found = [
        seconds(entry["stageTimestamp"])
        for entry in entries
        if (entry["verb"], entry["objectRef"]["resource"]) == (verb, resource)
        and entry["objectRef"].get("subresource") == subresource
        and entry["objectRef"].get("name", name) == name
        and entry.get("responseStatus", {}).get("code", 500) < 300
    ]
    if not found:
        raise IncompleteError(f"no {verb} of {resource}/{name} {subresource or ''} in the audit log")
    return found


def seconds(text: str) -> float:
    """Return the POSIX seconds of an RFC 3339 time in UTC, of which more than microseconds are dropped."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return moment.timestamp() + float(f"0.{fraction or 0}")


def split(at: Moments, steps: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds of each part, in their order; together they are the time from apply to Ready.

    `steps` is the report's `stepSeconds`.
    """
    process_began = at.process_ended - sum(steps.values())
    return {
        "reconcile": at.tfjob_created - at.applied,
        "TFJob → pod": at.pod_created - at.tfjob_created,
        "image start": process_began - at.pod_created,
        **steps,
        "pod's end → API": at.pod_ended - at.process_ended,
        "status": at.ready - at.pod_ended,
    }


WHO = {
    "reconcile": "this operator, and Pachyderm's answers to it",
    "TFJob → pod": "training-operator",
    "image start": "scheduler, kubelet, containerd",
    "start": "this job: Python and its imports",
    "plan": "this job",
    "probe": "this job, and Pachyderm's answers to it",
    "load": "TensorFlow's import",
    "copy": "TensorFlow and Pachyderm",
    "list": "Pachyderm",
    "verify": "TensorFlow and Pachyderm",
    "pod's end → API": "kubelet, containerd",
    "status": "this operator",
}


def table(parts: Mapping[str, float]) -> str:
    """Return the parts as lines for a person."""
    lines = [f"{name:<16} {value:7.3f} s  {WHO[name]}" for name, value in parts.items()]
    ours = sum(parts[name] for name in OURS)
    return "\n".join(
        [*lines, f"{'all':<16} {sum(parts.values()):7.3f} s, of which ours ({', '.join(OURS)}): {ours:.3f} s"]
    )
