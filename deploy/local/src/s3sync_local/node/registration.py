"""Pure: the Node and the Lease as a kubelet writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from s3sync_local.node.environment import NODE_ADDRESS
from s3sync_local.node.status import rfc3339

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
_VERSION = version("s3sync-local")


@dataclass(frozen=True)
class Machine:
    """What the Node tells of this machine; memory and storage in bytes."""

    cpus: int
    memory: int
    storage: int
    architecture: str
    kernel: str
    system: str


def node_labels(name: str, machine: Machine, extra: Mapping[str, str]) -> dict[str, str]:
    """The labels that a kubelet sets on its Node, and the extra ones."""
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        **extra,
    }


def node_manifest(name: str, labels: Mapping[str, str], port: int, machine: Machine, now: datetime) -> dict[str, Any]:
    """The Node, ready, whose kubelet listens on that port of 127.0.0.1."""
    capacity = {
        "cpu": str(machine.cpus),
        "memory": f"{machine.memory // 1024}Ki",
        "ephemeral-storage": f"{machine.storage // 1024}Ki",
        "pods": "110",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": dict(labels)},
        "status": {
            "addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": _conditions(now),
            "nodeInfo": _node_info(name, machine),
        },
    }


def lease_manifest(name: str, node_uid: str, now: datetime) -> dict[str, Any]:
    """The heartbeat, owned by the Node, which renews it well within its 40 seconds."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": LEASE_NAMESPACE,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}],
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


def _conditions(now: datetime) -> list[dict[str, str]]:
    times = {"lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(now)}
    pressures = {"MemoryPressure": "Memory", "DiskPressure": "Disk", "PIDPressure": "PID"}
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "NodeReady",
        "message": "the local node runs pods as processes",
    }
    return [
        {**ready, **times},
        *(
            {"type": kind, "status": "False", "reason": f"NodeHasNo{what}Pressure", "message": "not measured", **times}
            for kind, what in pressures.items()
        ),
    ]


def _node_info(name: str, machine: Machine) -> dict[str, str]:
    return {
        "architecture": machine.architecture,
        "bootID": "",
        "containerRuntimeVersion": f"process://{_VERSION}",
        "kernelVersion": machine.kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": f"s3sync-local-{_VERSION}",
        "machineID": name,
        "operatingSystem": "linux",
        "osImage": machine.system,
        "systemUUID": name,
    }
