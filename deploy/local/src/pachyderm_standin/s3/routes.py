"""Which operation a request asks for, decided as the gateway's router does; pure."""

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass

_BUCKET = re.compile(r"[a-zA-Z0-9\-_.]{1,255}")
_GET_PUT, _GET_PUT_DELETE = frozenset({"GET", "PUT"}), frozenset({"GET", "PUT", "DELETE"})

BUCKET_NOT_IMPLEMENTED = {
    "accelerate": _GET_PUT,
    "acl": _GET_PUT,
    "analytics": _GET_PUT_DELETE,
    "cors": _GET_PUT_DELETE,
    "encryption": _GET_PUT_DELETE,
    "inventory": _GET_PUT_DELETE,
    "lifecycle": _GET_PUT_DELETE,
    "logging": _GET_PUT,
    "metrics": _GET_PUT_DELETE,
    "notification": _GET_PUT,
    "object-lock": _GET_PUT,
    "policy": _GET_PUT_DELETE,
    "policyStatus": frozenset({"GET"}),
    "publicAccessBlock": _GET_PUT_DELETE,
    "replication": frozenset({"PUT", "DELETE"}),
    "requestPayment": _GET_PUT,
    "tagging": _GET_PUT_DELETE,
    "versions": frozenset({"GET"}),
    "website": _GET_PUT_DELETE,
}
OBJECT_NOT_IMPLEMENTED = {
    "acl": _GET_PUT,
    "legal-hold": _GET_PUT,
    "retention": _GET_PUT,
    "tagging": _GET_PUT_DELETE,
    "torrent": frozenset({"GET"}),
    "restore": frozenset({"POST"}),
    "select": frozenset({"POST"}),
}
# A subresource of None stands for any other request; the first match wins.
BUCKET_OPERATIONS = (
    ("GET", "versioning", "GetBucketVersioning"),
    ("PUT", "versioning", "PutBucketVersioning"),
    ("GET", "uploads", "ListMultipartUploads"),
    ("GET", "location", "GetBucketLocation"),
    ("GET", None, "ListObjects"),
    ("HEAD", None, "HeadBucket"),
    ("PUT", None, "CreateBucket"),
    ("POST", "delete", "DeleteObjects"),
    ("POST", None, "NotImplemented"),
    ("DELETE", None, "DeleteBucket"),
)
OBJECT_OPERATIONS = (
    ("GET", "uploadId", "ListParts"),
    ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"),
    ("PUT", "uploadId", "UploadPart"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("GET", None, "GetObject"),
    ("HEAD", None, "HeadObject"),
    ("PUT", None, "PutObject"),
    ("DELETE", None, "DeleteObject"),
)


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for. An error's code stands in `error`, a redirect's target in `redirect`."""

    operation: str
    bucket: str = ""
    key: str = ""
    error: str = ""
    redirect: str = ""


def resolve(method: str, path: str, subresources: Collection[str], *, is_copy: bool = False) -> Route:
    """Find the operation for a decoded path; `subresources` are the names of the query's parameters."""
    clean = _clean(path)
    if clean != path:
        return Route("Redirect", redirect=clean)
    if path == "/":
        return _service_route(method)
    bucket, _, key = path[1:].partition("/")
    if not _BUCKET.fullmatch(bucket):
        return Route("NotFound", error="InvalidBucketName")
    if "\n" in key:
        return Route("NotFound", bucket, key, error="NoSuchKey")
    operation = _object_operation(method, subresources, is_copy) if key else _bucket_operation(method, subresources)
    error = operation if operation in {"NotImplemented", "MethodNotAllowed"} else ""
    return Route(operation, bucket, key, error=error)


def _service_route(method: str) -> Route:
    if method in {"GET", "HEAD"}:
        return Route("ListBuckets")
    return Route("MethodNotAllowed", error="MethodNotAllowed")


def _clean(path: str) -> str:
    if not path.startswith("/"):
        path = f"/{path}"
    # POSIX lets two leading slashes stand; the gateway does not.
    clean = "/" + posixpath.normpath(path).lstrip("/")
    return f"{clean}/" if path.endswith("/") and clean != "/" else clean


def _bucket_operation(method: str, subresources: Collection[str]) -> str:
    return _match(method, subresources, BUCKET_NOT_IMPLEMENTED, BUCKET_OPERATIONS)


def _object_operation(method: str, subresources: Collection[str], is_copy: bool) -> str:
    operation = _match(method, subresources, OBJECT_NOT_IMPLEMENTED, OBJECT_OPERATIONS)
    return "CopyObject" if operation == "PutObject" and is_copy else operation


def _match(
    method: str,
    subresources: Collection[str],
    not_implemented: dict[str, frozenset[str]],
    operations: tuple[tuple[str, str | None, str], ...],
) -> str:
    if any(method in not_implemented.get(name, ()) for name in subresources):
        return "NotImplemented"
    for wanted_method, subresource, operation in operations:
        if method == wanted_method and (subresource is None or subresource in subresources):
            return operation
    return "MethodNotAllowed"
