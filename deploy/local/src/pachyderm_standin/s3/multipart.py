"""Multipart uploads: kept as files of a repo of their own, a commit a part, never cleaned up, as the gateway does."""

import asyncio
import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime
from uuid import uuid4

from aiohttp import web

from pachyderm_standin import xml
from pachyderm_standin.gateway import Gateway, as_s3_error
from pachyderm_standin.model import CommitRef, File, RepoRef, Tree
from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.s3.request import S3Request
from pachyderm_standin.s3.responses import (
    LOCATION,
    OWNER,
    STORAGE_CLASS,
    document_response,
    quoted,
    seconds_time,
    xml_response,
)

MULTIPART_REPO = RepoRef("_s3gateway_multipart_")
UPLOADS = CommitRef(MULTIPART_REPO, "master")
MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PARTS, DEFAULT_PAGE = 10_000, 1000
PING_SECONDS = 10
"""A Complete that takes longer is answered with 200 first, and with what came of it later."""

# The gateway does not anchor this one, and so takes the digits that an upload ID may begin with for a part, too.
_PART = re.compile(r"[^/]+/[^/]+/.+/[^/]+/(\d+)")
_KEEP = re.compile(r"[^/]+/[^/]+/(.+)/([^/]+)/\.keep")


def _ensure_repo(gateway: Gateway) -> None:
    if MULTIPART_REPO not in gateway.pfs.repos:
        gateway.pfs.create_repo(MULTIPART_REPO)
    gateway.pfs.create_branch(MULTIPART_REPO, UPLOADS.branch)


def _folder(ref: CommitRef, key: str, upload_id: str) -> str:
    return posixpath.join(ref.repo.name, "user", ref.branch, ref.id or "latest", key.strip("/"), upload_id)


def _upload(gateway: Gateway, request: S3Request) -> tuple[CommitRef, str]:
    _ensure_repo(gateway)
    ref = gateway.bucket_ref(request.bucket)
    return ref, _folder(ref, request.route.key, request.param("uploadId"))


async def _check_upload(gateway: Gateway, folder: str) -> None:
    try:
        await gateway.inspect(UPLOADS, f"{folder}/.keep")
    except S3Error as error:
        raise S3Error("NoSuchUpload") from error


async def create_upload(gateway: Gateway, request: S3Request) -> web.Response:
    """Start an upload; a key that Pachyderm refuses gives InternalError here."""
    _ensure_repo(gateway)
    ref = gateway.existing_bucket(request.bucket)
    upload_id = uuid4().hex
    empty = await request.store_body(gateway.blobs)
    try:
        gateway.modify(UPLOADS, {f"{_folder(ref, request.route.key, upload_id)}/.keep": File((empty,))})
    except S3Error as error:
        raise S3Error("InternalError", str(error.__cause__ or error)) from error
    fields = [("Bucket", request.bucket), ("Key", request.route.key), ("UploadId", upload_id)]
    return document_response(request, "InitiateMultipartUploadResult", fields)


async def upload_part(gateway: Gateway, request: S3Request) -> web.Response:
    """Keep a part as it came: signed chunks are not taken apart here, and no Content-Length is asked for."""
    number = request.int_param("partNumber", high=MAX_PARTS, default=0)
    content = await request.store_body(gateway.blobs)
    _, folder = _upload(gateway, request)
    await _check_upload(gateway, folder)
    path = f"{folder}/{number}"
    gateway.modify(UPLOADS, {path: File((content,))})
    _, file = await gateway.inspect(UPLOADS, path)
    return web.Response(headers={"ETag": quoted(gateway.blobs.hash(file))})


async def complete_upload(gateway: Gateway, request: S3Request) -> web.StreamResponse:
    """Join the parts and write the file, answering early if that takes long."""
    request.require_content_length()
    payload = await request.document("CompleteMultipartUpload")
    numbers = [_part_number(part.findtext("PartNumber", "0")) for part in payload.iterfind("Part")]
    if not numbers or numbers != sorted(numbers):
        raise S3Error("InvalidPartOrder")
    work = asyncio.ensure_future(_complete(gateway, request, numbers))
    done, _ = await asyncio.wait({work}, timeout=PING_SECONDS)
    if not done:
        return await _complete_late(request, work)
    body, version = work.result()
    return xml_response(request, body, headers={"x-amz-version-id": version})


def _part_number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise S3Error("MalformedXML") from error


