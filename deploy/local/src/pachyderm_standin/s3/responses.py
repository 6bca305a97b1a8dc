"""Answers that several operations share."""

from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp import web

from pachyderm_standin import xml
from pachyderm_standin.s3.request import S3Request

OWNER: tuple[xml.Field, ...] = (("ID", "0" * 32), ("DisplayName", "pachyderm"))
LOCATION = "PACHYDERM"
STORAGE_CLASS = "STANDARD"


def xml_response(
    request: S3Request, body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Answer with XML; only these answers carry request IDs on the real gateway."""
    ids = {"x-amz-id-2": request.id, "x-amz-request-id": request.id}
    return web.Response(body=body, status=status, content_type="application/xml", headers={**ids, **(headers or {})})


def document_response(
    request: S3Request, root: str, fields: Iterable[xml.Field], headers: dict[str, str] | None = None
) -> web.Response:
    """Answer with a document in S3's namespace."""
    return xml_response(request, xml.document(root, fields), headers=headers)


def quoted(etag: str) -> str:
    """Put an ETag into quotes unless it has some."""
    return etag if etag.startswith('"') else f'"{etag}"'


def seconds_time(when: datetime | None) -> str:
    """Write a time as listings do, to the second; that of an open commit is unset, which reads as 1970."""
    return (when or datetime.fromtimestamp(0, UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
