"""Pure: the object that the operator would apply for a sync in a file."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from s3sync_cli.documents import Document
from s3sync_operator.api import Spec, Sync, parse_sync
from s3sync_operator.desired import CONTAINER, Found, Run, Staging
from s3sync_operator.rendering import job_object
from s3sync_operator.runners import kind_of_object
from s3sync_operator.runs import current_run, limits
from s3sync_operator.settings import Settings
from s3sync_operator.staging import is_atomic, run_id, staging_branch

Raw = dict[str, Any]
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""At that time no next attempt is due: what is rendered depends on the file alone."""

NO_UID = "00000000-0000-0000-0000-000000000000"


def sync_of(document: Document, namespace: str, uid: str = NO_UID) -> Sync:
    """Return the sync of a file as the operator would see it; what only the API server knows is made up where the file
    does not have it."""
    metadata = dict(document.raw["metadata"])
    metadata = {"namespace": namespace, "uid": uid, "generation": 1, "resourceVersion": "1"} | metadata
    return parse_sync({"metadata": metadata, "spec": document.raw.get("spec"), "status": document.raw.get("status")})


def run_of(sync: Sync, spec: Spec) -> Run:
    """Return the run that the sync is at by its status; a sync without one begins its first."""
    return current_run(sync, spec, LONG_AGO)


def rendered(
    sync: Sync, spec: Spec, settings: Settings, secret_keys: Collection[str], certificate_keys: Collection[str]
) -> Raw:
    """Return the object of a sync's run, for Secrets with these keys and a branch without a commit."""
    staging = Staging(staging_branch(run_id(sync, run_of(sync, spec))), None) if is_atomic(spec, settings) else None
    keys = frozenset(secret_keys) if spec.secret_ref else frozenset()
    certificates = frozenset(certificate_keys) if spec.cert_secret_ref else frozenset()
    return manifest_of(sync, spec, settings, Found(keys, certificates, staging))


def manifest_of(sync: Sync, spec: Spec, settings: Settings, found: Found) -> Raw:
    """Return the object of a sync's run, for what was found of Secrets and target."""
    return job_object(sync, spec, run_of(sync, spec), limits(spec, settings), found)


def container_of(manifest: Mapping[str, Any]) -> Raw:
    """Return the container that runs s3sync-job, of a TFJob or a Job."""
    template = kind_of_object(manifest).template(manifest)
    return next(dict(item) for item in template["spec"]["containers"] if item["name"] == CONTAINER)
