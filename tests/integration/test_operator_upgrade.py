"""A newer operator takes over from an older one, which kept its status and rendered its TFJobs otherwise."""

import json
from pathlib import Path
from typing import Any

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from tests.integration.conftest import QUICK, Syncs
from tests.support.operator_process import OperatorProcess

# What another version may have left out of a status; the rest tells which run it speaks of.
LEFT_OUT = {"runGeneration": None, "attempt": None, "startTime": None, "conditions": None}
RENDERED_OTHERWISE: dict[str, Any] = {"run_deadline": 4321, "job_cpu_request": "11m", "job_memory_request": "333Mi"}


def leave_out(syncs: Syncs, name: str, fields: dict[str, None]) -> None:
    patch = json.dumps({"status": fields})
    syncs.kubectl("patch", "ps3", name, "--subresource=status", "--type=merge", "-p", patch)


def tfjobs(syncs: Syncs) -> list[dict[str, Any]]:
    return list(json.loads(syncs.kubectl("get", "tfjobs", "-o", "json"))["items"])


def test_a_run_under_way_is_gone_on_with_and_its_tfjob_stays_as_it_was_rendered(
    installed: LocalCluster, syncs: Syncs, standin: StandinProcess, tmp_path: Path
) -> None:
    settings = QUICK | {"namespaces": syncs.namespace}
    standin.set_faults([{"action": "latency", "method": "PUT", "key": ".+", "seconds": 20}])
    with OperatorProcess(installed, tmp_path / "older", **settings):
        name = syncs.apply()
        syncs.wait_phase(name, "Running")
    (older,) = tfjobs(syncs)
    leave_out(syncs, name, LEFT_OUT)
    with OperatorProcess(installed, tmp_path / "newer", **settings, **RENDERED_OTHERWISE) as newer:
        standin.clear_faults()
        status = syncs.wait_ready(name)
        assert (status["attempt"], status["tfJobName"]) == (1, older["metadata"]["name"])
        assert [(job["metadata"]["uid"], job["spec"]) for job in tfjobs(syncs)] == [
            (older["metadata"]["uid"], older["spec"])
        ]
        assert "Traceback" not in newer.log.read_text()


def test_what_has_ended_is_not_run_again(installed: LocalCluster, syncs: Syncs, tmp_path: Path) -> None:
    settings = QUICK | {"namespaces": syncs.namespace}
    with OperatorProcess(installed, tmp_path / "older", **settings):
        good, bad = syncs.apply(), syncs.apply_tree("no-such-directory")
        syncs.wait_ready(good)
        syncs.wait_stalled(bad)
    for name in (good, bad):
        leave_out(syncs, name, LEFT_OUT | {"specDigest": None})
    syncs.kubectl("delete", "tfjobs", "--all")
    with OperatorProcess(installed, tmp_path / "newer", **settings, **RENDERED_OTHERWISE) as newer:
        newer.wait_for_resyncs(3)
        assert newer.sample("s3sync_reconciles_total", result="done") >= 2
    assert tfjobs(syncs) == []
    assert [syncs.get(name)["status"]["phase"] for name in (good, bad)] == ["Succeeded", "Failed"]
