"""Calls that read files."""

import tarfile
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice

from betterproto import BytesValue
from pachyderm_sdk.api import pfs

from pachyderm_standin.blobs import flipped
from pachyderm_standin.entries import Entry, entries_at, is_child, list_entries, match_entries
from pachyderm_standin.model import Commit, File, NotFoundError, PfsError, Tree
from pachyderm_standin.names import clean_path
from pachyderm_standin.pachd import messages
from pachyderm_standin.pachd.calls import Call
from pachyderm_standin.pachd.errors import not_modelled
from pachyderm_standin.pachd.messages import Message

MAX_PAGE = 100_000


def _clean(path: str) -> str:
    clean = clean_path(path)
    return f"/{clean}"


def _below_root(path: str) -> str:
    return _clean(path).rstrip("/")


async def inspect_file(call: Call, request: Message) -> Message:
    """Tell about a file or directory."""
    commit, tree = await call.opened(request.file.commit)
    path = _below_root(request.file.path)
    for entry in entries_at(tree, path, call.gateway.blobs.hash):
        if entry.path in {path, f"{path}/"}:
            return messages.file_info(commit, entry)
    raise _file_not_found(commit, request.file.path)


def _file_not_found(commit: Commit, path: str) -> NotFoundError:
    return NotFoundError(f"file {path} not found in repo {commit.repo} at commit {commit.id}")


async def list_file(call: Call, request: Message) -> AsyncIterator[Message]:
    """List what lies directly in a directory; nothing for one that is not there."""
    commit, tree = await call.opened(request.file.commit)
    parent = _clean(request.file.path)
    below = parent if parent.endswith("/") else f"{parent}/"
    children = [
        entry
        for entry in list_entries(tree, parent, call.gateway.blobs.hash)
        if (entry.path == parent or entry.path.startswith(below))
        and entry.path != below
        and is_child(parent, entry.path)
    ]
    for info in messages.file_infos(commit, _page(children, request)):
        yield info


async def walk_file(call: Call, request: Message) -> AsyncIterator[Message]:
    """List a file, or a directory with all that is below it, each with its hash."""
    commit, tree = await call.opened(request.file.commit)
    path = _below_root(request.file.path)
    found = entries_at(tree, path, call.gateway.blobs.hash)
    if not found and path:
        raise NotFoundError(f"commit/{commit.id} does not contain item: ({path})")
    for info in messages.file_infos(commit, _page(found, request)):
        yield info


def _page(entries: Sequence[Entry], request: Message) -> Iterator[Entry]:
    if request.number > MAX_PAGE:
        raise PfsError(f"cannot return more than {MAX_PAGE} files at a time")
    if request.reverse and not request.number:
        raise PfsError("number must be > 0 when reverse is true")
    marker = request.pagination_marker.path if request.is_set("pagination_marker") else ""
    if request.reverse:
        found = (entry for entry in reversed(entries) if not marker or entry.path < marker)
    else:
        found = (entry for entry in entries if entry.path > marker and _clean(entry.path) != marker)
    return islice(found, request.number or None)


async def glob_file(call: Call, request: Message) -> AsyncIterator[Message]:
    """List what a pattern matches."""
    if request.is_set("path_range"):
        raise not_modelled("path ranges")
    commit, tree = await call.opened(request.commit)
    for info in messages.file_infos(commit, match_entries(tree, _clean(request.pattern), call.gateway.blobs.hash)):
        yield info


async def diff_file(call: Call, request: Message) -> AsyncIterator[Message]:
    """List what differs between two commits, by default a commit and its parent; both sides where both have it."""
    commit, new = await _side(call, request.new_file)
    old_commit, old = commit.parent, dict[str, Entry]()
    if request.is_set("old_file"):
        old_commit, old = await _side(call, request.old_file)
    elif old_commit:
        old = _by_path(call, await call.opened(messages.commit_message(old_commit)), request.new_file.path)
    for path in sorted({*new, *old}):
        if path in new and path in old and new[path].hash == old[path].hash:
            continue
        sides = {"new_file": (commit, new.get(path)), "old_file": (old_commit, old.get(path))}
        yield pfs.DiffFileResponse(
            **{name: messages.file_info(side, entry) for name, (side, entry) in sides.items() if side and entry}
        )


async def _side(call: Call, file: Message) -> tuple[Commit, dict[str, Entry]]:
    opened = await call.opened(file.commit)
    return opened[0], _by_path(call, opened, file.path)


def _by_path(call: Call, opened: tuple[Commit, Tree], path: str) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries_at(opened[1], _below_root(path), call.gateway.blobs.hash)}


async def get_file(call: Call, request: Message) -> AsyncIterator[Message]:
    """Serve the one file that a pattern matches, from an offset."""
    commit, found = await _matches(call, request)
    if any(entry.file is None for entry in found):
        raise PfsError("cannot get directory or non-regular file. Use GetFileTAR instead")
    if len(found) > 1:
        raise PfsError("matched multiple files. Use GetFileTAR instead")
    path, file = found[0].path, found[0].file
    if file is None:
        raise _file_not_found(commit, path)
    for piece in _content(call, file, request.offset):
        yield BytesValue(value=piece)


async def _matches(call: Call, request: Message, *, whole: bool = False) -> tuple[Commit, list[Entry]]:
    if request.url or request.is_set("path_range"):
        raise not_modelled("GetFile with a URL or a path range")
    commit, tree = await call.opened(request.file.commit)
    found = match_entries(tree, _clean(request.file.path), call.gateway.blobs.hash, whole=whole)
    if not found:
        raise _file_not_found(commit, request.file.path)
    return commit, found


def _content(call: Call, file: File, offset: int) -> Iterator[bytes]:
    position = offset
    for piece in call.gateway.blobs.read(file, offset, file.size - offset):
        yield flipped(piece, position, call.effects.flip_at)
        position += len(piece)


async def get_file_tar(call: Call, request: Message) -> AsyncIterator[Message]:
    """Serve what a pattern matches as a tar archive."""
    _, found = await _matches(call, request, whole=True)
    for entry in found:
        info = tarfile.TarInfo(entry.path)
        info.mode = 0
        info.type, info.size = (tarfile.REGTYPE, entry.size) if entry.file else (tarfile.DIRTYPE, 0)
        yield BytesValue(value=info.tobuf())
        if entry.file:
            for piece in _content(call, entry.file, 0):
                yield BytesValue(value=piece)
            yield BytesValue(value=bytes(-entry.size % tarfile.BLOCKSIZE))
    yield BytesValue(value=bytes(2 * tarfile.BLOCKSIZE))
