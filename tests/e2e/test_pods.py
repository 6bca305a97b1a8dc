"""The operator and its jobs as pods: hardened, without rights that they do not need, and observable."""

import json
from typing import Any

import pytest

from s3sync_local.errors import KubectlError
from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import OPERATOR_NAMESPACE, Target, operator_pod

LOOK_AROUND = """
import json, os, pathlib, shutil
def writable(path):
    try:
        pathlib.Path(path, "probe").write_text("")
        return True
    except OSError:
        return False
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps({
    "uid": os.getuid(),
    "writable": [path for path in ("/", "/opt", "/usr", "/etc", "/home") if writable(path)],
    "capabilities": int(status["CapEff"], 16),
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "tools": [tool for tool in ("gcc", "cc", "pip", "pip3", "apt-get", "curl") if shutil.which(tool)],
}))
"""

FORBIDDEN = (("get", "secrets"), ("list", "pods"), ("create", "pods"), ("get", "ps3"), ("create", "tfjobs"))


def look_around(target: Target) -> dict[str, Any]:
    pod = operator_pod(target)
    answer = target.kubectl("exec", "-n", OPERATOR_NAMESPACE, pod, "--", "python", "-c", LOOK_AROUND)
    return dict(json.loads(answer))


def test_the_operator_runs_as_nobody_and_can_write_nothing(target: Target, operator: object) -> None:
    found = look_around(target)
    assert found["uid"] == 65532
    assert found["writable"] == []
    assert found["capabilities"] == 0
    assert found["no_new_privileges"] == "1"
    assert "gcc" not in found["tools"]
    assert "pip" not in found["tools"]


def test_the_operators_namespace_enforces_the_restricted_standard(target: Target, operator: object) -> None:
    labels = json.loads(target.kubectl("get", "namespace", OPERATOR_NAMESPACE, "-o", "json"))["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    with pytest.raises(KubectlError, match="PodSecurity"):
        target.kubectl("run", "root", "--image=any", "--privileged", "-n", OPERATOR_NAMESPACE, "--dry-run=server")


def test_a_jobs_pod_passes_the_restricted_standard_and_its_service_account_may_do_nothing(syncs: OwnSyncs) -> None:
    name = syncs.apply()
    (pod_name,) = syncs.wait_ready(name)["podNames"]
    pod = json.loads(syncs.kubectl("get", "pod", pod_name, "-o", "json"))
    assert pod["spec"]["automountServiceAccountToken"] is False
    mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert mounts == ["/tmp"]

    subject = f"--as=system:serviceaccount:{syncs.namespace}:{pod['spec']['serviceAccountName']}"
    for verb, resource in FORBIDDEN:
        with pytest.raises(KubectlError):
            syncs.kubectl("auth", "can-i", verb, resource, subject)


def test_health_and_metrics_answer_through_the_api_server(target: Target, operator: object) -> None:
    pod = operator_pod(target)
    proxy = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}"
    assert target.kubectl("get", "--raw", f"{proxy}:8080/proxy/healthz")
    assert target.kubectl("get", "--raw", f"{proxy}:8080/proxy/readyz")
    metrics = target.kubectl("get", "--raw", f"{proxy}:8081/proxy/metrics")
    assert "s3sync_build_info{" in metrics
    assert "\nprocess_resident_memory_bytes " in metrics
