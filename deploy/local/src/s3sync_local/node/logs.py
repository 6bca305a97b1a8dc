"""Container logs in the kubelet's format: written line by line with time and stream, and read back as asked for."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

Stream: TypeAlias = Literal["stdout", "stderr"]

LOG_BYTES = 10 * 1024 * 1024
"""A log is rotated at this size, as with a kubelet's ``containerLogMaxSize: 10Mi``; one older part is kept."""

_LINE_BYTES = 16 * 1024
_BATCH_LINES = 500
_POLL_SECONDS = 30.0


@dataclass(frozen=True)
class LogQuery:
    """What a reader asks for, by the names of the API's PodLogOptions."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None


def parse_query(options: Mapping[str, str], now: datetime) -> LogQuery:
    """Read the query of a log request; raises ValueError, naming the option."""
    since_time = options.get("sinceTime")
    seconds = _number(options, "sinceSeconds", least=1)
    return LogQuery(
        follow=_flag(options, "follow"),
        previous=_flag(options, "previous"),
        timestamps=_flag(options, "timestamps"),
        tail_lines=_number(options, "tailLines", least=0),
        limit_bytes=_number(options, "limitBytes", least=1),
        since=datetime.fromisoformat(since_time)
        if since_time
        else now - timedelta(seconds=seconds)
        if seconds
        else None,
    )


def timestamp(moment: datetime) -> str:
    """A time with microseconds in UTC, which sorts as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def render_line(raw: bytes, query: LogQuery) -> bytes:
    """One stored line as the reader sees it; empty where it is older than asked for."""
    time, _, tag, text = raw.rstrip(b"\n").split(b" ", 3)
    if query.since is not None and time.decode() < timestamp(query.since):
        return b""
    stamp = time + b" " if query.timestamps else b""
    return stamp + text + (b"\n" if tag == b"F" else b"")


class LogFile:
    """The log of one run of a container, open for writing.

    A line is stored as ``<time> <stream> <F|P> <text>``: F for a full line, P for a part of one over 16 KiB.
    """

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.closed = False
        self._limit = limit
        self._file = path.open("ab")
        self._partial: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self._changed = asyncio.Event()

    @property
    def changed(self) -> asyncio.Event:
        """Set at the next change; take it before reading, so that no change is missed."""
        return self._changed

    def write(self, stream: Stream, data: bytes) -> None:
        """Take what the process wrote: full lines are stored, the rest waits for its end."""
        *lines, rest = (self._partial[stream] + data).split(b"\n")
        stored = [entry for line in lines for entry in _entries(stream, line, b"F")]
        whole = len(rest) - len(rest) % _LINE_BYTES
        stored += _entries(stream, rest[:whole], b"P") if whole else []
        self._partial[stream] = rest[whole:]
        self._store(stored)

    def close(self) -> None:
        """Store what has no line end, and tell the readers that nothing follows."""
        if self.closed:
            return
        self._store([e for stream, rest in self._partial.items() if rest for e in _entries(stream, rest, b"P")])
        self.closed = True
        self._file.close()
        self._announce()

    def _store(self, entries: list[bytes]) -> None:
        if not entries:
            return
        if self._file.tell() >= self._limit:
            self._rotate()
        self._file.write(b"".join(entries))
        self._file.flush()
        self._announce()

    def _rotate(self) -> None:
        self._file.close()
        self.path.replace(rotated(self.path))
        self._file = self.path.open("ab")

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def read_log(path: Path, query: LogQuery, live: LogFile | None) -> AsyncIterator[bytes]:
    """Yield what the query asks for; with ``follow``, until the run behind ``live`` ends."""
    budget = query.limit_bytes
    with _Cursor(path) as cursor:
        async for lines in _batches(cursor, query, live):
            chunk = b"".join(render_line(line, query) for line in lines)
            if budget is not None:
                chunk, budget = chunk[:budget], budget - len(chunk)
            if chunk:
                yield chunk
            if budget is not None and budget <= 0:
                return


def last_output(path: Path, lines: int, size: int) -> bytes:
    """The last ``size`` bytes of the last lines of a log; empty where there is none."""
    query = LogQuery()
    with _Cursor(path) as cursor:
        return b"".join(render_line(line, query) for line in cursor.tail(lines))[-size:]


def rotated(path: Path) -> Path:
    """Where the older part of a log lies."""
    return path.with_name(path.name + ".1")


async def _batches(cursor: "_Cursor", query: LogQuery, live: LogFile | None) -> AsyncIterator[list[bytes]]:
    if query.tail_lines is not None:
        yield cursor.tail(query.tail_lines)
    while True:
        ended = live is None or live.closed
        changed = live.changed if live else asyncio.Event()
        lines = cursor.read(_BATCH_LINES)
        if lines:
            yield lines
        elif ended or not query.follow:
            return
        else:
            await _wait(changed)


async def _wait(event: asyncio.Event) -> None:
    """Wait for the event; the limit only bounds the wait, for the caller looks again."""
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            await event.wait()
    except TimeoutError:
        return


class _Cursor:
    """A place in a log that goes on from the older part to the newer, and over a rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts = [part for part in (rotated(path), path) if part.exists()]
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_Cursor":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def read(self, count: int) -> list[bytes]:
        """Up to ``count`` next lines."""
        lines: list[bytes] = []
        while len(lines) < count:
            line = self._file.readline() if self._file else b""
            if line:
                lines.append(line)
            elif not self._next_part():
                break
        return lines

    def tail(self, count: int) -> list[bytes]:
        """The last ``count`` lines; the place is the end after that."""
        kept: deque[bytes] = deque(maxlen=count)
        while lines := self.read(_BATCH_LINES):
            kept.extend(lines)
        return list(kept)

    def _next_part(self) -> bool:
        if not self._parts and self._was_rotated():
            self._parts = [self._path]
        if not self._parts:
            return False
        if self._file:
            self._file.close()
        self._file = self._parts.pop(0).open("rb")
        return True

    def _was_rotated(self) -> bool:
        if self._file is None:
            return self._path.exists()
        return self._path.exists() and self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino


def _entries(stream: Stream, text: bytes, tag: bytes) -> list[bytes]:
    """A line as stored: in parts where it is too long, the last of them with the given tag."""
    parts = [text[start : start + _LINE_BYTES] for start in range(0, len(text), _LINE_BYTES)] or [b""]
    head = f"{timestamp(datetime.now(UTC))} {stream} ".encode()
    tags = [b"P"] * (len(parts) - 1) + [tag]
    return [head + kind + b" " + part + b"\n" for kind, part in zip(tags, parts, strict=True)]


def _flag(options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "false").lower()
    if text not in {"", "0", "1", "true", "false"}:
        raise ValueError(f"{name}: {text!r} is not true or false")
    return text in {"1", "true"}


def _number(options: Mapping[str, str], name: str, least: int) -> int | None:
    text = options.get(name)
    if not text:
        return None
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name}: {text!r} is not a number of {least} or more")
    return int(text)
