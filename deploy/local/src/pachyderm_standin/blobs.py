"""Stored bytes: one file a blob in the data directory, named by its Pachyderm hash."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from pachyderm_standin.etag import ContentHasher
from pachyderm_standin.model import Content, File

READ_BYTES = 1024 * 1024
HASHES_KEPT = 10_000


class BlobWriter:
    """Takes a body's chunks to disk; leaves nothing behind unless `store` is reached."""

    def __init__(self, folder: Path, flip_at: int | None = None) -> None:
        self._folder = folder
        self._flip_at = flip_at
        self._hasher = ContentHasher()
        handle, name = tempfile.mkstemp(dir=folder, prefix="incoming-")
        self._path = Path(name)
        self._file = os.fdopen(handle, "wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.discard()

    @property
    def size(self) -> int:
        """How many bytes were written."""
        return self._hasher.size

    def write(self, chunk: bytes) -> None:
        """Append a chunk."""
        chunk = flipped(chunk, self.size, self._flip_at)
        self._hasher.update(chunk)
        self._file.write(chunk)

    def store(self) -> Content:
        """Keep what was written, and tell what it is."""
        self._file.close()
        name = self._hasher.hexdigest()
        self._path.replace(self._folder / name)
        return Content(name, self.size)

    def discard(self) -> None:
        """Drop what was not stored; no error if it was."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class BlobStore:
    """All blobs of one stand-in. Nothing is ever deleted, as old commits go on pointing at their content."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "blobs"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._joined_hashes: dict[File, str] = {}

    def writer(self, flip_at: int | None = None) -> BlobWriter:
        """Start a blob; `flip_at` corrupts the byte at that offset on its way to the disk."""
        return BlobWriter(self._folder, flip_at)

    def hash(self, file: File) -> str:
        """Tell a file's Pachyderm hash (64 hex digits); one put together from stretches is read for it, once."""
        if len(file.contents) == 1:
            return file.contents[0].hash
        if file not in self._joined_hashes:
            if len(self._joined_hashes) >= HASHES_KEPT:
                del self._joined_hashes[next(iter(self._joined_hashes))]
            self._joined_hashes[file] = self._read_hash(file)
        return self._joined_hashes[file]

    def _read_hash(self, file: File) -> str:
        hasher = ContentHasher()
        for piece in self.read(file, 0, file.size):
            hasher.update(piece)
        return hasher.hexdigest()

    def read(self, file: File, start: int, length: int) -> Iterator[bytes]:
        """Give `length` bytes of a file from `start`, in pieces of at most 1 MiB."""
        for content in file.contents:
            if length <= 0:
                return
            if start >= content.size:
                start -= content.size
                continue
            taken = min(length, content.size - start)
            yield from self._read_blob(content.hash, start, taken)
            start, length = 0, length - taken

    def _read_blob(self, blob: str, start: int, length: int) -> Iterator[bytes]:
        with (self._folder / blob).open("rb") as stream:
            stream.seek(start)
            while length > 0:
                piece = stream.read(min(READ_BYTES, length))
                if not piece:
                    raise OSError(f"blob {blob} is shorter than it was when stored")
                length -= len(piece)
                yield piece


def flipped(piece: bytes, position: int, flip_at: int | None) -> bytes:
    """Flip the lowest bit of the byte at offset `flip_at` of the whole, if it lies in this piece at `position`."""
    if flip_at is None or not position <= flip_at < position + len(piece):
        return piece
    corrupted = bytearray(piece)
    corrupted[flip_at - position] ^= 1
    return bytes(corrupted)
