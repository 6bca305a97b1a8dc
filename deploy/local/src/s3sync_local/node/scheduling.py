"""Pure: which pods the node takes for itself in the scheduler's stead."""

from collections.abc import Mapping

from s3sync_local.node.records import Manifest


def wants_node(pod: Manifest) -> bool:
    """Whether the pod waits for the default scheduler to find it a node."""
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and spec.get("schedulerName", "default-scheduler") == "default-scheduler"
        and not spec.get("schedulingGates")
        and "deletionTimestamp" not in pod["metadata"]
    )


def fits(pod: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels satisfies the pod's ``nodeSelector``; affinity and taints are not looked at."""
    return all(labels.get(key) == value for key, value in pod["spec"].get("nodeSelector", {}).items())


def unschedulable_condition(now: str) -> dict[str, str]:
    """The condition that the default scheduler sets on a pod that fits nowhere; ``now`` in RFC 3339."""
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        "lastTransitionTime": now,
    }


def is_marked_unschedulable(pod: Manifest) -> bool:
    """Whether the pod carries that condition already."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "PodScheduled" and c.get("reason") == "Unschedulable" for c in conditions)
