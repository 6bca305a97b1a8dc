"""A way for gRPC, which always checks certificates, to reach a pachd whose certificate is not to be checked.

Bytes go through an abstract socket of this process, and from there over TLS that trusts anybody. The socket gives
nobody more than the connection to pachd that anybody can have.
"""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 256 * 1024
CONNECT_SECONDS = 10.0


@asynccontextmanager
async def relay(host_port: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """Yield an address for gRPC whose connections are passed on to `host:port` over TLS of this context."""
    name = f"s3sync-relay-{secrets.token_hex(8)}"
    host, _, port = host_port.rpartition(":")
    host = host.strip("[]")
    under_way: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task:
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                there = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=host)
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        writer.close()

    server = await asyncio.start_unix_server(connected, path=f"\0{name}")
    try:
        yield f"unix-abstract:{name}"
    finally:
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends, then end the other."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()