async def _complete_late(request: S3Request, work: asyncio.Future[tuple[bytes, str]]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/xml", "x-amz-request-id": request.id})
    await response.prepare(request.raw)
    declaration, _, _ = xml.document("Error", []).partition(b"\n")
    await response.write(declaration + b"\n")
    while not (await asyncio.wait({work}, timeout=PING_SECONDS))[0]:
        await response.write(b" ")
    try:
        body, _ = work.result()
    except Exception as error:
        body = as_s3_error(error).document(request.resource, request.id)
    await response.write(body.partition(b"\n")[2])
    await response.write_eof()
    return response


async def _complete(gateway: Gateway, request: S3Request, numbers: list[int]) -> tuple[bytes, str]:
    ref, folder = _upload(gateway, request)
    ref = gateway.existing_bucket(request.bucket)
    await _check_upload(gateway, folder)
    joined = await _join_parts(gateway, folder, numbers)
    await asyncio.to_thread(gateway.blobs.hash, joined)
    path = request.file_path
    gateway.modify(ref, {path: joined}, validate=False)
    # The gateway means to delete the parts, but names a directory as if it were a file, which deletes nothing.
    gateway.modify(UPLOADS, {folder: None})
    commit, file = await gateway.inspect(ref, path)
    fields = [
        ("Location", LOCATION),
        ("Bucket", request.bucket),
        ("Key", request.route.key),
        ("ETag", quoted(gateway.blobs.hash(file))),
    ]
    return xml.document("CompleteMultipartUploadResult", fields), commit.id


async def _join_parts(gateway: Gateway, folder: str, numbers: list[int]) -> File:
    target = uuid4().hex
    joined = File(())
    for index, number in enumerate(numbers):
        part = await _part(gateway, f"{folder}/{number}")
        if index < len(numbers) - 1 and part.size < MIN_PART_BYTES:
            raise S3Error("EntityTooSmall")
        joined += part
        gateway.modify(UPLOADS, {target: joined})
    return joined


async def _part(gateway: Gateway, path: str) -> File:
    # ETags are not compared: the gateway compares a quoted with an unquoted one, whose lengths never agree.
    try:
        return (await gateway.inspect(UPLOADS, path))[1]
    except S3Error as error:
        raise S3Error("InvalidPart") from error


async def abort_upload(gateway: Gateway, request: S3Request) -> web.Response:
    """Answer as if the upload were gone; the parts stay, and the upload still works."""
    _, folder = _upload(gateway, request)
    await _check_upload(gateway, folder)
    gateway.modify(UPLOADS, {folder: None})
    return web.Response(status=204)


async def list_parts(gateway: Gateway, request: S3Request) -> web.Response:
    """List parts in the order of their numbers as text; none for an upload that does not exist."""
    limit = request.int_param("max-parts", high=DEFAULT_PAGE, default=DEFAULT_PAGE)
    marker = request.int_param("part-number-marker", high=MAX_PARTS, default=0)
    _, folder = _upload(gateway, request)
    _, tree = await gateway.opened(UPLOADS)
    found = _parts(tree, folder, marker)
    page = found[:limit]
    is_truncated = 0 < limit < len(found)
    parts: list[xml.Field] = [
        ("Part", [("PartNumber", number), ("ETag", gateway.blobs.hash(file))]) for number, file in page
    ]
    fields: list[xml.Field] = [
        ("Bucket", request.bucket),
        ("Key", request.route.key),
        ("UploadId", request.param("uploadId")),
        ("Initiator", OWNER),
        ("Owner", OWNER),
        ("StorageClass", STORAGE_CLASS),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", max(number for number, _ in page) if is_truncated else 0),
        ("MaxParts", limit),
        ("IsTruncated", is_truncated),
        *parts,
    ]
    return document_response(request, "ListPartsResult", fields)


def _parts(tree: Tree, folder: str, marker: int) -> list[tuple[int, File]]:
    children = tree.paths[bisect_left(tree.paths, f"{folder}/") : bisect_left(tree.paths, f"{folder}0")]
    found = ((_PART.search(path), tree.files[path]) for path in children)
    return [(int(match[1]), file) for match, file in found if match and int(match[1]) > marker]


async def list_uploads(gateway: Gateway, request: S3Request) -> web.Response:
    """List uploads whose keys have no slash, with the branch and `latest` before each key, as the gateway does."""
    key_marker = request.param("key-marker")
    id_marker = request.param("upload-id-marker") if key_marker else ""
    limit = request.int_param("max-uploads", high=DEFAULT_PAGE, default=DEFAULT_PAGE)
    _ensure_repo(gateway)
    ref = gateway.bucket_ref(request.bucket)
    commit, tree = await gateway.opened(UPLOADS)
    uploads = [
        (key, upload_id) for key, upload_id in _uploads(tree.paths, ref) if key > key_marker and upload_id > id_marker
    ]
    page = uploads[:limit]
    is_truncated = 0 < limit < len(uploads)
    fields: list[xml.Field] = [
        ("Bucket", request.bucket),
        ("KeyMarker", key_marker),
        ("UploadIdMarker", id_marker),
        ("NextKeyMarker", max(key for key, _ in page) if is_truncated else ""),
        ("NextUploadIdMarker", max(upload_id for _, upload_id in page) if is_truncated else ""),
        ("MaxUploads", limit),
        ("IsTruncated", is_truncated),
        *(("Upload", _upload_fields(key, upload_id, commit.finishing)) for key, upload_id in page),
    ]
    return document_response(request, "ListMultipartUploadsResult", fields)


def _uploads(paths: list[str], ref: CommitRef) -> Iterator[tuple[str, str]]:
    folder = posixpath.dirname(posixpath.dirname(_folder(ref, "key", "id")))
    for path in paths:
        if (
            path.startswith(f"{folder}/")
            and path.count("/") == folder.count("/") + 3
            and (match := _KEEP.fullmatch(path))
        ):
            yield match[1], match[2]


def _upload_fields(key: str, upload_id: str, initiated: datetime | None) -> list[xml.Field]:
    return [
        ("Key", key),
        ("UploadId", upload_id),
        ("Initiator", OWNER),
        ("Owner", (("ID", ""), ("DisplayName", ""))),
        ("StorageClass", STORAGE_CLASS),
        ("Initiated", seconds_time(initiated)),
    ]
