"""All I/O with Kubernetes: a protocol that the reconciler needs, and its client."""

import base64
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import aiohttp

from s3sync_operator.api import FINALIZER, GROUP, KIND, PLURAL, VERSION, Reason, Runner, Status, Sync, parse_sync
from s3sync_operator.desired import CONTAINER, LABEL_SYNC, LABEL_UID, sync_hash
from s3sync_operator.errors import ConflictError, NoClusterError, PermanentSyncError, TemporarySyncError
from s3sync_operator.kube_api import ApiClient, ApiException, Configuration, KubeApi, config, path_of
from s3sync_operator.metrics import Metrics
from s3sync_operator.runners import JobKind, kind_of_object
from s3sync_operator.tracing import counting

Raw = dict[str, Any]
EventType = Literal["Normal", "Warning"]

LOG_LINES, LOG_BYTES = 60, 1024 * 1024
PAGE = 500
EVENTS = 20
EVENT_NOTE_BYTES = 1000
CONTROLLER = f"{GROUP}/s3sync-operator"
API_VERSION = f"{GROUP}/{VERSION}"

logger = logging.getLogger(__name__)


class Cluster(Protocol):
    """What the reconciler asks of Kubernetes."""

    async def get_sync(self, namespace: str, name: str) -> Sync | None:
        """Return the sync, or None where it is gone, or going without waiting for the operator."""

    async def list_syncs(self, namespace: str | None) -> list[Raw]:
        """Return all syncs of a namespace, or of all namespaces for None."""

    async def list_jobs(self, sync: Sync, kind: JobKind) -> list[Raw]:
        """Return the objects of a kind that are a sync's; raises TemporarySyncError where the cluster does not have the
        kind."""

    async def list_pods(self, sync: Sync) -> list[Raw]:
        """Return the pods of a sync's jobs."""

    async def pod_log(self, namespace: str, pod: str) -> str:
        """Return the end of a pod's log, or nothing where it cannot be had."""

    async def get_secret(self, namespace: str, name: str, field: str) -> dict[str, str]:
        """Return the decoded data of the Secret that a spec's field names; raises TemporarySyncError where it is not
        there."""

    async def create_job(self, manifest: Raw) -> Raw:
        """Create a TFJob or Job and return it, or the one that is there by that name."""

    async def delete_job(self, namespace: str, kind: JobKind, name: str) -> None:
        """Delete an object of a kind with its pods; one that is gone already is fine."""

    async def warnings(self, namespace: str, uid: str) -> str:
        """Return reason and note of the latest Event of type Warning about an object, or nothing where there is none or
        none can be had."""

    async def write_status(self, sync: Sync, status: Status) -> bool:
        """Replace a sync's status and tell whether the sync was still there; raises ConflictError where it changed
        since it was read."""

    async def write_finalizers(self, sync: Sync, finalizers: Sequence[str]) -> bool:
        """Replace a sync's finalizers and tell whether it was still there; raises ConflictError where it changed since
        it was read, TemporarySyncError where the operator may not."""

    async def post_event(self, sync: Sync, kind: EventType, reason: str, note: str) -> None:
        """Tell people about a transition; one that cannot be posted is logged and forgotten."""


async def connect(metrics: Metrics) -> ApiClient:
    """Return a client for the cluster that the pod runs in, else for the one of KUBECONFIG; its requests are counted.

    Raises NoClusterError that says what is missing.
    """
    settings = await log_in()
    settings.connection_pool_maxsize = 32
    settings.trace_configs = [counting(metrics)]
    return ApiClient(configuration=settings)


async def log_in() -> Configuration:
    """Return where the cluster is and what it knows the operator by, as its files say now.

    Raises NoClusterError that says what is missing.
    """
    settings = Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        await _load_kubeconfig(settings)
    return settings


