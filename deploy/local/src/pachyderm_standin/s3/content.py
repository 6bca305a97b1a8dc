"""How a file is served: conditions, ranges and types as Go's `http.ServeContent` has them; pure."""

import mimetypes
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from pachyderm_standin.s3.responses import quoted

SNIFFED_BYTES = 512
_RANGE = re.compile(r"bytes=\s*(\d*)-(\d*)\s*")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


class Headers(Protocol):
    """The one thing that is asked of a request's headers."""

    def get(self, name: str, default: str, /) -> str:
        """Give a header or the default."""


class RangeError(ValueError):
    """A range that cannot be served; `overlaps` tells whether the file's size was the trouble."""

    def __init__(self, message: str, *, overlaps: bool) -> None:
        super().__init__(message)
        self.overlaps = overlaps


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes to serve: `length` from `start`; `partial` if they were asked for by a range."""

    start: int
    length: int
    partial: bool = False


def precondition_status(headers: Headers, etag: str, modified: datetime | None, *, reads: bool = True) -> int | None:
    """Tell the status that ends a conditional request (304 or 412), or `None` to go on."""
    # The gateway puts quotes around these headers, so that even a `*` is only ever compared as an ETag.
    if match := headers.get("If-Match", ""):
        if quoted(match) != etag:
            return 412
    elif _is_before(_date(headers.get("If-Unmodified-Since", "")), modified):
        return 412
    if none_match := headers.get("If-None-Match", ""):
        if etag in re.split(r"\s*,\s*", quoted(none_match)):
            return 304 if reads else 412
    elif modified and (since := _date(headers.get("If-Modified-Since", ""))) and not _is_before(since, modified):
        return 304
    return None


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def _is_before(limit: datetime | None, modified: datetime | None) -> bool:
    return bool(limit and modified and limit < modified.replace(microsecond=0))


def wanted_span(header: str, size: int) -> Span:
    """Read a Range header for a file of `size` bytes, or raise `RangeError`.

    Several ranges at once, which the real gateway would answer in one multipart body, get the whole file.
    """
    if not header or "," in header:
        return Span(0, size)
    match = _RANGE.fullmatch(header)
    if not match or match.groups() == ("", ""):
        raise RangeError("invalid range", overlaps=True)
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        return Span(size - length, length, partial=True)
    start = int(first)
    if last and int(last) < start:
        raise RangeError("invalid range", overlaps=True)
    if start >= size:
        if size == 0:
            return Span(0, 0)
        raise RangeError("invalid range: failed to overlap", overlaps=False)
    end = min(int(last), size - 1) if last else size - 1
    return Span(start, end - start + 1, partial=True)


def content_type(key: str, beginning: bytes) -> str:
    """Tell a file's type by its name, else text or bytes by how it begins."""
    by_name, _ = mimetypes.guess_type(f"/{key}")
    if by_name:
        return f"{by_name}; charset=utf-8" if by_name.startswith("text/") else by_name
    if _BINARY.search(beginning[:SNIFFED_BYTES]):
        return "application/octet-stream"
    return "text/plain; charset=utf-8"
