"""Builders of API objects for tests: each returns what the API server would."""

from typing import Any

from s3sync_operator.api import GROUP, KIND, VERSION, Sync, parse_sync
from s3sync_operator.desired import ANNOTATION_SYNC, LABEL_UID

UID = "7f6d2a0e-1111-4222-8333-944444444444"


def sync_object(name: str = "books", *, generation: int = 1, status: Any = None, **spec: Any) -> dict[str, Any]:
    """Return a PachydermS3Sync of namespace kubeflow."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": "kubeflow",
            "uid": UID,
            "generation": generation,
            "resourceVersion": "41",
        },
        "spec": {"repo": "testrepo", **spec},
        "status": status or {"observedGeneration": -1},
    }


def sync(name: str = "books", **more: Any) -> Sync:
    """Return the same, parsed."""
    return parse_sync(sync_object(name, **more))


def tfjob_object(
    name: str, *, condition: str | None = None, message: str = "", deleting: bool = False
) -> dict[str, Any]:
    """Return a TFJob, made at noon; `condition` is its last true one (Created, Running, Succeeded, Failed)."""
    conditions = [{"type": condition, "status": "True", "message": message}] if condition else []
    deleted = {"deletionTimestamp": "2026-11-24T12:00:30Z"} if deleting else {}
    return {
        "kind": "TFJob",
        "metadata": {
            "name": name,
            "namespace": "kubeflow",
            "uid": "job-uid",
            "creationTimestamp": "2026-11-24T12:00:00Z",
            "ownerReferences": [{"uid": UID, "kind": KIND, "name": "books"}],
            **deleted,
        },
        "status": {"conditions": conditions},
    }


def pod_object(job: str, phase: str = "Pending", *, state: Any = None, **status: Any) -> dict[str, Any]:
    """Return the TFJob's worker pod 0 with its `tensorflow` container in the given state."""
    containers = [{"name": "tensorflow", "state": state}] if state else []
    return {
        "metadata": {
            "name": f"{job}-worker-0",
            "namespace": "kubeflow",
            "uid": "pod-uid",
            "creationTimestamp": "2026-11-24T12:00:00Z",
            "labels": {LABEL_UID: UID},
            "annotations": {ANNOTATION_SYNC: "books"},
            "ownerReferences": [{"kind": "TFJob", "name": job, "uid": "job-uid"}],
        },
        "status": {"phase": phase, "containerStatuses": containers, **status},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """Return a container state."""
    return {"waiting": {"reason": reason, "message": message}}


def terminated(exit_code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    """Return a container state."""
    return {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}


RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-11-24T12:00:05Z"}}
