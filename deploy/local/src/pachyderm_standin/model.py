"""The Pachyderm file system, pure: projects, repos, branches, commits and the file trees that they hold.

This module knows neither S3 nor gRPC nor disks nor clocks, so that every front shares it. Paths have no leading slash.
The rules follow the public source of Pachyderm 2.12 (`src/server/pfs/server`).
"""

import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise

from pachyderm_standin.etag import joined_hash
from pachyderm_standin.names import is_valid_name, path_error

DEFAULT_PROJECT = "default"
REBUILT_TREES_KEPT = 8


class PfsError(Exception):
    """Anything that Pachyderm's file system refuses; the message is worded like the real server's."""


class NotFoundError(PfsError):
    """A project, a commit or anything else that a name does not lead to."""


class RepoNotFoundError(NotFoundError):
    """The repo does not exist."""


class BranchNotFoundError(NotFoundError):
    """The repo exists, the branch does not."""


class CommitNotFoundError(NotFoundError):
    """The repo holds no commit with this ID."""


class AlreadyExistsError(PfsError):
    """The project or repo is there already."""


class InvalidNameError(PfsError):
    """A repo or branch name that Pachyderm refuses."""


class InvalidPathError(PfsError):
    """A file path with a character that Pachyderm refuses."""


class RelativePathError(PfsError):
    """A file path with `.` or `..` as an element."""


class CommitFinishedError(PfsError):
    """A write into a commit that is no longer open."""


class ParentNotFinishedError(PfsError):
    """A new commit, or a read, on top of a commit that is still open or finishing."""


class OutputBranchError(PfsError):
    """A user's commit on a branch that a pipeline writes."""


@dataclass(frozen=True, slots=True)
class RepoRef:
    """Names a repo within a project."""

    name: str
    project: str = DEFAULT_PROJECT

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"


@dataclass(frozen=True, slots=True)
class CommitRef:
    """Points at a commit: by ID where there is one, else at the head of the branch."""

    repo: RepoRef
    branch: str
    id: str = ""

    def __str__(self) -> str:
        return f"{self.repo}@{self.id or self.branch}"


@dataclass(frozen=True, slots=True)
class Content:
    """One stretch of stored bytes: the blob's name, its size in bytes and its Pachyderm hash (64 hex digits)."""

    blob: str
    size: int
    hash: str


@dataclass(frozen=True, slots=True)
class File:
    """A file's content as stretches in order; copying or joining files moves no bytes."""

    contents: tuple[Content, ...]

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return sum(content.size for content in self.contents)

    @property
    def hash(self) -> str:
        """The file's Pachyderm hash, 64 hex digits."""
        if len(self.contents) == 1:
            return self.contents[0].hash
        return joined_hash(content.hash for content in self.contents)

    def __add__(self, other: "File") -> "File":
        return File(self.contents + other.contents)


Changes = Mapping[str, File | None]
"""What a write does, by path: a new file, or `None` for a deletion."""


class Tree:
    """The files of a commit, by path, with the paths kept sorted; directories exist only as prefixes of paths."""

    def __init__(self, files: Mapping[str, File] | None = None) -> None:
        self.files = dict(files or {})
        self.paths = sorted(self.files)

    def apply(self, changes: Changes) -> None:
        """Put and delete files; deleting what is not there is no error."""
        for path, file in changes.items():
            if file is not None:
                self._put(path, file)
            elif path in self.files:
                del self.files[path]
                del self.paths[bisect_left(self.paths, path)]

    def _put(self, path: str, file: File) -> None:
        if path not in self.files:
            insort(self.paths, path)
        self.files[path] = file

    def first_below(self, path: str) -> str | None:
        """Give the first file below `path`, or `None` if it is no directory."""
        below = bisect_left(self.paths, f"{path}/")
        if below < len(self.paths) and self.paths[below].startswith(f"{path}/"):
            return self.paths[below]
        return None

    def collision(self, changes: Changes) -> str | None:
        """Find the first path whose file stands next to a directory of the same name, as the real validation does.

        Only neighbours in sorted order are compared there: `a` and `a/b` collide, unless something like `a.txt` sorts
        in between.
        """
        for path in changes:
            at = bisect_left(self.paths, path)
            for before, after in pairwise(self.paths[max(at - 1, 0) : at + 2]):
                if after.startswith(f"{before}/"):
                    return after
        return None


class CommitState(StrEnum):
    """How far a commit has come; a finished one can carry an error."""

    STARTED = "STARTED"
    FINISHING = "FINISHING"
    FINISHED = "FINISHED"


