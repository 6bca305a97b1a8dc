"""Pure: what admission, and the operator after it, would find wrong with syncs in files."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import ValidationError

from s3sync_cli.documents import API_VERSION, Document, Path
from s3sync_operator import rules
from s3sync_operator.api import IMMUTABLE, KIND, NO_SUCH_FIELD, Spec, admission_complaints, parse_spec
from s3sync_operator.pod_fields import Core
from s3sync_operator.schedule import schedule_problem
from s3sync_operator.settings import Settings
from s3sync_operator.staging import spec_problem

Severity = Literal["error", "warning"]
MISSING = "Field required"
SOME_PACHD = "grpc://pachd:30650"
_TOP_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_QUALIFIED = re.compile(rf"({rules.OBJECT_NAME.regex}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{{0,61}}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Problem:
    """What is wrong with a field, on which line; what admission lets pass is a warning."""

    path: Path
    message: str
    line: int
    severity: Severity = "error"

    @property
    def field(self) -> str:
        """The field as a person writes it: spec.filter.include[0]."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).lstrip(".")


@dataclass(frozen=True)
class Verdict:
    """What is wrong with one sync of a file; nothing where it is valid."""

    document: Document
    problems: tuple[Problem, ...]

    @property
    def name(self) -> str:
        """The sync, as namespace/name, or by name alone where the file names no namespace."""
        metadata = self.document.metadata
        return (
            "/".join(str(metadata[key]) for key in ("namespace", "name") if metadata.get(key))
            or "a sync without a name"
        )

    def valid(self, strict: bool) -> bool:
        """Tell whether nothing is wrong; strictly, warnings count too."""
        return not any(strict or problem.severity == "error" for problem in self.problems)


def check(document: Document, default_pachd_address: str | None, old: Mapping[str, Any] | None = None) -> Verdict:
    """Return what is wrong with a sync.

    Without the operator's pachd address (None: not known, "": it has none), what depends on it is a warning. `old` is
    the object as it was applied before, from which what cannot change must not differ.
    """
    found = [*_form(document), *_metadata(document), *_spec(document)]
    if not any(problem.path[:1] == ("spec",) and problem.severity == "error" for problem in found):
        found += _in_operation(document, default_pachd_address)
        found += _changed(document, old) if old else ()
    found = [replace(problem, line=document.line(problem.path)) if not problem.line else problem for problem in found]
    unique = {(problem.path, problem.message): problem for problem in found}
    return Verdict(document, tuple(sorted(unique.values(), key=lambda problem: problem.line)))


def _form(document: Document) -> Iterator[Problem]:
    raw = document.raw
    if raw.get("apiVersion") != API_VERSION:
        yield Problem(("apiVersion",), f"must be {API_VERSION}", 0)
    if raw.get("kind") != KIND:
        yield Problem(("kind",), f"must be {KIND}", 0)
    for name in raw:
        if name not in _TOP_FIELDS:
            yield Problem((str(name),), _no_such_field(str(name), _TOP_FIELDS), 0)
    for path, line in document.repeated:
        yield Problem(path, "stands here twice, and the last one counts; remove one", line, "warning")


def _metadata(document: Document) -> Iterator[Problem]:
    raw = document.raw.get("metadata")
    if not isinstance(raw, dict):
        yield Problem(("metadata",), "must have a name", 0)
        return
    try:
        Core("V1ObjectMeta").model.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        for item in error.errors():
            yield Problem(("metadata", *item["loc"]), _said(item["msg"], item["loc"], ()), 0)
        return
    yield from _names(raw)
    yield from _labels(raw)


def _names(metadata: Mapping[str, Any]) -> Iterator[Problem]:
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not name:
        yield Problem(("metadata", "name"), "is missing", 0)
    elif len(name) > 253 or not rules.OBJECT_NAME.accepts(name):
        yield Problem(("metadata", "name"), f"'{name}' {rules.OBJECT_NAME.message}, 253 at most", 0)
    if namespace and not rules.NAMESPACE.accepts(namespace):
        yield Problem(("metadata", "namespace"), f"'{namespace}' {rules.NAMESPACE.message}", 0)


def _labels(metadata: Mapping[str, Any]) -> Iterator[Problem]:
    for kind in ("labels", "annotations"):
        for key, value in (metadata.get(kind) or {}).items():
            path: Path = ("metadata", kind, key)
            if not _QUALIFIED.fullmatch(key):
                yield Problem(path, f"'{key}' is not a key: [domain/]name, of letters, digits, '-', '_' and '.'", 0)
            if kind == "labels" and not _LABEL.fullmatch(value):
                yield Problem(path, "is not a label's value: letters, digits, '-', '_' and '.', 63 at most", 0)


def _spec(document: Document) -> Iterator[Problem]:
    raw = document.raw.get("spec")
    if raw is None:
        yield Problem(("spec",), "is missing", 0)
        return
    known = tuple(str(item.alias) for item in Spec.model_fields.values())
    for complaint in admission_complaints(_whole_numbers(raw)):
        message = _said(complaint.message, complaint.path, known if len(complaint.path) == 1 else ())
        yield Problem(("spec", *complaint.path), message, 0)


def _whole_numbers(value: object) -> object:
    """JSON knows one kind of number: 2.0 is 2."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(key): _whole_numbers(part) for key, part in value.items()}
    return [_whole_numbers(part) for part in value] if isinstance(value, list) else value


def _said(message: str, path: Sequence[str | int], known: Sequence[str]) -> str:
    if message == NO_SUCH_FIELD:
        return _no_such_field(str(path[-1]), known)
    return "is missing" if message == MISSING else message


def _no_such_field(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return "there is no such field" + (f"; did you mean '{close[0]}'?" if close else "")


def _in_operation(document: Document, address: str | None) -> Iterator[Problem]:
    """What is wrong with a spec that admission lets pass, and the operator does not."""
    spec = parse_spec(_whole_numbers(document.raw["spec"]))
    if wrong := schedule_problem(spec.trigger):
        yield _problem(wrong, "error")
    operator = Settings(default_pachd_address=address or "", allow_host_path=("/",))
    if wrong := spec_problem(spec, operator):
        mended = address is None and spec_problem(spec, replace(operator, default_pachd_address=SOME_PACHD)) is None
        yield _problem(wrong, "warning" if mended else "error")
    # Which of the nodes' directories the operator allows is not known here; of itself, it allows none.
    elif wrong := spec_problem(spec, replace(operator, allow_host_path=())):
        yield _problem(wrong, "warning")


def _problem(said: str, severity: Severity) -> Problem:
    where, _, message = said.partition(": ")
    return Problem(tuple(where.split(".")), message, 0, severity)


def _changed(document: Document, old: Mapping[str, Any]) -> Iterator[Problem]:
    before, now = old.get("spec") or {}, document.raw["spec"]
    for name, default in IMMUTABLE.items():
        if before.get(name, default) != now.get(name, default):
            text = (
                f"cannot change from '{before.get(name, default)}': it names where the data lies; create another sync"
            )
            yield Problem(("spec", name), text, 0)
