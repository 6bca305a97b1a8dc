"""runner: Job: a sync without Kubeflow, on a real API server with Kubernetes' own Job controller."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_local.node.catalogue import Image
from s3sync_operator.api import GROUP, KIND, VERSION
from tests.integration.conftest import QUICK, Syncs, conditions, hold, plant
from tests.integration.test_publish import TREE, commits, files, under
from tests.support.cluster import JOB_IMAGE, ROOT
from tests.support.operator_process import OperatorProcess, install
from tests.support.pachd import Pachd


def jobs(syncs: Syncs, kind: str = "jobs") -> list[dict[str, Any]]:
    return list(json.loads(syncs.kubectl("get", kind, "-o", "json"))["items"])


def test_a_job_carries_out_a_sync_and_the_status_names_it(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(runner="Job")
    status = syncs.wait_ready(name)
    (job,) = jobs(syncs)
    assert status["jobName"] == job["metadata"]["name"]
    assert "tfJobName" not in status
    assert status["counts"]["verified"] == 2
    assert status["podNames"][0].startswith(f"{status['jobName']}-0-")
    assert jobs(syncs, "tfjobs") == []
    assert syncs.events(name, until="Verified") == ["BranchCreated", "JobCreated", "Verified"]
    syncs.kubectl("delete", "ps3", name)
    syncs.kubectl("wait", "--for=delete", f"job/{status['jobName']}", "--timeout=60s")


def test_three_workers_of_a_job_share_the_files_and_make_one_commit(
    syncs: Syncs, operator: OperatorProcess, trees: Path, standin: StandinProcess
) -> None:
    tree = plant(trees, "shared", TREE)
    name = syncs.apply_tree(tree, runner="Job", workers=3, pachdAddress=standin.pachd_address, client="pfs")
    status = syncs.wait_ready(name)
    pachd = Pachd(standin.pachd_address)
    assert files(pachd, name) == under("shared", TREE)
    assert [info.commit.id for info in commits(pachd, name)] == [status["commit"]]
    assert status["counts"] == {"files": 4, "bytes": 75_001, "verified": 4, "failed": 0}
    assert len(status["podNames"]) == 3


def test_a_job_that_fails_for_good_stalls_at_once(syncs: Syncs, operator: OperatorProcess) -> None:
    status = syncs.wait_stalled(syncs.apply(runner="Job", inputPath="no-such-directory"))
    assert conditions(status)["Stalled"]["reason"] == "InputPathNotFound"
    assert status["attempt"] == 1


def test_a_job_deleted_by_hand_is_told_and_made_again(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    hold(standin)
    name = syncs.apply(runner="Job")
    running = syncs.wait_phase(name, "Running")
    syncs.kubectl("delete", "job", running["jobName"], "--wait=false")
    assert conditions(syncs.wait_reason(name, "JobDeleted"))["Reconciling"]["reason"] == "ProgressingWithRetry"
    standin.clear_faults()
    assert syncs.wait_ready(name)["jobName"] != running["jobName"]


def test_a_pod_of_a_job_that_is_killed_is_run_again_by_the_next_attempt(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    hold(standin)
    name = syncs.apply(runner="Job")
    (pod,) = syncs.wait_phase(name, "Running")["podNames"]
    syncs.kubectl("annotate", "pod", pod, "local.s3sync/evict=true")
    syncs.wait_reason(name, "PodEvicted")
    standin.clear_faults()
    status = syncs.wait_ready(name)
    assert (status["attempt"], len(status["podNames"])) == (2, 1)


@pytest.mark.parametrize(("before", "after"), [("TFJob", "Job"), ("Job", "TFJob")])
def test_another_runner_ends_the_job_of_the_one_before(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess, before: str, after: str
) -> None:
    hold(standin)
    name = syncs.apply(runner=before)
    syncs.wait_phase(name, "Running")
    syncs.apply(name, runner=after)
    next(syncs.acknowledged(name))
    standin.clear_faults()
    status = syncs.wait_ready(name)
    assert [len(jobs(syncs, kind)) for kind in (f"{before}s", f"{after}s")] == [0, 1]
    assert ("jobName" in status, "tfJobName" in status) == (after == "Job", after == "TFJob")


@pytest.mark.parametrize(
    ("runner", "resumed", "patch"),
    [("Job", "job", {"spec": {"suspend": True}}), ("TFJob", "tfjob", {"spec": {"runPolicy": {"suspend": True}}})],
)
def test_a_job_that_somebody_suspends_waits_and_nothing_counts_as_failed(
    installed: LocalCluster,
    syncs: Syncs,
    standin: StandinProcess,
    tmp_path: Path,
    runner: str,
    resumed: str,
    patch: dict[str, Any],
) -> None:
    hold(standin)
    settings = QUICK | {"start_deadline": 3}
    with OperatorProcess(installed, tmp_path / "log", namespaces=syncs.namespace, **settings):
        name = syncs.apply(runner=runner)
        job = syncs.wait_phase(name, "Running")["jobName" if runner == "Job" else "tfJobName"]
        syncs.kubectl("patch", resumed, job, "--type=merge", "-p", json.dumps(patch))
        status = syncs.wait_phase(name, "Queued")
        assert "is suspended" in conditions(status)["Ready"]["message"]
        syncs.kubectl("wait", "--for=delete", "pod", "--all", "--timeout=60s")
        standin.clear_faults()
        syncs.kubectl("patch", resumed, job, "--type=merge", "-p", json.dumps(patch).replace("true", "false"))
        assert syncs.wait_ready(name)["attempt"] == 1


def test_the_queue_label_of_kueue_reaches_the_job_and_no_other_label_does(
    syncs: Syncs, operator: OperatorProcess
) -> None:
    labels = {"kueue.x-k8s.io/queue-name": "team-a", "app.kubernetes.io/instance": "argo"}
    raw = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": "queued", "labels": labels},
        "spec": {"repo": "queued", "endpoint": syncs.endpoint, "runner": "Job"},
    }
    syncs.kubectl("apply", "-f", "-", stdin=json.dumps(raw))
    syncs.wait_ready("queued")
    (job,) = jobs(syncs)
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert "argo" not in json.dumps([job, *jobs(syncs, "pods")])


@pytest.fixture
def without_kubeflow(tmp_path: Path, trees: Path) -> Iterator[LocalCluster]:
    """A cluster that knows no TFJob."""
    images = {JOB_IMAGE: Image(path=(Path(sys.executable).parent,), workdir=ROOT)}
    state = tmp_path / "without-kubeflow"
    with LocalCluster(state, training_operator=False, images=images, progress=print) as started:
        install(started)
        yield started


def test_a_cluster_without_kubeflow_runs_jobs_and_says_what_a_tfjob_lacks(
    without_kubeflow: LocalCluster, standin: StandinProcess, tmp_path: Path
) -> None:
    without_kubeflow.create_namespace("team")
    syncs = Syncs(without_kubeflow, "team", standin.endpoint)
    with OperatorProcess(without_kubeflow, tmp_path / "operator.log", **QUICK) as operator:
        name = syncs.apply(runner="Job")
        assert syncs.wait_ready(name)["counts"]["verified"] == 2
        other = syncs.apply()
        message = conditions(syncs.wait_reason(other, "TFJobCRDNotInstalled"))["Ready"]["message"]
        assert "set spec.runner: Job" in message
        syncs.apply(other, runner="Job")
        assert syncs.wait_ready(other)["jobName"]
        log = operator.log.read_text()
    assert "Traceback" not in log
    assert log.count("tfjobs") < 10, log
