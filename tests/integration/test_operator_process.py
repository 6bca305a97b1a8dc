"""The operator as a process: how it starts, tells of its health, and ends."""

import base64
import json
import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import yaml

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_local.demo import OPERATOR_USER
from tests.integration.conftest import QUICK, Syncs
from tests.support.api_proxy import ApiProxy
from tests.support.operator_process import OperatorProcess

WAIT_SECONDS = 60


def client_tls(cluster: LocalCluster, folder: Path) -> ssl.SSLContext:
    """Return the TLS of the operator's own user."""
    user = yaml.safe_load(cluster.kubeconfig_for(OPERATOR_USER).read_text())["users"][0]["user"]
    for name in ("client-certificate", "client-key"):
        (folder / name).write_bytes(base64.b64decode(user[f"{name}-data"]))
    tls = ssl.create_default_context(cafile=str(cluster.ca))
    tls.load_cert_chain(folder / "client-certificate", folder / "client-key")
    return tls


def wait_for_health(operator: OperatorProcess, wanted: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while operator.health() != wanted:
        assert time.monotonic() < deadline, f"its health is {operator.health()}\n{operator.log.read_text()[-3000:]}"
        time.sleep(0.5)


def test_the_probe_goes_stale_when_the_watch_falls_silent_and_the_resync_still_acts(
    installed: LocalCluster, syncs: Syncs, tmp_path: Path
) -> None:
    with ApiProxy(installed.server, client_tls(installed, tmp_path)) as proxy:
        kubeconfig = proxy.write_kubeconfig(tmp_path / "kubeconfig")
        settings = QUICK | {"resync_interval": 1, "namespaces": syncs.namespace}
        with OperatorProcess(installed, tmp_path / "log", kubeconfig=kubeconfig, **settings) as operator:
            syncs.wait_ready(syncs.apply())
            assert operator.health() == 200
            proxy.silence()
            unseen = syncs.apply()
            syncs.wait_phase(unseen, "Starting")
            wait_for_health(operator, 500)
            assert "the watch has not delivered" in operator.log.read_text()


def test_it_ends_in_peace_when_told_to(installed: LocalCluster, syncs: Syncs, tmp_path: Path) -> None:
    operator = OperatorProcess(installed, tmp_path / "log", namespaces=syncs.namespace, **QUICK).start()
    syncs.apply()
    assert operator.stop() == 0
    assert list(operator.temporary.iterdir()) == [], "no key of the kubeconfig is left in a temporary file"
    assert "Traceback" not in operator.log.read_text()


def test_told_to_end_it_first_finishes_what_it_is_at(
    installed: LocalCluster, syncs: Syncs, standin: StandinProcess, tmp_path: Path
) -> None:
    standin.set_faults([{"action": "latency", "method": "HEAD", "key": "", "seconds": 2}])
    with OperatorProcess(installed, tmp_path / "log", namespaces=syncs.namespace, **QUICK) as operator:
        name = syncs.apply()
        deadline = time.monotonic() + WAIT_SECONDS
        while operator.sample("s3sync_reconciles_in_progress") == 0:
            assert time.monotonic() < deadline, "no reconcile begins"
        assert syncs.kubectl("get", "tfjobs", "-o", "name") == ""
        assert operator.stop() == 0
        log = operator.log.read_text()
    status = syncs.get(name)["status"]
    assert syncs.kubectl("get", "tfjobs", "-o", "name").strip() == f"tfjob.kubeflow.org/{status['tfJobName']}"
    assert syncs.events(name) == ["BranchCreated", "TFJobCreated"]
    assert "Traceback" not in log


def test_without_a_cluster_it_says_what_is_missing() -> None:
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": "/nonexistent"}
    argv = [sys.executable, "-m", "s3sync_operator"]
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "s3sync-operator: no cluster to work in" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_credentials_that_the_api_server_refuses_end_it_instead_of_being_tried_for_ever(
    installed: LocalCluster, tmp_path: Path
) -> None:
    config = yaml.safe_load(installed.kubeconfig_for(OPERATOR_USER).read_text())
    config["users"][0]["user"] = {"token": "hunter-two"}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    ended = subprocess.run(
        [sys.executable, "-m", "s3sync_operator", "--health-address=", "--metrics-address="],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": str(tmp_path / "kubeconfig")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "Ran out of valid credentials" in ended.stderr
    assert "hunter" not in ended.stderr


def test_it_does_nothing_outside_its_namespaces(installed: LocalCluster, syncs: Syncs, tmp_path: Path) -> None:
    with OperatorProcess(installed, tmp_path / "log", namespaces="somewhere-else", **QUICK) as operator:
        name = syncs.apply()
        operator.wait_for_resyncs(3)
        assert syncs.get(name)["status"] == {"observedGeneration": -1}


def test_each_log_line_is_json_where_that_is_asked_for(installed: LocalCluster, syncs: Syncs, tmp_path: Path) -> None:
    settings = QUICK | {"log_format": "json", "namespaces": syncs.namespace}
    with OperatorProcess(installed, tmp_path / "log", **settings) as operator:
        syncs.wait_ready(syncs.apply())
        lines = operator.log.read_text().splitlines()
    assert lines
    assert all(json.loads(line)["message"] for line in lines)
