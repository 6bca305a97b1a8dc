"""Calls about file sets: what is streamed without a commit, or taken out of one, and put into another."""

from collections.abc import AsyncIterator

from betterproto.lib.google.protobuf import Empty
from pachyderm_sdk.api import pfs

from pachyderm_standin.gateway import Release
from pachyderm_standin.model import PfsError, UnknownFileSetError
from pachyderm_standin.pachd.calls import Call
from pachyderm_standin.pachd.drafts import Draft, in_file_set
from pachyderm_standin.pachd.messages import Message, read_commit
from pachyderm_standin.pachd.writing import receive

DIFF_SINCE = Release(2, 9)
MAX_SECONDS = 1800


async def create_file_set(call: Call, requests: AsyncIterator[Message]) -> Message:
    """Keep what a stream writes, for whoever adds it to a commit."""
    operations = await receive(call, "", await call.suffer(), requests)
    draft = Draft([in_file_set(operation) for operation in operations])
    await _pay(call)
    return pfs.CreateFileSetResponse(file_set_id=call.gateway.pfs.make_file_set(draft.changes))


async def renew_file_set(call: Call, request: Message) -> Message:
    """Keep a file set for longer, but no longer than half an hour from now."""
    if request.ttl_seconds < 1:
        raise PfsError(f"ttl ({request.ttl_seconds}) must be at least one second")
    if request.ttl_seconds > MAX_SECONDS:
        raise PfsError(f"ttl ({request.ttl_seconds}) exceeds max ttl ({MAX_SECONDS})")
    call.gateway.pfs.renew_file_set(request.file_set_id, request.ttl_seconds)
    return Empty()


async def get_file_set(call: Call, request: Message) -> Message:
    """Give what a commit holds, or what it changes, a name."""
    commit = call.pick(read_commit(request.commit))
    await _pay(call)
    # What a server does not know of a message it passes over.
    diff = request.type == pfs.GetFileSetRequestFileSetType.DIFF and call.gateway.release >= DIFF_SINCE
    return pfs.CreateFileSetResponse(file_set_id=call.gateway.pfs.take_file_set(commit, diff=diff))


async def compose_file_set(call: Call, request: Message) -> Message:
    """Make one of many."""
    await _pay(call)
    try:
        joined = call.gateway.pfs.join_file_sets(request.file_set_ids, request.ttl_seconds)
    except UnknownFileSetError as error:
        raise PfsError("the operation would create a dangling reference") from error
    return pfs.CreateFileSetResponse(file_set_id=joined)


async def add_file_set(call: Call, request: Message) -> Message:
    """Put a file set into an open commit."""
    await _pay(call)
    call.gateway.pfs.add_file_set(call.exact(call.pick(read_commit(request.commit))), request.file_set_id)
    return Empty()


async def _pay(call: Call) -> None:
    await call.gateway.meter.work(call.gateway.meter.costs.file_set)
