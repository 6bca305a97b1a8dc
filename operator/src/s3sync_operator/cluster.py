"""All I/O with Kubernetes: a protocol that the reconciler needs, and its client on `kubernetes.aio`."""

import base64
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.config.config_exception import ConfigException

from s3sync_operator.api import FINALIZER, GROUP, KIND, PLURAL, VERSION, Reason, Runner, Status, Sync, parse_sync
from s3sync_operator.desired import CONTAINER, LABEL_SYNC, LABEL_UID, sync_hash
from s3sync_operator.errors import ConflictError, NoClusterError, PermanentSyncError, TemporarySyncError
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
_MERGE_PATCH = "application/merge-patch+json"

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


async def connect(metrics: Metrics) -> client.ApiClient:
    """Return a client for the cluster that the pod runs in, else for the one of KUBECONFIG; its requests are counted.

    Raises NoClusterError that says what is missing.
    """
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except ConfigException:
        await _load_kubeconfig(settings)
    settings.connection_pool_maxsize = 32
    settings.trace_configs = [counting(metrics)]
    return client.ApiClient(configuration=settings)


async def _load_kubeconfig(settings: client.Configuration) -> None:
    try:
        await config.load_kube_config(client_configuration=settings)
    except (ConfigException, OSError) as error:
        text = f"no cluster to work in: not in a pod, and KUBECONFIG gives none ({error})"
        raise NoClusterError(text) from None


