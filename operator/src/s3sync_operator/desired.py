"""Pure: what must exist in the cluster for a sync; equal input renders equal bytes."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from s3sync_operator.access import (
    ACCESS_KEY,
    CA_KEY,
    CERTIFICATE_KEY,
    NO_AUTH_KEY,
    PRIVATE_KEY,
    SECRET_KEY,
    TOKEN_KEY,
    endpoint_url,
    pachd_address,
)
from s3sync_operator.api import GROUP, KIND, VERSION, Client, OnInvalidPath, Prune, Spec, Sync, Trigger, Verify
from s3sync_operator.settings import Settings

TFJOB_GROUP, TFJOB_VERSION, TFJOB_KIND, TFJOB_PLURAL = "kubeflow.org", "v1", "TFJob", "tfjobs"
LABEL_UID = f"{GROUP}/sync-uid"
LABEL_SYNC = f"{GROUP}/sync-hash"
ANNOTATION_SYNC = f"{GROUP}/sync"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
CONTAINER = "tensorflow"
COMMAND = "s3sync-job"
STAGING_FLAG = "--staging-branch="
JOB_USER = 65532
CERTIFICATES = "/etc/s3sync/certificates"

# A worker's pod and Service are named `<tfjob>-worker-<index>`, and a Service's name has at most 63 characters.
_NAME_LENGTH = 63 - len("-worker-9999")
_HASH_LENGTH = 8


@dataclass(frozen=True)
class Run:
    """One attempt of one run of a sync: the spec as of `generation`, tried for the `attempt`-th time.

    `occasion` tells runs of one spec apart: the time of the schedule, or the token of the request, that began it.
    """

    generation: int
    attempt: int
    digest: str
    trigger: Trigger = Trigger.SPEC
    occasion: str = ""

    @property
    def first_attempt(self) -> "Run":
        """The run's first attempt, which stands for the run."""
        return replace(self, attempt=1)

    @property
    def mark(self) -> str:
        """What tells the run from those that the spec itself began; nothing for these, as in versions that knew no
        other, whose runs an upgrade goes on with."""
        return "" if self.trigger is Trigger.SPEC else f"/{self.trigger}/{self.occasion}"


def run_name(sync: Sync, run: Run) -> str:
    """Return the name of the run's TFJob, a DNS-1035 label that no other sync, spec or attempt gets."""
    identity = f"{sync.uid}/{run.generation}/{run.digest}/{run.attempt}{run.mark}"
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:_HASH_LENGTH]
    stem = re.sub(r"[^a-z0-9]+", "-", sync.name)
    stem = stem if stem[0].isalpha() else f"s-{stem}"
    return f"{stem[: _NAME_LENGTH - _HASH_LENGTH - 1].rstrip('-')}-{suffix}"


def owner_reference(sync: Sync) -> dict[str, Any]:
    """Return the reference that makes the garbage collector delete an object with its sync."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": sync.name,
        "uid": sync.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


@dataclass(frozen=True)
class Staging:
    """Where a run's workers stage: what their branches begin with, and the commit that they build upon, if any."""

    branch: str
    base: str | None


@dataclass(frozen=True)
class Found:
    """What a TFJob is rendered from besides spec and settings: the keys that the spec's two Secrets have (empty without
    one), and where to stage (None where files are written to the branch itself)."""

    secret_keys: frozenset[str] = frozenset()
    certificate_keys: frozenset[str] = frozenset()
    staging: Staging | None = None


def tfjob(sync: Sync, spec: Spec, run: Run, settings: Settings, found: Found) -> dict[str, Any]:
    """Return the TFJob of a run.

    The restart policy is Never, since the training-operator restarts without backoff or reliable limit (seen in
    v1.8.1): the operator counts the attempts itself.
    """
    labels = _labels(sync)
    annotations = {ANNOTATION_SYNC: sync.name, ANNOTATION_ATTEMPT: str(run.attempt)}
    return {
        "apiVersion": f"{TFJOB_GROUP}/{TFJOB_VERSION}",
        "kind": TFJOB_KIND,
        "metadata": {
            "name": run_name(sync, run),
            "namespace": sync.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(sync)],
        },
        "spec": {
            "runPolicy": {"cleanPodPolicy": "None", "activeDeadlineSeconds": settings.run_deadline},
            **_success_policy(spec),
            "tfReplicaSpecs": {
                "Worker": {
                    "replicas": spec.effective_workers,
                    "restartPolicy": "Never",
                    "template": {
                        # A service mesh's sidecar would keep the pod running after the job has ended.
                        "metadata": {
                            "labels": labels,
                            "annotations": annotations | {"sidecar.istio.io/inject": "false"},
                        },
                        "spec": _pod_spec(spec, settings, found),
                    },
                }
            },
        },
    }


def _success_policy(spec: Spec) -> dict[str, str]:
    """By default a TFJob has succeeded once its worker 0 has."""
    return {"successPolicy": "AllWorkers"} if spec.effective_workers > 1 else {}


def _labels(sync: Sync) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": COMMAND,
        "app.kubernetes.io/component": "job",
        "app.kubernetes.io/part-of": "pachyderm-s3-sync",
        "app.kubernetes.io/managed-by": "s3sync-operator",
        LABEL_UID: sync.uid,
        LABEL_SYNC: sync_hash(sync),
    }


