"""The operator's Kubernetes client on a real API server."""

import logging

import pytest
import yaml
from kubernetes.aio import client

from s3sync_local.cluster import LocalCluster
from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.desired import CONTAINER
from tests.support.cluster import JOB_IMAGE


async def test_a_log_that_is_not_utf8_is_read_all_the_same(
    installed: LocalCluster, namespace: str, api: client.ApiClient
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "latin", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": CONTAINER, "image": JOB_IMAGE, "command": ["printf", "caf\\351 open\\n"]}],
        },
    }
    installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))
    installed.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/latin", "-n", namespace, "--timeout=30s")
    assert await KubernetesCluster(api, timeout=30).pod_log(namespace, "latin") == "caf\N{REPLACEMENT CHARACTER} open\n"


async def test_a_log_of_a_pod_that_is_gone_is_empty(
    installed: LocalCluster, namespace: str, api: client.ApiClient
) -> None:
    assert await KubernetesCluster(api, timeout=30).pod_log(namespace, "nobody") == ""


async def test_the_log_is_the_jobs_though_a_mesh_has_put_a_container_of_its_own_beside_it(
    installed: LocalCluster, namespace: str, api: client.ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3sync_operator.cluster")
    containers = [{"name": name, "image": JOB_IMAGE} for name in ("istio-proxy", CONTAINER)]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "meshed", "namespace": namespace},
        # On no node, it has no log yet; the API server has to know whose is asked for all the same.
        "spec": {"schedulerName": "nobody", "containers": containers},
    }
    installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(pod))
    assert await KubernetesCluster(api, timeout=30).pod_log(namespace, "meshed") == ""
    assert "cannot be read" not in caplog.text


async def test_events_are_read_that_tell_their_time_in_the_way_of_kubernetes_own_controllers(
    installed: LocalCluster, namespace: str, api: client.ApiClient
) -> None:
    def event(name: str, kind: str, moment: str, message: str) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {"kind": "Job", "name": "a-job", "namespace": namespace, "uid": "uid-of-a-job"},
            "type": kind,
            "reason": "FailedCreate",
            "message": message,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": {"component": "job-controller"},
        }

    made = (
        event("first", "Warning", "2026-11-24T12:00:00Z", "exceeded quota"),
        event("second", "Warning", "2026-11-24T12:00:05Z", 'serviceaccount "nobody" not found'),
        event("third", "Normal", "2026-11-24T12:00:09Z", "all is well"),
    )
    installed.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(made))
    cluster = KubernetesCluster(api, timeout=30)
    assert await cluster.warnings(namespace, "uid-of-a-job") == 'FailedCreate: serviceaccount "nobody" not found'
    assert await cluster.warnings(namespace, "uid-of-another") == ""
