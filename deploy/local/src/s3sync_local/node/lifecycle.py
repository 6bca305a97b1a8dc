"""Pure: what to do next with a pod's containers, and when, from their records and the time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from s3sync_local.node.records import ContainerRecord, Manifest, PodRecord, Running, Terminated, Verdict, Waiting

EVICT_ANNOTATION = "local.s3sync/evict"
TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a path, not a secret
DEFAULT_GRACE = 30

_BACKOFF_FIRST, _BACKOFF_LIMIT = 10, 300
_CONFIG_FIRST, _CONFIG_LIMIT = 2, 60
_PULL_ERROR_SHOWN = timedelta(seconds=1)


@dataclass(frozen=True)
class Steps:
    """The containers to start now, and when to look again if nothing happens before."""

    start: tuple[str, ...] = ()
    wake_at: datetime | None = None


def next_steps(pod: Manifest, record: PodRecord, now: datetime) -> Steps:
    """Init containers one by one, then all others at once; each again as ``restartPolicy`` and back-off allow."""
    start: list[str] = []
    wakes: list[datetime] = []
    for container in _eligible(record):
        at = _start_at(container, now)
        if at is not None and at <= now:
            start.append(container.name)
        elif at is not None:
            wakes += [at, *_shown_until(container, now)]
    deadline = deadline_of(pod, record)
    if deadline is not None:
        wakes.append(deadline)
    return Steps(tuple(start), min(wakes, default=None))


def settle(pod: Manifest, container: ContainerRecord, now: datetime) -> ContainerRecord:
    """Let an ended container that is to run again wait out its back-off, and a failed pull become a back-off."""
    state = container.state
    if isinstance(state, Terminated) and _restarts(pod, container, state):
        delay = restart_delay(container.restarts)
        back_off = f"back-off {go_duration(delay)} restarting failed container={container.name} pod={pod_id(pod)}"
        return container.waiting(
            Waiting("CrashLoopBackOff", back_off, now, state.finished_at + timedelta(seconds=delay))
        )
    if isinstance(state, Waiting) and state.reason == "ErrImagePull" and not _shown_until(container, now):
        message = f'Back-off pulling image "{container.image}": ErrImagePull: {state.message}'
        return replace(container, state=replace(state, reason="ImagePullBackOff", message=message))
    return container


def failed_pull(container: ContainerRecord, message: str, now: datetime) -> ContainerRecord:
    """The container after one more vain attempt to find its image."""
    return _failed(container, "ErrImagePull", message, now, (_BACKOFF_FIRST, _BACKOFF_LIMIT))


def failed_config(
    container: ContainerRecord, message: str, now: datetime, reason: str | None = None
) -> ContainerRecord:
    """The container after one more vain attempt to render its variables (or for another reason than that)."""
    return _failed(container, reason or "CreateContainerConfigError", message, now, (_CONFIG_FIRST, _CONFIG_LIMIT))


def restart_delay(restarts: int) -> int:
    """Seconds from a container's end to its next start: none at first, then the kubelet's 10 s doubling up to 5 min."""
    return 0 if restarts == 0 else doubled(_BACKOFF_FIRST, restarts, _BACKOFF_LIMIT)


def doubled(first: int, attempts: int, limit: int) -> int:
    """The delay in seconds after so many failures (1 or more) in a row."""
    return min(limit, first << min(attempts - 1, 16))


def go_duration(seconds: int) -> str:
    """Seconds as Go prints them, and so kubelets: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def pod_id(pod: Manifest) -> str:
    """The pod as kubelet messages name it."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def judge(pod: Manifest, record: PodRecord, now: datetime) -> Verdict | None:
    """Whether the node fails the pod as a whole: what it cannot run, an eviction asked for, or an overrun deadline."""
    unsupported = _unsupported(pod)
    if unsupported is not None:
        return unsupported
    if (pod["metadata"].get("annotations") or {}).get(EVICT_ANNOTATION) == "true":
        return _evicted(pod)
    deadline = deadline_of(pod, record)
    if deadline is not None and deadline <= now:
        message = "Pod was active on the node longer than the specified deadline"
        return Verdict("DeadlineExceeded", message, grace=grace_of(pod))
    return None


def lost(pod: Manifest) -> Verdict | None:
    """The verdict on a pod of which an earlier life of this node had run something: its processes ended with that."""
    status = pod.get("status", {})
    containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    if not any(map(_has_run, containers)):
        return None
    return Verdict(
        "NodeLost", "The local node was restarted, and the processes of the pod ended with its earlier life."
    )


def is_finished(pod: Manifest) -> bool:
    """Whether the pod has reached a phase that it never leaves."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def grace_of(pod: Manifest) -> float:
    """Seconds between SIGTERM and SIGKILL: the deletion's where the pod is being deleted, else its own."""
    own = pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE)
    return float(pod["metadata"].get("deletionGracePeriodSeconds", own))


