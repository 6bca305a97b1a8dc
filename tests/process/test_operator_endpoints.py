"""What the operator answers over HTTP."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from s3sync_operator.endpoints import Endpoints, exposition, probe
from s3sync_operator.errors import AddressError
from s3sync_operator.metrics import Metrics
from s3sync_operator.tracing import counting


def free_address() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture
async def endpoints() -> AsyncIterator[Endpoints]:
    served = Endpoints()
    yield served
    await served.close()


async def get(url: str, *traces: aiohttp.TraceConfig) -> tuple[int, str, str]:
    async with aiohttp.ClientSession(trace_configs=list(traces)) as session, session.get(url) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_a_probe_says_in_words_what_is_wrong_and_ok_once_it_is_right(
    endpoints: Endpoints, caplog: pytest.LogCaptureFixture
) -> None:
    address, complaints = free_address(), [None, "the watch is silent", "the watch is silent", None]
    await endpoints.serve("--health-address", address, {"/healthz": probe(lambda: complaints.pop(0))})
    answers = [(await get(f"http://{address}/healthz"))[:2] for _ in range(4)]
    assert answers == [(200, "ok\n"), *[(500, "the watch is silent\n")] * 2, (200, "ok\n")]
    assert caplog.messages == ["/healthz fails: the watch is silent"]
    assert (await get(f"http://{address}/elsewhere"))[0] == 404


async def test_metrics_are_shown_in_prometheus_text_format(endpoints: Endpoints) -> None:
    address, metrics = free_address(), Metrics()
    metrics.reconciled("done", 0.1)
    await endpoints.serve("--metrics-address", address, {"/metrics": exposition(metrics.registry)})
    status, text, kind = await get(f"http://{address}/metrics")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert 's3sync_reconciles_total{result="done"} 1.0' in text.splitlines()


async def test_an_address_in_use_is_told_with_its_flag(endpoints: Endpoints) -> None:
    address = free_address()
    await endpoints.serve("--health-address", address, {})
    with pytest.raises(AddressError, match=f"cannot listen on {address}: .*; give another by --metrics-address"):
        await endpoints.serve("--metrics-address", address, {})


async def test_an_empty_address_serves_nothing(endpoints: Endpoints) -> None:
    await endpoints.serve("--metrics-address", "", {})
    assert endpoints.serving == 0


async def test_requests_are_counted_as_their_answers_head_comes_and_also_where_none_comes(endpoints: Endpoints) -> None:
    address, metrics = free_address(), Metrics()
    await endpoints.serve("--health-address", address, {"/api/v1/pods": probe(lambda: None)})
    await get(f"http://{address}/api/v1/pods?watch=true", counting(metrics))
    await endpoints.close()
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(f"http://{address}/api/v1/pods", counting(metrics))
    counted = metrics.registry.get_sample_value
    name = "s3sync_kubernetes_requests_total"
    assert counted(name, {"verb": "watch", "resource": "pods", "code": "200"}) == 1
    assert counted(name, {"verb": "list", "resource": "pods", "code": "none"}) == 1
