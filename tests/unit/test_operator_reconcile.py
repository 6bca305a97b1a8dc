"""The order of the steps, on a cluster in memory: what is read and written when something is in the way."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from s3sync_operator.access import Credentials, Tls
from s3sync_operator.api import Reason
from s3sync_operator.desired import run_name
from s3sync_operator.errors import ConflictError, TemporarySyncError
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.runs import current_run
from s3sync_operator.settings import Settings
from tests.support import objects
from tests.support.memory_cluster import MemoryCluster

NOON = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
KEY = ("kubeflow", "books")
SETTINGS = Settings(max_attempts=3, start_deadline=600)
METRICS = Metrics()
PACHD = GrpcPachd(1, METRICS)


class OpenGateway:
    async def ensure_bucket(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls) -> bool:
        return False


def reconciler(cluster: MemoryCluster, metrics: Metrics | None = None) -> Reconciler:
    return Reconciler(cluster, OpenGateway(), PACHD, SETTINGS, lambda: NOON, metrics or METRICS)


async def reconcile(cluster: MemoryCluster, now: datetime = NOON) -> float | None:
    return await Reconciler(cluster, OpenGateway(), PACHD, SETTINGS, lambda: now, METRICS).reconcile(KEY)


def job_name(cluster: MemoryCluster) -> str:
    sync = cluster.sync
    assert sync.spec
    return run_name(sync, current_run(sync, sync.spec, NOON))


async def running() -> MemoryCluster:
    """Return a cluster with a sync whose job runs."""
    cluster = MemoryCluster()
    await reconcile(cluster)
    cluster.pods = [objects.pod_object(job_name(cluster), "Running", state=objects.RUNNING)]
    await reconcile(cluster)
    cluster.writes.clear()
    return cluster


async def test_a_look_that_finds_nothing_new_writes_nothing() -> None:
    cluster = await running()
    assert await reconcile(cluster)
    assert cluster.writes == []


async def test_a_look_that_fails_does_not_end_a_job_that_runs() -> None:
    cluster = await running()
    cluster.refuse_lists = TemporarySyncError(Reason.OPERATOR_FORBIDDEN, "may not list")
    await reconcile(cluster)
    assert cluster.status.conditions[0].reason == Reason.OPERATOR_FORBIDDEN
    cluster.refuse_lists = None
    await reconcile(cluster)
    assert (cluster.status.attempt, cluster.status.phase) == (1, "Running")
    assert "delete" not in cluster.writes


async def test_pods_of_an_earlier_sync_by_the_same_name_are_waited_for() -> None:
    cluster = MemoryCluster()
    cluster.pods = [objects.pod_object("earlier-job", "Running", state=objects.RUNNING)]
    await reconcile(cluster)
    assert "create" not in cluster.writes
    assert cluster.status.conditions[0].reason == Reason.PREVIOUS_RUN_TERMINATING
    cluster.pods = []
    await reconcile(cluster)
    assert "create" in cluster.writes


async def test_a_tfjob_deleted_just_now_is_seen_gone_before_the_next_is_made() -> None:
    cluster = await running()
    cluster.pods = []
    cluster.raw["spec"]["inputPath"] = "other"
    cluster.raw["metadata"]["generation"] = 2
    await reconcile(cluster)
    assert cluster.writes == ["delete", "status"]
    await reconcile(cluster)
    assert cluster.writes == ["delete", "status", "create", "status"]


async def test_a_run_that_is_given_up_leaves_no_tfjob_that_could_still_write() -> None:
    cluster = MemoryCluster()
    await reconcile(cluster)
    cluster.pods = [objects.pod_object(job_name(cluster), state=objects.waiting("ErrImagePull", "not found"))]
    late = NOON + timedelta(seconds=700)
    await reconcile(cluster, late)
    assert cluster.status.phase == "Failed"
    await reconcile(cluster, late)
    assert cluster.jobs == []


async def test_a_sync_that_is_given_up_without_kubeflow_stays_so_in_peace() -> None:
    cluster = MemoryCluster()
    cluster.refuse_lists = TemporarySyncError(Reason.TFJOB_CRD_NOT_INSTALLED, "install it")
    now = NOON
    for _ in range(SETTINGS.max_attempts):
        await reconcile(cluster, now)
        now += timedelta(hours=1)
    assert cluster.status.phase == "Failed"
    assert await reconcile(cluster, now) is None


async def test_a_failed_attempt_asks_to_be_looked_at_when_the_next_is_due() -> None:
    cluster = await running()
    cluster.pods = [objects.pod_object(job_name(cluster), "Failed", state=objects.terminated(139))]
    assert await reconcile(cluster) == SETTINGS.retry_after(1).total_seconds()
    assert cluster.status.phase == "Retrying"


VERIFIED_REPORT = (Path(__file__).parent.parent / "golden/report/verified.json").read_text()


async def ended_well() -> MemoryCluster:
    """Return a cluster with a sync whose job has ended, which its status does not say yet."""
    cluster = await running()
    report = json.dumps(json.loads(VERIFIED_REPORT))
    cluster.pods = [objects.pod_object(job_name(cluster), "Succeeded", state=objects.terminated(0, report))]
    return cluster


def runs_succeeded(metrics: Metrics) -> float | None:
    labels = {"result": "succeeded", "reason": "Verified"}
    return metrics.registry.get_sample_value("s3sync_runs_finished_total", labels)


async def test_a_run_is_counted_where_its_end_is_written_and_not_again() -> None:
    cluster, metrics = await ended_well(), Metrics()
    for _ in range(3):
        await reconciler(cluster, metrics).reconcile(KEY)
    assert cluster.status.phase == "Succeeded"
    assert runs_succeeded(metrics) == 1


async def test_an_end_that_could_not_be_written_is_counted_once_it_is() -> None:
    cluster, metrics = await ended_well(), Metrics()
    same = reconciler(cluster, metrics)
    for refusal in (ConflictError("changed"), None):
        cluster.refuse_writes = refusal
        await same.reconcile(KEY)
    assert runs_succeeded(metrics) == 1


async def test_an_end_whose_writing_was_not_answered_is_counted_and_told_at_the_next_look() -> None:
    cluster, metrics = await ended_well(), Metrics()
    same = reconciler(cluster, metrics)
    cluster.lose_answer, cluster.events = True, []
    with pytest.raises(TimeoutError):
        await same.reconcile(KEY)
    assert runs_succeeded(metrics) == 0
    for _ in range(2):
        await same.reconcile(KEY)
    assert (runs_succeeded(metrics), cluster.events) == (1, ["Verified"])


async def test_an_end_that_failed_to_be_written_is_not_counted_twice() -> None:
    cluster, metrics = await ended_well(), Metrics()
    same = reconciler(cluster, metrics)
    cluster.refuse_writes = OSError("the API server is away")
    with pytest.raises(OSError, match="away"):
        await same.reconcile(KEY)
    cluster.refuse_writes = None
    await same.reconcile(KEY)
    assert runs_succeeded(metrics) == 1


async def test_the_end_of_a_run_whose_sync_is_gone_is_nobodys_to_count() -> None:
    cluster, metrics = await ended_well(), Metrics()
    cluster.gone = True
    await reconciler(cluster, metrics).reconcile(KEY)
    assert runs_succeeded(metrics) == 0


async def test_an_operator_that_starts_anew_counts_no_run_that_ended_before() -> None:
    cluster, metrics = await ended_well(), Metrics()
    await reconcile(cluster)
    await reconciler(cluster, metrics).reconcile(KEY)
    assert (cluster.status.phase, runs_succeeded(metrics)) == ("Succeeded", 0)


# --- Upgrades: the status and the TFJob of another version of the operator. ------------------------------------------

NOT_THERE = object()
DECIDING = ("specDigest", "runGeneration", "attempt", "startTime", "conditions", "counts", "observedGeneration")


def altered(cluster: MemoryCluster, field: str, value: object) -> None:
    if value is NOT_THERE:
        del cluster.raw["status"][field]
    else:
        cluster.raw["status"][field] = value


@pytest.mark.parametrize("value", [NOT_THERE, None, {"from": "another version"}], ids=["absent", "null", "unreadable"])
@pytest.mark.parametrize("field", DECIDING)
async def test_what_has_succeeded_is_not_run_again_by_a_version_that_keeps_its_status_otherwise(
    field: str, value: object
) -> None:
    cluster = await ended_well()
    await reconcile(cluster)
    cluster.jobs, cluster.pods = [], []
    altered(cluster, field, value)
    cluster.writes.clear()
    await reconcile(cluster)
    assert (cluster.status.phase, "create" in cluster.writes) == ("Succeeded", False)


@pytest.mark.parametrize("value", [NOT_THERE, None, {"from": "another version"}], ids=["absent", "null", "unreadable"])
@pytest.mark.parametrize("field", [*DECIDING, "tfJobName", "phase"])
async def test_a_run_under_way_is_gone_on_with_by_a_version_that_keeps_its_status_otherwise(
    field: str, value: object
) -> None:
    cluster = await running()
    before = cluster.status
    altered(cluster, field, value)
    await reconcile(cluster)
    assert {"create", "delete"}.isdisjoint(cluster.writes)
    assert (cluster.status.phase, cluster.status.tf_job_name) == ("Running", before.tf_job_name)


async def test_a_version_that_names_or_renders_tfjobs_otherwise_goes_on_with_the_one_that_runs() -> None:
    cluster = await running()
    cluster.raw["status"]["tfJobName"] = "named-by-an-older-version"
    cluster.jobs = [objects.tfjob_object("named-by-an-older-version", condition="Running")]
    cluster.pods = [objects.pod_object("named-by-an-older-version", "Running", state=objects.RUNNING)]
    await reconcile(cluster)
    assert {"create", "delete"}.isdisjoint(cluster.writes)
    assert cluster.status.tf_job_name == "named-by-an-older-version"


async def test_a_version_that_takes_the_digest_otherwise_runs_nothing_again() -> None:
    cluster = await ended_well()
    await reconcile(cluster)
    cluster.raw["status"]["specDigest"] = "taken-otherwise"
    cluster.writes.clear()
    await reconcile(cluster)
    assert (cluster.status.phase, cluster.writes) == ("Succeeded", [])


async def test_a_spec_that_a_newer_version_understands_is_run_though_an_older_one_refused_it() -> None:
    cluster = MemoryCluster()
    cluster.raw["spec"]["fromTheFuture"] = True
    await reconcile(cluster)
    assert cluster.status.conditions[0].reason == Reason.INVALID_SPEC
    del cluster.raw["spec"]["fromTheFuture"]
    await reconcile(cluster)
    assert "create" in cluster.writes


# --- Runners. ---


async def test_a_sync_that_runs_as_a_job_needs_no_kubeflow_and_asks_for_none_once_it_runs() -> None:
    cluster = MemoryCluster(runner="Job")
    cluster.unknown = {"tfjobs"}
    await reconcile(cluster)
    assert (cluster.status.job_name, cluster.status.tf_job_name) == (job_name(cluster), None)
    assert cluster.events[-1] == "JobCreated"
    cluster.listed = []
    await reconcile(cluster)
    assert cluster.listed == ["jobs"]


async def test_another_runner_ends_the_job_of_the_one_before_and_waits_for_its_pods() -> None:
    cluster = await running()
    before = cluster.jobs[0]["metadata"]["name"]
    cluster.raw["spec"]["runner"] = "Job"
    cluster.raw["metadata"]["generation"] = 2
    await reconcile(cluster)
    assert cluster.jobs == []
    await reconcile(cluster)
    assert cluster.jobs == [], f"the pod of {before} still runs"
    cluster.pods = []
    await reconcile(cluster)
    assert [job["kind"] for job in cluster.jobs] == ["Job"]


async def test_a_pod_that_waits_for_long_is_explained_by_its_events() -> None:
    cluster = MemoryCluster()
    await reconcile(cluster)
    pod = objects.pod_object(job_name(cluster), state=objects.waiting("ContainerCreating"))
    pod["metadata"]["creationTimestamp"] = NOON.isoformat()
    cluster.pods = [pod | {"spec": {"nodeName": "n"}}]
    cluster.notes = {"pod-uid": 'FailedMount: secret "s" not found'}
    await reconcile(cluster, NOON + timedelta(seconds=2))
    assert cluster.status.conditions[0].reason == Reason.PROGRESSING
    await reconcile(cluster, NOON + timedelta(seconds=20))
    assert cluster.status.conditions[0].reason == Reason.MOUNT_FAILED
    assert 'secret "s" not found' in cluster.status.conditions[0].message
