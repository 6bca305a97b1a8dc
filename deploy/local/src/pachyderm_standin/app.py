"""Both servers of the stand-in, from settings to listening sockets and back."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from pachyderm_standin.blobs import BlobStore
from pachyderm_standin.control import control_app
from pachyderm_standin.costs import FREE, Costs, Meter
from pachyderm_standin.faults import Faults
from pachyderm_standin.finisher import Finisher
from pachyderm_standin.gateway import NEWEST, Gateway, Release
from pachyderm_standin.model import Commit, Pfs
from pachyderm_standin.names import canonical_bucket
from pachyderm_standin.pachd.server import Tls, start_server
from pachyderm_standin.roles import Grant
from pachyderm_standin.s3.routes import Route
from pachyderm_standin.s3.service import S3Service
from pachyderm_standin.sigv4 import Authenticator

READ_BUFFER_BYTES = 512 * 1024
SHUTDOWN_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Settings:
    """What a stand-in needs to know. `tokens=None` leaves Pachyderm's auth off; latency is in seconds a commit.

    `tls_cert` and `tls_key` (PEM files, both or none) put TLS before S3 and gRPC; the control API stays plain.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    grpc_port: int = 0
    tokens: Mapping[str, Grant | None] | None = None
    commit_latency: float = 0
    costs: Costs = FREE
    tls_cert: Path | None = None
    tls_key: Path | None = None
    release: Release = NEWEST


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a stand-in listens, as URLs."""

    endpoint: str
    control: str
    grpc: str


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Endpoints]:
    """Run a stand-in for as long as the context lasts. Raises `OSError` if a port cannot be had, or a file read."""
    gateway = _gateway(settings)
    context, tls = _tls(settings)
    s3 = web.ServerRunner(_s3_server(gateway), shutdown_timeout=SHUTDOWN_SECONDS)
    control = web.AppRunner(control_app(gateway), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    server, grpc_port = await start_server(gateway, _address(settings.host, settings.grpc_port), tls)
    try:
        yield Endpoints(
            await _listen(s3, settings.host, settings.port, context),
            await _listen(control, settings.host, settings.control_port),
            f"{'grpcs' if tls else 'grpc'}://{_address(settings.host, grpc_port)}",
        )
    finally:
        await asyncio.gather(s3.cleanup(), control.cleanup(), server.stop(SHUTDOWN_SECONDS))
        await gateway.finisher.close()


def _gateway(settings: Settings) -> Gateway:
    pfs, faults = Pfs(), Faults()

    def seconds(commit: Commit) -> float:
        bucket = canonical_bucket(commit.branch, commit.repo.name, commit.repo.project)
        merged = len(pfs.tree(commit).paths) > len(commit.changes)
        modelled = settings.costs.finishing(len(commit.changes), commit.writes, merged=merged)
        return settings.commit_latency + modelled + faults.effects("", Route("FinishingCommit", bucket)).latency

    blobs, authenticator = BlobStore(settings.data_dir), Authenticator(settings.tokens)
    meter = Meter(settings.costs)
    return Gateway(pfs, blobs, Finisher(pfs, seconds), authenticator, faults, meter, release=settings.release)


def _tls(settings: Settings) -> tuple[ssl.SSLContext | None, Tls | None]:
    if not (settings.tls_cert and settings.tls_key):
        return None, None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context, Tls(settings.tls_cert.read_bytes(), settings.tls_key.read_bytes())


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


async def _listen(runner: web.BaseRunner, host: str, port: int, context: ssl.SSLContext | None = None) -> str:
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=256, ssl_context=context)
    await site.start()
    return f"{'https' if context else 'http'}://{_address(host, runner.addresses[0][1])}"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
