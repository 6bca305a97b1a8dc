"""Pachyderm's gRPC API for tests: pachyderm-sdk's client, with the few calls of a sync in few words."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import grpc
import pytest
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs

# Generated messages carry no types that a checker could follow.
Message = Any
ROLLED_BACK, ROLLBACK_TRIES = "unexpectedly resulted in rollback", 5
UNSET_YEAR = 1970
"""The SDK reads an unset time as the start of the epoch."""


class Pachd:
    """A client of one server. `address` is `grpc://host:port`, or `grpcs://…` with `root_certs` (PEM) of its own."""

    def __init__(self, address: str, token: str | None = None, root_certs: bytes | None = None) -> None:
        self.client = Client.from_pachd_address(address, auth_token=token, root_certs=root_certs)
        self.api = self.client.pfs

    def branch(self, repo: str, name: str = "master", project: str = "default") -> Message:
        """Name a branch."""
        return pfs.Branch(repo=pfs.Repo(name=repo, type="user", project=pfs.Project(name=project)), name=name)

    def head_of(self, branch: Message) -> Message:
        """Name the commit at a branch's head. The repo stands twice: without the outer one the SDK names none."""
        return pfs.Commit(repo=branch.repo, branch=branch)

    def head(self, branch: Message) -> Message:
        """Look up the commit at a branch's head."""
        return self.api.inspect_branch(branch=branch).head

    def start(self, branch: Message, description: str = "") -> Message:
        """Open a commit. Where the server's database gave up on a transaction, which it says without a code, again."""
        for attempt in range(ROLLBACK_TRIES):
            try:
                return self.api.start_commit(branch=branch, description=description)
            except grpc.RpcError as error:
                details: Any = error
                if ROLLED_BACK not in details.details() or attempt == ROLLBACK_TRIES - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("unreachable")

    def finish(self, commit: Message) -> Message:
        """Close a commit, wait until it is finished and tell about it."""
        self.api.finish_commit(commit=commit)
        return self.wait(commit)

    def wait(self, commit: Message) -> Message:
        """Wait until a commit is finished and tell about it."""
        return self.api.inspect_commit(commit=commit, wait=pfs.CommitState.FINISHED)

    def write(self, commit: Message, files: Mapping[str, bytes], **names: str) -> None:
        """Write files in one stream, in place of what is there."""
        steps = [step for path, content in files.items() for step in (delete(path), add(path, content, **names))]
        self.modify(commit, steps)

    def modify(self, commit: Message, steps: Iterable[Message]) -> None:
        """Send one stream of steps, each as it comes."""
        self.api.modify_file(chain([pfs.ModifyFileRequest(set_commit=commit)], steps))

    def commit(self, branch: Message, files: Mapping[str, bytes], description: str = "") -> Message:
        """Write files in a commit of their own, and wait until it is finished."""
        commit = self.start(branch, description)
        self.write(commit, files)
        self.finish(commit)
        return commit

    def walk(self, commit: Message, path: str = "/") -> dict[str, Message]:
        """List a commit's files and directories by path."""
        return {info.file.path: info for info in self.api.walk_file(file=pfs.File(commit=commit, path=path))}

    def files(self, commit: Message) -> dict[str, bytes]:
        """Read all files of a commit by path."""
        return {
            path: self.read(commit, path)
            for path, info in self.walk(commit).items()
            if info.file_type == pfs.FileType.FILE
        }

    def read(self, commit: Message, path: str) -> bytes:
        """Read a file."""
        return b"".join(piece.value for piece in self.api.get_file(file=pfs.File(commit=commit, path=path)))

    def commits(self, repo: Message) -> list[Message]:
        """List a repo's commits, newest first."""
        return list(self.api.list_commit(repo=repo))


def is_open(info: Message) -> bool:
    """Tell whether a commit is one that nobody has begun to finish."""
    return bool(info.finishing.year == UNSET_YEAR)


def add(path: str, content: bytes = b"", datum: str = "") -> Message:
    """A step that appends to a file."""
    return pfs.ModifyFileRequest(add_file=pfs.AddFile(path=path, raw=content, datum=datum))


def delete(path: str, datum: str = "") -> Message:
    """A step that deletes a file, or a directory if the path ends with a slash."""
    return pfs.ModifyFileRequest(delete_file=pfs.DeleteFile(path=path, datum=datum))


def copy(commit: Message, source: str, target: str, *, append: bool = False) -> Message:
    """A step that copies a file, or a directory with all below."""
    file = pfs.File(commit=commit, path=source)
    return pfs.ModifyFileRequest(copy_file=pfs.CopyFile(src=file, dst=target, append=append))


@contextmanager
def refused(code: str, words: str = "") -> Iterator[None]:
    """Expect a call to be refused with this gRPC code, and these words in its details."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    error: Any = caught.value
    assert error.code().name == code, error.details()
    assert words in error.details()
