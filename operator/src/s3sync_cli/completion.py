"""`s3sync completion`, and the names that a shell completes."""

import asyncio

import click
from click.shell_completion import get_completion_class

from s3sync_cli.app import COMPLETE_VARIABLE, app
from s3sync_cli.errors import CliError
from s3sync_cli.kube import Syncs, in_cluster
from s3sync_cli.options import Access

COMPLETION_SECONDS = 3

HELP = """Print a script that makes a shell complete the commands, flags and syncs' names of s3sync.

kubectl completes `kubectl s3sync` by itself where `kubectl_complete-s3sync` is on the PATH, as it is where s3sync is.

\b
Examples:
  source <(s3sync completion bash)
  s3sync completion zsh > "${fpath[1]}/_s3sync"
  s3sync completion fish > ~/.config/fish/completions/s3sync.fish
"""


@click.command(help=HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script of a shell."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has all three.
    click.echo(found(app, {}, "s3sync", COMPLETE_VARIABLE).source())


def sync_names(kubeconfig: str | None, context: str | None, namespace: str | None) -> list[tuple[str, str]]:
    """Return the names of the syncs and how each stands; none where the cluster does not answer at once."""

    async def names(syncs: Syncs) -> list[tuple[str, str]]:
        async with asyncio.timeout(COMPLETION_SECONDS):
            return [(item["metadata"]["name"], _phase(item)) for item in await syncs.all()]

    try:
        return in_cluster(Access(kubeconfig, context, namespace, COMPLETION_SECONDS), names)
    except CliError:
        # There is no place for a message in the middle of a command line.
        return []


def _phase(item: dict[str, object]) -> str:
    status = item.get("status")
    return str(status.get("phase") or "") if isinstance(status, dict) else ""
