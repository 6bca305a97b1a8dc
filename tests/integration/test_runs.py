"""When runs begin and how they end, on a real API server: requests, schedules, suspension, the queue, what is kept."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio import client

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, to_utc_text
from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings
from tests.integration.conftest import QUICK, Syncs, conditions
from tests.support.cluster import JOB_IMAGE
from tests.support.mortal import Mortal, live
from tests.support.operator_process import OperatorProcess

SLOW = {"action": "latency", "method": "PUT", "key": ".+", "seconds": 20}


def request(syncs: Syncs, name: str, token: str) -> None:
    syncs.kubectl("annotate", "--overwrite", "ps3", name, f"{ANNOTATION_RUN_REQUESTED}={token}")


def change(syncs: Syncs, name: str, **spec: Any) -> None:
    syncs.kubectl("patch", "ps3", name, "--type=merge", "-p", json.dumps({"spec": spec}))


def runs(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(past["trigger"], past["result"]) for past in status.get("history") or ()]


def wait_runs(syncs: Syncs, name: str, *wanted: str) -> dict[str, Any]:
    """Wait until just these runs, the latest first, have ended well, and none is under way."""
    expected = [(trigger, "Succeeded") for trigger in wanted]
    return syncs.wait_for(
        name, lambda status: runs(status) == expected and status["phase"] == "Succeeded", f"run as {wanted}"
    )


def jobs(syncs: Syncs) -> list[str]:
    return syncs.kubectl("get", "tfjobs", "-o", "name").split()


def ready_times(syncs: Syncs, name: str, until: Callable[[dict[str, Any]], bool]) -> Iterator[tuple[str, str]]:
    """Yield status and transition time of Ready at each change of the sync, until the status is as wanted."""
    for status in syncs.statuses(name):
        ready = conditions(status)["Ready"]
        yield ready["status"], ready["lastTransitionTime"]
        if until(status):
            return
    raise AssertionError(f"{name} is not as wanted: {syncs.get(name)}")


def test_a_request_runs_the_sync_once_more_and_it_stays_ready_meanwhile(
    syncs: Syncs, operator: OperatorProcess
) -> None:
    verified = {"result": "succeeded", "reason": "Verified"}
    earlier = operator.sample("s3sync_runs_finished_total", **verified)
    name = syncs.apply()
    before = wait_runs(syncs, name, "Spec")
    request(syncs, name, "a")
    seen = set(ready_times(syncs, name, lambda status: len(status["history"]) == 2))
    assert seen == {("True", conditions(before)["Ready"]["lastTransitionTime"])}
    status = wait_runs(syncs, name, "Request", "Spec")
    assert (status["lastHandledRunRequest"], status["observedGeneration"]) == ("a", 1)
    assert status["tfJobName"] != before["tfJobName"]
    assert list(conditions(status)) == ["Ready"]
    syncs.events(name, until="RunRequested")
    operator.wait_for_sample(earlier + 2, "s3sync_runs_finished_total", **verified)


def test_no_re_apply_restart_or_removed_annotation_begins_a_run(syncs: Syncs, own_operator: OperatorProcess) -> None:
    name = syncs.apply()
    wait_runs(syncs, name, "Spec")
    request(syncs, name, "a")
    wait_runs(syncs, name, "Request", "Spec")
    raw = syncs.get(name)
    plain = {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": {"name": name}, "spec": raw["spec"]}
    # Argo CD's Replace=true does this: the annotation is gone, and the status stays.
    syncs.kubectl("replace", "-f", "-", stdin=json.dumps(plain))
    assert "annotations" not in syncs.get(name)["metadata"]
    own_operator.kill()
    own_operator.start()
    syncs.apply(name)
    # The next request is the proof that all before it has been looked at.
    request(syncs, name, "b")
    wait_runs(syncs, name, "Request", "Request", "Spec")


def test_a_request_wakes_a_failed_sync(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(inputPath="not-there-yet")
    assert syncs.wait_stalled(name)["consecutiveFailures"] == 1
    request(syncs, name, "a")
    status = syncs.wait_for(name, lambda status: status["consecutiveFailures"] == 2, "failed twice")
    assert runs(status) == [("Request", "Failed"), ("Spec", "Failed")]


def test_a_suspended_sync_runs_once_it_is_resumed(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(suspend=True)
    status = syncs.wait_phase(name, "Suspended")
    assert conditions(status)["Ready"]["reason"] == "Suspended"
    assert jobs(syncs) == []
    change(syncs, name, suspend=None)
    wait_runs(syncs, name, "Spec")
    change(syncs, name, suspend=True)
    request(syncs, name, "a")
    status = syncs.wait_phase(name, "Suspended")
    assert conditions(status)["Ready"]["status"] == "True"
    change(syncs, name, suspend=False)
    wait_runs(syncs, name, "Request", "Spec")
    told = syncs.events(name, until="Resumed", times=2)
    assert (told.count("Suspended"), told.count("Resumed")) == (2, 2)


def test_of_the_runs_that_an_operator_missed_one_is_made_up_for(syncs: Syncs, own_operator: OperatorProcess) -> None:
    name = syncs.apply(trigger={"schedule": "0 * * * *", "timeZone": "Europe/Berlin"})
    status = wait_runs(syncs, name, "Spec")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert status["nextScheduleTime"] in {to_utc_text(hour + timedelta(hours=ahead)) for ahead in (1, 2)}
    own_operator.stop()
    missed = json.dumps({"status": {"nextScheduleTime": to_utc_text(hour - timedelta(hours=5))}})
    syncs.kubectl("patch", "ps3", name, "--subresource=status", "--type=merge", "-p", missed)
    own_operator.start()
    status = wait_runs(syncs, name, "Schedule", "Spec")
    last = datetime.fromisoformat(status["lastScheduleTime"])
    assert datetime.fromisoformat(status["nextScheduleTime"]) - last == timedelta(hours=1)
    syncs.events(name, until="Scheduled")


def test_a_schedule_that_never_comes_is_told_with_its_field(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply(trigger={"schedule": "30 2 31 2 *"})
    assert "spec.trigger.schedule" in conditions(syncs.wait_reason(name, "InvalidSpec"))["Ready"]["message"]


def test_the_job_of_a_finished_run_is_deleted_after_its_time(syncs: Syncs, operator: OperatorProcess) -> None:
    kept, gone = syncs.apply(), syncs.apply(runPolicy={"ttlSecondsAfterFinished": 1})
    for name in (kept, gone):
        wait_runs(syncs, name, "Spec")
    status = syncs.get(gone)["status"]
    syncs.kubectl("wait", "--for=delete", f"tfjob/{status['tfJobName']}", "--timeout=30s")
    assert jobs(syncs) == [f"tfjob.kubeflow.org/{syncs.get(kept)['status']['tfJobName']}"]
    assert syncs.get(gone)["status"] == status


def test_where_runs_are_replaced_a_request_ends_the_one_under_way(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess
) -> None:
    standin.set_faults([SLOW])
    name = syncs.apply(concurrencyPolicy="Replace")
    first = syncs.wait_phase(name, "Running")["tfJobName"]
    request(syncs, name, "a")
    status = syncs.wait_for(name, lambda status: status.get("trigger") == "Request", "at the request")
    assert runs(status) == [("Spec", "Replaced")]
    standin.clear_faults()
    status = syncs.wait_ready(name)
    assert runs(status) == [("Request", "Succeeded"), ("Spec", "Replaced")]
    assert first not in jobs(syncs)[0]


def test_no_more_runs_than_allowed_are_under_way_also_when_the_operator_is_killed(
    installed: LocalCluster, syncs: Syncs, tmp_path: Path
) -> None:
    settings = QUICK | {"namespaces": syncs.namespace, "max_concurrent_runs": 1}
    with OperatorProcess(installed, tmp_path / "operator.log", **settings) as operator:
        names = [syncs.apply() for _ in range(4)]
        waiting = syncs.wait_phase(names[-1], "Queued")
        assert waiting["queuePosition"] in (1, 2, 3)
        assert conditions(waiting)["Reconciling"]["reason"] == "Queued"
        assert operator.sample("s3sync_runs_queued") >= 1
        most = 0
        deadline = time.monotonic() + 90
        for look in itertools.count():
            # One listing is of one moment.
            listed = json.loads(syncs.kubectl("get", "ps3", "-o", "json"))["items"]
            phases = [item.get("status", {}).get("phase") for item in listed]
            most = max(most, sum(phase in ("Starting", "Running") for phase in phases))
            if phases == ["Succeeded"] * len(names):
                break
            if look == 3:
                operator.kill()
                operator.start()
            assert time.monotonic() < deadline, listed
            time.sleep(0.2)
        assert most == 1
        syncs.events(names[-1], until="Queued")


SETTINGS = Settings(job_image=JOB_IMAGE, retry_delay=1, gateway_timeout=5)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before its effect", "after its effect"])
async def test_killed_at_any_call_of_a_re_run_it_goes_on_with_that_run(
    syncs: Syncs, api: client.ApiClient, standin: StandinProcess, after_effect: bool
) -> None:
    outside = (KubernetesCluster(api, timeout=30), S3Gateway(timeout=5), GrpcPachd(timeout=5))
    names = [syncs.apply() for _ in range(10)]

    async def story(name: str, last: int) -> None:
        key = (syncs.namespace, name)
        await live(key, outside, SETTINGS, lambda sync: sync.status.finished)
        await asyncio.to_thread(request, syncs, name, "a")
        calls = itertools.count()
        cluster, gateway, pachd = (Mortal(part, calls, last, after_effect=after_effect) for part in outside)
        killed = Reconciler(cluster, gateway, pachd, SETTINGS)
        await live(
            key, outside, SETTINGS, lambda sync: sync.status.finished and len(sync.status.history or ()) > 1, killed
        )

    for batch in ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9)):
        await asyncio.gather(*(story(names[last], last) for last in batch))
    for name in names:
        status = syncs.get(name)["status"]
        assert runs(status) == [("Request", "Succeeded"), ("Spec", "Succeeded")]
        assert status["attempt"] == 1, "no step was taken for a failure"
    assert len(jobs(syncs)) == len(names), "the job of the first run made way for that of the second"
    outside[1].close()
    outside[2].close()
