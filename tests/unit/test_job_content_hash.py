"""Pachyderm's content hash, beside the stand-in's, which was written apart from it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest

from pachyderm_standin.chunking import Chunker
from s3sync_job.content_hash import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, ChunkHash, fingerprint

SEED = 20_260_101
SEEN_ON_2_12 = "b2e2f00456558ce0b7a6d1d09e56ebde2fd0e347101921ea4420b42deefd2c4f"
"""The hash that a real Pachyderm 2.12 told, by walk_file, of the 19.2 MB of the last test."""


def blake2b(content: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(content, digest_size=32)


def as_the_standin_has_it(content: bytes) -> str:
    chunks = [blake2b()]

    def write(piece: bytes) -> None:
        chunks[-1].update(piece)

    Chunker(write, lambda: chunks.append(blake2b())).update(content)
    return blake2b(b"".join(chunk.digest() for chunk in chunks)).hexdigest()


def pieces(content: bytes, rng: random.Random) -> Iterator[bytes]:
    while content:
        length = rng.choice((1_000, 70_000, 3_000_000))
        yield content[:length]
        content = content[length:]


def test_an_empty_file_is_the_hash_of_nothing() -> None:
    assert ChunkHash().hexdigest() == blake2b().hexdigest()


@pytest.mark.parametrize("size", [1, 63, 64, 65, 10_000, MIN_CHUNK_BYTES - 1])
def test_a_file_below_a_megabyte_is_one_chunk(size: int) -> None:
    content = random.Random(size).randbytes(size)
    assert fingerprint([content]).pachyderm == blake2b(blake2b(content).digest()).hexdigest()


@pytest.mark.parametrize("size", [MIN_CHUNK_BYTES, MIN_CHUNK_BYTES + 1, 12_000_000])
def test_larger_files_are_cut_where_the_real_server_cuts_however_they_are_read(size: int) -> None:
    rng = random.Random(SEED + size)
    content = rng.randbytes(size)
    mark = fingerprint(pieces(content, rng))
    assert mark.pachyderm == as_the_standin_has_it(content)
    assert (mark.size, mark.sha256) == (size, hashlib.sha256(content).hexdigest())


def test_content_without_a_place_to_cut_is_cut_at_the_longest_chunk() -> None:
    content = bytes(MAX_CHUNK_BYTES + 1)
    chunks = (content[:MAX_CHUNK_BYTES], content[:1])
    expected = blake2b(b"".join(blake2b(chunk).digest() for chunk in chunks)).hexdigest()
    assert fingerprint([content]).pachyderm == expected


def test_a_hash_of_content_above_a_megabyte_is_the_one_seen_on_a_real_pachyderm() -> None:
    content = b"".join(blake2b(number.to_bytes(8, "big")).digest() for number in range(600_000))
    assert fingerprint([content]).pachyderm == SEEN_ON_2_12
