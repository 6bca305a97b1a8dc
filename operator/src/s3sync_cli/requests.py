"""`s3sync retry`, `suspend` and `resume`: what a person asks of the operator, written into the sync."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from s3sync_cli.errors import EXIT_NOT_AS_WANTED, CliError, TimeLimitError
from s3sync_cli.kube import Raw, Syncs, in_cluster
from s3sync_cli.options import Access, cluster, name_argument
from s3sync_cli.showing import details, is_ready
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, ConditionType, Sync, parse_sync

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0

RETRY_HELP = f"""Run a sync once more, as it is: after a failure, or to bring in what its input got since.

It sets the annotation {ANNOTATION_RUN_REQUESTED} to a value that was not there before; the operator answers in
status.lastHandledRunRequest. With --wait the command ends when that run has ended. Neither touches the spec, so nothing
drifts from Git.

\b
Examples:
  s3sync retry s3-gateway-example -n kubeflow
  s3sync retry s3-gateway-example -n kubeflow --wait --timeout 600

\b
Exit codes:
  0  the run is asked for; with --wait, it succeeded
  1  it failed, or the sync is suspended
  3  there is no such sync, or no cluster
  4  it did not end within --timeout
  130  ended by Ctrl-C; the run goes on
"""

SUSPEND_HELP = """Begin no more runs of a sync until it is resumed; one under way ends as usual.

It sets spec.suspend to true. Where Git sets that field, change it there: Argo CD and Flux put back what Git says.

\b
Examples:
  s3sync suspend s3-gateway-example -n kubeflow
  kubectl s3sync suspend s3-gateway-example -n kubeflow --context production

\b
Exit codes:
  0  it is suspended
  3  there is no such sync, or no cluster
"""

RESUME_HELP = """Let a suspended sync run again; what it missed by its schedule is made up for by one run.

It removes spec.suspend. Where Git sets that field, change it there: Argo CD and Flux put back what Git says.

\b
Examples:
  s3sync resume s3-gateway-example -n kubeflow

\b
Exit codes:
  0  it is not suspended
  3  there is no such sync, or no cluster
"""


@click.command(help=RETRY_HELP)
@name_argument()
@click.option("--wait", is_flag=True, help="Wait until the run has ended.")
@click.option(
    "--timeout",
    type=click.IntRange(1, 7 * 24 * 3600),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="How long --wait waits.",
)
@cluster
def retry(
    name: str,
    wait: bool,
    timeout: int,
    access: Access,
) -> None:
    """Ask for a run, and wait for it."""

    async def work(syncs: Syncs) -> Raw | None:
        await _must_not_be_suspended(syncs, name)
        token = new_token()
        await syncs.patch(name, {"metadata": {"annotations": {ANNOTATION_RUN_REQUESTED: token}}})
        click.echo(f"{name}: asked for a run ({ANNOTATION_RUN_REQUESTED}={token})", err=wait)
        return await _ended(syncs, name, token, timeout) if wait else None

    ended = in_cluster(access, work)
    if ended is None:
        return
    click.echo(details(ended, datetime.now(UTC)))
    if not is_ready(parse_sync(ended)):
        raise SystemExit(EXIT_NOT_AS_WANTED)


def new_token() -> str:
    """Return a value that no request had before: the time, and some random digits."""
    return f"{datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}-{secrets.token_hex(3)}"


async def _must_not_be_suspended(syncs: Syncs, name: str) -> None:
    sync = parse_sync(await syncs.get(name))
    if sync.spec and sync.spec.suspend:
        text = f"{name} is suspended, so it would not run; resume it first: s3sync resume {name} -n {syncs.namespace}"
        raise CliError(text)


def has_ended(sync: Sync, token: str) -> bool:
    """Tell whether the run that was asked for with a token has ended, well or badly."""
    status = sync.status
    if status.last_handled_run_request != token or status.observed_generation != sync.generation:
        return False
    under_way = (ConditionType.RECONCILING, ConditionType.SYNCING)
    return status.finished and not any(status.condition(kind) for kind in under_way)


async def _ended(syncs: Syncs, name: str, token: str, seconds: int) -> Raw:
    """Wait for the run's end; an API server that does not answer for a while is asked again."""
    until, pause = time.monotonic() + seconds, FIRST_PAUSE
    raw: Raw | None = None
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise _late(syncs, name, raw, token, seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                raw = await syncs.look(name) or raw
        if raw and has_ended(parse_sync(raw), token):
            return raw
        await asyncio.sleep(min(pause, max(0.0, until - time.monotonic())))
        pause = min(LONGEST_PAUSE, pause * 1.5)


def _late(syncs: Syncs, name: str, raw: Raw | None, token: str, seconds: int) -> TimeLimitError:
    if raw is None:
        what = "the API server has not told how the run stands"
    elif parse_sync(raw).status.last_handled_run_request == token:
        what = "the run has not ended"
    else:
        what = "the operator has not begun the run; see that it runs,"
    return TimeLimitError(f"{name}: {what} within {seconds} seconds; see s3sync status {name} -n {syncs.namespace}")


def _patching(help_text: str, change: Raw, done: str) -> Callable[..., Any]:
    @click.command(help=help_text)
    @name_argument()
    @cluster
    def command(name: str, access: Access) -> None:
        in_cluster(access, lambda syncs: syncs.patch(name, change))
        click.echo(f"{name}: {done}")

    return command


suspend = _patching(SUSPEND_HELP, {"spec": {"suspend": True}}, "suspended; a run under way ends as usual")
resume = _patching(RESUME_HELP, {"spec": {"suspend": None}}, "resumed")
