"""Pure: what is wrong with spec.source and spec.podTemplate that admission does not know: what would take from the job
what it needs, and what the operator's settings forbid. Nothing of the operator's is overwritten in silence."""

from collections.abc import Iterator
from typing import Any

from s3sync_operator import sources
from s3sync_operator.api import GROUP, Spec
from s3sync_operator.models import plain
from s3sync_operator.pods import CERTIFICATES, OWN_VOLUMES, TEMPORARY
from s3sync_operator.settings import Settings

FIELD = "spec.podTemplate"
OWN_LABELS = frozenset(
    f"app.kubernetes.io/{name}" for name in ("name", "component", "part-of", "managed-by")
)  # fmt: skip
RESERVED_DOMAINS = (GROUP, "training.kubeflow.org", "batch.kubernetes.io")
"""The keys of these domains are the operator's and those of the controllers that make the pods."""
OWN_VARIABLES = {
    "S3_ENDPOINT": "spec.endpoint",
    "AWS_ACCESS_KEY_ID": "spec.secretRef",
    "AWS_SECRET_ACCESS_KEY": "spec.secretRef",
    "AWS_SESSION_TOKEN": "spec.secretRef",
    "PACHYDERM_TOKEN": "spec.secretRef",
    "PACHD_ADDRESS": "spec.pachdAddress",
    "S3_USE_HTTPS": "spec.endpoint",
    "S3_VERIFY_SSL": "spec.insecureSkipVerify",
    "S3SYNC_INSECURE_SKIP_VERIFY": "spec.insecureSkipVerify",
    "S3_CA_FILE": "spec.certSecretRef",
    "S3SYNC_CLIENT_CERT": "spec.certSecretRef",
    "S3SYNC_CLIENT_KEY": "spec.certSecretRef",
    "S3SYNC_WORKERS": "spec.workers",
    "TF_CONFIG": "spec.workers",
    "JOB_COMPLETION_INDEX": "spec.workers",
    "S3SYNC_TERMINATION_LOG": "",
    "S3SYNC_WRITER": "",
}
"""The variables that the job gets from the spec, and the field that says the same."""


def pod_problem(spec: Spec, settings: Settings) -> str | None:
    """Return the first of what is wrong, by the name of its field; None where nothing is."""
    return sources.source_problem(spec, settings.allow_host_path) or next(_template_problems(spec, settings), None)


def _template_problems(spec: Spec, settings: Settings) -> Iterator[str]:
    wanted: dict[str, Any] = plain(spec.pod_template) if spec.pod_template else {}
    for kind in ("labels", "annotations"):
        yield from _key_problems(kind, wanted.get(kind, {}))
    yield from _env_problems(wanted.get("env", ()))
    yield from _volume_problems(wanted.get("volumes", ()), settings)
    yield from _mount_problems(spec, wanted)


def _key_problems(kind: str, keys: dict[str, str]) -> Iterator[str]:
    for key in keys:
        domain = key.rpartition("/")[0]
        if key in OWN_LABELS or any(domain == own or domain.endswith(f".{own}") for own in RESERVED_DOMAINS):
            yield f"{FIELD}.{kind}: '{key}' is set by the operator or by what makes the pods; remove it"


def _env_problems(env: Any) -> Iterator[str]:
    for name in (item["name"] for item in env):
        if name in OWN_VARIABLES:
            instead = f"; use {OWN_VARIABLES[name]}" if OWN_VARIABLES[name] else "; remove it"
            yield f"{FIELD}.env: '{name}' is set by the operator{instead}"


def _volume_problems(volumes: Any, settings: Settings) -> Iterator[str]:
    for volume in volumes:
        if volume["name"] in OWN_VOLUMES:
            yield f"{FIELD}.volumes: '{volume['name']}' is the name of a volume of the operator's own; choose another"
        if problem := sources.host_path_problem(f"{FIELD}.volumes", volume, settings.allow_host_path):
            yield problem


def _mount_problems(spec: Spec, wanted: dict[str, Any]) -> Iterator[str]:
    named = {volume["name"] for volume in wanted.get("volumes", ())}
    needed = [TEMPORARY, CERTIFICATES, *(mount["mountPath"] for mount in sources.mounts(spec))]
    for mount in wanted.get("volumeMounts", ()):
        path = mount["mountPath"]
        if mount["name"] not in named:
            yield f"{FIELD}.volumeMounts: '{mount['name']}' is not among {FIELD}.volumes; add it there"
        if hidden := next((own for own in needed if sources.is_below(own, path)), None):
            yield f"{FIELD}.volumeMounts: '{path}' would hide {hidden}, which the job needs; mount it elsewhere"
