"""Listing objects: version 1 of the API, whatever version is asked for."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web

from pachyderm_standin import xml
from pachyderm_standin.blobs import BlobStore
from pachyderm_standin.gateway import Gateway
from pachyderm_standin.model import File, PfsError, Tree
from pachyderm_standin.s3.errors import S3Error
from pachyderm_standin.s3.request import S3Request
from pachyderm_standin.s3.responses import OWNER, STORAGE_CLASS, document_response, quoted, seconds_time

DEFAULT_MAX_KEYS, MAX_KEYS = 1000, 5000
AFTER_SLASH = chr(ord("/") + 1)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing: keys and common prefixes in one sorted order, the file for a key, `None` for a prefix."""

    entries: list[tuple[str, File | None]] = field(default_factory=list)
    is_truncated: bool = False


def list_page(tree: Tree, *, prefix: str, marker: str, delimiter: str, max_keys: int) -> Page:
    """Take a page from a tree: names after `marker`, no more than `max_keys`; none at all if that is 0.

    Raises `PfsError` on coming across a file beside a directory of the same name, as the server does.
    """
    entries: list[tuple[str, File | None]] = []
    for entry in _entries(tree, prefix, delimiter):
        if entry[0] <= marker:
            continue
        if len(entries) >= max_keys:
            return Page(entries, is_truncated=max_keys > 0)
        entries.append(entry)
    return Page(entries)


def _entries(tree: Tree, prefix: str, delimiter: str) -> Iterator[tuple[str, File | None]]:
    at = bisect_left(tree.paths, prefix)
    previous = ""
    while at < len(tree.paths) and (path := tree.paths[at]).startswith(prefix):
        if previous and path.startswith(f"{previous}/"):
            raise PfsError(f"file / directory path collision (/{path})")
        previous = path
        slash = path.find("/", len(prefix)) if delimiter else -1
        if slash < 0:
            yield path, tree.files[path]
            at += 1
        else:
            yield path[: slash + 1], None
            at = bisect_left(tree.paths, path[:slash] + AFTER_SLASH, lo=at)


async def list_objects(gateway: Gateway, request: S3Request) -> web.Response:
    """List objects; `list-type`, continuation tokens, `start-after` and `encoding-type` are ignored."""
    max_keys = request.int_param("max-keys", high=MAX_KEYS, default=DEFAULT_MAX_KEYS)
    prefix, marker, delimiter = (request.param(name) for name in ("prefix", "marker", "delimiter"))
    if delimiter not in {"", "/"}:
        raise S3Error("InvalidDelimiter")
    ref = gateway.existing_bucket(request.bucket)
    commit, tree = await gateway.opened(ref)
    page = list_page(tree, prefix=prefix.removeprefix("/"), marker=marker, delimiter=delimiter, max_keys=max_keys)
    await gateway.meter.work(len(page.entries) * gateway.meter.costs.list_key)
    fields = [
        *_contents(gateway.blobs, page, commit.finishing),
        *_optional("Delimiter", delimiter),
        ("IsTruncated", page.is_truncated),
        ("Marker", marker),
        ("MaxKeys", max_keys),
        ("Name", request.bucket),
        *_optional("NextMarker", page.entries[-1][0] if page.is_truncated else ""),
        ("Prefix", prefix),
    ]
    return document_response(request, "ListBucketResult", fields)


def _optional(name: str, value: str) -> list[xml.Field]:
    return [(name, value)] if value else []


def _contents(blobs: BlobStore, page: Page, modified: datetime | None) -> Iterator[xml.Field]:
    last_modified = seconds_time(modified)
    for key, file in page.entries:
        if file is not None:
            yield "Contents", _content(key, file, blobs.hash(file), last_modified)
    for key, file in page.entries:
        if file is None:
            yield "CommonPrefixes", [("Prefix", key), ("Owner", OWNER)]


def _content(key: str, file: File, etag: str, last_modified: str) -> list[xml.Field]:
    return [
        ("Key", key),
        ("LastModified", last_modified),
        ("ETag", quoted(etag)),
        ("Size", file.size),
        ("StorageClass", STORAGE_CLASS),
        ("Owner", OWNER),
    ]
