"""Both servers of the stand-in, from settings to listening sockets and back."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from pachyderm_standin.blobs import BlobStore
from pachyderm_standin.control import control_app
from pachyderm_standin.finisher import Finisher
from pachyderm_standin.gateway import Gateway
from pachyderm_standin.model import Pfs
from pachyderm_standin.s3.service import S3Service
from pachyderm_standin.sigv4 import Authenticator

READ_BUFFER_BYTES = 512 * 1024
SHUTDOWN_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Settings:
    """What a stand-in needs to know. `tokens=None` leaves Pachyderm's auth off; latency is in seconds a commit."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    tokens: frozenset[str] | None = None
    commit_latency: float = 0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a stand-in listens, as URLs."""

    endpoint: str
    control: str


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Endpoints]:
    """Run a stand-in for as long as the context lasts. Raises `OSError` if a port cannot be had."""
    pfs = Pfs()
    finisher = Finisher(pfs, settings.commit_latency)
    gateway = Gateway(pfs, BlobStore(settings.data_dir), finisher, Authenticator(settings.tokens))
    finishing = asyncio.create_task(finisher.run())
    s3 = web.ServerRunner(_s3_server(gateway), shutdown_timeout=SHUTDOWN_SECONDS)
    control = web.AppRunner(control_app(gateway), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    try:
        yield Endpoints(
            await _listen(s3, settings.host, settings.port),
            await _listen(control, settings.host, settings.control_port),
        )
    finally:
        await asyncio.gather(s3.cleanup(), control.cleanup())
        finishing.cancel()
        with suppress(asyncio.CancelledError):
            await finishing


def _s3_server(gateway: Gateway) -> web.Server:
    # Bodies are stored as they come: the real gateway knows no Content-Encoding.
    return web.Server(
        S3Service(gateway).handle,
        access_log=None,
        logger=_server_logger(),
        auto_decompress=False,
        max_line_size=16 * 1024,
        read_bufsize=READ_BUFFER_BYTES,
    )


def _server_logger() -> logging.Logger:
    logger = logging.getLogger(f"{__name__}.server")
    logger.addFilter(_is_worth_a_line)
    return logger


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    # Clients may leave halfway, and faults cut them off on purpose: neither is an error of the server.
    return not (record.exc_info and isinstance(record.exc_info[1], ConnectionError))


async def _listen(runner: web.BaseRunner, host: str, port: int) -> str:
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=256)
    await site.start()
    bound = runner.addresses[0][1]
    return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