async def _load_kubeconfig(settings: Configuration) -> None:
    try:
        await config.load_kube_config(client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        text = f"no cluster to work in: not in a pod, and KUBECONFIG gives none ({error})"
        raise NoClusterError(text) from None


class KubernetesCluster:
    """The Cluster of a real API server; each request ends within `timeout` seconds."""

    def __init__(self, client: ApiClient, timeout: int) -> None:
        self._api = KubeApi(client, timeout)
        self._instance = f"s3sync-operator-{uuid.uuid4().hex[:8]}"

    async def get_sync(self, namespace: str, name: str) -> Sync | None:
        """Return the sync, or None where it is gone, or going without waiting for the operator."""
        try:
            raw = await self._api.get(sync_path(namespace, name))
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        sync = parse_sync(raw)
        return None if sync.deleted_at and FINALIZER not in sync.finalizers else sync

    async def list_syncs(self, namespace: str | None) -> list[Raw]:
        """Return all syncs of a namespace, or of all namespaces for None."""
        found: list[Raw] = []
        token: str | None = None
        while True:
            page = await self._list_page(namespace, token)
            found += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return found

    async def _list_page(self, namespace: str | None, token: str | None) -> Raw:
        return await self._api.get(sync_path(namespace), {"limit": PAGE} | ({"continue": token} if token else {}))

    async def list_jobs(self, sync: Sync, kind: JobKind) -> list[Raw]:
        """Return the objects of a kind that are a sync's; raises TemporarySyncError where the cluster does not have the
        kind."""
        try:
            found = await self._api.get(_job_path(kind, sync.namespace), {"labelSelector": _of(sync)})
        except ApiException as error:
            raise _job_error(error, kind) if error.status == 404 else _refused(error) from error
        # In a list of a kind of Kubernetes' own, the single items do not say what they are.
        return [{"kind": kind.resource.kind} | item for item in found["items"]]

    async def list_pods(self, sync: Sync) -> list[Raw]:
        """Return the pods of a sync's jobs, and of those of an earlier sync by its name."""
        try:
            found = await self._api.get(
                path_of("v1", sync.namespace, "pods"), {"labelSelector": f"{LABEL_SYNC}={sync_hash(sync)}"}
            )
        except ApiException as error:
            raise _refused(error) from error
        return list(found["items"] or ())

    async def pod_log(self, namespace: str, pod: str) -> str:
        """Return the end of a pod's log, or nothing where it cannot be had: a log never fails a sync."""
        try:
            # Read as bytes: what an image prints need not be UTF-8.
            answer = await self._api.open(
                path_of("v1", namespace, "pods", pod, "log"),
                {"container": CONTAINER, "tailLines": LOG_LINES, "limitBytes": LOG_BYTES},
            )
            data = await answer.read()
        except (ApiException, aiohttp.ClientError, TimeoutError) as error:
            logger.info("the log of pod %s/%s cannot be read: %s", namespace, pod, _short(error))
            return ""
        return data.decode(errors="replace")

    async def get_secret(self, namespace: str, name: str, field: str) -> dict[str, str]:
        """Return the decoded data of the Secret that a spec's field names; raises TemporarySyncError where it is not
        there."""
        try:
            secret = await self._api.get(path_of("v1", namespace, "secrets", name))
        except ApiException as error:
            if error.status == 404:
                text = f"Secret '{name}' of {field} is not in namespace '{namespace}'; create it"
                raise TemporarySyncError(Reason.SECRET_NOT_FOUND, text) from None
            raise _refused(error) from error
        data = secret.get("data") or {}
        return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}

    async def create_job(self, manifest: Raw) -> Raw:
        """Create a TFJob or Job and return it, or the one that is there by that name."""
        kind, name = kind_of_object(manifest), manifest["metadata"]["name"]
        namespace = manifest["metadata"]["namespace"]
        try:
            return await self._api.create(_job_path(kind, namespace), manifest)
        except ApiException as error:
            if error.status != 409:
                raise _job_error(error, kind) from error
        return await self._api.get(_job_path(kind, namespace, name))

    async def delete_job(self, namespace: str, kind: JobKind, name: str) -> None:
        """Delete an object of a kind with its pods; one that is gone already is fine."""
        try:
            await self._api.delete(_job_path(kind, namespace, name), {"propagationPolicy": "Background"})
        except ApiException as error:
            if error.status != 404:
                raise _refused(error) from error

    async def warnings(self, namespace: str, uid: str) -> str:
        """Return reason and note of the latest Event of type Warning about an object, or nothing where there is none or
        none can be had: Events explain, and decide nothing."""
        try:
            found = await self._api.get(
                _events_path(namespace), {"fieldSelector": f"regarding.uid={uid},type=Warning", "limit": EVENTS}
            )
        except (ApiException, aiohttp.ClientError, TimeoutError, ValueError) as error:
            logger.info("the Events of %s in %s cannot be read: %s", uid, namespace, _short(error))
            return ""
        return latest_note(found.get("items") or ())

    async def write_status(self, sync: Sync, status: Status) -> bool:
        """Replace a sync's status in one request and tell whether the sync was still there.

        Raises ConflictError where the sync changed since it was read.

        A merge patch replaces lists whole and drops what is null; the resource version guards against old decisions.
        """
        patch = {"status": status.model_dump(by_alias=True, mode="json")}
        return await self._patch(sync, patch, "status")

    async def write_finalizers(self, sync: Sync, finalizers: Sequence[str]) -> bool:
        """Replace a sync's finalizers in one request and tell whether the sync was still there."""
        patch = {"metadata": {"finalizers": list(finalizers)}}
        try:
            return await self._patch(sync, patch)
        except ApiException as error:
            raise _refused(error) from error

    async def _patch(self, sync: Sync, patch: Raw, *subresource: str) -> bool:
        guarded = patch | {"metadata": {"resourceVersion": sync.resource_version} | patch.get("metadata", {})}
        try:
            await self._api.merge(sync_path(sync.namespace, sync.name, *subresource), guarded)
        except ApiException as error:
            if error.status == 404:
                return False
            if error.status == 409:
                raise ConflictError(f"{sync.namespace}/{sync.name} changed meanwhile") from error
            raise
        return True

    async def post_event(self, sync: Sync, kind: EventType, reason: str, note: str) -> None:
        """Tell people about a transition; one that cannot be posted is logged and forgotten."""
        try:
            await self._api.create(_events_path(sync.namespace), self._event(sync, kind, reason, note))
        except (ApiException, aiohttp.ClientError, TimeoutError) as error:
            logger.info("the event %s is not posted: %s", reason, _short(error))

    def _event(self, sync: Sync, kind: str, reason: str, note: str) -> Raw:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        # `kubectl describe` shows events by name where, as in this API, they have no other time than eventTime; so the
        # name has the time in it, as client-go's events have.
        name = f"{sync.name[:200].rstrip('-.')}.{time.time_ns():x}"
        return {
            "metadata": {"name": name, "namespace": sync.namespace},
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": sync.namespace,
                "name": sync.name,
                "uid": sync.uid,
                "resourceVersion": sync.resource_version,
            },
            "type": kind,
            "reason": reason,
            "action": "Reconcile",
            "note": note.encode()[:EVENT_NOTE_BYTES].decode(errors="ignore"),
            "eventTime": now,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
        }


