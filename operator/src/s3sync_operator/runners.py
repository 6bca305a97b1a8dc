"""Pure: the kinds of objects that run a sync's pods, behind one seam: how each is written and what it tells.

Sources: Kubeflow's training-operator v1.8.1 (TFJob, kubeflow.org/v1) and Kubernetes 1.29 and newer (Job, batch/v1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from s3sync_operator.api import Reason, Runner

Raw = dict[str, Any]
JobState = Literal["Active", "Succeeded", "Failed"]


@dataclass(frozen=True)
class Resource:
    """Where the API server has a kind."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """The group with its version, as in manifests."""
        return f"{self.group}/{self.version}"


@dataclass(frozen=True)
class Reasons:
    """What a condition's reason is called where the object was deleted, has failed, or is refused."""

    deleted: Reason
    failed: Reason
    refused: Reason


class JobKind(Protocol):
    """A kind of object that runs pods from a template, one for each worker."""

    @property
    def runner(self) -> Runner:
        """What spec.runner calls it."""

    @property
    def resource(self) -> Resource:
        """Where the API server has it."""

    @property
    def reasons(self) -> Reasons:
        """What its failures are called."""

    @property
    def controller(self) -> str:
        """What makes its pods, in words."""

    def spec(self, template: Raw, workers: int, deadline: int) -> Raw:
        """Return the spec of an object that runs one pod a worker, none of them twice, for at most `deadline` seconds.

        Attempts are counted by this operator: it alone knows which failure another attempt may mend.
        """

    def environment(self, workers: int) -> dict[str, str]:
        """Return the variables that tell a worker its place, besides those that the kind's controller sets."""

    def template(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the pods' template."""

    def workers(self, raw: Mapping[str, Any]) -> int:
        """Return how many workers there are."""

    def state(self, raw: Mapping[str, Any]) -> tuple[JobState, str]:
        """Return how the object says that it stands, and what it says of that."""

    def suspended(self, raw: Mapping[str, Any]) -> bool:
        """Tell whether it makes no pods for now, as Kueue has it until there is room."""


class _TFJob:
    """Kubeflow's TFJob: it tells a worker its place in TF_CONFIG.

    Its restart policy is Never: the training-operator restarts without backoff or reliable limit (seen in v1.8.1).
    """

    runner = Runner.TFJOB
    resource = Resource("kubeflow.org", "v1", "TFJob", "tfjobs")
    reasons = Reasons(Reason.TFJOB_DELETED, Reason.TFJOB_FAILED, Reason.TFJOB_REFUSED)
    controller = "Kubeflow's training-operator"

    def spec(self, template: Raw, workers: int, deadline: int) -> Raw:
        # By default a TFJob has succeeded once its worker 0 has.
        policy = {"successPolicy": "AllWorkers"} if workers > 1 else {}
        worker = {"replicas": workers, "restartPolicy": "Never", "template": template}
        return {
            "runPolicy": {"cleanPodPolicy": "None", "activeDeadlineSeconds": deadline},
            **policy,
            "tfReplicaSpecs": {"Worker": worker},
        }

    def environment(self, workers: int) -> dict[str, str]:
        del workers
        return {}

    def template(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = _worker(raw).get("template", {})
        return found

    def workers(self, raw: Mapping[str, Any]) -> int:
        return int(_worker(raw).get("replicas") or 1)

    def state(self, raw: Mapping[str, Any]) -> tuple[JobState, str]:
        return _state(raw, {"Failed": "Failed", "Succeeded": "Succeeded"})

    def suspended(self, raw: Mapping[str, Any]) -> bool:
        return bool(raw.get("spec", {}).get("runPolicy", {}).get("suspend"))


def _worker(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = raw.get("spec", {}).get("tfReplicaSpecs", {}).get("Worker", {})
    return found


class _Job:
    """Kubernetes' Job: it tells a worker its index in JOB_COMPLETION_INDEX.

    A limit for each index, and none for all, lets the others end their share where one fails; a pod that is on its way
    out is not replaced, so that no two write the same.
    """

    runner = Runner.JOB
    resource = Resource("batch", "v1", "Job", "jobs")
    reasons = Reasons(Reason.JOB_DELETED, Reason.JOB_FAILED, Reason.JOB_REFUSED)
    controller = "Kubernetes' Job controller"

    def spec(self, template: Raw, workers: int, deadline: int) -> Raw:
        return {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            "backoffLimitPerIndex": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": deadline,
            "template": template | {"spec": {"restartPolicy": "Never"} | template["spec"]},
        }

    def environment(self, workers: int) -> dict[str, str]:
        return {"S3SYNC_WORKERS": str(workers)} if workers > 1 else {}

    def template(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = raw.get("spec", {}).get("template", {})
        return found

    def workers(self, raw: Mapping[str, Any]) -> int:
        return int(raw.get("spec", {}).get("completions") or 1)

    def state(self, raw: Mapping[str, Any]) -> tuple[JobState, str]:
        return _state(raw, {"Failed": "Failed", "Complete": "Succeeded"})

    def suspended(self, raw: Mapping[str, Any]) -> bool:
        return bool(raw.get("spec", {}).get("suspend"))


def _state(raw: Mapping[str, Any], ends: Mapping[str, JobState]) -> tuple[JobState, str]:
    conditions = raw.get("status", {}).get("conditions") or ()
    true = {item["type"]: str(item.get("message", "")) for item in conditions if item.get("status") == "True"}
    return next(((state, true[kind]) for kind, state in ends.items() if kind in true), ("Active", ""))


TFJOB: JobKind = _TFJob()
JOB: JobKind = _Job()
KINDS: tuple[JobKind, ...] = (TFJOB, JOB)


def kind_of(runner: Runner) -> JobKind:
    """Return the kind that spec.runner names."""
    return JOB if runner is Runner.JOB else TFJOB


def kind_of_object(raw: Mapping[str, Any]) -> JobKind:
    """Return the kind of an object as the API server gives it."""
    return JOB if raw.get("kind") == JOB.resource.kind else TFJOB


def job_of_pod(pod: Mapping[str, Any]) -> str:
    """Return the name of the object that a pod belongs to, nothing where it is none of these kinds."""
    kinds = {kind.resource.kind for kind in KINDS}
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["name"]) for owner in owners if owner.get("kind") in kinds), "")
