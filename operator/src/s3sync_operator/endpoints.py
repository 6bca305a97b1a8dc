"""The operator's HTTP side: `/healthz` and `/readyz` for the kubelet, `/metrics` for Prometheus."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from s3sync_operator.errors import AddressError
from s3sync_operator.settings import host_and_port

Answer = Callable[[web.Request], Awaitable[web.Response]]
Complaint = Callable[[], str | None]

SHUTDOWN_SECONDS = 1.0

logger = logging.getLogger(__name__)


def probe(complaint: Complaint) -> Answer:
    """Return what answers a probe: 200, or 500 and the complaint in words, as Kubernetes' own components do.

    A new complaint is logged: the kubelet does not show what a probe says.
    """
    last: str | None = None

    async def answer(request: web.Request) -> web.Response:
        nonlocal last
        text = complaint()
        if text and text != last:
            logger.warning("%s fails: %s", request.path, text)
        last = text
        return web.Response(text=f"{text or 'ok'}\n", status=500 if text else 200)

    return answer


def exposition(registry: CollectorRegistry) -> Answer:
    """Return what answers a scrape, in the text format that the scraper accepts."""

    async def answer(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return answer


class Endpoints:
    """Small HTTP servers on the operator's own event loop, so that they answer only while it goes round."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    @property
    def serving(self) -> int:
        """How many addresses are served."""
        return len(self._runners)

    async def serve(self, flag: str, address: str, routes: Mapping[str, Answer]) -> None:
        """Serve paths on host:port; an empty address serves none.

        Raises AddressError that names the flag where nothing can listen there.
        """
        if not address:
            return
        app = web.Application()
        app.add_routes([web.get(path, answer) for path, answer in routes.items()])
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
        self._runners.append(runner)
        await runner.setup()
        host, port = host_and_port(address)
        try:
            await web.TCPSite(runner, host.strip("[]"), port).start()
        except OSError as error:
            raise AddressError(f"cannot listen on {address}: {error.strerror}; give another by {flag}") from error

    async def close(self) -> None:
        """Stop all servers."""
        while self._runners:
            await self._runners.pop().cleanup()
