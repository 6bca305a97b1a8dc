"""Pachyderm's content hash, which the gateway shows as the ETag and gRPC as `FileInfo.hash`."""

import hashlib

from pachyderm_standin.chunking import Chunker

DIGEST_BYTES = 32


def digest(data: bytes = b"") -> "hashlib.blake2b":
    """Start a BLAKE2b-256, the one hash that Pachyderm's storage uses, over `data`."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES)


class ContentHasher:
    """Computes the hash of one file's content as it comes.

    Empty: `H(b"")`; else `H(H(chunk 1) + H(chunk 2) + …)`, with the chunks that the real server cuts. A file below
    1,000,000 bytes is one chunk. Compared with a real 2.12: equal for files of 1 byte to 20 MB, for files appended to
    in several calls, and for multipart uploads.
    """

    def __init__(self) -> None:
        self._chunk = digest()
        self._chunks = digest()
        self._chunker = Chunker(self._chunk_bytes, self._cut)
        self.size = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self._chunker.update(data)

    def hexdigest(self) -> str:
        """Tell the hash (64 hex digits) of what has come so far."""
        if not self.size:
            return self._chunks.hexdigest()
        # A file that ends with a cut has one more chunk, an empty one: so it is on the real server.
        chunks = self._chunks.copy()
        chunks.update(self._chunk.digest())
        return chunks.hexdigest()

    def _chunk_bytes(self, piece: bytes) -> None:
        self._chunk.update(piece)

    def _cut(self) -> None:
        self._chunks.update(self._chunk.digest())
        self._chunk = digest()


def content_hash(data: bytes) -> str:
    """Tell the hash (64 hex digits) of a whole content."""
    hasher = ContentHasher()
    hasher.update(data)
    return hasher.hexdigest()
