"""`s3sync status`: how syncs stand."""

import json
from datetime import UTC, datetime

import click

from s3sync_cli.errors import EXIT_NOT_AS_WANTED
from s3sync_cli.kube import Raw, in_cluster
from s3sync_cli.options import Access, cluster, name_argument
from s3sync_cli.showing import as_json, details, is_ready, overview
from s3sync_operator.api import parse_sync

HELP = """Show how syncs stand: one in full with its history and what to do about it, or all of a namespace as a table.

\b
Examples:
  s3sync status
  s3sync status -A -o wide
  s3sync status s3-gateway-example -n kubeflow
  kubectl s3sync status s3-gateway-example -n kubeflow -o json

\b
Exit codes:
  0  the sync is Ready, or all are
  1  it is not, or some are not
  3  there is no such sync, or no cluster
"""


@click.command(help=HELP)
@name_argument(required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="The syncs of all namespaces.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "wide", "json"]),
    default="text",
    show_default=True,
    help="Format; wide has more columns.",
)
@cluster
def status(
    name: str | None,
    all_namespaces: bool,
    output: str,
    access: Access,
) -> None:
    """Show one sync, or all."""
    if name and all_namespaces:
        raise click.UsageError("a NAME and --all-namespaces do not go together: names are of one namespace")
    if name:
        found = [in_cluster(access, lambda syncs: syncs.get(name))]
    else:
        found = in_cluster(access, lambda syncs: syncs.all(all_namespaces))
    click.echo(_shown(found, bool(name), output, all_namespaces))
    if not all(is_ready(parse_sync(raw)) for raw in found):
        raise SystemExit(EXIT_NOT_AS_WANTED)


def _shown(found: list[Raw], one: bool, output: str, all_namespaces: bool) -> str:
    if output == "json":
        told = [as_json(raw) for raw in found]
        return json.dumps(told[0] if one else told, indent=2)
    now = datetime.now(UTC)
    if one:
        return details(found[0], now)
    return overview(found, now, output == "wide", all_namespaces) if found else "there are no syncs"