class KubernetesCluster:
    """The Cluster of a real API server; each request ends within `timeout` seconds."""

    def __init__(self, api: client.ApiClient, timeout: int) -> None:
        self._api = api
        self._custom = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._events = client.EventsV1Api(api)
        self._timeout = timeout
        self._instance = f"s3sync-operator-{uuid.uuid4().hex[:8]}"

    async def get_sync(self, namespace: str, name: str) -> Sync | None:
        """Return the sync, or None where it is gone, or going without waiting for the operator."""
        try:
            raw = await self._custom.get_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, name, _request_timeout=self._timeout
            )
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
        more: Raw = {"limit": PAGE, "_request_timeout": self._timeout} | ({"_continue": token} if token else {})
        if namespace is None:
            return dict(await self._custom.list_cluster_custom_object(GROUP, VERSION, PLURAL, **more))
        return dict(await self._custom.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, **more))

    async def list_jobs(self, sync: Sync, kind: JobKind) -> list[Raw]:
        """Return the objects of a kind that are a sync's; raises TemporarySyncError where the cluster does not have the
        kind."""
        try:
            found = await self._custom.list_namespaced_custom_object(
                *_place(kind, sync.namespace), label_selector=_of(sync), _request_timeout=self._timeout
            )
        except ApiException as error:
            raise _job_error(error, kind) if error.status == 404 else _refused(error) from error
        # In a list of a kind of Kubernetes' own, the single items do not say what they are.
        return [{"kind": kind.resource.kind} | dict(item) for item in found["items"]]

    async def list_pods(self, sync: Sync) -> list[Raw]:
        """Return the pods of a sync's jobs, and of those of an earlier sync by its name."""
        try:
            found = await self._core.list_namespaced_pod(
                sync.namespace, label_selector=f"{LABEL_SYNC}={sync_hash(sync)}", _request_timeout=self._timeout
            )
        except ApiException as error:
            raise _refused(error) from error
        return list(self._api.sanitize_for_serialization(found)["items"] or ())

    async def pod_log(self, namespace: str, pod: str) -> str:
        """Return the end of a pod's log, or nothing where it cannot be had: a log never fails a sync."""
        try:
            # Read as bytes: what an image prints need not be UTF-8.
            answer = await self._core.read_namespaced_pod_log_without_preload_content(
                pod,
                namespace,
                container=CONTAINER,
                tail_lines=LOG_LINES,
                limit_bytes=LOG_BYTES,
                _request_timeout=self._timeout,
            )
            data = await _read(answer)
        except (ApiException, aiohttp.ClientError, TimeoutError) as error:
            logger.info("the log of pod %s/%s cannot be read: %s", namespace, pod, _short(error))
            return ""
        return data.decode(errors="replace")

    async def get_secret(self, namespace: str, name: str, field: str) -> dict[str, str]:
        """Return the decoded data of the Secret that a spec's field names; raises TemporarySyncError where it is not
        there."""
        try:
            secret = await self._core.read_namespaced_secret(name, namespace, _request_timeout=self._timeout)
        except ApiException as error:
            if error.status == 404:
                text = f"Secret '{name}' of {field} is not in namespace '{namespace}'; create it"
                raise TemporarySyncError(Reason.SECRET_NOT_FOUND, text) from None
            raise _refused(error) from error
        data = secret.data or {}
        return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}

    async def create_job(self, manifest: Raw) -> Raw:
        """Create a TFJob or Job and return it, or the one that is there by that name."""
        kind, name = kind_of_object(manifest), manifest["metadata"]["name"]
        place = _place(kind, manifest["metadata"]["namespace"])
        try:
            return dict(
                await self._custom.create_namespaced_custom_object(*place, manifest, _request_timeout=self._timeout)
            )
        except ApiException as error:
            if error.status != 409:
                raise _job_error(error, kind) from error
        return dict(await self._custom.get_namespaced_custom_object(*place, name, _request_timeout=self._timeout))

    async def delete_job(self, namespace: str, kind: JobKind, name: str) -> None:
        """Delete an object of a kind with its pods; one that is gone already is fine."""
        try:
            await self._custom.delete_namespaced_custom_object(
                *_place(kind, namespace), name, propagation_policy="Background", _request_timeout=self._timeout
            )
        except ApiException as error:
            if error.status != 404:
                raise _refused(error) from error

    async def warnings(self, namespace: str, uid: str) -> str:
        """Return reason and note of the latest Event of type Warning about an object, or nothing where there is none or
        none can be had: Events explain, and decide nothing."""
        try:
            # Read as JSON: the client's model refuses Events without an eventTime, as Kubernetes' own controllers and
            # the kubelet make them.
            answer = await self._events.list_namespaced_event_without_preload_content(
                namespace,
                field_selector=f"regarding.uid={uid},type=Warning",
                limit=EVENTS,
                _request_timeout=self._timeout,
            )
            found = json.loads(await _read(answer))
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
        return await self._patch(sync, patch, self._custom.patch_namespaced_custom_object_status)

    async def write_finalizers(self, sync: Sync, finalizers: Sequence[str]) -> bool:
        """Replace a sync's finalizers in one request and tell whether the sync was still there."""
        patch = {"metadata": {"finalizers": list(finalizers)}}
        try:
            return await self._patch(sync, patch, self._custom.patch_namespaced_custom_object)
        except ApiException as error:
            raise _refused(error) from error

    async def _patch(self, sync: Sync, patch: Raw, send: Callable[..., Awaitable[object]]) -> bool:
        guarded = patch | {"metadata": {"resourceVersion": sync.resource_version} | patch.get("metadata", {})}
        place = (GROUP, VERSION, sync.namespace, PLURAL, sync.name)
        try:
            await send(*place, guarded, _content_type=_MERGE_PATCH, _request_timeout=self._timeout)
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
            await self._events.create_namespaced_event(
                sync.namespace, self._event(sync, kind, reason, note), _request_timeout=self._timeout
            )
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
                "apiVersion": f"{GROUP}/{VERSION}",
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


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """Return what an answer holds; of one that is not read ahead, the client takes no status for an error."""
    data = await answer.read()
    if answer.status >= 400:
        raise ApiException(status=answer.status, reason=data.decode(errors="replace"))
    return data


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


def _place(kind: JobKind, namespace: str) -> tuple[str, str, str, str]:
    return kind.resource.group, kind.resource.version, namespace, kind.resource.plural


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
