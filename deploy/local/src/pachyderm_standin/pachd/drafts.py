"""What one ModifyFile stream is about to write: its operations in order, applied together when the stream ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pachyderm_standin.model import DEFAULT_DATUM, Changes, File, Tree
from pachyderm_standin.names import clean_path


class _Files:
    """A commit's files as they are after the operations so far."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.changes: dict[str, File | None] = {}

    def get(self, path: str) -> File | None:
        return self.changes[path] if path in self.changes else self.tree.files.get(path)

    def append(self, path: str, file: File) -> None:
        before = self.get(path)
        self.changes[path] = before + file if before else file

    def delete(self, path: str, datum: str) -> None:
        # A file that is not there is deleted as well: the commit counts it as a change.
        before = self.get(path)
        if before is None or (before.datum == datum and not before.rival):
            self.changes[path] = None

    def below(self, directory: str) -> list[str]:
        prefix = f"{directory}/" if directory else ""
        return [*self.tree.with_prefix(prefix), *(path for path in self.changes if path.startswith(prefix))]


class Operation(Protocol):
    """One step of a stream."""

    def apply(self, files: _Files) -> None:
        """Take the step."""


@dataclass(frozen=True, slots=True)
class Put:
    """Append to a file, which is made if missing."""

    path: str
    file: File

    def apply(self, files: _Files) -> None:
        """Take the step."""
        files.append(self.path, self.file)


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a file, or all below a directory if the path as it came ends with a slash."""

    raw_path: str
    datum: str = DEFAULT_DATUM

    def apply(self, files: _Files) -> None:
        """Take the step."""
        path = clean_path(self.raw_path)
        for target in files.below(path) if self.raw_path.endswith("/") else [path]:
            files.delete(target, self.datum)


@dataclass(frozen=True, slots=True)
class Forget:
    """Take back what the stream itself has put below a directory."""

    directory: str

    def apply(self, files: _Files) -> None:
        """Take the step."""
        prefix = f"{clean_path(self.directory)}/".removeprefix("/")
        for path in [path for path in files.changes if path.startswith(prefix)]:
            files.changes[path] = None


def in_file_set(operation: Operation) -> Operation:
    """Return what an operation means in a file set: it knows no files but its own, so it deletes no other directory."""
    if isinstance(operation, Delete) and operation.raw_path.endswith("/"):
        return Forget(operation.raw_path)
    return operation


@dataclass(frozen=True, slots=True)
class Copy:
    """Put files under new names, in place of what is there or behind it."""

    files: Sequence[tuple[str, File]]
    append: bool

    def apply(self, files: _Files) -> None:
        """Take the step."""
        for path, file in self.files:
            if not self.append:
                files.delete(path, file.datum)
            files.append(path, file)


@dataclass(frozen=True, slots=True)
class Draft:
    """All operations of a stream."""

    operations: Sequence[Operation]

    def changes(self, tree: Tree) -> Changes:
        """Tell what the stream comes to on top of these files."""
        files = _Files(tree)
        for operation in self.operations:
            operation.apply(files)
        return files.changes


def copied(tree: Tree, source: str, target: str, datum: str) -> list[tuple[str, File]]:
    """Find a file, or all below a directory, and say what each will be called; a missing source is no error."""
    source, target = clean_path(source), clean_path(target)
    found = [source] if source in tree.files else []
    found += tree.with_prefix(f"{source}/" if source else "")
    return [(clean_path(f"{target}/{path[len(source) :]}"), File(tree.files[path].contents, datum)) for path in found]
