"""The part of a kubelet's HTTPS server that the API server asks for pod logs."""

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from s3sync_local.node.environment import NODE_ADDRESS
from s3sync_local.node.logs import LogFile, parse_query, read_log


class LogUnavailableError(Exception):
    """There is no such log (yet); the message is what kubectl prints."""


@dataclass(frozen=True)
class LogSource:
    """Where a log lies, and its writer as long as the run lasts."""

    path: Path
    live: LogFile | None


FindLog = Callable[[str, str, str, bool], LogSource]
"""(namespace, pod, container, previous) → the log; raises LogUnavailableError."""


class LogServer:
    """Serves ``/containerLogs/<namespace>/<pod>/<container>`` on 127.0.0.1 with a certificate of its own making.

    The API server accepts that as long as it is given no ``--kubelet-certificate-authority``. The callers are not
    authenticated: whoever has an account on this machine can read the logs while the node runs.
    """

    def __init__(self, find: FindLog) -> None:
        self._find = find
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_route("*", "/{rest:.*}", self._unsupported)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)

    async def start(self, port: int) -> int:
        """Listen on the port, 0 for a free one; returns the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, NODE_ADDRESS, port, ssl_context=self_signed_context())
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; open answers end."""
        await self._runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _unsupported(self, request: web.Request) -> web.Response:
        what = request.path.split("/")[1] or "/"
        return web.Response(status=501, text=f"the local node does not support {what}: it serves pod logs only")

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        try:
            query = parse_query(request.query, dt.datetime.now(dt.UTC))
            source = self._find(where["namespace"], where["pod"], where["container"], query.previous)
        except (ValueError, LogUnavailableError) as error:
            return web.Response(status=400, text=str(error))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for chunk in read_log(source.path, query, source.live):
            await response.write(chunk)
        return response


def self_signed_context() -> ssl.SSLContext:
    """A TLS server context with a new key; the key touches the disk only while OpenSSL reads it."""
    key = ec.generate_private_key(ec.SECP256R1())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(_self_signed(key).public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NODE_ADDRESS)])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(NODE_ADDRESS))])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
