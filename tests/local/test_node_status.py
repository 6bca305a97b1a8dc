"""A record in, the status that a kubelet would report out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3sync_local.node.records import PodRecord, Running, State, Terminated, Verdict, Waiting
from s3sync_local.node.status import is_news, phase_of, pod_status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(seconds=9)


def ended(code: int) -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", "said", NOW, LATER, "process://x")


def pod(policy: str = "Never", init: tuple[str, ...] = (), main: tuple[str, ...] = ("main",)) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": [{"name": name, "image": "i"} for name in init],
            "containers": [{"name": name, "image": "i"} for name in main],
        },
    }


def record_of(manifest: dict[str, Any], **states: State) -> PodRecord:
    record = PodRecord.fresh(manifest, NOW)
    for name, state in states.items():
        record.put(replace(record.get(name), state=state, container_id="process://x"))
    return record


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in status["conditions"] if c["type"] == kind)
    return found


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Never", {}, "Pending"),
        ("Never", {"a": Running(NOW)}, "Pending"),
        ("Never", {"a": Running(NOW), "b": Running(NOW)}, "Running"),
        ("Never", {"a": ended(0), "b": Running(NOW)}, "Running"),
        ("Never", {"a": ended(0), "b": ended(0)}, "Succeeded"),
        ("Never", {"a": ended(0), "b": ended(1)}, "Failed"),
        ("OnFailure", {"a": ended(0), "b": ended(0)}, "Succeeded"),
        ("OnFailure", {"a": ended(0), "b": ended(1)}, "Running"),
        ("Always", {"a": ended(0), "b": ended(0)}, "Running"),
    ],
)
def test_the_phase_follows_from_the_containers(policy: str, states: dict[str, State], phase: str) -> None:
    manifest = pod(policy, main=("a", "b"))
    assert phase_of(manifest, record_of(manifest, **states)) == phase


@pytest.mark.parametrize(
    ("policy", "state", "phase"),
    [
        ("Never", Running(NOW), "Pending"),
        ("Never", ended(1), "Failed"),
        ("OnFailure", ended(1), "Pending"),
        ("Never", ended(0), "Pending"),
    ],
)
def test_the_phase_is_pending_until_the_init_containers_are_through(policy: str, state: State, phase: str) -> None:
    manifest = pod(policy, init=("first",))
    assert phase_of(manifest, record_of(manifest, first=state)) == phase


def test_a_container_in_back_off_leaves_the_pod_running() -> None:
    manifest = pod("OnFailure")
    record = record_of(manifest)
    record.put(replace(record.get("main"), state=Waiting("CrashLoopBackOff"), last=ended(1), restarts=1))
    assert phase_of(manifest, record) == "Running"
    status = pod_status(manifest, record, NOW)["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1


def test_an_ended_container_tells_how_and_no_longer_runs() -> None:
    manifest = pod()
    status = pod_status(manifest, record_of(manifest, main=ended(3)), LATER)
    assert status["containerStatuses"][0]["state"] == {
        "waiting": None,
        "running": None,
        "terminated": {
            "exitCode": 3,
            "reason": "Error",
            "message": "said",
            "startedAt": "2026-01-02T03:04:05Z",
            "finishedAt": "2026-01-02T03:04:14Z",
            "containerID": "process://x",
        },
    }
    assert condition(status, "Ready")["reason"] == "PodFailed"


def test_the_pod_is_ready_while_all_its_containers_run() -> None:
    manifest = pod(main=("a", "b"))
    half = pod_status(manifest, record_of(manifest, a=Running(NOW)), NOW)
    assert condition(half, "Ready")["message"] == "containers with unready status: [b]"
    both = pod_status(manifest, record_of(manifest, a=Running(NOW), b=Running(NOW)), NOW)
    assert condition(both, "Ready")["status"] == condition(both, "ContainersReady")["status"] == "True"


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    manifest = pod()
    manifest["status"] = pod_status(manifest, record_of(manifest, main=Running(NOW)), NOW)
    after = pod_status(manifest, record_of(manifest, main=ended(0)), LATER)
    assert condition(after, "PodScheduled")["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert condition(after, "Ready")["lastTransitionTime"] == "2026-01-02T03:04:14Z"


def test_a_verdict_is_told_when_the_processes_have_ended() -> None:
    manifest = pod()
    record = record_of(manifest, main=Running(NOW))
    record.verdict = Verdict("Evicted", "The node was low on resource: memory.", disruption=True)
    assert pod_status(manifest, record, NOW)["phase"] == "Running"
    record.put(replace(record.get("main"), state=ended(137)))
    status = pod_status(manifest, record, LATER)
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert condition(status, "DisruptionTarget")["reason"] == "TerminationByKubelet"


def stored(value: Any) -> Any:
    """What the API server keeps of a patch."""
    if isinstance(value, dict):
        return {key: stored(item) for key, item in value.items() if item is not None}
    return [stored(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("state", [Waiting(), Running(NOW), ended(0), ended(1)])
def test_a_status_that_was_reported_is_no_news(state: State) -> None:
    manifest = pod(init=("first",))
    record = record_of(manifest, first=ended(0), main=state)
    assert is_news(None, pod_status(manifest, record, NOW))
    manifest["status"] = {**stored(pod_status(manifest, record, NOW)), "qosClass": "BestEffort"}
    assert not is_news(manifest["status"], pod_status(manifest, record, LATER))


def test_an_old_state_that_must_go_is_news() -> None:
    assert is_news({"state": {"running": {}}}, {"state": {"running": None}})
    assert not is_news({"state": {"waiting": {}}}, {"state": {"running": None}})


def test_a_condition_of_others_is_left_alone() -> None:
    current = [{"type": "Theirs", "status": "True"}, {"type": "Ready", "status": "True"}]
    assert not is_news(current, [{"type": "Ready", "status": "True"}])
    assert is_news(current, [{"type": "Ready", "status": "False"}])
