"""Flags that several commands have, with one meaning each."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from s3sync_operator import rules

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
REQUEST_SECONDS = 15


class Kept(click.ParamType[str]):
    """A text that keeps one of the rules that a spec's field has too."""

    def __init__(self, name: str, rule: rules.Rule, empty: bool = False) -> None:
        self.name = name
        self._rule = rule
        self._empty = empty

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, or end with what is wrong with it."""
        if not (self._rule.accepts(value) or (self._empty and not value)):
            self.fail(f"'{value}' {self._rule.message}", param, ctx)
        return value


files: Decorator = click.option(
    "-f",
    "--filename",
    "filenames",
    required=True,
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, allow_dash=True, readable=True),
    help="A file with the syncs, a folder of such files, or - for standard input; may be given again.",
)
address: Decorator = click.option(
    "--default-pachd-address",
    metavar="ADDRESS",
    type=Kept("address", rules.PACHD_ADDRESS, empty=True),
    help="The operator's setting of that name; '' says that it has none.",
)
namespace_here: Decorator = click.option(
    "-n",
    "--namespace",
    metavar="NAMESPACE",
    default="default",
    show_default=True,
    help="The namespace of syncs that name none.",
)


@dataclass(frozen=True)
class Access:
    """Which cluster and namespace a command works in; each request ends within `timeout` seconds."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None
    timeout: int


def cluster(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that kubectl has too, which reach the command as one argument, `access`."""

    @functools.wraps(function)
    def command(
        namespace: str | None, context: str | None, kubeconfig: str | None, request_timeout: int, **given: Any
    ) -> Any:
        return function(access=Access(kubeconfig, context, namespace, request_timeout), **given)

    flags = (
        click.option(
            "-n",
            "--namespace",
            metavar="NAMESPACE",
            help="The namespace; the context's where absent.",
        ),
        click.option("--context", metavar="NAME", help="The kubeconfig's context; its current one where absent."),
        click.option(
            "--kubeconfig",
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="The kubeconfig; KUBECONFIG, else ~/.kube/config, where absent.",
        ),
        click.option(
            "--request-timeout",
            type=click.IntRange(1, 3600),
            default=REQUEST_SECONDS,
            show_default=True,
            metavar="SECONDS",
            help="How long each answer of the API server is waited for.",
        ),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


def complete_sync(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a sync by asking the cluster, which must answer soon."""
    del param
    from s3sync_cli.completion import sync_names  # noqa: PLC0415 - only a press of TAB needs it.

    given = {name: ctx.params.get(name) for name in ("kubeconfig", "context", "namespace")}
    return [CompletionItem(name, help=told) for name, told in sync_names(**given) if name.startswith(incomplete)]


def name_argument(required: bool = True) -> Decorator:
    """Return the argument that names a sync."""
    return click.argument("name", required=required, shell_complete=complete_sync)
