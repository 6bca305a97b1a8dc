"""`s3sync validate`: what admission and the operator would find wrong with syncs in files, without a cluster."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from s3sync_cli.checking import Problem, Verdict, check
from s3sync_cli.documents import Document
from s3sync_cli.errors import EXIT_NOT_AS_WANTED, MisusedError
from s3sync_cli.files import read_documents
from s3sync_cli.options import address, files

HELP = """Check PachydermS3Syncs in files as the API server would at admission, and what the operator would refuse after
it; no cluster is needed.

Each problem is told as FILE:LINE with its field. Objects of other kinds are passed over. What depends on the operator's
settings is a warning, unless --default-pachd-address tells them.

\b
Examples:
  s3sync validate -f deploy/samples/s3-gateway-example.yaml
  s3sync validate -f deploy/samples --strict
  kustomize build . | s3sync validate -f - -o json
  s3sync validate -f new.yaml --old applied.yaml

\b
Exit codes:
  0  every sync is valid
  1  some sync is not
  2  a file cannot be read, or holds no sync
"""


@click.command(help=HELP)
@files
@click.option("--old", metavar="FILE", help="The same syncs as applied before; what cannot change is compared.")
@address
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format.")
def validate(
    filenames: tuple[str, ...], old: str | None, default_pachd_address: str | None, strict: bool, output: str
) -> None:
    """Check the syncs in files."""
    found = read_documents(filenames)
    before = {_key(item): item.raw for item in read_documents([old]) if item.is_sync} if old else {}
    verdicts = [check(item, default_pachd_address, before.get(_key(item))) for item in found if item.is_sync]
    others = [item for item in found if not item.is_sync]
    if not verdicts:
        raise MisusedError(f"{', '.join(filenames)}: holds no PachydermS3Sync, so nothing was checked")
    click.echo(as_json(verdicts, others, strict) if output == "json" else as_text(verdicts, others, strict))
    if not all(verdict.valid(strict) for verdict in verdicts):
        raise SystemExit(EXIT_NOT_AS_WANTED)


def _key(document: Document) -> tuple[str, str]:
    return str(document.metadata.get("namespace", "")), str(document.metadata.get("name", ""))


def as_text(verdicts: Sequence[Verdict], others: Sequence[Document], strict: bool) -> str:
    """Return a line for each problem, and one for each sync that has none."""
    lines = [f"{other.where}: {other.called} is passed over: it is no PachydermS3Sync" for other in others]
    for verdict in verdicts:
        lines += [_line(verdict, problem) for problem in verdict.problems]
        if not verdict.problems:
            lines.append(f"{verdict.document.where}: {verdict.name}: valid")
    bad = sum(not verdict.valid(strict) for verdict in verdicts)
    return "\n".join([*lines, f"{len(verdicts)} checked, {bad} not valid"])


def _line(verdict: Verdict, problem: Problem) -> str:
    kind = "warning: " if problem.severity == "warning" else ""
    return f"{verdict.document.file}:{problem.line}: {verdict.name}: {kind}{problem.field}: {problem.message}"


def as_json(verdicts: Sequence[Verdict], others: Sequence[Document], strict: bool) -> str:
    """Return the same for a program."""
    told: Mapping[str, Any] = {
        "valid": all(verdict.valid(strict) for verdict in verdicts),
        "syncs": [_told(verdict, strict) for verdict in verdicts],
        "passedOver": [{"file": other.file, "line": other.line(), "object": other.called} for other in others],
    }
    return json.dumps(told, indent=2)


def _told(verdict: Verdict, strict: bool) -> dict[str, Any]:
    problems = [
        {"field": item.field, "message": item.message, "line": item.line, "severity": item.severity}
        for item in verdict.problems
    ]
    metadata = verdict.document.metadata
    return {
        "file": verdict.document.file,
        "line": verdict.document.line(),
        "namespace": metadata.get("namespace"),
        "name": metadata.get("name"),
        "valid": verdict.valid(strict),
        "problems": problems,
    }
