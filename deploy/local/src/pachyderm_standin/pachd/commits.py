"""Calls about commits."""

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice

from betterproto.lib.google.protobuf import Empty
from pachyderm_sdk.api import pfs

from pachyderm_standin.model import Commit, CommitRef, NotFoundError, ParentNotFinishedError, PfsError
from pachyderm_standin.pachd import messages
from pachyderm_standin.pachd.calls import Call
from pachyderm_standin.pachd.errors import not_modelled, wrapped
from pachyderm_standin.pachd.messages import STATES, Message, newest_first, read_commit, read_repo


async def start_commit(call: Call, request: Message) -> Message:
    """Open a commit on a branch; its open head is a lock."""
    with wrapped("start commit in transaction"):
        if not request.branch.name:
            raise PfsError("branch must be specified")
        return messages.commit_message(_start(call, request))


def _start(call: Call, request: Message) -> Commit:
    repo, name = read_repo(request.branch.repo), request.branch.name
    parent = call.exact(call.pick(read_commit(request.parent))) if request.is_set("parent") else None
    try:
        return call.gateway.pfs.start_commit(repo, name, description=request.description, parent=parent)
    except ParentNotFinishedError as error:
        raise ParentNotFinishedError(f"create commit: {error}") from error


async def finish_commit(call: Call, request: Message) -> Message:
    """Close a commit; it goes on finishing after the answer."""
    with wrapped("finish commit in transaction"):
        ref = _exact(call, request.commit)
    commit = call.gateway.pfs.finish_commit(ref, description=request.description, error=request.error)
    call.gateway.finisher.submit(commit)
    return Empty()


async def inspect_commit(call: Call, request: Message) -> Message:
    """Tell about a commit, once it has come as far as asked for."""
    commit = call.pick(read_commit(request.commit))
    if state := STATES.get(request.wait):
        await call.gateway.finisher.wait_for(commit, state)
    return messages.commit_info(commit)


async def list_commit(call: Call, request: Message) -> AsyncIterator[Message]:
    """List a repo's commits, newest first, or the ancestors of one."""
    if request.is_set("started_time"):
        raise not_modelled("ListCommit's started_time")
    repo = read_repo(request.repo)
    with wrapped("ensure repo exists"):
        commits: Iterable[Commit] = newest_first(call.gateway.pfs, repo)
    if request.is_set("to"):
        commits = _ancestors(call, request)
    elif request.is_set("from_"):
        raise PfsError("cannot use `from` commit without `to` commit")
    elif request.reverse:
        commits = reversed(list(commits))
    for commit in islice(commits, request.number or None):
        info = messages.commit_info(commit)
        info.size_bytes_upper_bound = call.gateway.pfs.tree(commit).size
        yield info


def _ancestors(call: Call, request: Message) -> Iterator[Commit]:
    commit: Commit | None = call.pick(read_commit(request.to))
    last = call.pick(read_commit(request.from_)) if request.is_set("from_") else None
    while commit and commit is not last:
        yield commit
        commit = commit.parent


async def drop_commit(call: Call, request: Message) -> Message:
    """Drop a commit with its data. `recursive` is about other repos' commits, of which there are none here."""
    call.gateway.finisher.notify(call.gateway.pfs.drop_commit(_exact(call, request.commit)))
    return pfs.DropCommitResponse()


async def squash_commit(call: Call, request: Message) -> Message:
    """Take a commit out of history, its data staying in its children."""
    call.gateway.finisher.notify(call.gateway.pfs.squash_commit(_exact(call, request.commit)))
    return pfs.SquashCommitResponse()


async def drop_commit_set(call: Call, request: Message) -> Message:
    """Drop the commits with this ID, in whatever repo; no error where there is none."""
    for ref in _commit_set(call, request.commit_set.id):
        call.gateway.finisher.notify(call.gateway.pfs.drop_commit(ref))
    return Empty()


async def squash_commit_set(call: Call, request: Message) -> Message:
    """Squash the commits with this ID, in whatever repo."""
    for ref in _commit_set(call, request.commit_set.id):
        call.gateway.finisher.notify(call.gateway.pfs.squash_commit(ref))
    return Empty()


async def inspect_commit_set(call: Call, request: Message) -> AsyncIterator[Message]:
    """Tell about the commits with this ID, once they are finished if `wait` asks for that."""
    found = _commit_set(call, request.commit_set.id)
    if not found:
        raise NotFoundError(f"no commits found for commitset {request.commit_set.id}")
    for commit in map(call.pick, found):
        if request.wait:
            await call.gateway.finisher.wait_for(commit, STATES[pfs.CommitState.FINISHED])
        yield messages.commit_info(commit)


async def clear_commit(call: Call, request: Message) -> Message:
    """Take what was written into an open commit out again."""
    call.gateway.pfs.clear_commit(_exact(call, request.commit))
    return Empty()


def _exact(call: Call, message: Message) -> CommitRef:
    return call.exact(call.pick(read_commit(message)))


def _commit_set(call: Call, commit_id: str) -> list[CommitRef]:
    repos = list(call.gateway.pfs.repos.values())
    return [call.exact(repo.commits[commit_id]) for repo in repos if commit_id in repo.commits]
