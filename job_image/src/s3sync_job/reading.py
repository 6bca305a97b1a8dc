"""How contents are read from front to back, on either side."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from typing import Protocol


class Reader(Protocol):
    """What is read from front to back; fewer bytes than asked for mean its end."""

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        ...


class WholeReads:
    """Makes a Reader of a stream whose reads may fall short before its end, as those from a network do."""

    def __init__(self, stream: Reader) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        content = self._stream.read(size)
        while len(content) < size and (more := self._stream.read(size - len(content))):
            content += more
        return content


class PieceReader:
    """Makes a Reader of pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        parts: list[bytes] = []
        while size > 0:
            if not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._left = memoryview(piece)
                continue
            part = bytes(self._left[:size])
            parts.append(part)
            self._left = self._left[len(part) :]
            size -= len(part)
        return b"".join(parts)


def open_input(root: str, path: str) -> FileIO:
    """Open a file under the input path for reads that are as large as asked for: see WholeReads."""
    # Of a million small files each is opened: a Path and a buffer would take longer than to read one.
    return open(f"{root}/{path}", "rb", buffering=0)  # noqa: PTH123


def pieces_of(stream: Reader, size: int) -> Iterator[bytes]:
    """Yield the stream's bytes, ``size`` at a time."""
    while piece := stream.read(size):
        yield piece
