"""What a listing over gRPC shows of a commit's files: directories too, with the sizes and hashes of what is below."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from pachyderm_standin.etag import digest
from pachyderm_standin.model import File, PfsError, Tree


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a directory, whose path then ends with a slash; paths start with one. Size in bytes."""

    path: str
    size: int
    hash: bytes
    file: File | None = None

    @property
    def datum(self) -> str:
        """Who wrote the file; empty for a directory."""
        return self.file.datum if self.file else ""


class _Directory:
    def __init__(self, path: str, at: int) -> None:
        self.path = path
        self.at = at
        self.size = 0
        self._children = digest()

    def add(self, entry: Entry) -> None:
        self.size += entry.size
        self._children.update(entry.hash)

    def entry(self) -> Entry:
        return Entry(self.path, self.size, self._children.digest())


class _Lister:
    """Goes through files in order and keeps the directories open that the next one may lie in."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._open: list[_Directory] = []
        self.found: list[Entry | None] = []

    def add(self, entry: Entry) -> None:
        while self._open and not entry.path.startswith(self._open[-1].path):
            self._close()
        self._enter(entry.path)
        self.found.append(entry)
        if self._open:
            self._open[-1].add(entry)

    def _enter(self, path: str) -> None:
        start = len(self._open[-1].path) if self._open else 0
        for slash in re.finditer("/", path[start:]):
            directory = path[: start + slash.end()]
            if directory.startswith(self._prefix):
                self._open.append(_Directory(directory, len(self.found)))
                self.found.append(None)

    def _close(self) -> None:
        directory = self._open.pop()
        self.found[directory.at] = entry = directory.entry()
        if self._open:
            self._open[-1].add(entry)

    def finish(self) -> list[Entry]:
        while self._open:
            self._close()
        return [entry for entry in self.found if entry]


def list_entries(tree: Tree, prefix: str, hash_of: Callable[[File], str]) -> list[Entry]:
    """List what starts with these characters (slash first), in order, or raise `UnreadableError`.

    A directory's hash is that of its children's hashes, one after the other.
    """
    below = prefix.removeprefix("/")
    tree.check(below)
    lister = _Lister(prefix)
    for path in tree.with_prefix(below):
        file = tree.files[path]
        lister.add(Entry(f"/{path}", file.size, bytes.fromhex(hash_of(file)), file))
    return lister.finish()


def entries_at(tree: Tree, path: str, hash_of: Callable[[File], str]) -> list[Entry]:
    """List a file, or a directory with all that is below; `path` is clean and empty for the root."""
    return [
        entry for entry in list_entries(tree, path, hash_of) if entry.path == path or entry.path.startswith(f"{path}/")
    ]


def is_child(parent: str, path: str) -> bool:
    """Tell whether a path lies directly in a directory, or is the file `parent` itself; both clean."""
    return path.startswith(parent) and "/" not in path[len(parent) :].strip("/")


GLOB_CHARACTERS = re.compile(r"[*?\[\]{}!()@+^]")


def literal_prefix(pattern: str) -> str:
    """Give what stands before the first character that means something else than itself."""
    found = GLOB_CHARACTERS.search(pattern)
    return pattern[: found.start()] if found else pattern


def match_entries(tree: Tree, pattern: str, hash_of: Callable[[File], str], *, whole: bool = False) -> list[Entry]:
    """List what a clean pattern matches; `whole` adds all that is below a directory that it matches."""
    matches = _matcher(pattern)
    found: list[Entry] = []
    inside = ""
    for entry in list_entries(tree, literal_prefix(pattern), hash_of):
        if inside and entry.path.startswith(inside):
            found.append(entry)
        elif matches(entry.path):
            found.append(entry)
            inside = entry.path if whole and entry.path.endswith("/") else ""
    return found


def _matcher(pattern: str) -> Callable[[str], bool]:
    regex = _glob_regex(pattern)
    return lambda path: pattern == path == "/" or regex.fullmatch(path.rstrip("/")) is not None


@lru_cache
def _glob_regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile("".join(_glob_parts(pattern)), re.DOTALL)
    except re.error as error:
        raise PfsError(f"pattern {pattern}: {error}") from error


_GLOB_PART = re.compile(r"\*\*|\*|\?|\[[!^]?[^\]]*\]|[{},()]|\\.|[@+!^]\(|.", re.DOTALL)
_PLAIN_PARTS = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")"}


def _glob_parts(pattern: str) -> Iterator[str]:
    depth = 0
    for part in _GLOB_PART.findall(pattern):
        depth += {"{": 1, "}": -1}.get(part, 0)
        if part in _PLAIN_PARTS:
            yield _PLAIN_PARTS[part]
        elif part == "," and depth:
            yield "|"
        elif part.startswith("[") and len(part) > 1:
            yield "[" + re.sub("^[!^]", "^", part[1:-1]) + "]"
        elif part[0] in "@+!^()[":
            raise PfsError(f"the stand-in does not know {part} in a pattern, only * ** ? [] and {{}}")
        else:
            yield re.escape(part[-1])
