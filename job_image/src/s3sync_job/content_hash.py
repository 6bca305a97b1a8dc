"""Pachyderm's content hash, computed here: what its gateway shows as ETag and its gRPC API as ``FileInfo.hash`` (pure).

BLAKE2b-256, ``H``: an empty file is ``H(b"")``; any other ``H`` of its chunks' hashes in a row. A file is cut into
chunks where a rolling hash over 64 bytes ends in 23 zero bits, but into none below 1 MB or above 20 MB. (Seen: equal to
the real 2.12's for files of all these sizes, sent in one PUT or one gRPC stream. A file that was put together from
parts, as by a multipart upload, may be cut elsewhere: an unequal hash proves nothing about it.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from s3sync_job.byte_hashes import BYTE_HASHES

DIGEST_BYTES = 32
WINDOW_BYTES = 64
MIN_CHUNK_BYTES = 1_000_000
MAX_CHUNK_BYTES = 20_000_000
CUT_BITS = 23
BLOCK_BYTES = 32 * 1024
"""Bytes hashed at a time: the arrays of one such block fit into a processor's cache."""


@dataclass(frozen=True)
class Fingerprint:
    """What identifies a file's content: its size in bytes, its SHA-256 and Pachyderm's own hash (both hex)."""

    size: int
    sha256: str
    pachyderm: str


def fingerprint(pieces: Iterable[bytes]) -> Fingerprint:
    """Return the fingerprint of the content that comes in ``pieces``, none longer than memory allows."""
    size = 0
    sha256 = hashlib.sha256()
    chunks = ChunkHash()
    for piece in pieces:
        size += len(piece)
        sha256.update(piece)
        chunks.update(piece)
    return Fingerprint(size, sha256.hexdigest(), chunks.hexdigest())


class ChunkHash:
    """Pachyderm's hash of what ``update`` was given, in the manner of hashlib."""

    def __init__(self) -> None:
        self._hashes: list[bytes] = []
        self._chunk = _blake2b()
        self._size = 0
        self._window = bytes(WINDOW_BYTES)

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        for start in range(0, len(view), BLOCK_BYTES):
            self._take(view[start : start + BLOCK_BYTES])

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far."""
        if not self._hashes and not self._size:
            return _blake2b().hexdigest()
        return _blake2b(b"".join([*self._hashes, self._chunk.digest()])).hexdigest()

    def _take(self, block: memoryview) -> None:
        start = 0
        for end in self._ends(block):
            self._chunk.update(block[start:end])
            self._hashes.append(self._chunk.digest())
            self._chunk, self._size, start = _blake2b(), 0, end
        self._chunk.update(block[start:])
        self._size += len(block) - start
        self._window = (self._window + block[-WINDOW_BYTES:])[-WINDOW_BYTES:]

    def _ends(self, block: memoryview) -> Iterator[int]:
        """Yield where chunks end in the block; most blocks lie where a chunk is still too short to end."""
        if self._size + len(block) < MIN_CHUNK_BYTES:
            return
        begin = -self._size
        for offset in (*cut_offsets(self._window, bytes(block)), len(block)):
            while offset - begin >= MAX_CHUNK_BYTES:
                begin += MAX_CHUNK_BYTES
                yield begin
            if offset < len(block) and offset - begin >= MIN_CHUNK_BYTES:
                begin = offset
                yield begin


def cut_offsets(window: bytes, block: bytes) -> list[int]:
    """Return the offsets in ``block`` behind which a chunk may end; ``window`` holds the 64 bytes before it.

    The rolling hash rotates by one bit a byte, and 64 rotations are none. So each byte's word is rotated by its place
    instead, the words of a window then combine by two looks at a running XOR, and the 23 bits to test rotate as well.
    """
    tables = _tables()
    numpy = tables.numpy
    indices = numpy.frombuffer(window + block, dtype=numpy.uint8) + tables.columns[: WINDOW_BYTES + len(block)]
    running = tables.words.take(indices)
    numpy.bitwise_xor.accumulate(running, out=running)
    hashes = running[WINDOW_BYTES:] ^ running[:-WINDOW_BYTES]
    hashes &= tables.masks[: len(block)]
    return [int(offset) + 1 for offset in numpy.flatnonzero(hashes == 0)]


@dataclass(frozen=True)
class _Tables:
    """Arrays by place modulo 64: the words of all bytes, the place's part of an index into them, the bits to test."""

    numpy: Any
    words: Any
    columns: Any
    masks: Any


_made: list[_Tables] = []


def _tables() -> _Tables:
    """Return the tables, made at the first use: only files of a megabyte and more need numpy."""
    if not _made:
        import numpy  # noqa: PLC0415 - It takes 0.1 s to import.

        words = numpy.frombuffer(BYTE_HASHES, dtype=">u8").astype(numpy.uint64)
        places = BLOCK_BYTES // WINDOW_BYTES + 1
        rotated = [_rotated_right(numpy, words, place) for place in range(WINDOW_BYTES)]
        mask = numpy.array([(1 << CUT_BITS) - 1], dtype=numpy.uint64)
        masks = [_rotated_right(numpy, mask, place) for place in range(WINDOW_BYTES)]
        columns = numpy.arange(WINDOW_BYTES, dtype=numpy.uint16) * 256
        _made.append(
            _Tables(
                numpy,
                numpy.concatenate(rotated),
                numpy.tile(columns, places),
                numpy.tile(numpy.concatenate(masks), places),
            )
        )
    return _made[0]


def _rotated_right(numpy: Any, words: Any, bits: int) -> Any:
    if bits == 0:
        return words
    return (words >> numpy.uint64(bits)) | (words << numpy.uint64(64 - bits))


def _blake2b(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)
