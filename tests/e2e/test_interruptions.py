"""Whatever goes away midway, a sync comes to its right end, once."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import OPERATOR_NAMESPACE, Target, install_operator, operator_pod, wait_for_operator
from tests.e2e.test_seed import BOOKS, stored

UPLOAD_SECONDS = 6
NEXT_VERSION = "0.0.0-next"


def start_slowly(syncs: OwnSyncs, **spec: Any) -> str:
    """Apply a sync and return its name once its job copies; where the gateway is ours, that takes some seconds."""
    name = syncs.new_name()
    if syncs.target.control:
        syncs.faults(name).set(action="latency", method="PUT", key=".+", seconds=UPLOAD_SECONDS)
    syncs.apply(name, **spec)
    syncs.wait_phase(name, "Running") if syncs.target.control else syncs.wait_for(name, _has_begun, "begun")
    return name


def _has_begun(status: dict[str, Any]) -> bool:
    return "tfJobName" in status


def ends_well_and_once(syncs: OwnSyncs, name: str) -> None:
    """Wait until the sync is verified, and see that one attempt and one TFJob did it."""
    status = syncs.wait_ready(name)
    assert status["attempt"] == 1
    assert status["counts"]["verified"] == len(BOOKS)
    jobs = [item for item in syncs.kubectl("get", "tfjobs", "-o", "name").split() if f"/{name[:20]}" in item]
    assert len(jobs) == 1, jobs


def kill_the_operators_pod(target: Target) -> None:
    target.kubectl("delete", "pod", "-n", OPERATOR_NAMESPACE, operator_pod(target), "--force", "--grace-period=0")


@pytest.mark.alone
def test_the_operators_pod_killed_midway(syncs: OwnSyncs, target: Target) -> None:
    name = start_slowly(syncs)
    kill_the_operators_pod(target)
    wait_for_operator(target)
    ends_well_and_once(syncs, name)


def test_the_jobs_pod_killed_midway_makes_a_second_attempt(syncs: OwnSyncs, s3: Any) -> None:
    name = start_slowly(syncs)
    job = syncs.get(name)["status"]["tfJobName"]
    syncs.kubectl("delete", "pod", f"{job}-worker-0", "--force", "--grace-period=0")
    syncs.clear_faults()
    status = syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == BOOKS
    assert status["attempt"] in (1, 2), "the training-operator may have put another pod in its place"


@pytest.mark.alone
def test_the_nodes_kubelet_restarted_midway(syncs: OwnSyncs, target: Target) -> None:
    if not target.node:
        pytest.skip("only the kubelet of a node of our own can be restarted")
    name = start_slowly(syncs)
    target.node.restart_kubelet()
    ends_well_and_once(syncs, name)


def test_the_resource_deleted_midway_ends_its_job(syncs: OwnSyncs) -> None:
    name = start_slowly(syncs)
    job = syncs.get(name)["status"]["tfJobName"]
    syncs.kubectl("delete", "ps3", name, "--timeout=30s")
    syncs.kubectl("wait", "--for=delete", f"tfjob/{job}", "--timeout=60s", timeout=90)
    syncs.kubectl("wait", "--for=delete", f"pod/{job}-worker-0", "--timeout=60s", timeout=90)


def test_the_resource_deleted_and_applied_again_midway_is_carried_out(syncs: OwnSyncs, s3: Any) -> None:
    name = start_slowly(syncs)
    syncs.kubectl("delete", "ps3", name, "--timeout=30s")
    syncs.clear_faults()
    syncs.apply(name)
    syncs.wait_ready(name)
    assert stored(s3, f"master.{name}") == BOOKS


@pytest.mark.alone
def test_an_upgrade_of_the_operator_with_runs_under_way(syncs: OwnSyncs, target: Target, operator: Path) -> None:
    if not target.node:
        pytest.skip("another version's image is made for a cluster of our own only")
    name, _, _ = target.operator_image.rpartition(":")
    target.node.tag_image(target.operator_image, f"{name}:{NEXT_VERSION}")
    before = operator_pod(target)
    names = [start_slowly(syncs) for _ in range(3)]
    # It stays so, for it is the same program.
    install_operator(target, operator, tag=NEXT_VERSION)
    assert operator_pod(target) != before
    for name in names:
        ends_well_and_once(syncs, name)
