"""Pure: the pods that copy: what s3sync-job needs, hardened as the restricted Pod Security Standard asks, and what
spec.source and spec.podTemplate add to that."""

from collections.abc import Mapping
from typing import Any

from s3sync_operator import sources
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
from s3sync_operator.api import Client, Filter, OnInvalidPath, Prune, Spec, Verify
from s3sync_operator.desired import COMMAND, CONTAINER, STAGING_FLAG, Found, Staging
from s3sync_operator.models import plain
from s3sync_operator.pod_fields import PodTemplate
from s3sync_operator.settings import Settings

JOB_USER = 65532
TEMPORARY = "/tmp"  # noqa: S108 - a path in the pod, which is the job's alone
CERTIFICATES = "/etc/s3sync/certificates"
TEMPORARY_VOLUME, CERTIFICATES_VOLUME = "tmp", "certificates"
OWN_VOLUMES = frozenset({TEMPORARY_VOLUME, CERTIFICATES_VOLUME, sources.VOLUME})
NO_SIDECAR = {"sidecar.istio.io/inject": "false"}
"""A service mesh's sidecar would keep the pod running after the job has ended."""

Raw = dict[str, Any]
_POD_FIELDS = (
    "serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints",
    "priorityClassName", "runtimeClassName",
)  # fmt: skip
"""The fields of spec.podTemplate that are fields of a pod's spec, by the same name and as they are."""


def pod_template(
    spec: Spec,
    settings: Settings,
    found: Found,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    place: Mapping[str, str],
) -> Raw:
    """Return the template of a run's pods; `place` holds the variables that tell a worker its place, and for whom it
    works."""
    wanted = plain(spec.pod_template or PodTemplate())
    return {
        "metadata": {
            "labels": wanted.get("labels", {}) | dict(labels),
            "annotations": NO_SIDECAR | wanted.get("annotations", {}) | dict(annotations),
        },
        "spec": _pod_spec(spec, settings, found, wanted, place),
    }


def _pod_spec(spec: Spec, settings: Settings, found: Found, wanted: Raw, place: Mapping[str, str]) -> Raw:
    own = [{"name": TEMPORARY_VOLUME, "emptyDir": {}}, *_certificate_volumes(spec, found), *sources.volumes(spec)]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **{name: wanted[name] for name in _POD_FIELDS if wanted.get(name)},
        "securityContext": merged(
            {
                "runAsNonRoot": True,
                "runAsUser": JOB_USER,
                "runAsGroup": JOB_USER,
                "fsGroup": JOB_USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            wanted.get("securityContext", {}),
        ),
        "containers": [_container(spec, settings, found, wanted, place)],
        "volumes": [*own, *wanted.get("volumes", ())],
    }


def _container(spec: Spec, settings: Settings, found: Found, wanted: Raw, place: Mapping[str, str]) -> Raw:
    certificates = {"name": CERTIFICATES_VOLUME, "mountPath": CERTIFICATES, "readOnly": True}
    return {
        "name": CONTAINER,
        "image": spec.image or settings.job_image,
        "command": [COMMAND],
        "args": _arguments(spec, found.staging),
        "env": [
            {"name": "S3_ENDPOINT", "value": endpoint_url(spec, settings)},
            *_credentials(spec, found.secret_keys),
            *_variables(_reached(spec, settings, found) | dict(place)),
            *wanted.get("env", ()),
        ],
        "resources": _resources(settings, wanted),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": merged(
            {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            wanted.get("containerSecurityContext", {}),
        ),
        "volumeMounts": [
            # TensorFlow's S3 plugin stages each upload whole under /tmp.
            {"name": TEMPORARY_VOLUME, "mountPath": TEMPORARY},
            *([certificates] if spec.cert_secret_ref else []),
            *sources.mounts(spec),
            *wanted.get("volumeMounts", ()),
        ],
    }


def merged(ours: Raw, theirs: Raw) -> Raw:
    """Return our values with theirs over them, field by field at every depth."""
    both = {
        name: merged(value, theirs[name])
        for name, value in ours.items()
        if isinstance(value, dict) and isinstance(theirs.get(name), dict)
    }
    return ours | theirs | both


def _arguments(spec: Spec, staging: Staging | None) -> list[str]:
    """Return s3sync-job's flags; what says no more than its default is left out.

    With "=" a value that starts with "-" is not taken for a flag.
    """
    flags = [f"--bucket={spec.bucket}", f"--inputpath={sources.input_path(spec)}"]
    if spec.destination_path:
        flags.append(f"--destination-path={spec.destination_path}")
    if spec.effective_client is not Client.FILE_IO:
        flags.append(f"--client={spec.effective_client}")
    if spec.verify not in (None, Verify.FULL):
        flags.append(f"--verify={spec.verify}")
    chosen = spec.filter or Filter()
    flags += [f"--include={pattern}" for pattern in chosen.include or ()]
    flags += [f"--exclude={pattern}" for pattern in (*(chosen.exclude or ()), *sources.excluded(spec))]
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


def _variables(values: Mapping[str, str]) -> list[Raw]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _reached(spec: Spec, settings: Settings, found: Found) -> dict[str, str]:
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


def _certificate_volumes(spec: Spec, found: Found) -> list[Raw]:
    """Only the keys that are used are mounted; fsGroup makes them readable to the job's user."""
    if spec.cert_secret_ref is None:
        return []
    items = [
        {"key": key, "path": key}
        for key in (CA_KEY, CERTIFICATE_KEY, PRIVATE_KEY)
        if key == CA_KEY or key in found.certificate_keys
    ]
    secret = {"secretName": spec.cert_secret_ref.name, "items": items, "defaultMode": 0o440}
    return [{"name": CERTIFICATES_VOLUME, "secret": secret}]


def _resources(settings: Settings, wanted: Raw) -> Raw:
    """What /tmp takes is not asked for: it is as large as the largest file, which nobody knows beforehand."""
    if "resources" in wanted:
        return dict(wanted["resources"])
    asked = {"cpu": settings.job_cpu_request, "memory": settings.job_memory_request}
    requests = {name: quantity for name, quantity in asked.items() if quantity}
    return {"requests": requests} if requests else {}


def _credentials(spec: Spec, secret_keys: frozenset[str]) -> list[Raw]:
    """Credentials reach the pod as references only; with a token, Pachyderm takes it as access key and secret key."""
    if spec.secret_ref is None:
        return [{"name": name, "value": NO_AUTH_KEY} for name in (ACCESS_KEY, SECRET_KEY)]
    name = spec.secret_ref.name
    token = TOKEN_KEY in secret_keys
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": TOKEN_KEY if token else key}}}
        for key in (ACCESS_KEY, SECRET_KEY)
    ]
