"""Calls about file sets: what is taken out of commits and put back."""

from betterproto.lib.google.protobuf import Empty
from pachyderm_sdk.api import pfs

from pachyderm_standin.gateway import Release
from pachyderm_standin.model import PfsError, UnknownFileSetError
from pachyderm_standin.pachd.calls import Call
from pachyderm_standin.pachd.messages import Message, read_commit

DIFF_SINCE = Release(2, 9)


async def get_file_set(call: Call, request: Message) -> Message:
    """Give what a commit holds, or what it changes, a name."""
    commit = call.pick(read_commit(request.commit))
    await _pay(call)
    # What a server does not know of a message it passes over.
    diff = request.type == pfs.GetFileSetRequestFileSetType.DIFF and call.gateway.release >= DIFF_SINCE
    return pfs.CreateFileSetResponse(file_set_id=call.gateway.pfs.take_file_set(commit, diff=diff))


async def compose_file_set(call: Call, request: Message) -> Message:
    """Make one of many. Nothing expires here, so it does not matter for how long."""
    await _pay(call)
    try:
        joined = call.gateway.pfs.join_file_sets(request.file_set_ids)
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
