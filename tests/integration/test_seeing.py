"""What people see while a sync runs: its progress in status, its log lines, and what `kubectl describe` tells."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, GROUP, KIND, VERSION
from tests.integration.conftest import QUICK, Syncs, plant
from tests.support.operator_process import OperatorProcess

SLOW = {"action": "latency", "method": "PUT", "key": ".*slow\\.txt", "seconds": 9, "times": 1}


@pytest.fixture
def watchful(installed: LocalCluster, namespace: str, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that looks at progress every second, and logs in JSON."""
    settings = QUICK | {"log_format": "json", "progress_interval": 1}
    with OperatorProcess(installed, tmp_path / "operator.log", namespaces=namespace, **settings) as process:
        yield process


def lines(operator: OperatorProcess) -> list[dict[str, Any]]:
    """Return the operator's log; each line of it is JSON."""
    return [json.loads(line) for line in operator.log.read_text().splitlines()]


def test_the_progress_of_a_running_sync_is_in_its_status_until_it_ends(
    syncs: Syncs, standin: StandinProcess, watchful: OperatorProcess, trees: Path
) -> None:
    tree = plant(trees, "one-slow", {"slow.txt": b"s" * 600, **{f"{number}.txt": b"f" * 100 for number in range(4)}})
    standin.set_faults([SLOW])
    name = syncs.apply_tree(tree)
    running = syncs.wait_for(name, lambda status: bool(status.get("progress")), "telling its progress")
    assert running["progress"] == {
        "step": "copy", "files": 4, "totalFiles": 5, "bytes": 400, "totalBytes": 1000, "percent": 40
    }  # fmt: skip
    ended = syncs.wait_ready(name)
    assert "progress" not in ended
    assert "copied 4/5 files" in ended["logTail"]
    assert "s3syncProgress" not in ended["logTail"]


def test_describe_shows_the_events_in_the_order_in_which_they_came(syncs: Syncs, watchful: OperatorProcess) -> None:
    name = syncs.apply()
    syncs.wait_ready(name)
    syncs.kubectl("annotate", "ps3", name, f"{ANNOTATION_RUN_REQUESTED}=one")
    syncs.wait_for(name, lambda status: len(status.get("history", ())) == 2, "run again")
    syncs.events(name, until="Verified", times=2)
    _, _, events = syncs.kubectl("describe", "ps3", name).partition("\nEvents:\n")
    reasons = [line.split()[1] for line in events.splitlines()[2:] if line.strip()]
    first = ["BranchCreated", "TFJobCreated", "Verified"]
    assert reasons == [*first, "RunRequested", "TFJobCreated", "Verified"]


def test_each_line_about_a_sync_names_it_and_its_run(
    syncs: Syncs, watchful: OperatorProcess, installed: LocalCluster
) -> None:
    good = syncs.apply()
    job = syncs.wait_ready(good)["tfJobName"]
    bad = syncs.apply(endpoint="http://127.0.0.1:9", runPolicy={"backoffLimit": 1})
    syncs.wait_stalled(bad)
    watchful.wait_for_log("EndpointUnreachable", times=2)
    about: dict[str, list[dict[str, Any]]] = {good: [], bad: []}
    for line in lines(watchful):
        if "object" not in line:
            assert not [name for name in about if name in line["message"]], f"about no sync: {line}"
        else:
            about[line["object"]["name"]].append(line)
    kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "namespace": syncs.namespace}
    assert [line["object"] for line in about[good]] == [kind | {"name": good}] * len(about[good])
    verified = next(line for line in about[good] if line["message"].startswith("Verified: "))
    assert (verified["run"], verified["severity"]) == ({"job": job, "attempt": 1}, "info")
    assert {line["severity"] for line in about[bad]} == {"warn"}
    assert [line["run"]["attempt"] for line in about[bad] if "EndpointUnreachable" in line["message"]] == [1, 2]
    assert all({"timestamp", "severity"} <= set(line) for lines_of_one in about.values() for line in lines_of_one)
