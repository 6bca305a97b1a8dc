"""What the operator tells Prometheus and the kubelet, after real work."""

import time
from collections.abc import Callable

import pytest

from s3sync_local.cluster import LocalCluster
from tests.integration.conftest import QUICK, Syncs
from tests.support.operator_process import OperatorProcess

WAIT_SECONDS = 30


def wait_until(wanted: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not wanted():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_sync_and_a_failure_show_in_the_metrics(syncs: Syncs, own_operator: OperatorProcess) -> None:
    secret = "a-secret-of-the-test"
    syncs.kubectl("create", "secret", "generic", "keys", f"--from-literal=token={secret}")
    good = syncs.apply(secretRef={"name": "keys"})
    counts = syncs.wait_ready(good)["counts"]
    bad = syncs.apply_tree("no-such-directory")
    syncs.wait_stalled(bad)

    def told(name: str, **labels: str) -> float:
        return own_operator.sample(f"s3sync_{name}", **labels)

    own_operator.wait_for_sample(1, "s3sync_syncs", phase="Failed")
    own_operator.wait_for_sample(1, "s3sync_syncs", phase="Succeeded")
    assert told("runs_finished_total", result="succeeded", reason="Verified") == 1
    assert told("runs_finished_total", result="failed", reason="InputPathNotFound") == 1
    assert told("attempts_failed_total", reason="InputPathNotFound") == 1
    assert told("run_duration_seconds_count", result="succeeded") == 1
    assert told("job_files_total", outcome="verified") == counts["verified"] == 2
    assert told("job_bytes_total", outcome="verified") == counts["bytes"]
    assert told("job_copied_bytes_total") == counts["bytes"]
    assert told("kubernetes_requests_total", verb="create", resource="tfjobs", code="201") == 2
    assert told("kubernetes_requests_total", verb="watch", resource="pachydermsyncs", code="200") >= 1
    assert told("kubernetes_requests_total", verb="get", resource="secrets", code="200") >= 1
    assert told("gateway_requests_total", operation="HeadBucket", result="missing") == 2
    assert told("gateway_requests_total", operation="CreateBucket", result="ok") == 2
    assert told("reconciles_total", result="error") == 0
    assert told("reconciles_total", result="done") >= 2
    assert told("queue_wait_seconds_count") == told("reconcile_duration_seconds_count") > 0
    wait_until(lambda: told("last_successful_resync_timestamp_seconds") > time.time() - WAIT_SECONDS, "no resync")

    names = {"sync_namespace": syncs.namespace}
    assert told("sync_stalled", sync=bad, **names) == 1
    assert told("sync_stalled", sync=good, **names) == 0
    assert told("sync_last_success_timestamp_seconds", sync=good, **names) > time.time() - WAIT_SECONDS
    scraped = str(own_operator.samples())
    assert [text for text in (secret, syncs.endpoint) if text in scraped] == []

    # After a restart what has ended is shown, and not counted again.
    own_operator.stop()
    own_operator.start()
    own_operator.wait_for_sample(1, "s3sync_syncs", phase="Succeeded")
    assert told("runs_finished_total", result="succeeded", reason="Verified") == 0
    assert told("runs_finished_total", result="failed", reason="InputPathNotFound") == 0


def test_a_deleted_sync_is_not_shown_any_more(syncs: Syncs, own_operator: OperatorProcess) -> None:
    name = syncs.apply()
    syncs.wait_ready(name)
    own_operator.wait_for_sample(1, "s3sync_syncs", phase="Succeeded")
    syncs.kubectl("delete", "ps3", name)
    own_operator.wait_for_sample(0, "s3sync_syncs", phase="Succeeded")
    assert name not in str(own_operator.samples())


def test_it_is_ready_once_the_watch_has_delivered_what_there_was(syncs: Syncs, own_operator: OperatorProcess) -> None:
    wait_until(lambda: own_operator.readiness() == (200, "ok\n"), "it is not ready without syncs")
    own_operator.stop()
    syncs.apply()
    own_operator.start()
    wait_until(lambda: own_operator.readiness() == (200, "ok\n"), "it is not ready with a sync")


def test_an_operator_whose_watch_is_refused_lives_and_is_not_ready(
    installed: LocalCluster, syncs: Syncs, own_operator: OperatorProcess
) -> None:
    nobody = installed.kubeconfig_for("nobody-in-particular")
    log = own_operator.log.with_name("second.log")
    with OperatorProcess(installed, log, kubeconfig=nobody, namespaces=syncs.namespace, **QUICK) as second:
        assert second.health() == 200
        status, text = second.readiness()
        assert (status, text) == (500, "the watch has not delivered the first listing yet\n")
        # What nobody lets it see for long is a case for a restart.
        wait_until(lambda: second.health() == 500, "it is well without seeing anything")
        assert "could not be listed" in second.readiness()[1] or "first listing" in second.readiness()[1]


def test_an_address_in_use_ends_it_with_a_line_that_names_the_flag(
    installed: LocalCluster, own_operator: OperatorProcess
) -> None:
    taken = own_operator.metrics_url.split("/")[2]
    log = own_operator.log.with_name("second.log")
    second = OperatorProcess(installed, log, metrics_address=taken, **QUICK)
    with pytest.raises(AssertionError, match="the operator ended") as ended:
        second.start()
    assert f"s3sync-operator: cannot listen on {taken}" in str(ended.value)
    assert "--metrics-address" in str(ended.value)
    assert "Traceback" not in str(ended.value)
