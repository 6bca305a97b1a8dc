"""The table of a sync's fields in docs/fields.md: from the models what each is, from the markers which test shows it.

`python -m tests.support.fields` writes the page; with `--check` it fails where the page is another, where a field has
no end-to-end test, or where a test is marked with a field that does not exist.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from s3sync_operator import api
from s3sync_operator.models import Model
from s3sync_operator.pod_fields import Core

ROOT = Path(__file__).resolve().parents[2]
PAGE, TESTS = ROOT / "docs/fields.md", ROOT / "tests/e2e"
HEADER = """\
<!-- Generated from the models and the end-to-end tests by `make generate`; do not edit. -->
# The fields of a sync, and the test of each

Each field is shown to work by an end-to-end test, on a real kubelet and the real training-operator. What is one of
Kubernetes' own types is told in full by `kubectl explain`. [The spec, field by field](spec.md) has examples.

| field | type | where absent | what it is | test |
|---|---|---|---|---|
"""
_SENTENCE = re.compile(r"(?<=\.) ")


@dataclass(frozen=True)
class Field:
    """A field of the spec: its path as `spec.filter.include`, and whether it holds fields of the project's own."""

    path: str
    type: str
    description: str
    required: bool
    group: bool

    @property
    def absent(self) -> str:
        """What its absence means."""
        return " ".join(map(_said, filter(_is_of_absence, self._sentences))) or ("required" if self.required else "")

    @property
    def meaning(self) -> str:
        """What it is, without what its absence means."""
        return " ".join(text for text in self._sentences if not _is_of_absence(text))

    @property
    def _sentences(self) -> list[str]:
        return _SENTENCE.split(self.description)


def _is_of_absence(sentence: str) -> bool:
    return "where absent" in sentence.lower()


def _said(sentence: str) -> str:
    kept = re.sub(r"(?i)^where absent,? | where absent$", "", sentence.rstrip("."))
    return kept[:1].upper() + kept[1:]


def fields(model: type[Model] = api.Spec, path: str = "spec") -> Iterator[Field]:
    """Yield each field of the project's own models in their order; a type of Kubernetes' own is one field."""
    for item in model.model_fields.values():
        own = [kind for kind in _kinds(item.annotation) if isinstance(kind, type) and issubclass(kind, Model)]
        here = f"{path}.{item.alias}"
        yield Field(here, type_of(item), item.description or "", item.is_required(), bool(own))
        for kind in own:
            yield from fields(kind, here)


def _kinds(annotation: object) -> list[Any]:
    """Return the types that an annotation allows, without None and what is only about their values."""
    inner = [kind for kind in get_args(annotation) if kind is not NoneType]
    if isinstance(annotation, type) or get_origin(annotation) in (tuple, list, dict):
        return [annotation]
    if hasattr(annotation, "__metadata__"):
        return [item.model for item in annotation.__metadata__ if isinstance(item, Core)] or _kinds(inner[0])
    return [kind for part in inner for kind in _kinds(part)]


def type_of(item: FieldInfo) -> str:
    """Return a field's type in words of YAML and of Kubernetes."""
    return " or ".join(map(_type, _kinds(item.annotation)))


def _type(kind: Any) -> str:
    if get_origin(kind) in (tuple, list):
        return f"list of {_type(_kinds(get_args(kind)[0])[0])}"
    if get_origin(kind) is dict:
        return "any kind of volume" if get_args(kind)[1] is Any else "map of texts"
    if issubclass(kind, StrEnum):
        return ", ".join(f"`{value}`" for value in kind)
    if issubclass(kind, BaseModel):
        return "group" if issubclass(kind, Model) else kind.__name__.removeprefix("V1")
    return {str: "text", int: "number", bool: "true or false"}[kind]


@dataclass(frozen=True)
class Shown:
    """A test that is marked with fields."""

    file: str
    name: str
    fields: tuple[str, ...]


def marked(folder: Path = TESTS) -> list[Shown]:
    """Return the marked tests of a folder; they are read and not imported, since that takes a cluster's tools."""
    return [
        Shown(path.name, node.name, tuple(_arguments(node)))
        for path in sorted(folder.glob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(_arguments(node))
    ]


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    for call in node.decorator_list:
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fields":
            yield from (str(ast.literal_eval(argument)) for argument in call.args)


def complaints(known: Iterable[Field], shown: Iterable[Shown]) -> list[str]:
    """Return what does not fit together: fields without a test, and marks of fields that do not exist."""
    known, shown = list(known), list(shown)
    paths, marks = {field.path for field in known}, {path for test in shown for path in test.fields}
    untested = [field.path for field in known if not field.group and field.path not in marks]
    return [
        *(f"{path}: no end-to-end test is marked with it; write one in tests/e2e" for path in untested),
        *(f"{test.file}::{test.name}: there is no field {path}" for test in shown for path in set(test.fields) - paths),
    ]


def page(known: Iterable[Field], shown: Iterable[Shown]) -> str:
    """Return docs/fields.md."""
    tests: dict[str, Shown] = {}
    for test in shown:
        for path in test.fields:
            tests.setdefault(path, test)
    return HEADER + "".join(_row(field, tests) for field in known)


def _row(field: Field, tests: Mapping[str, Shown]) -> str:
    test = tests.get(field.path)
    link = f"[{test.name.removeprefix('test_').replace('_', ' ')}](../tests/e2e/{test.file})" if test else ""
    cells = (f"`{field.path.removeprefix('spec.')}`", field.type, field.absent, field.meaning, link)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, or compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.fields", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where something does not fit")
    options = parser.parse_args(arguments)
    known, shown = list(fields()), marked()
    if not options.check:
        PAGE.write_text(page(known, shown))
    elif found := complaints(known, shown):
        sys.exit("\n".join(found))
    elif page(known, shown) != (PAGE.read_text() if PAGE.exists() else ""):
        sys.exit(f"{PAGE.relative_to(ROOT)} is not as generated: run 'make generate' and commit")


if __name__ == "__main__":
    main()
