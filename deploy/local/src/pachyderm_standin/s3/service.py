"""The S3 front as a whole: a request in, an answer out, with faults, authentication and counting on the way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, TypeAlias
from urllib.parse import quote

from aiohttp import web

from pachyderm_standin.gateway import Gateway, as_s3_error
from pachyderm_standin.model import PfsError
from pachyderm_standin.s3 import buckets, listing, multipart, objects
from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.s3.request import S3Request
from pachyderm_standin.s3.responses import xml_response

logger = logging.getLogger(__name__)
Operation: TypeAlias = Callable[[Gateway, S3Request], Awaitable[web.StreamResponse]]

OPERATIONS: dict[str, Operation] = {
    "ListBuckets": buckets.list_buckets,
    "CreateBucket": buckets.create_bucket,
    "DeleteBucket": buckets.delete_bucket,
    "GetBucketLocation": buckets.get_location,
    "GetBucketVersioning": buckets.get_versioning,
    "PutBucketVersioning": buckets.put_versioning,
    "ListObjects": listing.list_objects,
    "HeadBucket": listing.list_objects,
    "GetObject": objects.get_object,
    "HeadObject": objects.get_object,
    "PutObject": objects.put_object,
    "CopyObject": objects.copy_object,
    "DeleteObject": objects.delete_object,
    "DeleteObjects": objects.delete_objects,
    "CreateMultipartUpload": multipart.create_upload,
    "UploadPart": multipart.upload_part,
    "CompleteMultipartUpload": multipart.complete_upload,
    "AbortMultipartUpload": multipart.abort_upload,
    "ListParts": multipart.list_parts,
    "ListMultipartUploads": multipart.list_uploads,
}

WRITES = {
    "PutObject",
    "CopyObject",
    "DeleteObject",
    "DeleteObjects",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "AbortMultipartUpload",
}
"""Operations that write into a commit, each of them paid for as one."""


@dataclass(frozen=True)
class S3Service:
    """Answers S3 requests for one gateway."""

    gateway: Gateway

    async def handle(self, raw: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error becomes an S3 error document."""
        request = S3Request.read(raw)
        self.gateway.counts.count(raw.method, request.route.operation)
        request.effects = self.gateway.faults.effects(raw.method, request.route)
        response = await self._answer_or_refuse(request)
        if request.effects.lose_answer:
            _hang_up(request, "a fault rule lost the answer")
        if request.expects_continue and not response.prepared:
            # A client that was not told to go on may send its body or not: this connection is of no more use.
            response.force_close()
        return response

    async def _answer_or_refuse(self, request: S3Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ConnectionError as error:
            _hang_up(request, str(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The gateway answers whatever goes wrong.
            return _error_response(request, error)

    async def _answer(self, request: S3Request) -> web.StreamResponse:
        await self._suffer(request)
        route = request.route
        if route.redirect:
            return web.Response(status=301, headers={"Location": quote(route.redirect)})
        if route.operation in {"NotFound", "MethodNotAllowed"}:
            # These two are answered before a request gets an ID or is asked who it is.
            request.id = ""
            raise S3Error(route.error)
        request.signing = self.gateway.authenticator.authenticate(request.signed, datetime.now(UTC))
        if route.error:
            raise S3Error(route.error)
        await self._charge(request)
        return await OPERATIONS[route.operation](self.gateway, request)

    async def _charge(self, request: S3Request) -> None:
        meter = self.gateway.meter
        await meter.delay(meter.costs.request)
        if request.route.operation in WRITES:
            await meter.work(meter.costs.writing(request.raw.content_length or 0))

    async def _suffer(self, request: S3Request) -> None:
        effects = request.effects
        await self.gateway.faults.delay(effects)
        if effects.outage:
            self.gateway.begin_outage(effects.outage)
        self.gateway.check_up()
        if effects.drop_bucket:
            self.gateway.pfs.delete_repo(self.gateway.bucket_ref(request.bucket).repo)
        if effects.cut and request.route.operation != "GetObject":
            await _cut(request)
        if effects.status:
            raise S3Error(effects.status.code, effects.status.message, effects.status.status)


async def _cut(request: S3Request) -> None:
    rest = request.effects.cut_limit(int(request.raw.headers.get("Content-Length", "0")))
    while rest > 0 and (chunk := await request.raw.content.read(rest)):
        rest -= len(chunk)
    _hang_up(request, "a fault rule cut the connection")


def _hang_up(request: S3Request, why: str) -> NoReturn:
    if request.raw.transport:
        request.raw.transport.close()
    raise ConnectionResetError(why)


def _error_response(request: S3Request, error: Exception) -> web.Response:
    s3_error = as_s3_error(error)
    if not isinstance(error, S3Error | PfsError):
        logger.error("%s %s failed", request.raw.method, request.resource, exc_info=error)
    return xml_response(request, s3_error.document(request.resource, request.id), s3_error.status)
