"""Operations on objects, which are files of a commit."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import chain
from urllib.parse import parse_qs, unquote, urlsplit

from aiohttp import web

from pachyderm_standin import xml
from pachyderm_standin.blobs import flipped
from pachyderm_standin.costs import Meter
from pachyderm_standin.gateway import Gateway
from pachyderm_standin.model import Commit, File, PfsError
from pachyderm_standin.names import clean_path
from pachyderm_standin.s3.content import RangeError, Span, content_type, precondition_status, wanted_span
from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.s3.request import S3Request
from pachyderm_standin.s3.responses import document_response, quoted


async def put_object(gateway: Gateway, request: S3Request) -> web.Response:
    """Write a file: one commit where the head is closed, else into the open one; tell the commit as its version."""
    request.require_content_length()
    content = await request.store_body(gateway.blobs, decode_chunks=True)
    ref = gateway.existing_bucket(request.bucket)
    path = request.file_path
    gateway.modify(ref, {path: File((content,))})
    commit, file = await gateway.inspect(ref, path)
    return web.Response(headers={"ETag": quoted(gateway.blobs.hash(file)), "x-amz-version-id": commit.id})


async def delete_object(gateway: Gateway, request: S3Request) -> web.Response:
    """Delete a file; no error if it is not there."""
    _delete(gateway, request.bucket, request.file_path, request.param("versionId"))
    return web.Response(status=204)


def _delete(gateway: Gateway, bucket: str, path: str, version: str) -> None:
    if version:
        raise S3Error("NotImplemented")
    ref = gateway.existing_bucket(bucket)
    try:
        gateway.modify_with(ref, {path: None})
    except PfsError as error:
        raise S3Error("InternalError", str(error)) from error


async def delete_objects(gateway: Gateway, request: S3Request) -> web.Response:
    """Delete files one by one, each with its own result."""
    payload = await request.document("Delete")
    is_quiet = payload.findtext("Quiet") == "true"
    deleted: list[xml.Field] = []
    errors: list[xml.Field] = []
    for item in payload.iterfind("Object"):
        key = item.findtext("Key", "")
        try:
            _delete(gateway, request.bucket, clean_key(key), item.findtext("VersionId", ""))
        except S3Error as error:
            errors.append(("Error", [("Key", key), ("Code", error.code), ("Message", error.message)]))
        else:
            deleted.append(("Deleted", [("Key", key)]))
    return document_response(request, "DeleteResult", [*(() if is_quiet else deleted), *errors])


def clean_key(key: str) -> str:
    """Take slashes off the ends of a key that came in a document; relative elements stay, to be refused."""
    return key.strip("/")


async def copy_object(gateway: Gateway, request: S3Request) -> web.Response:
    """Copy a file without moving its bytes. The version told is that of the request, mostly empty, as on the server."""
    bucket, key, version = _copy_source(request.raw.headers["x-amz-copy-source"])
    if (bucket, key) == (request.bucket, request.route.key) and not version:
        raise S3Error("InvalidRequest")
    source = gateway.existing_bucket(bucket)
    path = clean_path(key)
    commit, file = await gateway.inspect(source, path)
    _check_readable(path)
    ref = gateway.existing_bucket(request.bucket)
    target = request.file_path
    gateway.modify(ref, {target: file}, validate=False)
    await gateway.inspect(ref, target)
    headers = {"x-amz-version-id": version}
    if source_version := version or source.id:
        headers["x-amz-copy-source-version-id"] = source_version
    fields: list[xml.Field] = [("LastModified", _precise_time(commit.finishing)), ("ETag", gateway.blobs.hash(file))]
    return document_response(request, "CopyObjectResult", fields, headers)


def _copy_source(header: str) -> tuple[str, str, str]:
    source = urlsplit(header)
    parts = unquote(source.path).split("/", 2)
    if len(parts) == 3 and parts[0] == "":
        parts = parts[1:]
    if len(parts) != 2:
        raise S3Error("InvalidArgument")
    bucket, key = parts
    if not bucket:
        raise S3Error("InvalidBucketName")
    if not key:
        raise S3Error("NoSuchKey")
    return bucket, key, parse_qs(source.query).get("versionId", [""])[0]


def _precise_time(when: datetime | None) -> str:
    return (when or datetime.fromtimestamp(0, UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def get_object(gateway: Gateway, request: S3Request) -> web.StreamResponse:
    """Serve a file of the head or of the commit named in the bucket; `versionId` only labels the answer."""
    ref = gateway.existing_bucket(request.bucket)
    commit, file = await gateway.inspect(ref, request.file_path)
    _check_readable(request.file_path)
    headers = {"ETag": quoted(gateway.blobs.hash(file))}
    if version := request.param("versionId") or ref.id:
        headers["x-amz-version-id"] = version
    if commit.finishing:
        headers["Last-Modified"] = format_datetime(commit.finishing, usegmt=True)
    return await _serve(gateway, request, commit, file, headers)


def _check_readable(path: str) -> None:
    if "\\" in path:
        # The server opens the path as a pattern, in which a backslash only quotes what follows it.
        raise PfsError(f"file {path} not found")


async def _serve(
    gateway: Gateway, request: S3Request, commit: Commit, file: File, headers: dict[str, str]
) -> web.StreamResponse:
    status = precondition_status(request.raw.headers, headers["ETag"], commit.finishing)
    if status:
        return web.Response(status=status, headers=headers)
    try:
        span = wanted_span(request.raw.headers.get("Range", ""), file.size)
    except RangeError as error:
        bounds = {} if error.overlaps else {"Content-Range": f"bytes */{file.size}"}
        return web.Response(status=416, text=f"{error}\n", headers=bounds)
    meter, wanted = gateway.meter, 0 if request.raw.method == "HEAD" else span.length
    await meter.work(meter.costs.looking(file.size, span.start, wanted))
    if not commit.finishing:
        # The gateway opens the commit again and again for one answer.
        await meter.work((meter.costs.open_get - 1) * meter.costs.composing(commit.writes))
    pieces = gateway.blobs.read(file, span.start, span.length)
    beginning = next(pieces, b"")
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Type": content_type(request.route.key, beginning if span.start == 0 else b""),
    }
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.start + span.length - 1}/{file.size}"
    return await _send(request, span, chain([beginning], pieces), headers, meter)


async def _send(
    request: S3Request, span: Span, pieces: Iterator[bytes], headers: dict[str, str], meter: Meter
) -> web.StreamResponse:
    response = web.StreamResponse(status=206 if span.partial else 200, headers=headers)
    response.content_length = span.length
    await response.prepare(request.raw)
    if request.raw.method != "HEAD":
        await _send_body(request, response, span, pieces, meter)
    await response.write_eof()
    return response


async def _send_body(
    request: S3Request, response: web.StreamResponse, span: Span, pieces: Iterator[bytes], meter: Meter
) -> None:
    limit = request.effects.cut_limit(span.length)
    position, tab = 0, meter.tab()
    for whole in pieces:
        await tab.add(len(whole) * meter.costs.read_byte)
        piece = flipped(whole, span.start + position, request.effects.flip_at)[: limit - position]
        await response.write(piece)
        position += len(piece)
        if position >= limit:
            break
    if request.effects.cut and request.raw.transport:
        request.raw.transport.close()
