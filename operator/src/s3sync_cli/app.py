"""The program's commands as a table: each is imported when it is called, so that neither `s3sync --help` nor a press of
TAB waits for Kubernetes' client."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from s3sync_cli.errors import EXIT_INTERRUPTED

HELP = """Look at PachydermS3Syncs, check and render them, run them again, or without a cluster.

As a plugin of kubectl it is `kubectl s3sync`. Each command's --help has examples and its exit codes."""


COMPLETE_VARIABLE = "_S3SYNC_COMPLETE"
"""By this variable a shell asks for completions."""


@dataclass(frozen=True)
class Entry:
    """Where a command is (`module:attribute`) and what it does in a line."""

    target: str
    short_help: str


COMMANDS: Mapping[str, Entry] = {
    "status": Entry("status:status", "How syncs stand, and what to do about it."),
    "logs": Entry("logs:logs", "What the pods of a sync's run write."),
    "retry": Entry("requests:retry", "Run a sync once more."),
    "suspend": Entry("requests:suspend", "Begin no more runs of a sync."),
    "resume": Entry("requests:resume", "Let a suspended sync run again."),
    "validate": Entry("validate:validate", "Check syncs in files as admission would, offline."),
    "render": Entry("render:render", "Show the TFJob or Job that a sync would run as."),
    "run": Entry("run:run", "Run a sync on this machine, without a cluster."),
    "completion": Entry("completion:completion", "Print a script that completes commands and names."),
}


class LazyGroup(click.Group):
    """A group whose commands stand in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands' names, in the order in which they are shown."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none by that name."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        found = getattr(importlib.import_module(f"s3sync_cli.{module}"), attribute)
        assert isinstance(found, click.Command)  # noqa: S101 - holds the table to what it names.
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.short_help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C ends it with the exit code that shells know it by."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("s3sync: interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands without importing any, and flags."""
        named = [
            CompletionItem(name, help=entry.short_help)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="s3sync-operator", prog_name="s3sync")
def app() -> None:
    """Find the command that is meant."""
