"""The trees that are copied: of text, since the seed's script takes no other, and new at random for each tree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from s3sync_job.content_hash import fingerprint

FILES_A_DIRECTORY = 50
"""Fewer than 100: file_io.walk never ends on a directory of more at a gateway that pages as Pachyderm does."""

PIECE = 1_000_000
FOLDER = "tree"
"""The folder of each tree, and so the first part of its keys."""


@dataclass(frozen=True)
class Tree:
    """A tree: how many files there are of each size (bytes)."""

    name: str
    sizes: Mapping[int, int]

    @property
    def files(self) -> int:
        """How many files it has."""
        return sum(self.sizes.values())

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return sum(size * count for size, count in self.sizes.items())

    def write(self, root: Path) -> None:
        """Write it into the folder FOLDER below root."""
        for number, size in enumerate(self._each()):
            path = root / FOLDER / f"{number // FILES_A_DIRECTORY:03}" / f"{number:05}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w") as file:
                for start in range(0, size, PIECE):
                    length = min(PIECE, size - start)
                    file.write(os.urandom((length + 1) // 2).hex()[:length])

    def _each(self) -> Iterator[int]:
        return (size for size, count in self.sizes.items() for _ in range(count))


TREES = (
    Tree("80 x 10 KB", {10_000: 80}),
    Tree("1 x 256 MB", {256_000_000: 1}),
    Tree("mixed", {1_000: 100, 10_000: 60, 200_000: 30, 2_000_000: 9, 40_000_000: 1}),
    Tree("5,000 x 10 KB", {10_000: 5_000}),
)
QUICK = (Tree("3 x 10 KB", {10_000: 3}), Tree("1 x 6 MB", {6_000_000: 1}))
"""For a test of the benchmark itself."""


def expected(root: Path) -> dict[str, tuple[int, str]]:
    """Return each file's size and Pachyderm's hash of it, by its path in a repo."""
    found = {}
    for path in sorted((root / FOLDER).rglob("*.txt")):
        with path.open("rb") as file:
            mark = fingerprint(iter(lambda: file.read(PIECE), b""))
        found[f"/{path.relative_to(root)}"] = (path.stat().st_size, mark.pachyderm)
    return found
