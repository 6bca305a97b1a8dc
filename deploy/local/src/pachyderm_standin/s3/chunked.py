"""Signed streaming uploads: the one chunked payload that the gateway takes apart (`x-amz-content-sha256` names it)."""

import re
from collections.abc import AsyncIterator

from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.sigv4 import ChunkSigning, chunk_signature

STREAMING_PAYLOAD = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
MAX_CHUNK_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 256
_HEADER = re.compile(rb"([0-9a-fA-F]+);chunk-signature=([0-9a-fA-F]+)")


class _Buffer:
    """Reads lines and exact lengths from a body that comes in arbitrary pieces."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._buffer = bytearray()

    async def _fill(self) -> bool:
        async for piece in self._body:
            self._buffer += piece
            return True
        return False

    async def take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            if not await self._fill():
                raise _invalid()
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    async def line(self) -> bytes:
        """Give a line without its end, or nothing at the end of the body."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise _invalid()
            if not await self._fill():
                if self._buffer:
                    raise _invalid()
                return b""
        return (await self.take(end + 1)).rstrip(b"\r\n")


async def signed_chunks(body: AsyncIterator[bytes], signing: ChunkSigning | None) -> AsyncIterator[bytes]:
    """Give the content of the chunks, each verified; a wrong one raises `S3Error` InternalError, as on the server."""
    buffer = _Buffer(body)
    previous = signing.seed_signature if signing else ""
    while header := await buffer.line():
        match = _HEADER.match(header)
        if not match or int(match[1], 16) > MAX_CHUNK_BYTES:
            raise _invalid()
        chunk = await buffer.take(int(match[1], 16))
        if await buffer.take(2) != b"\r\n":
            raise _invalid()
        signature = match[2].decode()
        if signing is None or signature != chunk_signature(signing, previous, chunk):
            raise _invalid()
        previous = signature
        yield chunk


def _invalid() -> S3Error:
    return S3Error("InternalError", "invalid chunk")
