"""The manifest: what a worker tells the operator, and its own next attempt, about what it staged (pure)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from s3sync_job.compare import There
from s3sync_job.keys import MANIFEST_FOLDER
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import PlannedFile, Worker

PATH = f"/{MANIFEST_FOLDER}/manifest.json"
"""Where the manifest lies in a staging branch: outside of every destination, since keys cannot start with it."""

State = Literal["staged", "unchanged"]

MAX_BYTES = 24 * 1024 * 1024
"""The operator reads no more of a manifest."""

_ENTRY_BYTES = 64 + len('[,,"","unchanged"],')


@dataclass(frozen=True)
class Entry:
    """A file of the share: its key, size in bytes, SHA-256 (hex; None where it was not read) and what became of it."""

    key: str
    size: int
    sha256: str | None
    state: State


@dataclass(frozen=True)
class Manifest:
    """All that one worker did; ``base`` is the ID of the commit that it built upon, None for an empty branch.

    ``plan`` is the digest of all workers' files as this one saw them: where two workers' differ, the input changed
    between their looks, and a file may be in no share. ``tree`` is the digest of what was staged.
    """

    base: str | None
    worker: Worker
    destination: str
    verification: str
    files: tuple[Entry, ...]
    delete: tuple[str, ...] = ()
    plan: str = ""
    tree: str = ""

    def dump(self) -> bytes:
        """Return the manifest as JSON."""
        return json.dumps(
            {
                "s3syncManifest": 1,
                "base": self.base,
                "worker": {"index": self.worker.index, "count": self.worker.count},
                "destination": f"/{self.destination}",
                "verification": self.verification,
                "files": [[file.key, file.size, file.sha256, file.state] for file in self.files],
                "delete": list(self.delete),
                "plan": self.plan,
                "tree": self.tree,
                "complete": True,
            },
            separators=(",", ":"),
        ).encode()


def check_size(share: Iterable[PlannedFile], delete: Iterable[str], limit: int = MAX_BYTES) -> None:
    """Raise the SyncError ManifestTooLarge where a manifest of these files and keys would take more than ``limit``
    bytes."""
    files = list(share)
    size = sum(len(json.dumps(file.key)) + len(str(file.size)) + _ENTRY_BYTES for file in files)
    size += sum(len(json.dumps(key)) + 1 for key in delete)
    if size > limit:
        raise SyncError(
            Reason.MANIFEST_TOO_LARGE,
            f"The list of {len(files)} files and of those to delete takes {size} bytes, more than the {limit} that the "
            "operator can read; let more spec.workers share the files. Nothing was copied.",
        )


def parse_manifest(content: bytes) -> Manifest | None:
    """Return the manifest, or None where ``content`` is no whole one of this version."""
    try:
        document: Any = json.loads(content)
        if document["s3syncManifest"] != 1 or document["complete"] is not True:
            return None
        return Manifest(
            base=document["base"],
            worker=Worker(document["worker"]["index"], document["worker"]["count"]),
            destination=document["destination"].removeprefix("/"),
            verification=document["verification"],
            files=tuple(Entry(*entry) for entry in document["files"]),
            delete=tuple(document["delete"]),
            plan=document["plan"],
            tree=document["tree"],
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def is_reusable(manifest: Manifest, expected: Manifest, share: Iterable[PlannedFile]) -> bool:
    """Tell whether an earlier attempt's ``manifest`` may stand for this one's, as far as names and sizes tell.

    ``expected`` holds what this attempt would write but for its files. Contents are compared by SHA-256 after this.
    """
    same_frame = (
        (manifest.base, manifest.worker, manifest.destination) == (expected.base, expected.worker, expected.destination)
        and manifest.verification == expected.verification
        and (manifest.delete, manifest.plan) == (expected.delete, expected.plan)
    )
    return (
        same_frame
        and [(entry.key, entry.size) for entry in manifest.files] == [(file.key, file.size) for file in share]
        and all(entry.sha256 is not None for entry in manifest.files)
    )


def entries(
    share: Iterable[PlannedFile], unchanged: frozenset[str], sha256_by_key: Mapping[str, str]
) -> tuple[Entry, ...]:
    """Return the manifest's files for a share, of which the keys ``unchanged`` were not staged."""
    return tuple(
        Entry(file.key, file.size, sha256_by_key.get(file.key), "unchanged" if file.key in unchanged else "staged")
        for file in share
    )


def plan_digest(everything: Iterable[PlannedFile]) -> str:
    """Return ``sha256:<hex>`` of all workers' files, by key and size."""
    return _digest(f"{file.size}  {file.key}\n" for file in everything)


def tree_digest(there: Mapping[str, There]) -> str:
    """Return ``sha256:<hex>`` of what a commit holds besides a manifest, by Pachyderm's hashes."""
    own = PATH.removeprefix("/")
    return _digest(f"{there[key].hash}  {there[key].size}  {key}\n" for key in sorted(there) if key != own)


def _digest(lines: Iterable[str]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode())
    return f"sha256:{found.hexdigest()}"
