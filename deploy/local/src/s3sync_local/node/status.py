"""Pure: from the node's record of a pod to the status that a kubelet would report, and whether that is news."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from s3sync_local.node.environment import NODE_ADDRESS
from s3sync_local.node.lifecycle import is_running
from s3sync_local.node.records import ContainerRecord, Manifest, PodRecord, Running, State, Terminated, Waiting

_INITIALIZED_REASON = ("ContainersNotInitialized", "containers with incomplete status")
_READY_REASON = ("ContainersNotReady", "containers with unready status")


def rfc3339(moment: datetime) -> str:
    """A time as ``metav1.Time`` is written: UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_status(pod: Manifest, record: PodRecord, now: datetime) -> dict[str, Any]:
    """The status for a strategic merge patch: what must go is None."""
    failed = record.verdict if not is_running(record) else None
    phase = "Failed" if failed else phase_of(pod, record)
    return {
        "phase": phase,
        "reason": failed.reason if failed else None,
        "message": failed.message if failed else None,
        "hostIP": NODE_ADDRESS,
        "hostIPs": [{"ip": NODE_ADDRESS}],
        "podIP": NODE_ADDRESS,
        "podIPs": [{"ip": NODE_ADDRESS}],
        "startTime": rfc3339(record.start_time),
        "conditions": _conditions(pod, record, phase, now),
        "initContainerStatuses": [_container_status(c, is_init=True) for c in record.init.values()] or None,
        "containerStatuses": [_container_status(c, is_init=False) for c in record.main.values()],
    }


def phase_of(pod: Manifest, record: PodRecord) -> str:
    """The phase by the kubelet's rules (``getPhase`` in pkg/kubelet/kubelet_pods.go)."""
    policy = pod["spec"].get("restartPolicy", "Always")
    if any(not _succeeded(c) for c in record.init.values()):
        failed = policy == "Never" and any(
            isinstance(c.state, Terminated) and not _succeeded(c) for c in record.init.values()
        )
        return "Failed" if failed else "Pending"
    containers = record.main.values()
    if any(isinstance(c.state, Waiting) and c.last is None for c in containers):
        return "Pending"
    if policy == "Always" or not all(isinstance(c.state, Terminated) for c in containers):
        return "Running"
    if all(map(_succeeded, containers)):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def is_news(current: Any, wanted: Any) -> bool:
    """Whether a merge of ``wanted`` changes ``current``: None wants absence, fields unknown to the node stay."""
    if isinstance(wanted, Mapping):
        known = current if isinstance(current, Mapping) else {}
        return any(is_news(known.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return _is_list_news(current or [], wanted)
    return bool(current != wanted)


def _is_list_news(current: list[Any], wanted: list[Any]) -> bool:
    if wanted and "type" in wanted[0]:
        by_type = {condition["type"]: condition for condition in current}
        return any(is_news(by_type.get(condition["type"]), condition) for condition in wanted)
    return len(current) != len(wanted) or any(is_news(*pair) for pair in zip(current, wanted, strict=True))


def _succeeded(container: ContainerRecord) -> bool:
    return isinstance(container.state, Terminated) and container.state.exit_code == 0


def _conditions(pod: Manifest, record: PodRecord, phase: str, now: datetime) -> list[dict[str, Any]]:
    unfinished = [c.name for c in record.init.values() if not _succeeded(c)]
    unready = [c.name for c in record.main.values() if not isinstance(c.state, Running)]
    ready = _ready_condition(unready, phase)
    wanted = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", **_list_condition(unfinished, *_INITIALIZED_REASON)},
        {"type": "ContainersReady", **ready},
        {"type": "Ready", **ready},
    ]
    if record.verdict and record.verdict.disruption and phase == "Failed":
        message = record.verdict.message
        disrupted = {"status": "True", "reason": "TerminationByKubelet", "message": message}
        wanted.append({"type": "DisruptionTarget", **disrupted})
    current = pod.get("status", {}).get("conditions", ())
    return [_dated(condition, current, now) for condition in wanted]


def _ready_condition(unready: list[str], phase: str) -> dict[str, Any]:
    if phase in {"Succeeded", "Failed"}:
        return {"status": "False", "reason": "PodCompleted" if phase == "Succeeded" else "PodFailed", "message": None}
    return _list_condition(unready, *_READY_REASON)


def _list_condition(names: list[str], reason: str, message: str) -> dict[str, Any]:
    if not names:
        return {"status": "True", "reason": None, "message": None}
    return {"status": "False", "reason": reason, "message": f"{message}: [{' '.join(names)}]"}


def _dated(condition: dict[str, Any], current: Iterable[Manifest], now: datetime) -> dict[str, Any]:
    """The condition with its transition time: the current one's as long as the status stays."""
    before = next((c for c in current if c["type"] == condition["type"]), None)
    kept = before is not None and before["status"] == condition["status"] and before.get("lastTransitionTime")
    return {**condition, "lastTransitionTime": kept or rfc3339(now)}


def _container_status(container: ContainerRecord, *, is_init: bool) -> dict[str, Any]:
    running = isinstance(container.state, Running)
    return {
        "name": container.name,
        "image": container.image,
        "imageID": f"local://{container.image}" if container.ran else "",
        "containerID": container.container_id or None,
        "ready": _succeeded(container) if is_init else running,
        "started": running,
        "restartCount": container.restarts,
        "state": _state(container.state),
        "lastState": _state(container.last) if container.last else {},
    }


def _state(state: State) -> dict[str, Any]:
    """The state as JSON; the two kinds that it is not are None, for a merge would keep an old one."""
    empty: dict[str, Any] = {"waiting": None, "running": None, "terminated": None}
    if isinstance(state, Waiting):
        return {**empty, "waiting": {"reason": state.reason, "message": state.message}}
    if isinstance(state, Running):
        return {**empty, "running": {"startedAt": rfc3339(state.started_at)}}
    return {
        **empty,
        "terminated": {
            "exitCode": state.exit_code,
            "reason": state.reason,
            "message": state.message or None,
            "startedAt": rfc3339(state.started_at) if state.started_at else None,
            "finishedAt": rfc3339(state.finished_at),
            "containerID": state.container_id or None,
        },
    }
