"""Each kind of object that a sync's run is made of wakes the operator by itself, not only with the others."""

import json
import time
from typing import Any

import pytest

from s3sync_operator.desired import ANNOTATION_SYNC, LABEL_UID
from tests.integration.conftest import Syncs
from tests.support.cluster import JOB_IMAGE
from tests.support.operator_process import OperatorProcess

TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "tensorflow", "image": JOB_IMAGE}]}}
# None of them runs anything: nobody schedules the pod, and the jobs are suspended.
OBJECTS: dict[str, dict[str, Any]] = {
    "Job": {"apiVersion": "batch/v1", "spec": {"suspend": True, "template": TEMPLATE}},
    "TFJob": {
        "apiVersion": "kubeflow.org/v1",
        "spec": {
            "runPolicy": {"suspend": True},
            "tfReplicaSpecs": {"Worker": {"replicas": 1, "restartPolicy": "Never", "template": TEMPLATE}},
        },
    },
    "Pod": {"apiVersion": "v1", "spec": TEMPLATE["spec"] | {"schedulerName": "nobody"}},
}


WAIT_SECONDS, MOST_RESYNCS = 20, 5


def looks(operator: OperatorProcess) -> float:
    """Return how often the operator has looked at syncs."""
    return sum(value for (name, _), value in operator.samples().items() if name == "s3sync_reconciles_total")


def looks_once_quiet(operator: OperatorProcess) -> float:
    """Wait until nothing makes the operator look any more: a suspended sync wants no look at a later time."""
    for _ in range(MOST_RESYNCS):
        before = looks(operator)
        operator.wait_for_resyncs(1)
        if looks(operator) == before:
            return before
    raise AssertionError("the operator does not come to rest")


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_event_of_this_kind_alone_has_the_sync_looked_at(
    syncs: Syncs, own_operator: OperatorProcess, kind: str
) -> None:
    name = syncs.apply(suspend=True)
    syncs.wait_phase(name, "Suspended")
    before = looks_once_quiet(own_operator)
    metadata = {"name": "woken", "labels": {LABEL_UID: "nobodys"}, "annotations": {ANNOTATION_SYNC: name}}
    syncs.kubectl("apply", "-f", "-", stdin=json.dumps(OBJECTS[kind] | {"kind": kind, "metadata": metadata}))
    deadline = time.monotonic() + WAIT_SECONDS
    while looks(own_operator) == before:
        assert time.monotonic() < deadline, f"a {kind} that comes to be wakes nobody"
        time.sleep(0.1)
