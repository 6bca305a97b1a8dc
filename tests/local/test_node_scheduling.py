"""Which pods the node takes in the scheduler's stead."""

from typing import Any

import pytest

from s3sync_local.node.scheduling import fits, is_marked_unschedulable, unschedulable_condition, wants_node


def pod(metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": metadata or {}, "spec": {"schedulerName": "default-scheduler", **spec}}


@pytest.mark.parametrize(
    ("manifest", "wants"),
    [
        (pod(), True),
        (pod(nodeName="other"), False),
        (pod(schedulerName="volcano"), False),
        (pod(schedulingGates=[{"name": "wait"}]), False),
        (pod({"deletionTimestamp": "2026-01-02T03:04:05Z"}), False),
    ],
)
def test_only_pods_that_wait_for_the_default_scheduler_want_a_node(manifest: dict[str, Any], wants: bool) -> None:
    assert wants_node(manifest) is wants


@pytest.mark.parametrize(
    ("selector", "does"),
    [({}, True), ({"disk": "ssd"}, True), ({"disk": "hdd"}, False), ({"gpu": "yes"}, False)],
)
def test_a_pod_fits_where_the_labels_satisfy_its_selector(selector: dict[str, str], does: bool) -> None:
    assert fits(pod(nodeSelector=selector), {"disk": "ssd"}) is does


def test_a_pod_is_marked_unschedulable_once() -> None:
    manifest = pod()
    assert not is_marked_unschedulable(manifest)
    manifest["status"] = {"conditions": [unschedulable_condition("2026-01-02T03:04:05Z")]}
    assert is_marked_unschedulable(manifest)
