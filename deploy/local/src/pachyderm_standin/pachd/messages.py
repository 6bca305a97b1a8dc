"""Between the file system's words and the messages of Pachyderm's API."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from pachyderm_sdk.api import pfs

from pachyderm_standin.entries import Entry
from pachyderm_standin.model import Branch, Commit, CommitRef, CommitState, Origin, Pfs, Project, Repo, RepoRef
from pachyderm_standin.names import is_commit_id

# Generated messages carry no types that a checker could follow.
Message = Any
USER_REPO = "user"
_ANCESTOR = re.compile(r"([^^]+?)((?:\^\d*)*)")

STATES = {
    pfs.CommitState.FINISHING: CommitState.FINISHING,
    pfs.CommitState.FINISHED: CommitState.FINISHED,
}
"""What can be waited for; without provenance a commit is READY as soon as it is STARTED."""


def read_repo(message: Message) -> RepoRef:
    """Read which repo is meant."""
    return RepoRef(message.name, message.project.name or "default")


def read_commit(message: Message) -> CommitRef:
    """Read which commit is meant. An ID that is none is a branch's name; carets after it are left in place."""
    repo = read_repo(message.repo if message.is_set("repo") else message.branch.repo)
    if message.id and not is_commit_id(message.id):
        return CommitRef(repo, message.id)
    return CommitRef(repo, message.branch.name, message.id)


def split_ancestor(name: str) -> tuple[str, int]:
    """Take carets off a name: `master^^` and `master^2` both mean two commits back."""
    match = _ANCESTOR.fullmatch(name)
    if not match:
        return name, 0
    steps = sum(int(count or 1) for count in re.findall(r"\^(\d*)", match[2]))
    return match[1], steps


def project_info(project: Project) -> Message:
    """Write a project."""
    return pfs.ProjectInfo(
        project=pfs.Project(name=project.name), description=project.description, created_at=project.created
    )


def repo_message(ref: RepoRef) -> Message:
    """Name a repo."""
    return pfs.Repo(name=ref.name, type=USER_REPO, project=pfs.Project(name=ref.project))


def branch_message(ref: RepoRef, name: str) -> Message:
    """Name a branch."""
    return pfs.Branch(repo=repo_message(ref), name=name)


def repo_info(repo: Repo) -> Message:
    """Write a repo as listings do."""
    return pfs.RepoInfo(
        repo=repo_message(repo.ref),
        created=repo.created,
        description=repo.description,
        branches=[branch_message(repo.ref, name) for name in repo.branches],
    )


def repo_details(repo: Repo) -> Message:
    """Write a repo's details; its size is that of branch master."""
    master = repo.branches.get("master")
    return pfs.RepoInfoDetails(size_bytes=_measured_size(master.head if master else None))


def _measured_size(commit: Commit | None) -> int:
    while commit and not commit.finished:
        commit = commit.parent
    return commit.size if commit else 0


def branch_info(ref: RepoRef, branch: Branch) -> Message:
    """Write a branch."""
    return pfs.BranchInfo(
        branch=branch_message(ref, branch.name),
        head=commit_message(branch.head),
        created_at=branch.created,
        updated_at=branch.head.started,
    )


def commit_message(commit: Commit) -> Message:
    """Name a commit."""
    return pfs.Commit(repo=repo_message(commit.repo), id=commit.id)


class EncodedCommit(pfs.Commit):  # type: ignore[misc] # betterproto has no types here.
    """Names a commit, encoded once: a walk names it with each of its files, and encoding it takes the most time."""

    def __init__(self, commit: Commit) -> None:
        super().__init__(repo=repo_message(commit.repo), id=commit.id)
        self.__dict__["_encoded"] = super().__bytes__()

    def __bytes__(self) -> bytes:
        encoded: bytes = self.__dict__["_encoded"]
        return encoded


def commit_info(commit: Commit) -> Message:
    """Write a commit; what is unset is left out, which the SDK reads as 1970."""
    times = {"started": commit.started, "finishing": commit.finishing, "finished": commit.finished}
    return pfs.CommitInfo(
        commit=commit_message(commit),
        origin=pfs.CommitOrigin(kind=pfs.OriginKind.AUTO if commit.origin is Origin.AUTO else pfs.OriginKind.USER),
        description=commit.description,
        child_commits=[_child_message(child) for child in commit.children],
        error=commit.error,
        details=_details(commit),
        created_at=commit.started,
        updated_at=commit.finished or commit.finishing or commit.started,
        **{name: when for name, when in times.items() if when},
        **({"parent_commit": commit_message(commit.parent)} if commit.parent else {}),
    )


def _child_message(child: Commit) -> Message:
    """Name a commit with the branch that it was made on, as long as that is there: only of children is it told."""
    named = commit_message(child)
    if child.branch:
        named.branch = branch_message(child.repo, child.branch)
    return named


def _details(commit: Commit) -> Message:
    if not commit.finished:
        return pfs.CommitInfoDetails()
    nothing = timedelta()
    return pfs.CommitInfoDetails(size_bytes=commit.size, compacting_time=nothing, validating_time=nothing)


def file_infos(commit: Commit, entries: Iterable[Entry]) -> Iterator[Message]:
    """Write files and directories of a commit."""
    name = EncodedCommit(commit)
    times = {"committed": commit.finishing} if commit.finishing else {}
    for entry in entries:
        yield pfs.FileInfo(
            file=pfs.File(commit=name, path=entry.path, datum=entry.datum),
            file_type=pfs.FileType.DIR if entry.path.endswith("/") else pfs.FileType.FILE,
            size_bytes=entry.size,
            hash=entry.hash,
            **times,
        )


def file_info(commit: Commit, entry: Entry) -> Message:
    """Write one file or directory of a commit."""
    return next(file_infos(commit, [entry]))


def listed_branches(repo: Repo, *, reverse: bool) -> Sequence[Branch]:
    """Put branches into the order in which they are listed: newest first."""
    branches = list(repo.branches.values())
    return branches if reverse else branches[::-1]


def newest_first(pfs_model: Pfs, ref: RepoRef) -> list[Commit]:
    """Give a repo's commits as they are listed."""
    return list(pfs_model.repo(ref).commits.values())[::-1]
