"""The cluster with a real node does what a real one does: pods from images, DNS, Services, webhooks, restarts."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from s3sync_local.components import SERVICE_IP
from s3sync_local.errors import ComponentError, KubectlError
from s3sync_local.images import STANDIN, build_images
from s3sync_local.realnode import RealCluster
from s3sync_local.realnode.configuration import NODE_NAME
from tests.sandbox.conftest import short_folder

pytestmark = pytest.mark.xdist_group("cluster")
"""They use one cluster."""

HELLO = """
import http.server
http.server.test(http.server.SimpleHTTPRequestHandler, port=8000)
"""
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).status)"
RESOLVE = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    images = list(build_images(print, ["standin"]).values())
    with short_folder() as folder, RealCluster(folder / "state", images=images, progress=print) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(cluster: RealCluster) -> str:
    """Run a web server behind Service `hello`, and return its pod's name."""
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
    # A pod finds its own name in its own hosts file, so the Service has another.
    pod = _pod("web", ["python3", "-c", HELLO], readinessProbe=probe)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "hello"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]},
    }
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([pod, service]))
    cluster.wait_for("pod/web", "Ready", seconds=60)
    _wait_until_it_answers(_address(cluster, "hello"))
    return "web"


def test_the_node_is_ready_and_all_controllers_work(cluster: RealCluster) -> None:
    cluster.wait_for(f"node/{NODE_NAME}", "Ready")
    cluster.kubectl("create", "deployment", "idle", f"--image={STANDIN}", "--replicas=2", "--", "sleep", "1000")
    cluster.wait_for("deployment/idle", "Available", seconds=60)
    cluster.kubectl("delete", "deployment", "idle", "--now")


def test_a_pod_reaches_services_by_name_itself_and_the_api_server(cluster: RealCluster, server: str) -> None:
    assert _python(cluster, server, FETCH, "http://hello") == "200"
    assert _python(cluster, server, FETCH, "http://hello.default.svc.cluster.local") == "200"
    assert _python(cluster, server, RESOLVE, "kubernetes.default") == SERVICE_IP
    api = "import ssl, urllib.request as r; c = ssl.create_default_context(cafile='{0}/ca.crt'); "
    api += "print(r.urlopen('https://kubernetes.default.svc/version', context=c, timeout=10).status)"
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert _python(cluster, server, api.format(account)) == "200"


def test_a_name_outside_of_the_cluster_does_not_exist(cluster: RealCluster, server: str) -> None:
    with pytest.raises(KubectlError, match="Name or service not known"):
        _python(cluster, server, RESOLVE, "pachd.example.com")


@pytest.mark.usefixtures("server")
def test_this_process_reaches_services_by_their_address(cluster: RealCluster) -> None:
    with urllib.request.urlopen(_address(cluster, "hello"), timeout=10) as answer:
        assert answer.status == 200


def test_the_log_of_a_pod_can_be_read(cluster: RealCluster, server: str) -> None:
    assert "GET / HTTP" in cluster.kubectl("logs", server)


def test_the_training_operator_runs_tfjobs_and_its_webhook_refuses_bad_ones(cluster: RealCluster) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_tfjob("good", ["sh", "-c", "echo done"])))
    cluster.wait_for("tfjob/good", "Succeeded", seconds=60)
    assert cluster.kubectl("logs", "good-worker-0") == "done\n"
    with pytest.raises(KubectlError, match=r"validator\.tfjob.*denied the request.*DNS-1035"):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(_tfjob("1-bad", ["true"])))


def test_a_restart_of_the_kubelet_leaves_pods_running(cluster: RealCluster, server: str) -> None:
    before = _started_at(cluster, server)
    cluster.restart_kubelet()
    assert _started_at(cluster, server) == before
    cluster.kubectl("run", "after", f"--image={STANDIN}", "--restart=Never", "--command", "--", "true")
    cluster.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/after", "--timeout=60s", timeout=90)


def test_an_image_imported_later_can_be_run_and_what_is_no_image_is_refused(
    cluster: RealCluster, tmp_path: Path
) -> None:
    (archive,) = build_images(print, ["pause"]).values()
    cluster.import_image(archive)
    (tmp_path / "no-image.tar").write_bytes(b"nothing")
    with pytest.raises(ComponentError, match=r"no-image\.tar could not be imported"):
        cluster.import_image(tmp_path / "no-image.tar")


def test_an_image_that_is_not_on_the_node_cannot_be_pulled(cluster: RealCluster) -> None:
    cluster.kubectl("run", "absent", "--image=example/absent:1", "--restart=Never")
    reason = "{.status.containerStatuses[0].state.waiting.reason}"
    cluster.kubectl("wait", f"--for=jsonpath={reason}=ErrImagePull", "pod/absent", "--timeout=60s", timeout=90)
    cluster.kubectl("delete", "pod", "absent", "--now")


def test_restricted_pod_security_is_enforced_where_a_namespace_asks_for_it(cluster: RealCluster) -> None:
    cluster.create_namespace("restricted")
    cluster.kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        cluster.kubectl("apply", "-n", "restricted", "-f", "-", stdin=json.dumps(_pod("root", ["true"])))


def test_every_request_is_in_the_audit_log_with_microseconds(cluster: RealCluster, server: str) -> None:
    lines = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    created = [each for each in lines if each["verb"] == "patch" and each.get("objectRef", {}).get("name") == server]
    assert created
    assert len(created[0]["stageTimestamp"].partition(".")[2]) == len("123456Z")


def _address(cluster: RealCluster, service: str) -> str:
    return f"http://{json.loads(cluster.kubectl('get', 'service', service, '-o', 'json'))['spec']['clusterIP']}"


def _wait_until_it_answers(address: str) -> None:
    """Wait until the node has heard that the Service's pod is ready, as every client of a new Service must."""
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.2)
        else:
            return


def _pod(name: str, command: list[str], **container: object) -> dict[str, object]:
    containers = [{"name": "main", "image": STANDIN, "command": command, **container}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": containers, "terminationGracePeriodSeconds": 1},
    }


def _tfjob(name: str, command: list[str]) -> dict[str, object]:
    template = {"spec": {"containers": [{"name": "tensorflow", "image": STANDIN, "command": command}]}}
    worker = {"replicas": 1, "restartPolicy": "Never", "template": template}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": name},
        "spec": {"tfReplicaSpecs": {"Worker": worker}},
    }


def _python(cluster: RealCluster, pod: str, script: str, *arguments: str) -> str:
    return cluster.kubectl("exec", pod, "--", "python3", "-c", script, *arguments).strip()


def _started_at(cluster: RealCluster, pod: str) -> str:
    status = json.loads(cluster.kubectl("get", "pod", pod, "-o", "json"))["status"]
    return str(status["containerStatuses"][0]["state"]["running"]["startedAt"])
