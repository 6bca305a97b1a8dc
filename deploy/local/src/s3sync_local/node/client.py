"""The node's calls to the API server: JSON in, JSON out, every call with a time limit."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.watch import Watch

from s3sync_local.node.records import Manifest
from s3sync_local.node.registration import LEASE_NAMESPACE

_CALL_SECONDS = 30.0
_NODES = "/api/v1/nodes"
_CONTENT_TYPES = {"PATCH": "application/strategic-merge-patch+json"}


class ApiError(Exception):
    """The API server refused a call."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


TRANSIENT = (ApiError, aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a call may raise and a later one may not."""


class NodeClient:
    """A connection to the API server of a kubeconfig.

    It calls by path and not by the client library's generated methods: those come with a class for every kind, which
    take 120 MB and over a second of this machine at the start, and each fork of the node would carry them.
    """

    def __init__(self, api: client.ApiClient, authority: str) -> None:
        self._api = api
        self.authority = authority
        """The certificate (PEM) of the cluster's authority."""

    @classmethod
    async def connect(cls, kubeconfig: Path) -> "NodeClient":
        """Read the kubeconfig; raises config.ConfigException. Proxies of the environment are not for this machine."""
        configuration = client.Configuration()
        # Keys are written to files for OpenSSL to read; they go as soon as it has.
        with tempfile.TemporaryDirectory() as keys:
            await config.load_kube_config(
                str(kubeconfig), client_configuration=configuration, persist_config=False, temp_file_path=keys
            )
            if not configuration.ssl_ca_cert:
                raise config.ConfigException("the cluster has no https server with a certificate-authority")
            configuration.client_session_kwargs = {"trust_env": False}
            return cls(client.ApiClient(configuration), Path(configuration.ssl_ca_cert).read_text("ascii"))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def list_pods(self) -> tuple[list[Manifest], str]:
        """All pods of the cluster, and the resource version to watch from."""
        answer = await self._call("GET", "/api/v1/pods")
        return answer["items"], answer["metadata"]["resourceVersion"]

    async def watch_pods(self, version: str, seconds: int) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes from ``version`` on as (ADDED | MODIFIED | DELETED, pod), for so long; raises ApiError 410."""
        async with Watch("object") as watch:
            try:
                async for event in watch.stream(self._open_watch, resource_version=version, timeout_seconds=seconds):
                    yield event["type"], event["raw_object"]
            except client.ApiException as error:
                raise ApiError(error.status, error.reason) from error

    async def bind(self, pod: Manifest, node: str) -> None:
        """Assign the pod to the node."""
        meta = pod["metadata"]
        body = {"metadata": {"name": meta["name"], "uid": meta["uid"]}, "target": {"kind": "Node", "name": node}}
        await self._call("POST", f"{_pod_path(pod)}/binding", body)

    async def patch_pod_status(self, pod: Manifest, status: Manifest) -> Manifest:
        """Merge into the status of this very pod (by uid); returns the pod."""
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        patched: Manifest = await self._call("PATCH", f"{_pod_path(pod)}/status", body)
        return patched

    async def delete_pod(self, pod: Manifest) -> None:
        """Remove this very pod (by uid) at once, for its processes have ended."""
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        await self._call("DELETE", _pod_path(pod), body)

    async def read_secret(self, namespace: str, name: str) -> Manifest | None:
        """The Secret, None where there is none."""
        return await self._find("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")

    async def read_config_map(self, namespace: str, name: str) -> Manifest | None:
        """The ConfigMap, None where there is none."""
        return await self._find("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")

    async def apply_node(self, node: Manifest) -> Manifest:
        """Make the Node's labels, taints and status as given, whether it exists or not; returns it."""
        path = f"{_NODES}/{node['metadata']['name']}"
        # Admission taints a new Node as not ready, and the controller that lifts that need not run here.
        body = {"metadata": {"labels": node["metadata"]["labels"]}, "spec": {"taints": None}}
        if await self._find("GET", path) is None:
            await self._call("POST", _NODES, node)
        await self._call("PATCH", path, body)
        patched: Manifest = await self._call("PATCH", f"{path}/status", {"status": node["status"]})
        return patched

    async def renew_lease(self, lease: Manifest) -> None:
        """Write the node's heartbeat."""
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{LEASE_NAMESPACE}/leases"
        if await self._find("PATCH", f"{leases}/{lease['metadata']['name']}", lease) is None:
            await self._call("POST", leases, lease)

    async def remove_node(self, name: str) -> None:
        """Delete the Node if it exists; its Lease, which it owns, is garbage then."""
        await self._find("DELETE", f"{_NODES}/{name}")

    async def _open_watch(self, **options: Any) -> aiohttp.ClientResponse:
        """What Watch calls to open (and, after a time-out, open again) its stream."""
        query = {
            "watch": "true",
            "resourceVersion": options["resource_version"],
            "timeoutSeconds": options["timeout_seconds"],
        }
        seconds = options["timeout_seconds"] + _CALL_SECONDS
        return await self._send("GET", f"/api/v1/pods?{urlencode(query)}", None, seconds)

    async def _find(self, method: str, path: str, body: Manifest | None = None) -> Manifest | None:
        """The answer of a call; None where there is no such object."""
        try:
            found: Manifest = await self._call(method, path, body)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def _call(self, method: str, path: str, body: Manifest | None = None) -> Any:
        """The answer of a call; raises ApiError with the API server's message."""
        response = await self._send(method, path, body, _CALL_SECONDS)
        content = await response.read()
        if response.status >= 400:
            raise ApiError(response.status, _message(content) or str(response.reason))
        return json.loads(content)

    async def _send(self, method: str, path: str, body: Manifest | None, seconds: float) -> aiohttp.ClientResponse:
        headers: Mapping[str, str] = {"Content-Type": _CONTENT_TYPES.get(method, "application/json")}
        call = await self._api.param_serialize(
            method,
            path,
            header_params={**headers, "Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._api.call_api(*call, _request_timeout=seconds)
        response: aiohttp.ClientResponse = answer.response
        return response


def _pod_path(pod: Manifest) -> str:
    meta = pod["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode(errors="replace")
