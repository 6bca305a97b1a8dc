"""Reads manifests from files, folders and standard input."""

import sys
from collections.abc import Sequence
from pathlib import Path

from s3sync_cli.documents import MOST_BYTES, Document, UnreadableError, documents
from s3sync_cli.errors import MisusedError

SUFFIXES = (".yaml", ".yml", ".json")


def read_documents(names: Sequence[str]) -> list[Document]:
    """Return the objects in files, in the manifests of folders (not of folders in them) and, for `-`, in what standard
    input holds.

    Raises CliError (exit code 2) naming the file.
    """
    try:
        return [found for name in names for file in _files(name) for found in documents(_text(file), _shown(file))]
    except UnreadableError as error:
        raise MisusedError(str(error)) from None


def _shown(file: str) -> str:
    return "standard input" if file == "-" else file


def _files(name: str) -> list[str]:
    folder = Path(name)
    if name == "-" or not folder.is_dir():
        return [name]
    found = sorted(str(path) for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if not found:
        raise MisusedError(f"-f {name}: the folder holds no {', '.join(SUFFIXES)} file")
    return found


def _text(file: str) -> str:
    try:
        data = sys.stdin.buffer.read(MOST_BYTES + 1) if file == "-" else _bytes(Path(file))
        return data.decode()
    except OSError as error:
        raise MisusedError(f"-f {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MisusedError(f"{_shown(file)}: is not in UTF-8") from None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MOST_BYTES + 1)
