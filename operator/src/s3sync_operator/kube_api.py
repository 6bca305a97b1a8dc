"""Requests to the Kubernetes API as plain JSON.

The client library's own classes have a method for each of Kubernetes' calls, of which ten are used here, and take 2.5 s
of CPU to import. Its connection, its log-in and its errors are used as they are.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.exceptions import ApiException

__all__ = ["ApiClient", "ApiException", "Configuration", "KubeApi", "config", "path_of"]

Raw = dict[str, Any]
Query = Mapping[str, str | int]
MERGE_PATCH = "application/merge-patch+json"


def path_of(api_version: str, namespace: str | None, *parts: str) -> str:
    """Return a path of the API: plural, name and subresource after `v1` or `group/version`; of all namespaces for
    None."""
    places = ("namespaces", namespace) if namespace is not None else ()
    group = "/apis" if "/" in api_version else "/api"
    return "/".join((group, api_version, *(quote(part, safe="") for part in (*places, *parts))))


class KubeApi:
    """The Kubernetes API; each request ends within `timeout` seconds, and raises ApiException where it is refused."""

    def __init__(self, client: ApiClient, timeout: int) -> None:
        self._client = client
        self._timeout = timeout

    async def get(self, path: str, query: Query | None = None) -> Raw:
        """Return an object or a list."""
        return await self._json("GET", path, query)

    async def create(self, path: str, body: Raw) -> Raw:
        """Create an object and return it."""
        return await self._json("POST", path, body=body)

    async def merge(self, path: str, change: Raw) -> Raw:
        """Merge a change into an object and return the object: lists are replaced whole, and what is null is
        removed."""
        return await self._json("PATCH", path, body=change, content_type=MERGE_PATCH)

    async def delete(self, path: str, query: Query | None = None) -> None:
        """Delete an object."""
        await self._json("DELETE", path, query)

    async def open(self, path: str, query: Query | None = None, timeout: int | None = None) -> aiohttp.ClientResponse:
        """Return an answer whose body is still to be read, all of it within `timeout` seconds; the caller closes it."""
        sent = await self._sent("GET", path, query, timeout=timeout)
        answer: aiohttp.ClientResponse = sent.response
        if answer.status < 400:
            return answer
        try:
            said = (await answer.read()).decode(errors="replace")
        finally:
            answer.close()
        raise ApiException(status=answer.status, reason=said)

    async def _json(
        self, method: str, path: str, query: Query | None = None, body: Raw | None = None, content_type: str = ""
    ) -> Raw:
        answer = await self._sent(method, path, query, body, content_type)
        await answer.read()
        return dict(self._client.response_deserialize(answer, {"2XX": "object"}).data)

    async def _sent(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Raw | None = None,
        content_type: str = "",
        timeout: int | None = None,
    ) -> Any:
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        request = await self._client.param_serialize(
            method,
            path,
            query_params=dict(query or {}),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._client.call_api(*request, _request_timeout=timeout or self._timeout)
