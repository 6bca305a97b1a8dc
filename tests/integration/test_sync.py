"""The main job on a real API server, with the real training-operator and real TensorFlow."""

import json
from collections import Counter
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_local.demo import OPERATOR_USER
from s3sync_local.errors import KubectlError
from tests.integration.conftest import Syncs, conditions, plant
from tests.support import audit
from tests.support.cluster import ROOT, TREES_IMAGE
from tests.support.operator_process import OperatorProcess

BOOKS = {str(path.relative_to(ROOT)) for path in (ROOT / "testdata").rglob("*") if path.is_file()}


def test_a_sync_costs_at_most_four_writes_and_an_idle_operator_makes_none(
    syncs: Syncs, own_operator: OperatorProcess, installed: LocalCluster
) -> None:
    before = writes(syncs, installed)
    name = syncs.apply()
    syncs.wait_ready(name)
    after_ready = writes(syncs, installed)
    made = after_ready - before
    assert made.total() <= 4, made
    assert made["create tfjobs"] == 1
    # Two resyncs pass, and the operator looks at everything it serves.
    syncs.kubectl("wait", "--for=condition=Ready", f"ps3/{name}")
    own_operator.wait_for_resyncs(3)
    assert writes(syncs, installed) == after_ready


def writes(syncs: Syncs, cluster: LocalCluster) -> Counter[str]:
    """Return the operator's writes in the test's namespace by the API server's audit log, Events apart."""
    return Counter(
        f"{entry['verb']} {entry['objectRef']['resource']}"
        for entry in audit.entries(cluster, OPERATOR_USER)
        if entry["verb"] not in ("get", "list", "watch")
        and entry.get("objectRef", {}).get("namespace") == syncs.namespace
        and entry["objectRef"]["resource"] != "events"
    )


def test_the_same_spec_never_runs_twice(syncs: Syncs, operator: OperatorProcess) -> None:
    name = syncs.apply()
    first = syncs.wait_ready(name)
    syncs.kubectl("annotate", "ps3", name, "note=touched")
    syncs.kubectl("delete", "tfjob", first["tfJobName"])
    syncs.apply(name, branch="master")
    status = syncs.wait_for(name, lambda status: status["observedGeneration"] == 2, "acknowledged")
    assert (status["tfJobName"], status["completionTime"]) == (first["tfJobName"], first["completionTime"])
    assert list(conditions(status)) == ["Ready"]
    raw = json.loads(syncs.kubectl("get", "tfjobs", "-o", "json"))
    assert raw["items"] == []


def test_replacing_the_object_does_not_run_it_again(syncs: Syncs, own_operator: OperatorProcess) -> None:
    name = syncs.apply()
    first = syncs.wait_ready(name)
    raw = syncs.get(name)
    raw["metadata"] = {"name": name, "namespace": syncs.namespace}
    del raw["status"]
    syncs.kubectl("replace", "-f", "-", stdin=json.dumps(raw))
    own_operator.wait_for_resyncs(2)
    assert syncs.get(name)["status"] == first


def test_a_changed_spec_makes_a_new_run_and_its_old_tfjob_goes(
    syncs: Syncs, operator: OperatorProcess, trees: Any
) -> None:
    plant(trees, "one", {"a.txt": b"a"})
    plant(trees, "two", {"b.txt": b"b", "c.txt": b"c"})
    name = syncs.apply_tree("one")
    first = syncs.wait_ready(name)
    syncs.apply(name, image=TREES_IMAGE, inputPath="two")
    status = syncs.wait_for(name, lambda status: status.get("counts", {}).get("files") == 2, "run again")
    assert status["tfJobName"] != first["tfJobName"]
    names = syncs.kubectl("get", "tfjobs", "-o", "name").split()
    assert names == [f"tfjob.kubeflow.org/{status['tfJobName']}"]


def test_deleting_the_sync_removes_its_tfjob_and_never_the_data(
    syncs: Syncs, operator: OperatorProcess, s3: Any
) -> None:
    name = syncs.apply()
    status = syncs.wait_ready(name)
    syncs.kubectl("delete", "ps3", name, "--timeout=30s")
    syncs.kubectl("wait", "--for=delete", f"tfjob/{status['tfJobName']}", "--timeout=60s")
    assert {item["Key"] for item in s3.list_objects(Bucket=f"master.{name}")["Contents"]} == BOOKS


def test_a_sync_can_be_deleted_while_the_operator_is_away(syncs: Syncs, own_operator: OperatorProcess) -> None:
    name = syncs.apply()
    syncs.wait_ready(name)
    own_operator.stop()
    syncs.kubectl("delete", "ps3", name, "--timeout=10s")
    with pytest.raises(KubectlError, match="not found"):
        syncs.get(name)
    own_operator.start()


def test_a_bare_host_and_port_in_a_project_of_its_own(
    syncs: Syncs, operator: OperatorProcess, s3: Any, standin: StandinProcess
) -> None:
    standin.create_project("team")
    name = syncs.apply(branch="dev", project="team", endpoint=syncs.endpoint.removeprefix("http://"))
    assert syncs.wait_ready(name)["destination"] == f"s3://dev.{name}.team/testdata"
    assert len(s3.list_objects(Bucket=f"dev.{name}.team")["Contents"]) == 2


def test_twenty_syncs_at_once_all_end_verified(syncs: Syncs, operator: OperatorProcess) -> None:
    names = [syncs.apply() for _ in range(20)]
    assert {syncs.wait_ready(name)["counts"]["verified"] for name in names} == {2}