@dataclass(eq=False)
class Commit:
    """A commit: what it changes, on top of which parent, and how far it has come."""

    id: str
    branch: str
    parent: "Commit | None"
    started: datetime
    finishing: datetime | None = None
    finished: datetime | None = None
    error: str = ""
    changes: dict[str, File | None] = field(default_factory=dict)
    tree: Tree | None = field(default=None, repr=False)

    @property
    def state(self) -> CommitState:
        """How far the commit has come."""
        if self.finished:
            return CommitState.FINISHED
        return CommitState.FINISHING if self.finishing else CommitState.STARTED

    @property
    def base(self) -> "Commit | None":
        """The nearest ancestor without an error: what a failed commit wrote is not inherited."""
        ancestor = self.parent
        while ancestor and ancestor.error:
            ancestor = ancestor.parent
        return ancestor


@dataclass(eq=False)
class Branch:
    """A branch: its head, and whether a pipeline writes it."""

    name: str
    head: Commit
    is_output: bool = False


@dataclass(eq=False)
class Repo:
    """A repo: its branches and all of its commits, oldest first."""

    ref: RepoRef
    created: datetime
    branches: dict[str, Branch] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_commit_id() -> str:
    return uuid.uuid4().hex


class Pfs:
    """All projects and repos of one Pachyderm. Every method is synchronous and atomic; errors are `PfsError`s.

    A commit that is no longer written to is FINISHING until the front calls `mark_finished`: how long that takes is the
    front's business.
    """

    def __init__(
        self, now: Callable[[], datetime] = _utc_now, new_commit_id: Callable[[], str] = _new_commit_id
    ) -> None:
        self._now = now
        self._new_commit_id = new_commit_id
        self._rebuilt: dict[Commit, None] = {}
        self.projects = {DEFAULT_PROJECT}
        self.repos: dict[RepoRef, Repo] = {}

    # Projects, repos and branches.

    def create_project(self, name: str) -> None:
        """Create a project, or raise `InvalidNameError` or `AlreadyExistsError`."""
        _check_name(name)
        if name in self.projects:
            raise AlreadyExistsError(f'project "{name}" already exists')
        self.projects.add(name)

    def create_repo(self, ref: RepoRef) -> Repo:
        """Create a repo without branches, or raise `InvalidNameError`, `NotFoundError`, `AlreadyExistsError`."""
        _check_name(ref.name)
        if ref.project not in self.projects:
            raise NotFoundError(f'cannot find project "{ref.project}": project not found')
        if ref in self.repos:
            raise AlreadyExistsError(f"repo {ref} already exists")
        repo = self.repos[ref] = Repo(ref, created=self._now())
        return repo

    def repo(self, ref: RepoRef) -> Repo:
        """Look a repo up, or raise `RepoNotFoundError`."""
        if ref not in self.repos:
            raise RepoNotFoundError(f"repo {ref} not found")
        return self.repos[ref]

    def delete_repo(self, ref: RepoRef) -> None:
        """Delete a repo with all that it holds; no error where there is none."""
        self.repos.pop(ref, None)

    def create_branch(self, ref: RepoRef, name: str, *, is_output: bool = False) -> Branch:
        """Create a branch with an empty, finished head; an existing one stays as it is."""
        _check_name(name)
        repo = self.repo(ref)
        if name not in repo.branches:
            head = self._add_commit(repo, name, parent=None)
            head.tree = Tree()
            head.finishing = head.finished = head.started
            repo.branches[name] = Branch(name, head, is_output)
        return repo.branches[name]

    def branch(self, ref: RepoRef, name: str) -> Branch:
        """Look a branch up, or raise `RepoNotFoundError` or `BranchNotFoundError`."""
        branches = self.repo(ref).branches
        if name not in branches:
            raise BranchNotFoundError(f"branch {name} not found in repo {ref}")
        return branches[name]

    def delete_branch(self, ref: RepoRef, name: str) -> None:
        """Delete a branch; its commits stay. No error where there is none."""
        self.repo(ref).branches.pop(name, None)

    # Commits.

    def pick(self, ref: CommitRef) -> Commit:
        """Find the commit that `ref` points at; with an ID, the branch's name plays no part."""
        if not ref.id:
            return self.branch(ref.repo, ref.branch).head
        commits = self.repo(ref.repo).commits
        if ref.id not in commits:
            raise CommitNotFoundError(f"commit {ref} not found")
        return commits[ref.id]

    def start_commit(self, ref: RepoRef, branch: str) -> Commit:
        """Open a commit on a branch (made if missing), or raise `ParentNotFinishedError`, `OutputBranchError`."""
        _check_name(branch)
        repo = self.repo(ref)
        target = repo.branches.get(branch)
        if target and not target.head.finishing:
            raise ParentNotFinishedError(f"parent commit {ref}@{target.head.id} has not been finished")
        if target and target.is_output:
            raise OutputBranchError("cannot start a commit on an output branch")
        commit = self._add_commit(repo, branch, parent=target.head if target else None)
        repo.branches.setdefault(branch, Branch(branch, commit)).head = commit
        return commit

    def finish_commit(self, ref: CommitRef) -> Commit:
        """Close an open commit: it is FINISHING from now on, with an error if a file and a directory collide."""
        commit = self.pick(ref)
        if commit.finishing:
            raise CommitFinishedError(f"commit {ref} has already finished")
        commit.finishing = self._now()
        collision = self.tree(commit).collision(commit.changes)
        commit.error = f"file / directory path collision (/{collision})" if collision else ""
        return commit

    def mark_finished(self, commit: Commit) -> None:
        """Call a FINISHING commit FINISHED; no error if it is already."""
        commit.finished = commit.finished or self._now()

    def _add_commit(self, repo: Repo, branch: str, parent: Commit | None) -> Commit:
        commit = Commit(self._new_commit_id(), branch, parent, started=self._now())
        repo.commits[commit.id] = commit
        return commit

    # Files.

    def modify(self, ref: CommitRef, changes: Changes, *, validate: bool = True) -> Commit:
        """Write into the open commit that `ref` points at, else in a new commit on its branch; tell which one it was.

        A commit made here is FINISHING. An ID that leads nowhere counts as none: that is the real server's trap.
        `validate=False` is for copies, whose paths the real server does not check. Raises `CommitFinishedError` for a
        closed commit asked for by ID, `InvalidPathError`, `RelativePathError` and what `start_commit` raises.
        """
        if validate:
            for path in changes:
                _check_path(path)
        commit = self._open_commit(ref)
        one_off = commit is None
        commit = commit or self.start_commit(ref.repo, ref.branch)
        self._write(commit, changes)
        return self.finish_commit(CommitRef(ref.repo, ref.branch, commit.id)) if one_off else commit

    def _open_commit(self, ref: CommitRef) -> Commit | None:
        try:
            commit = self.pick(ref)
        except (CommitNotFoundError, BranchNotFoundError):
            return None
        if commit.finishing and ref.id:
            raise CommitFinishedError(f"commit {ref} has already finished")
        return None if commit.finishing else commit

    def _write(self, commit: Commit, changes: Changes) -> None:
        base = commit.base
        if commit.tree is None and not commit.changes and base and base.tree:
            # The head's tree moves on to its child: copying it would make N commits cost N² memory.
            commit.tree, base.tree = base.tree, None
        tree = self.tree(commit)
        commit.changes.update(changes)
        tree.apply(changes)

    def tree(self, commit: Commit) -> Tree:
        """Give the files of a commit, rebuilt from its history where they are not at hand."""
        if commit.tree is None:
            commit.tree = _rebuild(commit)
            self._remember_rebuilt(commit)
        return commit.tree

    def _remember_rebuilt(self, commit: Commit) -> None:
        # A commit whose tree moved on may be rebuilt again: it must stand here once, as the newest.
        self._rebuilt.pop(commit, None)
        self._rebuilt[commit] = None
        if len(self._rebuilt) > REBUILT_TREES_KEPT:
            oldest = next(iter(self._rebuilt))
            del self._rebuilt[oldest]
            oldest.tree = None

    def check_readable(self, commit: Commit) -> None:
        """Raise `ParentNotFinishedError` for an open commit whose base is still finishing."""
        base = commit.base
        if not commit.finishing and base and not base.finished:
            raise ParentNotFinishedError(f"base commit {base.id} for commit {commit.id} unfinished")


def _rebuild(commit: Commit) -> Tree:
    history = list(_history(commit))
    oldest = history[-1].base
    tree = Tree(oldest.tree.files if oldest and oldest.tree else None)
    for ancestor in reversed(history):
        tree.apply(ancestor.changes)
    return tree


def _history(commit: Commit) -> Iterator[Commit]:
    ancestor: Commit | None = commit
    while ancestor and ancestor.tree is None:
        yield ancestor
        ancestor = ancestor.base


def _check_name(name: str) -> None:
    if not is_valid_name(name):
        raise InvalidNameError(
            f"name ({name}) invalid: only alphanumeric characters, underscores, and dashes are allowed"
        )


def _check_path(path: str) -> None:
    error = path_error(path)
    if error:
        raise (RelativePathError if error.is_relative else InvalidPathError)(error.message)
