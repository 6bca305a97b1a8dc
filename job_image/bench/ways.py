"""The ways of getting a tree into a repo that are compared; each one's `copy` returns once done, or at the limit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import atomic_sync
from measuring import Measured, run
from server import BRANCH, Server
from trees import FOLDER

from s3sync_local.client_settings import REMOTE, S3Access, client_environment

SEED_SCRIPT = str(Path(__file__).parent / "seed_way.py")


@dataclass(frozen=True)
class Cell:
    """One run: where the tree lies, where to, how long it may take (seconds), and the clients' programs."""

    folder: Path
    server: Server
    repo: str
    limit: float
    programs: dict[str, Path]

    @property
    def bucket(self) -> str:
        """The bucket that is written to."""
        return f"{BRANCH}.{self.repo}"

    @property
    def keys(self) -> dict[str, str]:
        """The key pair as s3sync-job takes it."""
        return {"AWS_ACCESS_KEY_ID": self.server.token, "AWS_SECRET_ACCESS_KEY": self.server.token}


@dataclass(frozen=True)
class Way:
    """A way: its name, what it proves of what it wrote, the client that it needs, if any, and how it copies."""

    name: str
    proves: str
    needs: str | None
    copy: Callable[[Cell], Measured]


def _ours(client: str, verify: str) -> Callable[[Cell], Measured]:
    return lambda cell: atomic_sync.sync(cell.server, cell.repo, client, verify, cell.folder, cell.keys, cell.limit)


def _client(name: str, *arguments: str) -> Callable[[Cell], Measured]:
    """Return a copy by another's client; `{bucket}` in an argument becomes the bucket."""

    def copy(cell: Cell) -> Measured:
        access = S3Access(cell.server.endpoint, cell.server.token, cell.server.token)
        environment = client_environment(name, access, cell.folder)
        command = [str(cell.programs[name]), *(item.replace("{bucket}", cell.bucket) for item in arguments)]
        return run(command, cell.folder, environment, cell.limit)

    return copy


def _seed(cell: Cell) -> Measured:
    command = [sys.executable, SEED_SCRIPT, cell.bucket, FOLDER]
    return run(command, cell.folder, {"S3_ENDPOINT": cell.server.endpoint, **cell.keys}, cell.limit)


HASH = "yes: by hash"
BYTES = "yes: every byte"
NOTHING = "no"
BASELINE = "AWS CLI"

WAYS: Sequence[Way] = (
    Way("pfs, atomic, Checksum", HASH, None, _ours("pfs", "Checksum")),
    Way("pfs, atomic, Full", BYTES, None, _ours("pfs", "Full")),
    Way("file_io, atomic, Checksum", HASH, None, _ours("file_io", "Checksum")),
    Way("file_io, atomic, Full", BYTES, None, _ours("file_io", "Full")),
    Way("minio, atomic, Full", BYTES, None, _ours("minio", "Full")),
    Way(
        BASELINE,
        NOTHING,
        "aws",
        _client("aws", "s3", "cp", "--recursive", "--only-show-errors", FOLDER, f"s3://{{bucket}}/{FOLDER}"),
    ),
    Way(
        "MinIO client, one PUT a file",
        NOTHING,
        "mc",
        _client(
            "mc", "cp", "--recursive", "--quiet", "--disable-multipart", f"{FOLDER}/", f"{REMOTE}/{{bucket}}/{FOLDER}/"
        ),
    ),
    Way(
        "rclone, 8 transfers",
        NOTHING,
        "rclone",
        _client("rclone", "copy", "--transfers", "8", FOLDER, f"{REMOTE}:{{bucket}}/{FOLDER}"),
    ),
    Way("the seed's script", "reads, but compares nothing", None, _seed),
)
