"""The Pachyderm file system, pure: projects, repos, branches, commits and the file trees that they hold.

This module knows neither S3 nor gRPC nor disks nor clocks, so that every front shares it. Paths have no leading slash.
The rules follow the public source of Pachyderm 2.12 (`src/server/pfs/server`).
"""

import uuid
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from pachyderm_standin.names import is_valid_name, path_error

DEFAULT_PROJECT = "default"
REBUILT_TREES_KEPT = 8
FILE_SETS_KEPT = 10_000
FILE_SET_SECONDS = 600
"""How long a file set is kept that nobody renews. Seen on 2.12."""


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


class ChildrenError(PfsError):
    """A commit that cannot be dropped because others build on it, or squashed because none or an open one does."""


class UnreadableError(PfsError):
    """Files that stand in each other's way: a file with a directory of its name, or two datums with one path."""


class ProvenanceError(PfsError):
    """A branch cannot be deleted while a pipeline reads it."""


class UnknownFileSetError(PfsError):
    """A file set that nobody has made."""


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
class BranchRef:
    """Names a branch of a repo."""

    repo: RepoRef
    branch: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.branch}"


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
    """One stretch of stored bytes: its Pachyderm hash (64 hex digits), which names it, and its size in bytes."""

    hash: str
    size: int


DEFAULT_DATUM = "default"


@dataclass(frozen=True, slots=True)
class File:
    """A file's content as stretches in order; copying or joining files moves no bytes.

    `datum` names who wrote it. Two datums with one path make a file that nobody can read: `rival` is the second.
    """

    contents: tuple[Content, ...]
    datum: str = DEFAULT_DATUM
    rival: str = ""

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return sum(content.size for content in self.contents)

    def __add__(self, other: "File") -> "File":
        rival = self.rival or (other.datum if other.datum != self.datum else "")
        contents = tuple(content for content in self.contents + other.contents if content.size)
        return File(contents or self.contents, self.datum, rival)


Changes = Mapping[str, File | None]
"""What a write does, by path: a new file, or `None` for a deletion."""

Write = Changes | Callable[["Tree"], Changes]
"""A write that may depend on the files that it finds."""


class Tree:
    """The files of a commit, by path, with the paths kept sorted; directories exist only as prefixes of paths."""

    def __init__(self, files: Mapping[str, File] | None = None) -> None:
        self.files = dict(files or {})
        self.paths = sorted(self.files)
        self.size = sum(file.size for file in self.files.values())

    def apply(self, changes: Changes) -> None:
        """Put and delete files; deleting what is not there is no error."""
        for path, file in changes.items():
            if file is not None:
                self._put(path, file)
            elif path in self.files:
                self.size -= self.files.pop(path).size
                del self.paths[bisect_left(self.paths, path)]

    def _put(self, path: str, file: File) -> None:
        if path in self.files:
            self.size -= self.files[path].size
        else:
            insort(self.paths, path)
        self.files[path] = file
        self.size += file.size

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
            if found := _first_collision(self.paths[max(at - 1, 0) : at + 2]):
                return found
        return None

    def check(self, prefix: str = "") -> None:
        """Raise `UnreadableError` if anything with this prefix cannot be read."""
        paths = list(self.with_prefix(prefix))
        for path in paths:
            if rival := self.files[path].rival:
                datum = self.files[path].datum
                raise UnreadableError(_two_datums(path, datum, rival))
        if found := _first_collision(paths):
            raise UnreadableError(f"file / directory path collision (/{found})")

    def with_prefix(self, prefix: str) -> Iterator[str]:
        """Give the paths that start with these characters, in order."""
        for at in range(bisect_left(self.paths, prefix), len(self.paths)):
            if not self.paths[at].startswith(prefix):
                return
            yield self.paths[at]


def _two_datums(path: str, datum: str, rival: str) -> str:
    return f"duplicate path output by different datums (/{path} from {datum} and /{path} from {rival})"


def _first_collision(paths: Iterable[str]) -> str | None:
    return next((after for before, after in pairwise(paths) if after.startswith(f"{before}/")), None)


