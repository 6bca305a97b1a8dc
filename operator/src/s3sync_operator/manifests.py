"""Pure: what the manifests say that workers leave in their staging branches: keys to delete, and a digest of all."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from s3sync_operator.api import Reason
from s3sync_operator.errors import TemporarySyncError

MOST_DIGESTED = 200_000
"""The digest of several workers' files takes all of their lines at once; of more files than these it is not made."""


class Manifest:
    """One worker's manifest, from its JSON; raises TemporarySyncError where it is none, so that it is staged anew.

    It may tell to delete what is below the prefix, and nothing else.
    """

    def __init__(self, content: bytes, prefix: str = "") -> None:
        try:
            document: Any = json.loads(content)
            self._check(document)
            self._files: list[Any] = document["files"]
            self.plan = document.get("plan")
            self.deletes = tuple(_below(prefix, key) for key in document["delete"])
        except (ValueError, KeyError, TypeError) as error:
            text = f"a worker left a manifest that cannot be read ({type(error).__name__}: {error})"
            raise TemporarySyncError(Reason.COMMIT_FAILED, text) from None

    @staticmethod
    def _check(document: Any) -> None:
        if document["s3syncManifest"] != 1 or document["complete"] is not True:
            raise ValueError("not a whole one of version 1")

    def lines(self) -> list[tuple[str, str]] | None:
        """Return each file's key and line for the digest; None where a file has no hash, as without verification."""
        if any(sha256 is None for _, _, sha256, _ in self._files):
            return None
        return [(key, f"{sha256}  {size}  {key}\n") for key, size, sha256, _ in self._files]


def _below(prefix: str, key: object) -> str:
    """Return the key; raises ValueError where it leads elsewhere, as an empty one leads to the whole repo."""
    elements = key.split("/") if isinstance(key, str) else [""]
    if {"", ".", ".."} & set(elements) or (prefix and not str(key).startswith(f"{prefix}/")):
        raise ValueError(f"it would delete {key!r}, which is not below '{prefix}/'")
    return str(key)


def digest_of(lines: Iterable[tuple[str, str]]) -> str:
    """Return the digest over the files' lines, sorted by key, as s3sync-job takes it."""
    found = hashlib.sha256()
    for _, line in sorted(lines):
        found.update(line.encode())
    return f"sha256:{found.hexdigest()}"
