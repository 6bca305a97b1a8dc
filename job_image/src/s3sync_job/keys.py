"""Which keys Pachyderm's S3 gateway takes, and which key a file under the input path gets (pure)."""

from __future__ import annotations

from s3sync_job.outcome import Reason, SyncError

REFUSED_CHARACTERS = "*?[]{}!()@+^\\"
"""Pachyderm 2.12 answers 400 InvalidFilePath to a key with one of these (its glob syntax); one with a backslash it
takes, lists, and then fails to read with 500 (seen on its own test server)."""


MANIFEST_FOLDER = ".s3sync"
"""The folder at the top level of a staging branch that holds a worker's manifest."""


def key_problem(key: str) -> str | None:
    """Return why Pachyderm would refuse ``key``, or None where it would take it.

    A key is printable ASCII without glob characters; an element is neither empty nor ``.`` nor ``..``. The folder in
    which workers leave their manifests is none for files.
    """
    if key.split("/", 1)[0] == MANIFEST_FOLDER:
        return f"the folder {MANIFEST_FOLDER} at a repo's top level is s3sync's own"
    for character in key:
        if not " " <= character <= "~":
            return f"{_shown(character)} is not a printable ASCII character"
        if character in REFUSED_CHARACTERS:
            return f"Pachyderm refuses {character!r} (and any of {' '.join(REFUSED_CHARACTERS)})"
    for element in key.split("/"):
        if element in ("", ".", ".."):
            return f"a path element must not be {element!r}"
    return None


def destination_prefix(path: str, flag: str = "-i/--inputpath") -> str:
    """Return the key prefix, without slashes at its ends, that ``path``, given by ``flag``, means in the bucket.

    ``/data/books/`` and ``./data/books`` give ``data/books``; ``.`` and ``/`` give ``""``, the bucket's top level.

    Raises:
        SyncError: InvalidArguments for an empty path or one with ``..`` in it.
    """
    if not path:
        raise SyncError(Reason.INVALID_ARGUMENTS, f"{flag} is empty; name a directory.")
    elements = [element for element in path.split("/") if element not in ("", ".")]
    if ".." in elements:
        raise SyncError(
            Reason.INVALID_ARGUMENTS,
            f"{flag} {path!r} has '..' in it, which cannot be part of a key; give the path without it.",
        )
    return "/".join(elements)


def join_key(prefix: str, path: str) -> str:
    """Return the key of ``path`` (relative, ``/`` between elements) under ``prefix``, which may be empty."""
    return f"{prefix}/{path}" if prefix else path


def _shown(character: str) -> str:
    """Return ``character`` itself where it can be seen, else its code point, for messages."""
    return repr(character) if character.isprintable() else f"U+{ord(character):04X}"
