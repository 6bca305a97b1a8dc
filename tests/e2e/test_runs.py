"""When runs begin and how they end, on a real kubelet with the real training-operator."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from s3sync_operator.api import ANNOTATION_RUN_REQUESTED
from tests.e2e.conftest import OwnSyncs
from tests.support.syncs import conditions

DEADLINE, OUT_OF_REACH = 8, 120


def runs(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(past["trigger"], past["result"]) for past in status.get("history") or ()]


def request(syncs: OwnSyncs, name: str, token: str) -> None:
    syncs.kubectl("annotate", "--overwrite", "ps3", name, f"{ANNOTATION_RUN_REQUESTED}={token}")


def change(syncs: OwnSyncs, name: str, **spec: Any) -> None:
    syncs.kubectl("patch", "ps3", name, "--type=merge", "-p", json.dumps({"spec": spec}))


@pytest.mark.fields(
    "spec.suspend",
    "spec.trigger",
    "spec.trigger.schedule",
    "spec.trigger.timeZone",
    "spec.trigger.jitter",
    "spec.historyLimit",
    "spec.runPolicy",
    "spec.runPolicy.ttlSecondsAfterFinished",
)
def test_a_schedule_runs_a_sync_each_minute_until_it_is_suspended(syncs: OwnSyncs) -> None:
    trigger = {"schedule": "* * * * *", "timeZone": "Europe/Berlin", "jitter": "10s"}
    policy = {"ttlSecondsAfterFinished": 0}
    name = syncs.apply(suspend=True, trigger=trigger, historyLimit=1, runPolicy=policy)
    assert conditions(syncs.wait_phase(name, "Suspended"))["Ready"]["reason"] == "Suspended"
    assert syncs.kubectl("get", "tfjobs", "-o", "name") == ""

    change(syncs, name, suspend=None)
    assert runs(syncs.wait_ready(name)) == [("Spec", "Succeeded")]
    scheduled = [("Schedule", "Succeeded")]
    status = syncs.wait_for(name, lambda status: runs(status) == scheduled, "run by its schedule")
    assert conditions(status)["Ready"]["status"] == "True"
    minute, following = (datetime.fromisoformat(status[f"{which}ScheduleTime"]) for which in ("last", "next"))
    assert minute.second == 0
    assert timedelta(minutes=1) <= following - minute < timedelta(minutes=1, seconds=10)

    change(syncs, name, suspend=True)
    request(syncs, name, "held-back")
    status = syncs.wait_for(
        name, lambda status: status["phase"] == "Suspended" and "Syncing" not in conditions(status), "held back"
    )
    assert conditions(status)["Ready"]["status"] == "True"
    assert "lastHandledRunRequest" not in status
    # What was made for the runs is deleted with their end.
    syncs.kubectl("wait", "--for=delete", "tfjobs", "--all", "--timeout=30s")
    wait_for_no_pods(syncs)

    change(syncs, name, suspend=None, trigger=None)
    status = syncs.wait_for(name, lambda status: runs(status) == [("Request", "Succeeded")], "run as requested")
    assert (status["lastHandledRunRequest"], status.get("nextScheduleTime")) == ("held-back", None)


def wait_for_no_pods(syncs: OwnSyncs) -> None:
    deadline = time.monotonic() + 60
    while found := syncs.kubectl("get", "pods", "-o", "name"):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


@pytest.mark.fields("spec.runPolicy.activeDeadlineSeconds", "spec.runPolicy.backoffLimit", "spec.concurrencyPolicy")
def test_a_run_ends_at_its_deadline_and_a_new_one_replaces_the_one_under_way(syncs: OwnSyncs) -> None:
    if not syncs.target.control:
        pytest.skip("only a gateway of our own can be made slow")
    name = syncs.new_name()
    syncs.faults(name).set(action="latency", method="PUT", key=".+", seconds=OUT_OF_REACH)
    policy = {"activeDeadlineSeconds": DEADLINE, "backoffLimit": 0}
    syncs.apply(name, runPolicy=policy, concurrencyPolicy="Replace")
    status = syncs.wait_stalled(name)
    assert (conditions(status)["Stalled"]["reason"], status["attempt"]) == ("DeadlineExceeded", 1)

    # What failed for good begins anew when it is changed, whatever the change means.
    change(syncs, name, runPolicy=None)
    first = syncs.wait_for(name, lambda status: status["phase"] == "Running", "running anew")["tfJobName"]
    request(syncs, name, "instead")
    status = syncs.wait_for(name, lambda status: status.get("trigger") == "Request", "at the request")
    syncs.clear_faults()
    status = syncs.wait_ready(name)
    assert runs(status) == [("Request", "Succeeded"), ("Spec", "Replaced"), ("Spec", "Failed")]
    assert f"/{first}" not in syncs.kubectl("get", "tfjobs", "-o", "name")
