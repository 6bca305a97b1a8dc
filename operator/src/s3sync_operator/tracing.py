"""Counts the requests that aiohttp sessions make to the Kubernetes API."""

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp

from s3sync_operator.metrics import NO_ANSWER, Metrics, api_request


def counting(metrics: Metrics) -> aiohttp.TraceConfig:
    """Return aiohttp's hooks that count each request once its answer's head is there; a watch counts as it opens."""

    async def begin(_: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        context.begun = asyncio.get_running_loop().time()

    def count(context: SimpleNamespace, params: Any, code: str) -> None:
        request = api_request(params.method, params.url.path, watch=params.url.query.get("watch") == "true")
        metrics.kubernetes_answered(request, code, asyncio.get_running_loop().time() - context.begun)

    async def end(_: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        count(context, params, str(params.response.status))

    async def fail(
        _: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams
    ) -> None:
        count(context, params, NO_ANSWER)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(begin)
    trace.on_request_end.append(end)
    trace.on_request_exception.append(fail)
    return trace
