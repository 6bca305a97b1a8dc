"""`s3sync logs`: what the pods of a sync's current or last run write."""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from s3sync_cli.errors import TimeLimitError, UnavailableError
from s3sync_cli.kube import TROUBLE, Raw, Syncs, in_cluster, may_pass
from s3sync_cli.options import Access, cluster, name_argument
from s3sync_operator.api import Sync, parse_sync
from s3sync_operator.desired import CONTAINER
from s3sync_operator.kube_api import ApiException

PAUSE = 1.0
REOPENED = 5
"""How often in a row a log is opened again of which no line comes."""

NOT_FOUND = 404
LONGEST_END = 24 * 3600.0
"""How long -f waits for the end of a run whose pods have ended, in seconds."""

INDEX_LABELS = ("training.kubeflow.org/replica-index", "batch.kubernetes.io/job-completion-index")

HELP = """Show the log of a sync's current run, or of its last one: of worker 0, or with --all-workers of all.

A pod that has not started is waited for, at most --pod-timeout seconds. With -f the command goes on through the
attempts of the run, and ends when the run does. Pods are deleted with the next run, and by spec.runPolicy; the end of
a log stays in status.logTail.

\b
Examples:
  s3sync logs s3-gateway-example -n kubeflow
  s3sync logs s3-gateway-example -n kubeflow -f --all-workers

\b
Exit codes:
  0  the log was shown
  3  there is no such sync, no pod of it, or no cluster
  4  no pod started in time
  130  ended by Ctrl-C
"""


@click.command(help=HELP)
@name_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@click.option("--all-workers", is_flag=True, help="The logs of all workers, each line behind its pod's name.")
@click.option(
    "--pod-timeout",
    type=click.IntRange(1, 24 * 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long a pod is waited for.",
)
@cluster
def logs(
    name: str,
    follow: bool,
    all_workers: bool,
    pod_timeout: int,
    access: Access,
) -> None:
    """Show logs."""
    in_cluster(access, lambda syncs: Reader(syncs, name, follow, all_workers, pod_timeout).show())


def pods_of(pods: Sequence[Raw], job: str, all_workers: bool) -> list[Raw]:
    """Return the pods of a job, the newest of each worker, by the workers' order; worker 0's alone if not all."""
    mine = [pod for pod in pods if any(o["name"] == job for o in pod["metadata"].get("ownerReferences") or ())]
    newest: dict[int, Raw] = {}
    for pod in sorted(mine, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        newest[index_of(pod)] = pod
    return [newest[index] for index in sorted(newest) if all_workers or index == 0]


def index_of(pod: Mapping[str, Any]) -> int:
    """Return which worker a pod is."""
    labels = pod["metadata"].get("labels") or {}
    return next((int(labels[name]) for name in INDEX_LABELS if str(labels.get(name, "")).isdigit()), 0)


def has_begun(pod: Mapping[str, Any]) -> bool:
    """Tell whether a pod's job has a log: its container runs, or has ended."""
    found = [item for item in pod.get("status", {}).get("containerStatuses") or () if item["name"] == CONTAINER]
    state = found[0].get("state") or {} if found else {}
    return bool(state.get("running") or state.get("terminated"))


class Reader:
    """Shows the logs of one sync's run, attempt by attempt."""

    def __init__(self, syncs: Syncs, name: str, follow: bool, all_workers: bool, pod_timeout: int) -> None:
        self._syncs = syncs
        self._name = name
        self._follow = follow
        self._all = all_workers
        self._pod_timeout = pod_timeout
        self._sync: Sync

    async def show(self) -> None:
        """Show the log of the current or last attempt; followed, those of the attempts that come after it too."""
        # The first look is at whether there is such a sync, and a cluster; those after it bear with trouble.
        self._sync = parse_sync(await self._syncs.get(self._name))
        shown: str | None = None
        while job := await self._next_job(shown):
            await self._show_job(job)
            if not self._follow:
                return
            await self._look()
            shown = job

    async def _next_job(self, shown: str | None) -> str | None:
        """Wait for a job that was not shown yet; None where the run has ended without another."""
        until, at_last = time.monotonic() + self._pod_timeout, time.monotonic() + LONGEST_END
        while True:
            job, status = self._sync.status.job, self._sync.status
            if job and job != shown:
                return job
            if status.finished and shown:
                return None
            if job and status.next_attempt_time is None and time.monotonic() < at_last:
                # What the job shown has staged is being published, which may take long: no pod is waited for.
                until = time.monotonic() + self._pod_timeout
            self._check_time(self._sync, until)
            await asyncio.sleep(PAUSE)
            await self._look()

    async def _look(self) -> None:
        """Look at the sync again; where the API server does not answer just now, it is as it was."""
        if raw := await self._syncs.look(self._name):
            self._sync = parse_sync(raw)

    def _check_time(self, sync: Sync, until: float) -> None:
        coming = sync.status.next_attempt_time
        wait = max(0.0, (coming - datetime.now(UTC)).total_seconds()) if coming else 0.0
        if sync.status.finished:
            text = f"{self._name}: its last run had no job; see s3sync status {self._name} -n {self._syncs.namespace}"
            raise UnavailableError(text)
        if time.monotonic() > until + wait:
            raise self._late("no job was made for it")

    async def _show_job(self, job: str) -> None:
        pods = await self._started(job)
        names = [pod["metadata"]["name"] for pod in pods]
        width = max(map(len, names))
        prefixes = [f"[{name}]{' ' * (width - len(name))} " if self._all else "" for name in names]
        await asyncio.gather(*map(self._copy, names, prefixes))

    async def _started(self, job: str) -> list[Raw]:
        """Wait for the job's pods to have a log."""
        until = time.monotonic() + self._pod_timeout
        while True:
            sync = self._sync
            found = await self._syncs.look_at_pods(sync)
            wanted = sync.spec.effective_workers if sync.spec and self._all else 1
            begun = [pod for pod in pods_of(found or (), job, self._all) if has_begun(pod)]
            over = sync.status.finished and found is not None
            if len(begun) >= wanted or (begun and (over or time.monotonic() > until)):
                return begun
            if over:
                text = f"the pods of {job} are gone; the end of their log may be in status.logTail"
                raise UnavailableError(f"{self._name}: {text}")
            if time.monotonic() > until:
                raise self._late(f"no pod of {job} has started")
            await asyncio.sleep(PAUSE)
            await self._look()

    def _late(self, what: str) -> TimeLimitError:
        more = f"see s3sync status {self._name} -n {self._syncs.namespace}"
        return TimeLimitError(f"{self._name}: {what} within {self._pod_timeout} seconds; {more}")

    async def _copy(self, pod: str, prefix: str) -> None:
        """Show a pod's log; one that breaks off is opened again, and what was shown of it passed over."""
        shown = broken = 0
        while broken < REOPENED:
            number = 0
            try:
                async for line in self._syncs.log(pod, CONTAINER, self._follow):
                    number += 1
                    if number > shown:
                        shown, broken = number, 0
                        sys.stdout.write(f"{prefix}{line.decode(errors='replace').rstrip()}\n")
                        sys.stdout.flush()
            except TROUBLE as error:
                if isinstance(error, ApiException) and error.status == NOT_FOUND:
                    sys.stderr.write(f"s3sync: pod {pod} is gone\n")
                    return
                if not may_pass(error):
                    raise
            else:
                return
            broken += 1
            await asyncio.sleep(PAUSE)
        raise UnavailableError(f"{self._name}: the log of pod {pod} broke off {REOPENED} times")