class CommitState(StrEnum):
    """How far a commit has come; a finished one can carry an error."""

    STARTED = "STARTED"
    FINISHING = "FINISHING"
    FINISHED = "FINISHED"


class Origin(StrEnum):
    """Who asked for a commit: a user, or Pachyderm itself for a branch that needs a head."""

    USER = "USER"
    AUTO = "AUTO"


@dataclass(eq=False)
class Commit:
    """A commit: what it changes, on top of which parent, and how far it has come.

    `size` (bytes) is known from then on that it is finishing; `writes` counts how many times it was written to. A
    dropped one is in no repo any more.
    """

    id: str
    repo: RepoRef
    branch: str
    parent: "Commit | None"
    started: datetime
    origin: Origin = Origin.USER
    description: str = ""
    finishing: datetime | None = None
    finished: datetime | None = None
    error: str = ""
    size: int = 0
    writes: int = 0
    dropped: bool = False
    children: list["Commit"] = field(default_factory=list, repr=False)
    changes: dict[str, File | None] = field(default_factory=dict)
    tree: Tree | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"

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


def changes_of(write: Write, tree: Tree) -> Changes:
    """Say what a write comes to on top of these files."""
    return write(tree) if callable(write) else write


@dataclass(frozen=True, slots=True)
class FileSet:
    """What was taken out of a commit, or streamed: what it changes, by how many writes, and when it is forgotten."""

    write: Write
    writes: int
    expires: datetime

    def changes(self, tree: Tree) -> Changes:
        """Say what it comes to on top of these files."""
        return changes_of(self.write, tree)


@dataclass(eq=False)
class Branch:
    """A branch: its head, whether a pipeline writes it, and the branches that this pipeline reads."""

    name: str
    head: Commit
    created: datetime
    is_output: bool = False
    provenance: tuple[BranchRef, ...] = ()


@dataclass(eq=False)
class Repo:
    """A repo: its branches and all of its commits, oldest first."""

    ref: RepoRef
    created: datetime
    description: str = ""
    branches: dict[str, Branch] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)


