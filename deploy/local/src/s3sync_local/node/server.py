"""The part of a kubelet's HTTPS server that the API server asks for pod logs."""

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler
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


_MASTERS = "system:masters"

FindLog = Callable[[str, str, str, bool], LogSource]
"""(namespace, pod, container, previous) → the log; raises LogUnavailableError."""


class LogServer:
    """Serves ``/containerLogs/<namespace>/<pod>/<container>`` on 127.0.0.1 with a certificate of its own making.

    The API server accepts that as long as it is given no ``--kubelet-certificate-authority``. The caller has to show a
    client certificate of the cluster's authority and to be in the group ``system:masters``, as the API server is by its
    ``--kubelet-client-certificate``; nobody else on this machine can read the logs.
    """

    def __init__(self, find: FindLog, authority: str) -> None:
        self._find = find
        self._authority = authority
        app = web.Application(middlewares=[_masters_only])
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_route("*", "/{rest:.*}", self._unsupported)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)

    async def start(self, port: int) -> int:
        """Listen on the port, 0 for a free one; returns the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, NODE_ADDRESS, port, ssl_context=server_context(self._authority))
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


def server_context(authority: str) -> ssl.SSLContext:
    """A TLS context with a new key, for clients of that authority (PEM); the key is on disk while OpenSSL reads it."""
    key = ec.generate_private_key(ec.SECP256R1())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority)
    context.verify_mode = ssl.CERT_REQUIRED
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


@web.middleware
async def _masters_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    certificate = request.get_extra_info("peercert") or {}
    groups = {value for part in certificate.get("subject", ()) for kind, value in part if kind == "organizationName"}
    if _MASTERS not in groups:
        return web.Response(status=403, text=f"only the API server ({_MASTERS}) may read logs here; use kubectl logs")
    return await handler(request)


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
