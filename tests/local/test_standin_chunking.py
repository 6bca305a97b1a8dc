"""Where large files are cut, and the hash that follows from it."""

import hashlib
import random

import pytest

from pachyderm_standin.chunking import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, Chunker
from pachyderm_standin.etag import ContentHasher, content_hash

# What Pachyderm's own chunker (`ComputeChunks` of 2.12) made of 30,000,000 bytes of Python's `random.Random(1)`.
SEEN = [5607007, 14102552, 9848953, 441488]
RANDOM = random.Random(1).randbytes(sum(SEEN))


def chunks_of(content: bytes, piece: int) -> list[bytes]:
    found = [bytearray()]

    def write(data: bytes) -> None:
        found[-1].extend(data)

    chunker = Chunker(write, lambda: found.append(bytearray()))
    for start in range(0, len(content), piece):
        chunker.update(content[start : start + piece])
    return [bytes(chunk) for chunk in found]


def blake2b(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


@pytest.mark.parametrize("piece", [len(RANDOM), 3_000_000, 65_537])
def test_random_bytes_are_cut_where_the_real_server_cuts_them(piece: int) -> None:
    chunks = chunks_of(RANDOM, piece)
    assert [len(chunk) for chunk in chunks] == SEEN
    assert b"".join(chunks) == RANDOM


def test_chunks_are_neither_shorter_nor_longer_than_allowed() -> None:
    sizes = [len(chunk) for chunk in chunks_of(RANDOM + bytes(45_000_000), 1_000_000)]
    assert all(MIN_CHUNK_BYTES <= size <= MAX_CHUNK_BYTES for size in sizes[:-1])


def test_what_never_cuts_is_cut_at_the_longest_and_a_cut_at_the_end_leaves_an_empty_chunk() -> None:
    assert [len(chunk) for chunk in chunks_of(bytes(40_000_000), 999_999)] == [20_000_000, 20_000_000, 0]


def test_an_inserted_byte_moves_few_cuts() -> None:
    before = {blake2b(chunk) for chunk in chunks_of(RANDOM, 1_000_000)}
    after = {blake2b(chunk) for chunk in chunks_of(b"!" + RANDOM, 1_000_000)}
    assert len(after - before) == 1


def test_a_files_hash_is_that_of_its_chunks_hashes() -> None:
    hashes = [blake2b(chunk) for chunk in chunks_of(RANDOM, 1_000_000)]
    assert content_hash(RANDOM) == blake2b(*hashes).hex()


def test_some_repeated_bytes_cut_wherever_they_may() -> None:
    # Seen on the real one: 64 equal bytes hash to nothing at all, or to all ones.
    assert [len(chunk) for chunk in chunks_of(b"x" * 2_500_000, 400_000)] == [1_000_000, 1_000_000, 500_000]


@pytest.mark.parametrize("size", [1, 999_999])
def test_a_file_of_one_chunk_has_the_hash_of_its_hash(size: int) -> None:
    assert content_hash(b"x" * size) == blake2b(blake2b(b"x" * size)).hex()


def test_an_empty_file_has_the_hash_of_nothing() -> None:
    assert content_hash(b"") == blake2b().hex()


def test_a_hash_can_be_asked_for_midway() -> None:
    hasher = ContentHasher()
    hasher.update(b"abc")
    assert hasher.hexdigest() == content_hash(b"abc")
    hasher.update(b"def")
    assert (hasher.hexdigest(), hasher.size) == (content_hash(b"abcdef"), 6)
