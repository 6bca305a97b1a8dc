"""The one call that writes files."""

import asyncio
from collections.abc import AsyncIterator

import betterproto
from betterproto.lib.google.protobuf import Empty

from pachyderm_standin.blobs import BlobWriter
from pachyderm_standin.faults import Effects
from pachyderm_standin.model import DEFAULT_DATUM, Changes, CommitRef, File, PfsError, Tree, check_path
from pachyderm_standin.names import clean_path
from pachyderm_standin.pachd.calls import Call, bucket_of
from pachyderm_standin.pachd.drafts import Copy, Delete, Draft, Operation, Put, copied
from pachyderm_standin.pachd.errors import not_modelled
from pachyderm_standin.pachd.messages import Message, read_commit, read_repo

LARGE_BYTES = 1024 * 1024


class _Incoming:
    """Takes a stream's operations; pieces of one file that follow each other become one blob."""

    def __init__(self, call: Call, bucket: str) -> None:
        self._call = call
        self._bucket = bucket
        self._file = ("", "")
        self._writer: BlobWriter | None = None
        self._cut_after = -1
        self._tab = call.gateway.meter.tab()
        self._costs = call.gateway.meter.costs
        self.operations: list[Operation] = []
        self.received = 0

    async def take(self, request: Message) -> None:
        kind, body = betterproto.which_one_of(request, "body")
        match kind:
            case "add_file":
                await self._add(body)
            case "delete_file":
                check_path(body.path)
                self.close_file()
                self.operations.append(Delete(body.path, body.datum or DEFAULT_DATUM))
            case "copy_file":
                self.close_file()
                await self._copy(body)
            case "set_commit":
                raise PfsError("cannot set commit")
            case _:
                raise PfsError("unrecognized message type")

    async def _add(self, body: Message) -> None:
        if betterproto.which_one_of(body, "source")[0] == "url":
            raise not_modelled("files from URLs")
        check_path(body.path)
        path = clean_path(body.path)
        if not path:
            raise not_modelled("a file named /")
        writer = await self._writer_of(path, body.datum or DEFAULT_DATUM)
        data = body.raw or b""
        if self._cut_after >= 0 and writer.size + len(data) > self._cut_after:
            raise ConnectionResetError("a fault rule cut the stream")
        if len(data) > LARGE_BYTES:
            await asyncio.to_thread(writer.write, data)
        else:
            writer.write(data)
        self.received += len(data)
        await self._tab.add(len(data) * self._costs.write_byte)

    async def _writer_of(self, path: str, datum: str) -> BlobWriter:
        if self._writer and self._file == (path, datum):
            return self._writer
        self.close_file()
        effects = await self._call.suffer(self._bucket, path, "AddFile")
        self._cut_after = (effects.cut_after or 0) if effects.cut else -1
        await self._tab.add(self._costs.write_file)
        self._file = (path, datum)
        self._writer = self._call.gateway.blobs.writer(effects.store_flip_at)
        return self._writer

    async def _copy(self, body: Message) -> None:
        _, tree = await self._call.opened(body.src.commit)
        files = copied(tree, body.src.path, body.dst, body.datum or DEFAULT_DATUM)
        self.operations.append(Copy(files, body.append))
        await self._tab.add(len(files) * self._costs.copy_file)

    async def finish(self) -> None:
        """Close the last file, and pay for the stream."""
        self.close_file()
        await self._tab.add(self._costs.write)
        await self._tab.pay()

    def close_file(self) -> None:
        if self._writer:
            path, datum = self._file
            self.operations.append(Put(path, File((self._writer.store(),), datum)))
        self._writer = None

    def discard(self) -> None:
        if self._writer:
            self._writer.discard()


async def modify_file(call: Call, requests: AsyncIterator[Message]) -> Message:
    """Write a stream's operations into an open commit, or into one commit of its own; all of them or none."""
    ref, join = await _read_target(requests)
    call.authorize(ref.repo)
    bucket = bucket_of(ref.repo, ref.branch)
    effects = await call.suffer(bucket)
    _find_target(call, ref)
    operations = await receive(call, bucket, effects, requests)
    await _write(call, ref, Draft(operations), join=join)
    return Empty()


async def receive(call: Call, bucket: str, effects: Effects, requests: AsyncIterator[Message]) -> list[Operation]:
    """Take in a stream's operations; `bucket` is what fault rules know its branch by, empty if it is for none."""
    incoming = _Incoming(call, bucket)
    try:
        async for request in requests:
            call.gateway.check_up()
            await incoming.take(request)
            if effects.cut and incoming.received > (effects.cut_after or 0):
                raise ConnectionResetError("a fault rule cut the stream")
        await incoming.finish()
    finally:
        incoming.discard()
    return incoming.operations


async def _read_target(requests: AsyncIterator[Message]) -> tuple[CommitRef, bool]:
    """Read where a stream writes to, and whether it may join a commit that is open.

    A commit that names its repo only within its branch is not found, and so a new one is made: the SDK's
    `Commit(branch=…)` is such a one, and a trap.
    """
    async for request in requests:
        if betterproto.which_one_of(request, "body")[0] != "set_commit":
            raise PfsError("first message must be a commit")
        commit = request.set_commit
        ref = read_commit(commit)
        if ref.repo.name or not commit.branch.name:
            return ref, True
        return CommitRef(read_repo(commit.branch.repo), commit.branch.name), False
    raise PfsError("EOF")


def _find_target(call: Call, ref: CommitRef) -> None:
    """Refuse at once what could not be written in the end."""
    if not ref.branch:
        call.pick(ref)


async def _write(call: Call, ref: CommitRef, draft: Draft, *, join: bool) -> None:
    written: dict[str, File | None] = {}

    def write(tree: Tree) -> Changes:
        written.update(draft.changes(tree))
        return written

    # Paths were checked as they came, those of copies never.
    call.gateway.modify_with(ref, write, join=join)
    for file in written.values():
        if file and len(file.contents) > 1 and file.size > LARGE_BYTES:
            await asyncio.to_thread(call.gateway.blobs.hash, file)
