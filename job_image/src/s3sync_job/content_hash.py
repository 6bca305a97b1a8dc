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
        self._finder: CutFinder | None = None

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
        self._finder = self._finder or CutFinder()
        for offset in (*self._finder.offsets(self._window, bytes(block)), len(block)):
            while offset - begin >= MAX_CHUNK_BYTES:
                begin += MAX_CHUNK_BYTES
                yield begin
            if offset < len(block) and offset - begin >= MIN_CHUNK_BYTES:
                begin = offset
                yield begin


class CutFinder:
    """Finds where chunks may end, with arrays that it makes once: making them anew would take longer than the work.

    Only files of a megabyte and more need one, and with it numpy. One thread at a time may use it.
    """

    def __init__(self) -> None:
        import numpy  # noqa: PLC0415 - It takes 0.1 s to import.

        words = numpy.frombuffer(BYTE_HASHES, dtype=">u8").astype(numpy.uint64)
        mask = numpy.array([(1 << CUT_BITS) - 1], dtype=numpy.uint64)
        places = range(WINDOW_BYTES)
        repeats = BLOCK_BYTES // WINDOW_BYTES + 1
        self._numpy: Any = numpy
        self._words = numpy.concatenate([_rotated_right(numpy, words, place) for place in places])
        self._masks = numpy.tile(numpy.concatenate([_rotated_right(numpy, mask, place) for place in places]), repeats)
        self._columns = numpy.tile(numpy.arange(WINDOW_BYTES, dtype=numpy.intp) * 256, repeats)
        self._indices = numpy.empty(WINDOW_BYTES + BLOCK_BYTES, dtype=numpy.intp)
        self._hashes = numpy.empty(WINDOW_BYTES + BLOCK_BYTES, dtype=numpy.uint64)
        self._spare = numpy.empty(WINDOW_BYTES + BLOCK_BYTES, dtype=numpy.uint64)

    def offsets(self, window: bytes, block: bytes) -> list[int]:
        """Return the offsets in ``block`` behind which a chunk may end; ``window`` holds the 64 bytes before it.

        The rolling hash rotates by one bit a byte, and 64 rotations are none. So each byte's word is rotated by its
        place instead, windows are put together from halves by plain XOR, and the 23 bits to test rotate as well.
        """
        numpy = self._numpy
        length = WINDOW_BYTES + len(block)
        indices, hashes, spare = self._indices[:length], self._hashes[:length], self._spare
        numpy.add(numpy.frombuffer(window + block, dtype=numpy.uint8), self._columns[:length], out=indices)
        self._words.take(indices, out=hashes, mode="clip")
        width = 1
        while width < WINDOW_BYTES:
            joined = spare[: len(hashes) - width]
            numpy.bitwise_xor(hashes[width:], hashes[:-width], out=joined)
            hashes, spare = joined, self._hashes if spare is self._spare else self._spare
            width *= 2
        # The first window is the one before the block.
        tested = spare[: len(block)]
        numpy.bitwise_and(hashes[1:], self._masks[: len(block)], out=tested)
        return [int(offset) + 1 for offset in numpy.flatnonzero(tested == 0)]


def _rotated_right(numpy: Any, words: Any, bits: int) -> Any:
    if bits == 0:
        return words
    return (words >> numpy.uint64(bits)) | (words << numpy.uint64(64 - bits))


def _blake2b(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)