def sync_path(namespace: str | None, *parts: str) -> str:
    """Return where the API server has the syncs of a namespace, or of all, or one of them by its name."""
    return path_of(API_VERSION, namespace, PLURAL, *parts)


def _events_path(namespace: str) -> str:
    return path_of("events.k8s.io/v1", namespace, "events")


def _of(sync: Sync) -> str:
    return f"{LABEL_UID}={sync.uid}"


def latest_note(events: Sequence[Raw]) -> str:
    """Return reason and note of the Event (events.k8s.io/v1) that was last seen, nothing where there is none."""

    def seen(event: Raw) -> str:
        series = event.get("series") or {}
        times = (series.get("lastObservedTime"), event.get("deprecatedLastTimestamp"), event.get("eventTime"))
        return str(next(filter(None, times), event["metadata"].get("creationTimestamp", "")))

    latest = max(events, key=seen, default=None)
    return f"{latest.get('reason', '')}: {latest.get('note', '')}" if latest else ""


def _job_path(kind: JobKind, namespace: str, *name: str) -> str:
    return path_of(kind.resource.api_version, namespace, kind.resource.plural, *name)


def _job_error(error: ApiException, kind: JobKind) -> Exception:
    """Tell what refuses a TFJob or Job: a definition that is missing, an admission that says no, or the API server
    itself."""
    name = kind.resource.kind
    if error.status == 404:
        text = f"the API server knows no {name} ({kind.resource.api_version}); install {kind.controller}"
        instead = ", or set spec.runner: Job" if kind.runner is Runner.TFJOB else ""
        return TemporarySyncError(Reason.TFJOB_CRD_NOT_INSTALLED, text + instead)
    said = said_by(error)
    if error.status == 403 and "exceeded quota" in said:
        return TemporarySyncError(Reason.QUOTA_EXCEEDED, f"the namespace's quota has no room for the {name}: {said}")
    if error.status == 403 and "admission webhook" not in said:
        return _refused(error)
    if error.status in (400, 403, 422):
        return PermanentSyncError(kind.reasons.refused, f"the API server refuses the {name}: {said}")
    unforeseen: Exception = error
    return unforeseen


def _refused(error: ApiException) -> Exception:
    """Tell in status what the operator may not do; anything else of the API server's passes and needs no word there."""
    if error.status == 403:
        return TemporarySyncError(Reason.OPERATOR_FORBIDDEN, f"the operator's role does not suffice: {said_by(error)}")
    unforeseen: Exception = error
    return unforeseen


def said_by(error: ApiException, most: int = 500) -> str:
    """Return what the API server says of an error; of what it does not say in its own form, the first characters."""
    body = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or error.reason)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(body)["message"])
    return body.strip()[:most]


def _short(error: BaseException) -> str:
    return f"{error.status} {said_by(error)}" if isinstance(error, ApiException) else f"{type(error).__name__}: {error}"