def sync_hash(sync: Sync) -> str:
    """Return what stands for a sync's name in a label, which a name can be too long for; unlike the uid, it stays the
    same when a sync is deleted and applied again."""
    return hashlib.sha256(sync.name.encode()).hexdigest()[:16]


def _pod_spec(spec: Spec, settings: Settings, found: Found) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": JOB_USER,
            "runAsGroup": JOB_USER,
            "fsGroup": JOB_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, settings, found)],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *_certificate_volumes(spec, found)],
    }


def _container(spec: Spec, settings: Settings, found: Found) -> dict[str, Any]:
    mounts = [{"name": "certificates", "mountPath": CERTIFICATES, "readOnly": True}] if spec.cert_secret_ref else []
    return {
        "name": CONTAINER,
        "image": spec.image or settings.job_image,
        "command": [COMMAND],
        "args": _arguments(spec, found.staging),
        "env": [
            {"name": "S3_ENDPOINT", "value": endpoint_url(spec, settings)},
            *_credentials(spec, found.secret_keys),
            *({"name": name, "value": value} for name, value in _variables(spec, settings, found).items()),
        ],
        "resources": _resources(settings),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # TensorFlow's S3 plugin stages each upload whole under /tmp.
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *mounts],  # noqa: S108
    }


def _arguments(spec: Spec, staging: Staging | None) -> list[str]:
    """Return s3sync-job's flags; what says no more than its default is left out.

    With "=" a value that starts with "-" is not taken for a flag.
    """
    flags = [f"--bucket={spec.bucket}", f"--inputpath={spec.effective_input_path}"]
    if spec.destination_path:
        flags.append(f"--destination-path={spec.destination_path}")
    if spec.effective_client is not Client.FILE_IO:
        flags.append(f"--client={spec.effective_client}")
    if spec.verify not in (None, Verify.FULL):
        flags.append(f"--verify={spec.verify}")
    if spec.filter:
        flags += [f"--include={pattern}" for pattern in spec.filter.include or ()]
        flags += [f"--exclude={pattern}" for pattern in spec.filter.exclude or ()]
    if spec.on_invalid_path is OnInvalidPath.SKIP:
        flags.append("--on-invalid-path=Skip")
    return flags + (_staging_flags(staging, spec.prune) if staging else [])


def _staging_flags(staging: Staging, prune: Prune | None) -> list[str]:
    flags = [f"{STAGING_FLAG}{staging.branch}"]
    if staging.base:
        flags.append(f"--base-commit={staging.base}")
    if prune:
        flags.append("--prune-dry-run" if prune.dry_run else "--prune")
        if prune.max_delete_percent is not None:
            flags.append(f"--max-delete-percent={prune.max_delete_percent}")
    return flags


def _variables(spec: Spec, settings: Settings, found: Found) -> dict[str, str]:
    """Return how Pachyderm is reached, besides its S3 endpoint."""
    variables = {}
    address = pachd_address(spec, settings)
    if address and (found.staging or spec.effective_client is Client.PFS):
        variables["PACHD_ADDRESS"] = address
    if spec.cert_secret_ref:
        variables["S3_CA_FILE"] = f"{CERTIFICATES}/{CA_KEY}"
    if spec.cert_secret_ref and PRIVATE_KEY in found.certificate_keys:
        variables["S3SYNC_CLIENT_CERT"] = f"{CERTIFICATES}/{CERTIFICATE_KEY}"
        variables["S3SYNC_CLIENT_KEY"] = f"{CERTIFICATES}/{PRIVATE_KEY}"
    if spec.insecure_skip_verify:
        variables["S3SYNC_INSECURE_SKIP_VERIFY"] = "1"
    return variables


def _certificate_volumes(spec: Spec, found: Found) -> list[dict[str, Any]]:
    """Only the keys that are used are mounted; fsGroup makes them readable to the job's user."""
    if spec.cert_secret_ref is None:
        return []
    items = [
        {"key": key, "path": key}
        for key in (CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY)
        if key == CA_KEY or key in found.certificate_keys
    ]
    secret = {"secretName": spec.cert_secret_ref.name, "items": items, "defaultMode": 0o440}
    return [{"name": "certificates", "secret": secret}]


def _resources(settings: Settings) -> dict[str, Any]:
    """What /tmp takes is not asked for: it is as large as the largest file, which nobody knows beforehand."""
    asked = {"cpu": settings.job_cpu_request, "memory": settings.job_memory_request}
    requests = {name: quantity for name, quantity in asked.items() if quantity}
    return {"requests": requests} if requests else {}


def _credentials(spec: Spec, secret_keys: frozenset[str]) -> list[dict[str, Any]]:
    """Credentials reach the pod as references only; with a token, Pachyderm takes it as access key and secret key."""
    if spec.secret_ref is None:
        return [{"name": name, "value": NO_AUTH_KEY} for name in (ACCESS_KEY, SECRET_KEY)]
    name = spec.secret_ref.name
    token = TOKEN_KEY in secret_keys
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": TOKEN_KEY if token else key}}}
        for key in (ACCESS_KEY, SECRET_KEY)
    ]
