"""What podTemplate asks for, as a real scheduler and a real kubelet carry it out."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import OwnSyncs
from tests.e2e.target import Target
from tests.e2e.test_interruptions import UPLOAD_SECONDS, start_slowly
from tests.e2e.test_seed import stored
from tests.support.syncs import conditions

LOOK_AROUND = """
import json, os, pathlib
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": sorted(os.getgroups()),
    "greeting": os.environ.get("GREETING"), "pod": os.environ.get("POD"),
    "motd": pathlib.Path("/extra/motd").read_text(),
    "token": pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount").exists(),
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
}))
"""


@pytest.fixture
def reserved(target: Target) -> Iterator[str]:
    """A node that only pods get which ask for it, and classes for them."""
    if not target.node:
        pytest.skip("only the node of a cluster of our own is reserved for a test")
    node = target.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    target.kubectl("label", "node", node, "s3sync-e2e=yes")
    target.kubectl("taint", "node", node, "s3sync-e2e=reserved:NoSchedule")
    classes = (
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "s3sync-e2e"}, "value": 7},
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "s3sync-e2e"}, "handler": "runc"},
    )
    for item in classes:
        target.kubectl("create", "-f", "-", stdin=json.dumps(item))
    yield node
    target.kubectl("taint", "node", node, "s3sync-e2e-")
    target.kubectl("label", "node", node, "s3sync-e2e-")
    target.kubectl("delete", "priorityclass/s3sync-e2e", "runtimeclass/s3sync-e2e")


def template() -> dict[str, Any]:
    where = {"key": "s3sync-e2e", "operator": "In", "values": ["yes"]}
    return {
        "labels": {"team": "readers"},
        "annotations": {"example.org/note": "seen"},
        "serviceAccountName": "reader",
        "imagePullSecrets": [{"name": "registry"}],
        "resources": {"requests": {"cpu": "50m", "memory": "300Mi"}, "limits": {"memory": "1500Mi"}},
        "nodeSelector": {"s3sync-e2e": "yes"},
        "tolerations": [{"key": "s3sync-e2e", "operator": "Equal", "value": "reserved", "effect": "NoSchedule"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}
            }
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"team": "readers"}},
            }
        ],
        "priorityClassName": "s3sync-e2e",
        "runtimeClassName": "s3sync-e2e",
        "securityContext": {"runAsUser": 10001, "runAsGroup": 10002, "fsGroup": 10003, "supplementalGroups": [10004]},
        "containerSecurityContext": {"readOnlyRootFilesystem": False},
        "env": [
            {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "extra", "key": "motd"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "volumes": [{"name": "extra", "configMap": {"name": "extra", "defaultMode": 0o440}}],
        "volumeMounts": [{"name": "extra", "mountPath": "/extra", "readOnly": True}],
    }


@pytest.mark.alone
@pytest.mark.fields(
    "spec.podTemplate.labels",
    "spec.podTemplate.annotations",
    "spec.podTemplate.serviceAccountName",
    "spec.podTemplate.imagePullSecrets",
    "spec.podTemplate.resources.requests",
    "spec.podTemplate.resources.limits",
    "spec.podTemplate.nodeSelector",
    "spec.podTemplate.tolerations",
    "spec.podTemplate.affinity",
    "spec.podTemplate.topologySpreadConstraints",
    "spec.podTemplate.priorityClassName",
    "spec.podTemplate.runtimeClassName",
    "spec.podTemplate.securityContext",
    "spec.podTemplate.containerSecurityContext",
    "spec.podTemplate.env",
    "spec.podTemplate.volumes",
    "spec.podTemplate.volumeMounts",
    "spec.image",
)
def test_all_that_a_pod_template_asks_for_is_seen_on_the_pod_and_from_inside_it(
    syncs: OwnSyncs, target: Target, reserved: str, s3: Any
) -> None:
    for manifest in (
        {"kind": "ServiceAccount", "metadata": {"name": "reader"}},
        {"kind": "ConfigMap", "metadata": {"name": "extra"}, "data": {"motd": "hello"}},
        {
            "kind": "Secret",
            "metadata": {"name": "registry"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json.dumps({"auths": {}})},
        },
    ):
        syncs.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1"} | manifest))
    unwanted = syncs.apply(image=target.job_image)
    message = conditions(syncs.wait_reason(unwanted, "PodUnschedulable"))["Ready"]["message"]
    assert "untolerated taint" in message

    name = start_slowly(syncs, image=target.job_image, podTemplate=template())
    (pod_name,) = syncs.get(name)["status"]["podNames"]
    seen = json.loads(syncs.kubectl("exec", pod_name, "-c", "tensorflow", "--", "python", "-c", LOOK_AROUND))
    assert {10003, 10004} <= set(seen.pop("groups"))
    assert seen == {
        "uid": 10001,
        "gid": 10002,
        "greeting": "hello",
        "pod": pod_name,
        "motd": "hello",
        "token": False,
        "capabilities": ["0000000000000000"],
    }
    pod = json.loads(syncs.kubectl("get", "pod", pod_name, "-o", "json"))
    wanted, spec = template(), pod["spec"]
    assert wanted["labels"].items() <= pod["metadata"]["labels"].items()
    assert wanted["annotations"].items() <= pod["metadata"]["annotations"].items()
    (container,) = spec["containers"]
    assert (spec["nodeName"], spec["priority"], container["image"]) == (reserved, 7, target.job_image)
    assert container["resources"] == wanted["resources"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": False,
    }
    assert spec["securityContext"]["runAsNonRoot"] is True, "what is not asked for stays as the operator has it"
    for field in ("serviceAccountName", "imagePullSecrets", "nodeSelector", "affinity", "runtimeClassName"):
        assert spec[field] == wanted[field]
    assert spec["topologySpreadConstraints"] == wanted["topologySpreadConstraints"]
    assert wanted["tolerations"][0] in spec["tolerations"]
    assert UPLOAD_SECONDS > 1, "the pod is slow enough to be looked at"
    syncs.clear_faults()
    assert syncs.wait_ready(name)["counts"]["verified"] == len(stored(s3, f"master.{name}")) == 2


def test_a_variable_that_is_the_operators_own_is_refused_by_its_name(syncs: OwnSyncs) -> None:
    name = syncs.apply(podTemplate={"env": [{"name": "S3_ENDPOINT", "value": "http://elsewhere:80"}]})
    message = conditions(syncs.wait_stalled(name))["Stalled"]["message"]
    assert message == "spec.podTemplate.env: 'S3_ENDPOINT' is set by the operator; use spec.endpoint"
