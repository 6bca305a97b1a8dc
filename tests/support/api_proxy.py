"""A proxy before the API server that can let all watches fall silent, as dead connections do."""

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path

import aiohttp
from aiohttp import web

START_SECONDS = 10


class ApiProxy:
    """Passes requests on with the client certificate of a kubeconfig; `silence()` stops what watches deliver."""

    def __init__(self, server: str, tls: ssl.SSLContext) -> None:
        self._server, self._tls = server, tls
        self._silent = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api-proxy", daemon=True)
        self.url = ""

    def __enter__(self) -> "ApiProxy":
        self._thread.start()
        assert self._ready.wait(START_SECONDS), "the proxy does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)

    def silence(self) -> None:
        """Hold back every event of every watch, without closing any connection."""
        self._silent.set()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write the kubeconfig of the proxy, which asks for no credentials."""
        path.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: proxy\n"
            f"clusters: [{{name: proxy, cluster: {{server: '{self.url}'}}}}]\n"
            "users: [{name: none, user: {}}]\n"
            "contexts: [{name: proxy, context: {cluster: proxy, user: none}}]\n"
        )
        return path

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(runner.cleanup())
            self._loop.run_until_complete(self._session.close())
            self._loop.close()

    async def _start(self) -> web.AppRunner:
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None))
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        return runner

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        dropped = ("host", "connection", "content-length", "transfer-encoding")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in dropped}
        async with self._session.request(
            request.method,
            self._server + request.raw_path,
            data=await request.read() or None,
            headers=headers,
            ssl=self._tls,
        ) as answer:
            kept = {key: answer.headers[key] for key in ("Content-Type", "Content-Encoding") if key in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=kept)
            with contextlib.suppress(ConnectionResetError):
                await response.prepare(request)
                await self._stream(answer, response, watching=request.query.get("watch") == "true")
        return response

    async def _stream(self, answer: aiohttp.ClientResponse, response: web.StreamResponse, *, watching: bool) -> None:
        async for chunk in answer.content.iter_any():
            while watching and self._silent.is_set():
                await asyncio.sleep(0.1)
            await response.write(chunk)
