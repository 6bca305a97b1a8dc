"""The time from `kubectl apply` to Ready, split by step: shown in the end, judged by who reads it."""

import json
from collections.abc import Callable

import pytest

from tests.e2e import timeline
from tests.e2e.conftest import TIMELINE, OwnSyncs
from tests.e2e.target import Target


@pytest.mark.alone
def test_every_step_from_apply_to_ready_is_accounted_for(
    syncs: OwnSyncs, target: Target, record_property: Callable[[str, object], None]
) -> None:
    if not target.node:
        pytest.skip("the audit log is had from a cluster of our own only")
    name = syncs.apply()
    job = syncs.wait_ready(name)["tfJobName"]
    when, _, line = syncs.kubectl("logs", f"{job}-worker-0", "--timestamps", "--tail=1").strip().partition(" ")
    report = json.loads(line)
    entries = [json.loads(text) for text in target.node.audit_log.read_text().splitlines()]
    at = timeline.moments(entries, syncs.namespace, name, job, timeline.seconds(when))
    parts = timeline.split(at, report["stepSeconds"])

    assert sum(parts.values()) == pytest.approx(at.ready - at.applied)
    assert min(parts.values()) > -0.05, f"a step that ends before it begins: {parts}"
    record_property(TIMELINE, timeline.table(parts))
