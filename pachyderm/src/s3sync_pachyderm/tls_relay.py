"""A way for gRPC, which always checks certificates, to reach a pachd whose certificate is not to be checked.

Bytes go through an abstract socket of this process, and from there over TLS that trusts anybody. The socket gives
nobody more than the connection to pachd that anybody can have.
"""

import asyncio
import secrets
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 256 * 1024
CONNECT_SECONDS = 10.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def trusting_context(pair: tuple[str, str] | None) -> ssl.SSLContext:
    """Return a context for HTTP/2 that trusts any server, and shows a client certificate, by its file and its key's.

    Raises OSError where the files cannot be used.
    """
    # It trusts anybody, so it need not load the system's CAs, which takes a hundred times as long.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if pair:
        # Without any, OpenSSL would ask a terminal for the password of a key that wants one.
        context.load_cert_chain(*pair, password="")
    return context


def relay_in_thread(host_port: str, context: ssl.SSLContext) -> str:
    """Start a relay in a thread that ends with the process, and return its address for gRPC."""
    address = ""
    ready = threading.Event()

    async def serve() -> None:
        nonlocal address
        async with relay(host_port, context) as address:
            ready.set()
            await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), name="tls-relay", daemon=True).start()
    if not ready.wait(CONNECT_SECONDS):
        raise TimeoutError(f"the relay to {host_port} did not start within {CONNECT_SECONDS:.0f} s")
    return address


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
            await _pass_on(reader, writer, lambda: _connect(host, int(port), context))

    server = await asyncio.start_unix_server(connected, path=f"\0{name}")
    try:
        yield f"unix-abstract:{name}"
    finally:
        server.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        # An aborted connection is closed in the loop's next round.
        await asyncio.sleep(0)


async def _connect(host: str, port: int, context: ssl.SSLContext) -> Streams:
    async with asyncio.timeout(CONNECT_SECONDS):
        return await asyncio.open_connection(host, port, ssl=context, server_hostname=host)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Callable[[], Awaitable[Streams]]
) -> None:
    """Pass bytes on both ways until both sides have ended; whatever happens, no connection is left."""
    try:
        there_reader, there_writer = await connect()
        try:
            await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        finally:
            there_writer.transport.abort()
    finally:
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends, then end the other."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()
