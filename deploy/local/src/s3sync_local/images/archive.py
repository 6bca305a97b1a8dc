"""Read a docker-archive: which image it is, how large, and files of its finished file system."""

import fnmatch
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from s3sync_local.errors import ImageError

WHITEOUT = ".wh."
"""The prefix of a layer's entry that says that a lower layer's file is gone (OCI image-spec, layer.md)."""
OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True)
class Archive:
    """What an archive says of itself: the image's ID (the digest of its configuration), sizes in bytes, its config."""

    path: Path
    image_id: str
    layers: tuple[str, ...]
    unpacked_bytes: int
    config: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return dict(self.config.get("config", {}).get("Labels") or {})


def describe(path: Path) -> Archive:
    """Return what the archive holds; raises ImageError where it is no docker-archive of one image."""
    try:
        with tarfile.open(path) as tar:
            (manifest,) = json.loads(_read(tar, "manifest.json"))
            config = _read(tar, manifest["Config"])
            size = sum(tar.getmember(layer).size for layer in manifest["Layers"])
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ImageError(f"{path} is not a docker-archive of one image ({error}); remove it and build again") from error
    image_id = f"sha256:{PurePosixPath(manifest['Config']).stem}"
    return Archive(path, image_id, tuple(manifest["Layers"]), size, json.loads(config))


def read_files(archive: Archive, patterns: Sequence[str]) -> dict[str, bytes]:
    """Return the regular files whose path (without a leading slash) matches a pattern, as the finished image has them.

    A `*` matches slashes too. What an upper layer replaced or removed is not returned.
    """
    found: dict[str, bytes] = {}
    with tarfile.open(archive.path) as outer:
        for name in archive.layers:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                _apply(layer, patterns, found)
    return found


def _apply(layer: tarfile.TarFile, patterns: Sequence[str], found: dict[str, bytes]) -> None:
    """Bring what was found in the layers below up to date with one more."""
    added: dict[str, bytes] = {}
    for member in layer:
        path = PurePosixPath(member.name.removeprefix("./").lstrip("/"))
        if path.name == OPAQUE:
            _forget(found, str(path.parent), keep_itself=True)
        elif path.name.startswith(WHITEOUT):
            _forget(found, str(path.parent / path.name.removeprefix(WHITEOUT)))
        elif member.isfile() and any(fnmatch.fnmatchcase(str(path), pattern) for pattern in patterns):
            content = layer.extractfile(member)
            added[str(path)] = content.read() if content else b""
    found.update(added)


def _forget(found: dict[str, bytes], path: str, *, keep_itself: bool = False) -> None:
    for name in list(found):
        if name.startswith(f"{path}/") or (name == path and not keep_itself):
            del found[name]


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file.read()
