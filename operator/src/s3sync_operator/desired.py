"""Pure: what must exist in the cluster for a sync; equal input renders equal bytes."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from s3sync_operator.api import GROUP, KIND, VERSION, Spec, Sync
from s3sync_operator.settings import Settings

TFJOB_GROUP, TFJOB_VERSION, TFJOB_KIND, TFJOB_PLURAL = "kubeflow.org", "v1", "TFJob", "tfjobs"
LABEL_UID = f"{GROUP}/sync-uid"
LABEL_SYNC = f"{GROUP}/sync-hash"
ANNOTATION_SYNC = f"{GROUP}/sync"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
CONTAINER = "tensorflow"
COMMAND = "s3sync-job"
JOB_USER = 65532

# A worker's pod and Service are named `<tfjob>-worker-<index>`, and a Service's name has at most 63 characters.
_NAME_LENGTH = 63 - len("-worker-9999")
_HASH_LENGTH = 8

# Without auth, Pachyderm's gateway takes any signed request whose access key equals its secret key.
_NO_AUTH_KEY = "pachyderm"
ACCESS_KEY, SECRET_KEY, TOKEN_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "token"


@dataclass(frozen=True)
class Run:
    """One attempt of one run of a sync: the spec as of `generation`, tried for the `attempt`-th time."""

    generation: int
    attempt: int
    digest: str


def run_name(sync: Sync, run: Run) -> str:
    """Return the name of the run's TFJob, a DNS-1035 label that no other sync, spec or attempt gets."""
    identity = f"{sync.uid}/{run.generation}/{run.digest}/{run.attempt}"
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:_HASH_LENGTH]
    stem = re.sub(r"[^a-z0-9]+", "-", sync.name)
    stem = stem if stem[0].isalpha() else f"s-{stem}"
    return f"{stem[: _NAME_LENGTH - _HASH_LENGTH - 1].rstrip('-')}-{suffix}"


def endpoint_url(spec: Spec, settings: Settings) -> str:
    """Return the S3 gateway's URL; a bare host:port means http, as in the manifests of Pachyderm's examples."""
    endpoint = (spec.endpoint or settings.default_endpoint).rstrip("/")
    return endpoint if "://" in endpoint else f"http://{endpoint}"


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


def tfjob(sync: Sync, spec: Spec, run: Run, settings: Settings, secret_keys: frozenset[str]) -> dict[str, Any]:
    """Return the TFJob of a run; `secret_keys` are the keys that the spec's Secret has (empty without one).

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
            "tfReplicaSpecs": {
                "Worker": {
                    "replicas": 1,
                    "restartPolicy": "Never",
                    "template": {
                        # A service mesh's sidecar would keep the pod running after the job has ended.
                        "metadata": {
                            "labels": labels,
                            "annotations": annotations | {"sidecar.istio.io/inject": "false"},
                        },
                        "spec": _pod_spec(spec, settings, secret_keys),
                    },
                }
            },
        },
    }


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


def _pod_spec(spec: Spec, settings: Settings, secret_keys: frozenset[str]) -> dict[str, Any]:
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
        "containers": [_container(spec, settings, secret_keys)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def _container(spec: Spec, settings: Settings, secret_keys: frozenset[str]) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": spec.image or settings.job_image,
        "command": [COMMAND],
        # With "=" a path that starts with "-" is not taken for a flag.
        "args": [f"--bucket={spec.bucket}", f"--inputpath={spec.effective_input_path}"],
        "env": [{"name": "S3_ENDPOINT", "value": endpoint_url(spec, settings)}, *_credentials(spec, secret_keys)],
        "resources": _resources(settings),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # TensorFlow's S3 plugin stages each upload whole under /tmp.
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _resources(settings: Settings) -> dict[str, Any]:
    """What /tmp takes is not asked for: it is as large as the largest file, which nobody knows beforehand."""
    asked = {"cpu": settings.job_cpu_request, "memory": settings.job_memory_request}
    requests = {name: quantity for name, quantity in asked.items() if quantity}
    return {"requests": requests} if requests else {}


def _credentials(spec: Spec, secret_keys: frozenset[str]) -> list[dict[str, Any]]:
    """Credentials reach the pod as references only; with a token, Pachyderm takes it as access key and secret key."""
    if spec.secret_ref is None:
        return [{"name": name, "value": _NO_AUTH_KEY} for name in (ACCESS_KEY, SECRET_KEY)]
    name = spec.secret_ref.name
    token = TOKEN_KEY in secret_keys
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": TOKEN_KEY if token else key}}}
        for key in (ACCESS_KEY, SECRET_KEY)
    ]


@dataclass(frozen=True)
class Credentials:
    """The key pair that signs requests to the gateway; never shown."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "Credentials(…)"


NO_AUTH = Credentials(_NO_AUTH_KEY, _NO_AUTH_KEY)


def credential_problem(secret: dict[str, str]) -> str | None:
    """Return which key of a Secret's data cannot be sent as it is, without its value; None where all can.

    The job gets the values by reference, so a line break at the end, as `echo` leaves it, cannot be cut off here.
    """
    for key in (TOKEN_KEY, ACCESS_KEY, SECRET_KEY):
        if not re.fullmatch(r"[!-~]*", secret.get(key, "")):
            return f"'{key}' has white space, a line break or other than ASCII in it; store it without, by printf %s"
    return None


def credentials_of(secret: dict[str, str]) -> Credentials | None:
    """Return the key pair of a Secret's decoded data, or None where it has neither a token nor both keys."""
    if secret.get(TOKEN_KEY):
        return Credentials(secret[TOKEN_KEY], secret[TOKEN_KEY])
    if secret.get(ACCESS_KEY) and secret.get(SECRET_KEY):
        return Credentials(secret[ACCESS_KEY], secret[SECRET_KEY])
    return None