def deadline_of(pod: Manifest, record: PodRecord) -> datetime | None:
    """When ``activeDeadlineSeconds`` are over."""
    seconds = pod["spec"].get("activeDeadlineSeconds")
    return None if seconds is None else record.start_time + timedelta(seconds=seconds)


def _eligible(record: PodRecord) -> Iterator[ContainerRecord]:
    for container in record.init.values():
        if not (isinstance(container.state, Terminated) and container.state.exit_code == 0):
            yield container
            return
    yield from record.main.values()


def _start_at(container: ContainerRecord, now: datetime) -> datetime | None:
    """When to start the (settled) container; None where nothing is to be started."""
    if not isinstance(container.state, Waiting):
        return None
    return container.state.retry_at or now


def _shown_until(container: ContainerRecord, now: datetime) -> list[datetime]:
    """A failed pull shows its error for a moment before the back-off takes its place, as in a kubelet."""
    state = container.state
    if not isinstance(state, Waiting) or state.reason != "ErrImagePull" or state.since is None:
        return []
    until = state.since + _PULL_ERROR_SHOWN
    return [until] if now < until else []


def _restarts(pod: Manifest, container: ContainerRecord, state: Terminated) -> bool:
    policy = pod["spec"].get("restartPolicy", "Always")
    is_init = any(container.name == init["name"] for init in pod["spec"].get("initContainers", ()))
    if policy == "Never":
        return False
    return state.exit_code != 0 or (policy == "Always" and not is_init)


def _failed(
    container: ContainerRecord, reason: str, message: str, now: datetime, backoff: tuple[int, int]
) -> ContainerRecord:
    before = container.state.attempts if isinstance(container.state, Waiting) else 0
    delay = doubled(backoff[0], before + 1, backoff[1])
    return container.waiting(Waiting(reason, message, now, now + timedelta(seconds=delay), before + 1))


def _unsupported(pod: Manifest) -> Verdict | None:
    spec = pod["spec"]
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        for mount in container.get("volumeMounts", ()):
            if not _may_be_left_out(mount, volumes.get(mount["name"], {})):
                return Verdict(
                    "UnsupportedVolume",
                    f'Volume "{mount["name"]}" of container "{container["name"]}" cannot be mounted at '
                    f"{mount['mountPath']}: the local node runs pods as processes and has no mounts. Use a cluster "
                    "with a kubelet for this pod.",
                )
    for container in spec.get("initContainers", ()):
        if container.get("restartPolicy") == "Always":
            return Verdict(
                "UnsupportedInitContainer",
                f'Init container "{container["name"]}" is a sidecar (restartPolicy: Always), which the local node '
                "does not run. Make it a normal container.",
            )
    return None


def _may_be_left_out(mount: Manifest, volume: Manifest) -> bool:
    path = mount["mountPath"].rstrip("/")
    return path == TOKEN_MOUNT or (path == "/tmp" and "emptyDir" in volume)  # noqa: S108 - the pod's path


def _evicted(pod: Manifest) -> Verdict:
    container = pod["spec"]["containers"][0]["name"]
    message = (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 64Mi. "
        f"Container {container} was using 512Mi, request is 0, has larger consumption of memory. "
    )
    return Verdict("Evicted", message, disruption=True)


def _has_run(status: Manifest) -> bool:
    state = status.get("state", {})
    return (
        "running" in state
        or "terminated" in state
        or bool(status.get("lastState"))
        or status.get("restartCount", 0) > 0
    )


def is_running(record: PodRecord) -> bool:
    """Whether any process of the pod is alive."""
    return any(isinstance(container.state, Running) for container in record.all())
