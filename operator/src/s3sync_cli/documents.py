"""Pure: YAML or JSON text in, Kubernetes objects out, each with the lines on which its fields stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from s3sync_operator.api import GROUP, KIND, VERSION

Path = tuple[str | int, ...]
API_VERSION = f"{GROUP}/{VERSION}"
MOST_BYTES = 16 * 1024 * 1024
MOST_LEVELS = 500
MOST_FIELDS = 500_000
"""Aliases of aliases can make a small file as large as one likes."""


class UnreadableError(ValueError):
    """A text is no YAML; the message says where and why."""


class _Loader(yaml.CSafeLoader):
    """Reads as kubectl does, which knows no timestamps.

    libyaml, of which kubectl's parser is a translation, takes an eighth of the time that PyYAML's own parser takes; but
    it goes down into what is nested until its stack is used up and the process ends, so the depth is counted here.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way.
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def descend_resolver(self, current_node: yaml.Node | None, current_index: object) -> None:
        """Count one level more; raises ValueError where no manifest is so deep."""
        self._depth += 1
        if self._depth > MOST_LEVELS:
            raise ValueError("it is nested too deeply")
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        """Count one level less."""
        super().ascend_resolver()
        self._depth -= 1


@dataclass(frozen=True)
class Document:
    """An object of a file: what it says, and where; `repeated` are the keys that stand twice in one mapping."""

    file: str
    raw: Mapping[str, Any]
    lines: Mapping[Path, int]
    repeated: tuple[tuple[Path, int], ...] = ()

    def line(self, path: Path = ()) -> int:
        """Return the line of a field, or of the innermost part of its path that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    @property
    def where(self) -> str:
        """Where the object begins, as FILE:LINE."""
        return f"{self.file}:{self.line()}"

    @property
    def is_sync(self) -> bool:
        """Whether it is meant to be a PachydermS3Sync, well written or not."""
        group = str(self.raw.get("apiVersion", "")).partition("/")[0]
        return self.raw.get("kind") == KIND or group == GROUP

    @property
    def called(self) -> str:
        """What it is, for a person: `kind/name`."""
        return f"{self.raw.get('kind', 'an object without a kind')}/{self.metadata.get('name', '?')}"

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata; empty where it has none that can be read."""
        found = self.raw.get("metadata")
        return found if isinstance(found, dict) else {}


@dataclass
class _Marks:
    lines: dict[Path, int] = field(default_factory=dict)
    repeated: list[tuple[Path, int]] = field(default_factory=list)


def documents(text: str, file: str) -> Iterator[Document]:
    """Yield the objects of a text: of all its documents, and each item of a List by itself.

    Raises UnreadableError naming file and line.
    """
    if len(text) > MOST_BYTES:
        raise UnreadableError(f"{file}: has more than {MOST_BYTES >> 20} MiB, which no manifest has")
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            marks = _Marks()
            _mark(node, (), marks)
            yield from _objects(file, loader.construct_document(node), marks)
    except (yaml.MarkedYAMLError, yaml.reader.ReaderError, ValueError, RecursionError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: Exception) -> UnreadableError:
    if isinstance(error, UnreadableError):
        return error
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark else ""
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or error or "it is nested too deeply"
    return UnreadableError(f"{file}{line}: is no YAML that Kubernetes takes: {said}")


def _mark(node: yaml.Node, path: Path, marks: _Marks) -> None:
    """Note the line of each field: that of its key, and for an item of a list that of the item."""
    marks.lines.setdefault(path, node.start_mark.line + 1)
    if len(marks.lines) > MOST_FIELDS:
        raise ValueError(f"it has more than {MOST_FIELDS} fields")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at = (*path, _text(key))
            if at in marks.lines:
                marks.repeated.append((at, key.start_mark.line + 1))
            marks.lines[at] = key.start_mark.line + 1
            _mark(value, at, marks)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _mark(item, (*path, index), marks)


def _text(key: yaml.Node) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise yaml.MarkedYAMLError(problem="a key must be a text", problem_mark=key.start_mark)
    return str(key.value)


def _objects(file: str, raw: object, marks: _Marks) -> Iterator[Document]:
    if raw is None:
        return
    if not isinstance(raw, dict):
        raise UnreadableError(f"{file}:{marks.lines[()]}: is no object of Kubernetes: it must have apiVersion and kind")
    items = raw.get("items")
    if not (str(raw.get("kind", "")).endswith("List") and isinstance(items, list)):
        yield Document(file, raw, marks.lines, tuple(marks.repeated))
        return
    for index, item in enumerate(items):
        yield from _objects(file, item, _below(("items", index), marks))


def _below(top: Path, marks: _Marks) -> _Marks:
    size = len(top)
    lines = {path[size:]: line for path, line in marks.lines.items() if path[:size] == top}
    return _Marks(lines, [(path[size:], line) for path, line in marks.repeated if path[:size] == top])
