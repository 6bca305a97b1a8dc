"""What every call shares: who calls, what goes wrong with it, and how commits are looked up."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc

from pachyderm_standin.faults import NO_EFFECTS, Effects
from pachyderm_standin.gateway import Gateway
from pachyderm_standin.model import (
    BranchNotFoundError,
    Commit,
    CommitNotFoundError,
    CommitRef,
    NotFoundError,
    RepoNotFoundError,
    RepoRef,
    Tree,
)
from pachyderm_standin.names import canonical_bucket
from pachyderm_standin.pachd.errors import CallError
from pachyderm_standin.pachd.messages import Message, read_commit, split_ancestor
from pachyderm_standin.roles import FILE_SETS_REPO, Grant
from pachyderm_standin.s3.routes import Route

METHOD = "gRPC"
"""What fault rules and counts know a gRPC call by where an S3 request has its HTTP method."""


@dataclass(eq=False)
class Call:
    """One call: the operation's name, what goes wrong with it, and the role of who calls, None for an administrator."""

    gateway: Gateway
    operation: str
    effects: Effects = NO_EFFECTS
    grant: Grant | None = None

    def authorize(self, repo: RepoRef | None) -> None:
        """Raise `PfsError` if whoever calls may not do this to the repo."""
        if self.grant:
            self.grant.check(self.operation, repo)

    async def suffer(self, bucket: str = "", path: str = "", operation: str = "") -> Effects:
        """Let the rules hit that match this call, or a part of it: wait, or raise `CallError`."""
        self.gateway.check_up()
        route = Route(operation or self.operation, bucket, path.strip("/"))
        effects = self.gateway.faults.effects(METHOD, route)
        await self.gateway.faults.delay(effects)
        if effects.outage:
            self.gateway.begin_outage(effects.outage)
        self.gateway.check_up()
        if effects.status:
            details = effects.status.message or f"a fault rule says {effects.status.code}"
            raise CallError(_code(effects.status.code), details)
        if not operation:
            self.effects = effects
            await self.gateway.meter.delay(self.gateway.meter.costs.call)
        return effects

    def lose_answer(self) -> None:
        """Raise `ConnectionResetError` if a rule wants this call to be done, and its caller not to hear of it."""
        if self.effects.lose_answer:
            raise ConnectionResetError("a fault rule lost the answer")

    async def cut(self, answers: AsyncIterator[Message]) -> AsyncIterator[bytes]:
        """Pass answers on, encoded, until as many bytes have gone out as a rule lets through."""
        sent, tab = 0, self.gateway.meter.tab()
        async for answer in answers:
            encoded = bytes(answer)
            await tab.add(self._cost_of_answer(len(encoded)))
            sent += len(encoded)
            self.gateway.check_up()
            if self.effects.cut and sent > (self.effects.cut_after or 0):
                raise ConnectionResetError("a fault rule cut the stream")
            yield encoded
        await tab.pay()
        self.lose_answer()

    def _cost_of_answer(self, size: int) -> float:
        costs = self.gateway.meter.costs
        return size * costs.stream_read_byte if self.operation.startswith("GetFile") else costs.list_entry

    async def opened(self, message: Message) -> tuple[Commit, Tree]:
        """Give a commit and its files, once it is readable; a file set is read as a commit of a repo that is none."""
        ref = read_commit(message)
        if ref.repo.name == FILE_SETS_REPO:
            return self._opened_file_set(ref)
        return await self.gateway.opened_commit(self.pick(ref))

    def _opened_file_set(self, ref: CommitRef) -> tuple[Commit, Tree]:
        changes = self.gateway.pfs.file_set(ref.id).changes(Tree({}))
        files = {path: file for path, file in changes.items() if file}
        return Commit(ref.id, ref.repo, "", None, started=datetime.now(UTC)), Tree(files)

    def pick(self, ref: CommitRef) -> Commit:
        """Find a commit, with the real server's words where there is none."""
        try:
            return self._pick(ref)
        except NotFoundError as error:
            raise _not_found(ref, error) from error

    def _pick(self, ref: CommitRef) -> Commit:
        branch, steps = split_ancestor(ref.branch)
        commit = self.gateway.pfs.pick(CommitRef(ref.repo, branch, ref.id))
        for _ in range(0 if ref.id else steps):
            if not commit.parent:
                raise CommitNotFoundError(f"commit {ref} not found")
            commit = commit.parent
        return commit

    def exact(self, commit: Commit) -> CommitRef:
        """Point at a commit that was picked."""
        return CommitRef(commit.repo, commit.branch, commit.id)


def _not_found(ref: CommitRef, error: NotFoundError) -> NotFoundError:
    words = f"pick commit tx: commit {ref.repo}@{ref.id} not found\n{error}"
    kind = next(
        (kind for kind in (RepoNotFoundError, BranchNotFoundError) if isinstance(error, kind)), CommitNotFoundError
    )
    return kind(words)


def bucket_of(repo: RepoRef, branch: str) -> str:
    """Name a branch as fault rules know it."""
    return canonical_bucket(branch, repo.name, repo.project)


def _code(name: str) -> grpc.StatusCode:
    return grpc.StatusCode.__members__.get(name, grpc.StatusCode.UNAVAILABLE)
