"""A way for gRPC, which always checks certificates, to reach a pachd whose certificate is not to be checked.

Bytes go through a socket of this process, and from there over TLS that trusts anybody. As the flag that asks for this
says, it is insecure; yet the socket itself gives nobody more than the connection to pachd that anybody can have.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import threading
from contextlib import suppress

from s3sync_job.settings import Pachd

PIECE_BYTES = 256 * 1024
CONNECT_SECONDS = 10.0


def relay(pachd: Pachd) -> str:
    """Start the relay in a thread of its own, which ends with the process, and return its address for gRPC."""
    name = f"s3sync-relay-{secrets.token_hex(8)}"
    ready = threading.Event()
    threading.Thread(target=lambda: asyncio.run(_serve(pachd, name, ready)), name="tls-relay", daemon=True).start()
    ready.wait(CONNECT_SECONDS)
    return f"unix-abstract:{name}"


async def _serve(pachd: Pachd, name: str, ready: threading.Event) -> None:
    context = _trusting_context(pachd)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                there = await asyncio.open_connection(pachd.host, pachd.port, ssl=context, server_hostname=pachd.host)
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        writer.close()

    async with await asyncio.start_unix_server(connected, path=f"\0{name}") as server:
        ready.set()
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends, then end the other."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


def _trusting_context(pachd: Pachd) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if pachd.client_pair:
        context.load_cert_chain(pachd.client_pair.certificate, pachd.client_pair.key)
    return context
