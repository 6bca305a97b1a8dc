"""One S3 request: its route, parameters and body, read with the limits of the real gateway."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_to_bytes
from uuid import uuid4
from xml.etree.ElementTree import Element

from aiohttp import web

from pachyderm_standin import xml
from pachyderm_standin.blobs import BlobStore
from pachyderm_standin.faults import NO_EFFECTS, Effects
from pachyderm_standin.model import Content
from pachyderm_standin.s3.chunked import STREAMING_PAYLOAD, signed_chunks
from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.s3.routes import Route, resolve
from pachyderm_standin.sigv4 import ChunkSigning, SignedRequest

READ_BODY_SECONDS = 270
MAX_BODY_BYTES = 2**32 - 1
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024


@asynccontextmanager
async def _body_timeout() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(READ_BODY_SECONDS):
            yield
    except TimeoutError as error:
        raise S3Error("RequestTimeout") from error


@dataclass(eq=False)
class S3Request:
    """A request as the operations see it."""

    raw: web.BaseRequest
    path: bytes
    query: list[tuple[str, str]]
    route: Route
    id: str = field(default_factory=lambda: str(uuid4()))
    effects: Effects = NO_EFFECTS
    signing: ChunkSigning | None = None
    continued: bool = False

    @classmethod
    def read(cls, raw: web.BaseRequest) -> "S3Request":
        """Take a request's line and headers apart; the body is not touched."""
        raw_path, _, raw_query = raw.raw_path.partition("?")
        path = unquote_to_bytes(raw_path)
        query = parse_qsl(raw_query, keep_blank_values=True)
        route = resolve(
            raw.method,
            path.decode(errors="replace"),
            {name for name, _ in query},
            is_copy="x-amz-copy-source" in raw.headers,
        )
        return cls(raw, path, query, route)

    @property
    def expects_continue(self) -> bool:
        """Tell whether the client still waits to be told to send its body."""
        return not self.continued and self.raw.headers.get("Expect", "").lower() == "100-continue"

    @property
    def resource(self) -> str:
        """The decoded path, for error documents."""
        return self.path.decode(errors="replace")

    @property
    def bucket(self) -> str:
        """The bucket's name as the client wrote it."""
        return self.route.bucket

    @property
    def file_path(self) -> str:
        """The key as a file path: one slash at the end is dropped, so that `dir/` is a file `dir`."""
        return self.route.key.removesuffix("/")

    @property
    def signed(self) -> SignedRequest:
        """The parts that a signature covers."""
        return SignedRequest(self.raw.method, self.path, self.query, self.raw.headers)

    def param(self, name: str) -> str:
        """Give a query parameter's first value, or an empty string."""
        return next((value for key, value in self.query if key == name), "")

    def int_param(self, name: str, *, high: int, default: int) -> int:
        """Give a query parameter from 0 to `high`, or raise `S3Error` InvalidArgument."""
        text = self.param(name)
        if not text:
            return default
        try:
            value = int(text)
        except ValueError as error:
            raise S3Error("InvalidArgument") from error
        if not 0 <= value <= high:
            raise S3Error("InvalidArgument")
        return value

    def require_content_length(self) -> None:
        """Raise `S3Error` MissingContentLength for a body of unknown length."""
        if "Content-Length" not in self.raw.headers:
            raise S3Error("MissingContentLength")

    async def document(self, root: str) -> Element:
        """Read a body that must be XML with this root."""
        body = bytearray()
        async with _body_timeout():
            async for chunk in self._checked_body():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise S3Error("MalformedXML")
        try:
            return xml.parse(bytes(body), root)
        except xml.MalformedXmlError as error:
            raise S3Error("MalformedXML") from error

    async def store_body(self, blobs: BlobStore, *, decode_chunks: bool = False) -> Content:
        """Take the body to disk. Only a plain PUT decodes signed chunks; all else is stored as it came."""
        body = self._checked_body()
        if decode_chunks and self.raw.headers.get("x-amz-content-sha256") == STREAMING_PAYLOAD:
            body = signed_chunks(body, self.signing)
        with blobs.writer(self.effects.store_flip_at) as writer:
            async with _body_timeout():
                async for chunk in body:
                    writer.write(chunk)
            return writer.store()

    async def _checked_body(self) -> AsyncIterator[bytes]:
        length = self._content_length()
        expected = self._expected_md5() if length is not None else None
        md5 = hashlib.md5(usedforsecurity=False) if expected else None
        size = 0
        async for chunk in self._body():
            size += len(chunk)
            if md5:
                md5.update(chunk)
            yield chunk
        if length is not None and size != length:
            raise S3Error("IncompleteBody")
        if md5 and md5.digest() != expected:
            raise S3Error("BadDigest")

    async def _body(self) -> AsyncIterator[bytes]:
        await self._continue()
        async for chunk in self.raw.content.iter_any():
            yield chunk

    async def _continue(self) -> None:
        # As in Go's server, the client is told to go on only when its body is wanted, which is after its signature.
        if self.expects_continue:
            self.continued = True
            await self.raw.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.raw.writer.output_size = 0

    def _content_length(self) -> int | None:
        text = self.raw.headers.get("Content-Length")
        if text is None:
            return None
        if not text.isdecimal() or int(text) > MAX_BODY_BYTES:
            raise S3Error("InvalidArgument")
        return int(text)

    def _expected_md5(self) -> bytes | None:
        text = self.raw.headers.get("Content-MD5")
        if text is None:
            return None
        try:
            expected = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise S3Error("InvalidDigest") from error
        if len(expected) != hashlib.md5(usedforsecurity=False).digest_size:
            raise S3Error("InvalidDigest")
        return expected
