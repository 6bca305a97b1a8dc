"""The node's calls to the API server: JSON in, JSON out, every call with a time limit."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.watch import Watch

from s3sync_local.node.records import Manifest

LEASE_NAMESPACE = "kube-node-lease"

_CALL_SECONDS = 15.0
_LIST_SECONDS = 60.0
_STRATEGIC = "application/strategic-merge-patch+json"


class ApiError(Exception):
    """The API server refused a call."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


TRANSIENT = (ApiError, aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a call may raise and a later one may not."""


class NodeClient:
    """A connection to the API server of a kubeconfig."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self._core = client.CoreV1Api(api)
        self._leases = client.CoordinationV1Api(api)

    @classmethod
    async def connect(cls, kubeconfig: Path) -> "NodeClient":
        """Read the kubeconfig; raises config.ConfigException. Proxies of the environment are not for this machine."""
        configuration = client.Configuration()
        await config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
        configuration.client_session_kwargs = {"trust_env": False}
        return cls(client.ApiClient(configuration))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def list_pods(self) -> tuple[list[Manifest], str]:
        """All pods of the cluster, and the resource version to watch from."""
        call = self._core.list_pod_for_all_namespaces_without_preload_content(_request_timeout=_LIST_SECONDS)
        answer = await _json(call)
        return answer["items"], answer["metadata"]["resourceVersion"]

    async def watch_pods(self, version: str, seconds: int) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes from ``version`` on as (ADDED | MODIFIED | DELETED, pod), for so long; raises ApiError 410."""
        async with Watch("object") as watch:
            events = watch.stream(
                self._core.list_pod_for_all_namespaces,
                resource_version=version,
                timeout_seconds=seconds,
                _request_timeout=seconds + _CALL_SECONDS,
            )
            try:
                async for event in events:
                    yield event["type"], event["raw_object"]
            except client.ApiException as error:
                raise ApiError(error.status, error.reason) from error

    async def bind(self, pod: Manifest, node: str) -> None:
        """Assign the pod to the node."""
        meta = pod["metadata"]
        body = {"metadata": {"name": meta["name"], "uid": meta["uid"]}, "target": {"kind": "Node", "name": node}}
        bind = self._core.create_namespaced_pod_binding_without_preload_content
        await _json(bind(meta["name"], meta["namespace"], body, _request_timeout=_CALL_SECONDS))

    async def patch_pod_status(self, pod: Manifest, status: Manifest) -> Manifest:
        """Merge into the status of this very pod (by uid); returns the pod."""
        meta = pod["metadata"]
        patch = self._core.patch_namespaced_pod_status_without_preload_content
        body = {"metadata": {"uid": meta["uid"]}, "status": status}
        patched: Manifest = await _json(
            patch(meta["name"], meta["namespace"], body, _content_type=_STRATEGIC, _request_timeout=_CALL_SECONDS)
        )
        return patched

    async def delete_pod(self, pod: Manifest) -> None:
        """Remove this very pod (by uid) at once, for its processes have ended."""
        meta = pod["metadata"]
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        delete = self._core.delete_namespaced_pod_without_preload_content
        await _json(delete(meta["name"], meta["namespace"], body=body, _request_timeout=_CALL_SECONDS))

    async def read_secret(self, namespace: str, name: str) -> Manifest | None:
        """The Secret, None where there is none."""
        read = self._core.read_namespaced_secret_without_preload_content
        return await _or_none(read(name, namespace, _request_timeout=_CALL_SECONDS))

    async def read_config_map(self, namespace: str, name: str) -> Manifest | None:
        """The ConfigMap, None where there is none."""
        read = self._core.read_namespaced_config_map_without_preload_content
        return await _or_none(read(name, namespace, _request_timeout=_CALL_SECONDS))

    async def apply_node(self, node: Manifest) -> Manifest:
        """Make the Node's labels, taints and status as given, whether it exists or not; returns it."""
        name = node["metadata"]["name"]
        core = self._core
        try:
            await _json(core.create_node_without_preload_content(node, _request_timeout=_CALL_SECONDS))
        except ApiError as error:
            if error.status != 409:
                raise
        # Admission taints a new Node as not ready, and the controller that lifts that need not run here.
        body = {"metadata": {"labels": node["metadata"]["labels"]}, "spec": {"taints": None}}
        patch = core.patch_node_without_preload_content
        await _json(patch(name, body, _content_type=_STRATEGIC, _request_timeout=_CALL_SECONDS))
        patch = core.patch_node_status_without_preload_content
        body = {"status": node["status"]}
        patched: Manifest = await _json(patch(name, body, _content_type=_STRATEGIC, _request_timeout=_CALL_SECONDS))
        return patched

    async def renew_lease(self, lease: Manifest) -> None:
        """Write the node's heartbeat."""
        name = lease["metadata"]["name"]
        patch = self._leases.patch_namespaced_lease_without_preload_content
        call = patch(name, LEASE_NAMESPACE, lease, _content_type=_STRATEGIC, _request_timeout=_CALL_SECONDS)
        if await _or_none(call) is None:
            create = self._leases.create_namespaced_lease_without_preload_content
            await _json(create(LEASE_NAMESPACE, lease, _request_timeout=_CALL_SECONDS))

    async def remove_node(self, name: str) -> None:
        """Delete the Node if it exists; its Lease, which it owns, is garbage then."""
        await _or_none(self._core.delete_node_without_preload_content(name, _request_timeout=_CALL_SECONDS))


async def _json(call: Awaitable[aiohttp.ClientResponse]) -> Any:
    """The answer of a call; raises ApiError with the API server's message."""
    response = await call
    body = await response.read()
    if response.status >= 400:
        raise ApiError(response.status, _message(body) or str(response.reason))
    return json.loads(body)


async def _or_none(call: Awaitable[aiohttp.ClientResponse]) -> Manifest | None:
    try:
        found: Manifest = await _json(call)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    return found


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