@dataclass(eq=False)
class Project:
    """A project."""

    name: str
    created: datetime
    description: str = ""


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
        self._file_sets: dict[str, FileSet] = {}
        self.projects = {DEFAULT_PROJECT: Project(DEFAULT_PROJECT, now())}
        self.repos: dict[RepoRef, Repo] = {}

    # Projects, repos and branches.

    def create_project(self, name: str, description: str = "") -> None:
        """Create a project, or raise `InvalidNameError` or `AlreadyExistsError`."""
        _check_name(name)
        if name in self.projects:
            raise AlreadyExistsError(f'project "{name}" already exists')
        self.projects[name] = Project(name, self._now(), description)

    def project(self, name: str) -> Project:
        """Look a project up, or raise `NotFoundError`."""
        if name not in self.projects:
            raise NotFoundError(f'get project by name: project "{name}" not found')
        return self.projects[name]

    def delete_project(self, name: str) -> None:
        """Delete a project without repos, or raise `NotFoundError` or `ChildrenError`."""
        self.project(name)
        if repos := [ref for ref in self.repos if ref.project == name]:
            raise ChildrenError(f"cannot delete project {name}: repo {repos[0]} still exists")
        del self.projects[name]

    def create_repo(self, ref: RepoRef, description: str = "") -> Repo:
        """Create a repo without branches, or raise `InvalidNameError`, `NotFoundError`, `AlreadyExistsError`."""
        _check_name(ref.name)
        try:
            self.project(ref.project)
        except NotFoundError as error:
            raise NotFoundError(f'cannot find project "{ref.project}": {error}') from error
        if ref in self.repos:
            raise AlreadyExistsError(f"repo {ref} already exists")
        repo = self.repos[ref] = Repo(ref, self._now(), description)
        return repo

    def repo(self, ref: RepoRef) -> Repo:
        """Look a repo up, or raise `RepoNotFoundError`."""
        if ref not in self.repos:
            raise RepoNotFoundError(f"repo {ref} not found")
        return self.repos[ref]

    def delete_repo(self, ref: RepoRef) -> list[Commit]:
        """Delete a repo with all that it holds, and tell its commits; no error where there is none.

        Raises `ProvenanceError` where a pipeline of another repo reads one of its branches.
        """
        for branch in self.repos[ref].branches if ref in self.repos else ():
            try:
                self._refuse_if_read(BranchRef(ref, branch), but_by=ref)
            except ProvenanceError as error:
                raise ProvenanceError(f"delete repo: delete branch {ref}@{branch}: {error}") from error
        repo = self.repos.pop(ref, None)
        commits = list(repo.commits.values()) if repo else []
        for commit in commits:
            commit.dropped = True
        return commits

    def create_branch(
        self,
        ref: RepoRef,
        name: str,
        *,
        head: CommitRef | None = None,
        is_output: bool = False,
        provenance: tuple[BranchRef, ...] = (),
    ) -> Branch:
        """Create a branch at `head`, else with an empty, finished one; an existing one stays unless `head` is given."""
        _check_name(name)
        repo = self.repo(ref)
        commit = self.pick(head) if head else None
        if name not in repo.branches:
            commit = commit or self._add_empty_head(repo, name)
            repo.branches[name] = Branch(name, commit, self._now(), is_output, provenance)
        elif commit:
            repo.branches[name].head = commit
        return repo.branches[name]

    def _add_empty_head(self, repo: Repo, branch: str) -> Commit:
        head = self._add_commit(repo, branch, parent=None, origin=Origin.AUTO)
        head.tree = Tree()
        head.finishing = head.finished = head.started
        return head

    def branch(self, ref: RepoRef, name: str) -> Branch:
        """Look a branch up, or raise `RepoNotFoundError` or `BranchNotFoundError`."""
        branches = self.repo(ref).branches
        if name not in branches:
            raise BranchNotFoundError(f'branch "{name}" not found in repo {ref}')
        return branches[name]

    def delete_branch(self, ref: RepoRef, name: str, *, force: bool = False) -> None:
        """Delete a branch; its commits stay, and no longer tell of it. No error where there is none.

        Raises `ProvenanceError` where a pipeline reads it, unless by `force`.
        """
        if not force:
            self._refuse_if_read(BranchRef(ref, name))
        repo = self.repo(ref)
        repo.branches.pop(name, None)
        for commit in repo.commits.values():
            if commit.branch == name:
                commit.branch = ""

    def readers_of(self, read: BranchRef) -> list[BranchRef]:
        """Return the branches whose pipelines read a branch."""
        return [
            BranchRef(ref, name)
            for ref, repo in self.repos.items()
            for name, branch in repo.branches.items()
            if read in branch.provenance
        ]

    def _refuse_if_read(self, branch: BranchRef, but_by: RepoRef | None = None) -> None:
        if readers := [reader for reader in self.readers_of(branch) if reader.repo != but_by]:
            shown = " ".join(map(str, readers))
            raise ProvenanceError(
                f'branch "{branch}" cannot be deleted because it\'s in the direct provenance of [{shown}]'
            )

    # Commits.

    def pick(self, ref: CommitRef) -> Commit:
        """Find the commit that `ref` points at; with an ID, the branch's name plays no part."""
        if not ref.id:
            return self.branch(ref.repo, ref.branch).head
        commits = self.repo(ref.repo).commits
        if ref.id not in commits:
            raise CommitNotFoundError(f"commit {ref} not found")
        return commits[ref.id]

    def start_commit(
        self, ref: RepoRef, branch: str, *, description: str = "", parent: CommitRef | None = None
    ) -> Commit:
        """Open a commit on a branch (made if missing), or raise `ParentNotFinishedError`, `OutputBranchError`.

        The parent is the branch's head, or the commit that `parent` points at.
        """
        repo = self.repo(ref)
        _check_name(branch)
        target = repo.branches.get(branch)
        base = self.pick(parent) if parent else target.head if target else None
        if base and not base.finishing:
            raise ParentNotFinishedError(f"parent commit {base} has not been finished")
        if target and target.is_output:
            raise OutputBranchError(f"cannot start a commit on an output branch: {ref}@{branch}")
        commit = self._add_commit(repo, branch, parent=base)
        commit.description = description
        repo.branches.setdefault(branch, Branch(branch, commit, commit.started)).head = commit
        return commit

    def finish_commit(self, ref: CommitRef, *, description: str = "", error: str = "") -> Commit:
        """Close an open commit: it is FINISHING from now on, with an error if one is given or its files collide."""
        commit = self.pick(ref)
        if commit.finishing:
            raise CommitFinishedError(f"commit {commit} has already finished")
        commit.description = description or commit.description
        # Nothing is validated, or measured, where the user says that the commit is wrong.
        commit.error = error or self._find_error(commit)
        commit.size = 0 if error else self.tree(commit).size
        commit.finishing = self._now()
        return commit

    def _find_error(self, commit: Commit) -> str:
        tree = self.tree(commit)
        for path, file in commit.changes.items():
            if file and file.rival:
                return _two_datums(path, file.datum, file.rival)
        collision = tree.collision(commit.changes)
        return f"file / directory path collision (/{collision})" if collision else ""

    def mark_finished(self, commit: Commit) -> None:
        """Call a FINISHING commit FINISHED; no error if it is already."""
        commit.finished = commit.finished or self._now()

    def drop_commit(self, ref: CommitRef) -> Commit:
        """Drop a commit, open or not, with what it wrote; heads move back to its parent.

        A branch that is left without a commit gets an empty one. Raises `CommitNotFoundError`, `ChildrenError`.
        """
        commit = self.pick(ref)
        if commit.children:
            raise ChildrenError(f"cannot drop a commit that has children: {commit}")
        self._delete(commit)
        return commit

    def squash_commit(self, ref: CommitRef) -> Commit:
        """Take a commit out of history, its files staying in its children; raises as `drop_commit` does."""
        commit = self.pick(ref)
        if not commit.children:
            raise ChildrenError(
                "cannot squash a commit that has no children as that would cause data loss, use the drop operation "
                f"instead: {commit}"
            )
        for child in commit.children:
            if not child.finished:
                raise ChildrenError(f"cannot squash until child commit {child} is finished")
        for child in commit.children:
            if not commit.error:
                child.changes = {**commit.changes, **child.changes}
            child.parent = commit.parent
        if commit.parent:
            commit.parent.children += commit.children
        self._delete(commit)
        return commit

    def _delete(self, commit: Commit) -> None:
        repo = self.repo(commit.repo)
        del repo.commits[commit.id]
        commit.dropped = True
        if commit.parent:
            commit.parent.children.remove(commit)
        heads = [branch for branch in repo.branches.values() if branch.head is commit]
        if heads:
            head = commit.parent or self._add_empty_head(repo, heads[0].name)
            for branch in heads:
                branch.head = head

    def clear_commit(self, ref: CommitRef) -> Commit:
        """Take all that was written into an open commit out again, or raise `CommitFinishedError`."""
        commit = self.pick(ref)
        if commit.finishing:
            raise CommitFinishedError("cannot clear finished commit")
        commit.changes.clear()
        commit.writes = 0
        commit.tree = None
        return commit

    # File sets.

    def take_file_set(self, commit: Commit, *, diff: bool = False) -> str:
        """Remember what a commit holds, or with `diff` what it changes, and give the ID by which it is found again.

        Raises `ParentNotFinishedError` as a read of the commit does.
        """
        self.check_readable(commit)
        below = {} if diff else self.tree(commit).files
        return self._keep({**below, **commit.changes}, commit.writes, FILE_SET_SECONDS)

    def make_file_set(self, write: Write) -> str:
        """Remember what a stream changes, and give the ID by which it is found."""
        return self._keep(write, 1, FILE_SET_SECONDS)

    def renew_file_set(self, file_set_id: str, seconds: int) -> None:
        """Keep a file set for so long from now on, or raise `UnknownFileSetError`."""
        expires = self._now() + timedelta(seconds=seconds)
        self._file_sets[file_set_id] = replace(self.file_set(file_set_id), expires=expires)

    def file_set(self, file_set_id: str) -> FileSet:
        """Look a file set up, or raise `UnknownFileSetError`."""
        found = self._file_sets.get(file_set_id)
        if found is None or found.expires <= self._now():
            self._file_sets.pop(file_set_id, None)
            raise UnknownFileSetError(f"fileset {file_set_id} does not exist")
        return found

    def join_file_sets(self, file_set_ids: Iterable[str], seconds: int) -> str:
        """Make one file set of many, added in their order, that is kept for so long."""
        parts = [self.file_set(file_set_id) for file_set_id in file_set_ids]

        def write(tree: Tree) -> Changes:
            before, joined = Tree(dict(tree.files)), dict[str, File | None]()
            for part in parts:
                changes = part.changes(before)
                before.apply(changes)
                joined.update(changes)
            return joined

        return self._keep(write, sum(part.writes for part in parts), seconds)

    def add_file_set(self, ref: CommitRef, file_set_id: str) -> None:
        """Put a file set's files into an open commit, or raise `CommitFinishedError` or `UnknownFileSetError`."""
        commit = self.pick(ref)
        if commit.finishing:
            raise CommitFinishedError(f"commit {commit} has already finished")
        file_set = self.file_set(file_set_id)
        before = commit.writes
        self._write(commit, file_set.write)
        commit.writes = before + file_set.writes

    def _keep(self, write: Write, writes: int, seconds: int) -> str:
        file_set_id = uuid.uuid4().hex
        self._file_sets[file_set_id] = FileSet(write, writes, self._now() + timedelta(seconds=seconds))
        if len(self._file_sets) > FILE_SETS_KEPT:
            del self._file_sets[next(iter(self._file_sets))]
        return file_set_id

    def _add_commit(self, repo: Repo, branch: str, parent: Commit | None, origin: Origin = Origin.USER) -> Commit:
        commit = Commit(self._new_commit_id(), repo.ref, branch, parent, started=self._now(), origin=origin)
        repo.commits[commit.id] = commit
        if parent:
            parent.children.append(commit)
        return commit

    # Files.

    def modify(self, ref: CommitRef, write: Write, *, validate: bool = True, join: bool = True) -> Commit:
        """Write into the open commit that `ref` points at, else in a new commit on its branch; tell which one it was.

        A commit made here is FINISHING. An ID that leads nowhere counts as none: that is the real server's trap.
        `validate=False` is for copies, whose paths the real server does not check; `join=False` never joins a commit
        that is open already. Raises `CommitFinishedError` for a
        closed commit asked for by ID, `InvalidPathError`, `RelativePathError` and what `start_commit` raises.
        """
        if validate and not callable(write):
            for path in write:
                check_path(path)
        commit = self._open_commit(ref) if join else None
        one_off = commit is None
        commit = commit or self.start_commit(ref.repo, ref.branch)
        self._write(commit, write)
        return self.finish_commit(CommitRef(ref.repo, ref.branch, commit.id)) if one_off else commit

    def _open_commit(self, ref: CommitRef) -> Commit | None:
        try:
            commit = self.pick(ref)
        except (CommitNotFoundError, BranchNotFoundError):
            if not ref.branch:
                raise
            return None
        if commit.finishing and ref.id:
            raise CommitFinishedError(f"commit {commit} has already finished")
        return None if commit.finishing else commit

    def _write(self, commit: Commit, write: Write) -> None:
        base = commit.base
        if commit.tree is None and not commit.changes and base and base.tree:
            # The head's tree moves on to its child: copying it would make N commits cost N² memory.
            commit.tree, base.tree = base.tree, None
        tree = self.tree(commit)
        changes = changes_of(write, tree)
        commit.writes += 1
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
            raise ParentNotFinishedError(f"base commit {base} for commit {commit} unfinished")


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


def check_path(path: str) -> None:
    """Raise `InvalidPathError` or `RelativePathError` for a path that Pachyderm refuses."""
    error = path_error(path)
    if error:
        raise (RelativePathError if error.is_relative else InvalidPathError)(error.message)
