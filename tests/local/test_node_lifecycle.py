"""Records and a time in, what the node does next out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3sync_local.node.lifecycle import (
    Steps,
    failed_config,
    failed_pull,
    go_duration,
    grace_of,
    judge,
    lost,
    next_steps,
    restart_delay,
    settle,
)
from s3sync_local.node.records import ContainerRecord, PodRecord, Running, State, Terminated, Waiting

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def ended(code: int) -> Terminated:
    return Terminated(code, "Completed" if code == 0 else "Error", "", NOW, NOW, "process://x")


def pod(
    *, policy: str = "Never", init: tuple[str, ...] = (), main: tuple[str, ...] = ("main",), **spec: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": [{"name": name, "image": "i"} for name in init],
            "containers": [{"name": name, "image": "i"} for name in main],
            **spec,
        },
    }


def record_of(manifest: dict[str, Any], **states: State) -> PodRecord:
    record = PodRecord.fresh(manifest, NOW)
    for name, state in states.items():
        record.put(replace(record.get(name), state=state))
    return record


def test_all_containers_of_a_new_pod_start_at_once() -> None:
    manifest = pod(main=("a", "b"))
    assert next_steps(manifest, record_of(manifest), NOW) == Steps(start=("a", "b"))


@pytest.mark.parametrize(
    ("states", "start"),
    [
        ({}, ("first",)),
        ({"first": Running(NOW)}, ()),
        ({"first": ended(1)}, ()),
        ({"first": ended(0)}, ("second",)),
        ({"first": ended(0), "second": ended(0)}, ("main",)),
        ({"first": ended(0), "second": ended(0), "main": Running(NOW)}, ()),
    ],
)
def test_init_containers_run_one_after_the_other_before_the_rest(
    states: dict[str, State], start: tuple[str, ...]
) -> None:
    manifest = pod(init=("first", "second"))
    assert next_steps(manifest, record_of(manifest, **states), NOW).start == start


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Never", 1, False), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Always", 0, True), ("Always", 1, True)],
)
def test_the_restart_policy_decides_whether_an_ended_container_runs_again(policy: str, code: int, again: bool) -> None:
    manifest = pod(policy=policy)
    settled = settle(manifest, record_of(manifest, main=ended(code)).get("main"), NOW)
    assert isinstance(settled.state, Waiting) is again
    assert settled.last == (ended(code) if again else None)


def test_an_init_container_that_succeeded_is_not_run_again_by_policy_always() -> None:
    manifest = pod(policy="Always", init=("first",))
    assert settle(manifest, record_of(manifest, first=ended(0)).get("first"), NOW).state == ended(0)


def test_the_back_off_between_restarts_grows_as_a_kubelets() -> None:
    assert [restart_delay(n) for n in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_container_in_back_off_says_so_in_the_kubelets_words_and_starts_when_it_is_over() -> None:
    manifest = pod(policy="OnFailure")
    record = record_of(manifest, main=ended(1))
    record.put(settle(manifest, replace(record.get("main"), restarts=2), NOW))
    state = record.get("main").state
    assert isinstance(state, Waiting)
    assert (state.reason, state.message) == (
        "CrashLoopBackOff",
        "back-off 20s restarting failed container=main pod=p_ns(u)",
    )
    assert next_steps(manifest, record, later(19)) == Steps(wake_at=later(20))
    assert next_steps(manifest, record, later(20)).start == ("main",)


def test_a_failed_pull_shows_its_error_then_the_back_off_and_is_tried_again() -> None:
    manifest = pod()
    record = record_of(manifest)
    record.put(failed_pull(record.get("main"), "not found", NOW))
    assert record.get("main").state == Waiting("ErrImagePull", "not found", NOW, later(10), 1)
    assert next_steps(manifest, record, NOW) == Steps(wake_at=later(1))
    record.put(settle(manifest, record.get("main"), later(1)))
    state = record.get("main").state
    assert isinstance(state, Waiting)
    assert (state.reason, state.message) == ("ImagePullBackOff", 'Back-off pulling image "i": ErrImagePull: not found')
    assert next_steps(manifest, record, later(1)) == Steps(wake_at=later(10))
    assert next_steps(manifest, record, later(10)).start == ("main",)


def test_every_vain_attempt_in_a_row_waits_longer() -> None:
    container = ContainerRecord("main", "i")
    delays = []
    for _ in range(7):
        container = failed_config(container, 'secret "keys" not found', NOW)
        assert isinstance(container.state, Waiting)
        assert container.state.retry_at is not None
        delays.append((container.state.retry_at - NOW).total_seconds())
    assert delays == [2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s")])
def test_durations_read_as_gos(seconds: int, text: str) -> None:
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("mount", "volume", "accepted"),
    [
        ("/tmp", {"emptyDir": {}}, True),
        ("/tmp/", {"emptyDir": {}}, True),
        ("/tmp/x", {"emptyDir": {}}, False),
        ("/tmp", {"hostPath": {"path": "/x"}}, False),
        ("/data", {"emptyDir": {}}, False),
        ("/data", {"configMap": {"name": "c"}}, False),
        ("/var/run/secrets/kubernetes.io/serviceaccount", {"projected": {}}, True),
    ],
)
def test_only_mounts_that_may_be_left_out_are_accepted(mount: str, volume: dict[str, Any], accepted: bool) -> None:
    manifest = pod(volumes=[{"name": "v", **volume}])
    manifest["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": mount}]
    verdict = judge(manifest, record_of(manifest), NOW)
    if accepted:
        assert verdict is None
    else:
        assert verdict is not None
        assert verdict.reason == "UnsupportedVolume"
        assert f'Volume "v" of container "main" cannot be mounted at {mount}' in verdict.message


def test_a_sidecar_is_refused_by_name() -> None:
    manifest = pod(init=("proxy",))
    manifest["spec"]["initContainers"][0]["restartPolicy"] = "Always"
    verdict = judge(manifest, record_of(manifest), NOW)
    assert verdict is not None
    assert '"proxy" is a sidecar' in verdict.message


def test_the_annotation_evicts_the_pod_as_a_node_low_on_memory_would() -> None:
    manifest = pod()
    manifest["metadata"]["annotations"] = {"local.s3sync/evict": "true"}
    verdict = judge(manifest, record_of(manifest), NOW)
    assert verdict is not None
    assert (verdict.reason, verdict.grace, verdict.disruption) == ("Evicted", 0, True)
    assert verdict.message.startswith("The node was low on resource: memory.")


def test_a_pod_that_overruns_its_deadline_fails_and_is_looked_at_then() -> None:
    manifest = pod(activeDeadlineSeconds=5, terminationGracePeriodSeconds=7)
    record = record_of(manifest, main=Running(NOW))
    assert next_steps(manifest, record, NOW).wake_at == later(5)
    assert judge(manifest, record, later(4)) is None
    verdict = judge(manifest, record, later(5))
    assert verdict is not None
    assert (verdict.reason, verdict.grace) == ("DeadlineExceeded", 7)


@pytest.mark.parametrize(
    ("status", "was_lost"),
    [
        ({}, False),
        ({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {}}, "restartCount": 0}]}, False),
        ({"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "restartCount": 0}]}, True),
        ({"phase": "Running", "containerStatuses": [{"state": {"waiting": {}}, "restartCount": 3}]}, True),
        ({"phase": "Pending", "initContainerStatuses": [{"state": {"terminated": {}}, "restartCount": 0}]}, True),
    ],
)
def test_a_pod_that_an_earlier_life_of_the_node_had_run_is_lost(status: dict[str, Any], was_lost: bool) -> None:
    verdict = lost({**pod(), "status": status})
    assert (verdict is not None) is was_lost


def test_the_grace_of_a_deletion_wins_over_the_pods_own() -> None:
    manifest = pod(terminationGracePeriodSeconds=7)
    assert grace_of(manifest) == 7
    manifest["metadata"]["deletionGracePeriodSeconds"] = 0
    assert grace_of(manifest) == 0
