"""Pure: the object that carries out a run; equal input renders equal bytes."""

from typing import Any

from s3sync_operator.api import LABEL_QUEUE, Client, Spec, Sync
from s3sync_operator.desired import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_SYNC,
    Found,
    Run,
    labels,
    owner_reference,
    run_name,
)
from s3sync_operator.pods import pod_template
from s3sync_operator.runners import kind_of
from s3sync_operator.runs import limits
from s3sync_operator.settings import Settings
from s3sync_operator.staging import writer


def job_object(sync: Sync, spec: Spec, run: Run, settings: Settings, found: Found) -> dict[str, Any]:
    """Return the TFJob or the Job of a run, as spec.runner says."""
    kind, workers = kind_of(spec.effective_runner), spec.effective_workers
    own = labels(sync)
    annotations = {ANNOTATION_SYNC: sync.name, ANNOTATION_ATTEMPT: str(run.attempt)}
    told = kind.environment(workers) | _writer(sync, spec, found)
    template = pod_template(spec, settings, found, own, annotations, told)
    return {
        "apiVersion": kind.resource.api_version,
        "kind": kind.resource.kind,
        "metadata": {
            "name": run_name(sync, run),
            "namespace": sync.namespace,
            "labels": own | ({LABEL_QUEUE: sync.queue} if sync.queue else {}),
            "annotations": annotations,
            "ownerReferences": [owner_reference(sync)],
        },
        "spec": kind.spec(template, workers, limits(spec, settings).run_deadline),
    }


def _writer(sync: Sync, spec: Spec, found: Found) -> dict[str, str]:
    """Return what tells workers that write to the branch itself for whom they do: by it they know what a dead attempt
    left open there."""
    direct = spec.effective_client is Client.PFS and found.staging is None
    return {"S3SYNC_WRITER": writer(sync)} if direct else {}
