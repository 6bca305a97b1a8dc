"""The order of the steps in which a staged run gets onto its target, and what is cleaned up after it; nothing else.

Each look decides anew from what is in Pachyderm, so an operator that is killed between any two steps goes on there.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from s3sync_operator import staging
from s3sync_operator.access import Target, short_hash
from s3sync_operator.api import Reason, Spec, Sync
from s3sync_operator.desired import Run, Staging
from s3sync_operator.errors import SyncError, TemporarySyncError
from s3sync_operator.manifests import MOST_DIGESTED, Manifest, digest_of
from s3sync_operator.metrics import Metrics
from s3sync_operator.observed import Observation
from s3sync_operator.pachd import Pachd
from s3sync_operator.publish import (
    INPUTS_DIFFER,
    MOST_COMMITS,
    Await,
    Busy,
    CommitSeen,
    Drop,
    Fill,
    Moved,
    Publication,
    Published,
    Spoilt,
    Start,
    Unchanged,
    base_of,
    built_upon,
    disagreement,
    next_step,
    publication,
    stranger,
)
from s3sync_operator.report import Report
from s3sync_operator.status import Outcome

STEPS_A_LOOK = 8
PATIENCE = 20.0
CLEAN_UP_SECONDS = 60.0
REMEMBERED = 16
FURTHER_BACK = (16, 256, MOST_COMMITS)
"""How many commits are listed, step by step, until one without an error is among them."""

READ_AT_ONCE = 2
MOST_DELETES_REMEMBERED = 200_000
"""Bounds of the memory: a manifest of 24 MiB takes ten times that once it is read."""

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """Whose run is published where."""

    sync: Sync
    spec: Spec
    run: Run
    target: Target


@dataclass(frozen=True)
class Told:
    """What the manifests say together."""

    digest: str | None
    deletes: tuple[str, ...]


class Publisher:
    """Prepares targets and publishes runs; what it remembers only saves reading it again."""

    def __init__(self, pachd: Pachd, metrics: Metrics) -> None:
        self._pachd = pachd
        self._metrics = metrics
        self._tasks: dict[tuple[str, str, str], asyncio.Task[Any]] = {}
        self._told: OrderedDict[tuple[str, ...], Told] = OrderedDict()
        self._same: OrderedDict[tuple[str, str, str], bool] = OrderedDict()
        self._reading = asyncio.Semaphore(READ_AT_ONCE)

    def close(self) -> None:
        """Leave publishes where they are; the next operator goes on with them."""
        for task in self._tasks.values():
            task.cancel()

    async def ensure_branch(self, order: Order) -> datetime | None:
        """Make repo and branch; return when the branch was made, None where it was there."""
        description = staging.repo_description(order.sync)
        return await self._pachd.ensure_branch(order.target, order.spec.effective_branch, description)

    async def prepare(self, order: Order) -> Staging:
        """Return where to stage what is to be published on a branch that is there, or made just now.

        Raises TemporarySyncError TargetBusy while somebody else holds the target's head open.
        """
        target, branch = order.target, order.spec.effective_branch
        history = await self.release(order)
        head = history[0] if history else None
        if head and head.state != "Finished":
            raise _busy(order, head.id, head.description)
        base = base_of(history)
        for most in FURTHER_BACK if head and head.error else ():
            if base := base_of(await self._pachd.history(target, branch, None, most)):
                break
        return Staging(staging.staging_branch(staging.run_id(order.sync, order.run)), base)

    async def release(self, order: Order) -> tuple[CommitSeen, ...]:
        """Drop what an earlier run of the sync holds the target open by: that has ended, or it would be waited for.

        So it is with what it finished with an error, of which nobody has anything. Returns the target's head, if any.
        """
        target, branch = order.target, order.spec.effective_branch
        history = await self._pachd.history(target, branch, None, 1)
        if not history or not staging.is_of(order.sync, history[0].description):
            return history
        if history[0].state == "Open":
            await self._pachd.drop_open_commit(target, history[0].id)
        elif history[0].error:
            await self._pachd.drop_commit(target, history[0].id)
        else:
            return history
        return await self._pachd.history(target, branch, None, 1)

    async def remove_earlier(self, order: Order) -> None:
        """Remove what earlier runs of the sync left staged; what cannot be removed now, a sweep will."""
        live, owner = staging.run_id(order.sync, order.run), staging.owner_of(order.sync.uid)
        async with _as_far_as_it_goes():
            for branch in await self._pachd.list_branches(order.target):
                named = staging.owner_and_run(branch.name)
                if named and named[0] == owner and named[1] != live:
                    await self._pachd.remove_branch(order.target, branch.name)

    def forget(self, key: tuple[str, str]) -> None:
        """Let no publish of the sync (namespace, name) go on that was begun: its run is over, or another one's turn."""
        for begun, task in list(self._tasks.items()):
            if begun[:2] == key:
                task.cancel()
                del self._tasks[begun]

    async def give_up(self, order: Order) -> None:
        """Leave nothing half-published of a run that has failed; what cannot be removed now, a sweep will."""
        self.forget(order.sync.key)
        async with _as_far_as_it_goes():
            history = await self._pachd.history(order.target, order.spec.effective_branch, None, 1)
            if history and history[0].description.startswith(staging.mark(order.sync, order.run)):
                await self._pachd.drop_open_commit(order.target, history[0].id)

    async def publish(self, order: Order, seen: Observation) -> Outcome:
        """Take the publish of a run whose workers have all reported well as far as it goes now.

        Raises SyncError where pachd fails.
        """
        strange = stranger(seen.reports, staging.staging_branch(staging.run_id(order.sync, order.run)))
        if seen.report is None or strange:
            text = f"{strange or 'no worker reports'}, so nothing can be published; use an image that runs s3sync-job"
            return Outcome("Permanent", Reason.REPORT_MISSING, text)
        if apart := disagreement(seen.reports):
            return Outcome("Retryable", *apart)
        wanted = publication(order.spec, seen.reports, staging.mark(order.sync, order.run))
        for _ in range(STEPS_A_LOOK):
            if outcome := await self._step(order, wanted, seen, seen.report):
                return outcome
        return _goes_on(f"publishing to {order.spec.destination}")

    async def _step(self, order: Order, wanted: Publication, seen: Observation, report: Report) -> Outcome | None:
        """Take the step that is due; return the outcome where it was the last for now, else None."""
        history = await self._pachd.history(order.target, order.spec.effective_branch, wanted.base, MOST_COMMITS)
        found = await self._rebased(order, wanted, history)
        if found is None:
            return _goes_on(f"comparing what others have published with what {order.spec.destination} was")
        # Of a history that is cut off, nobody can tell whether the run's commit is in the rest.
        step = Moved(history[0].id) if len(history) >= MOST_COMMITS else next_step(history, found)
        told = self._told.get(_commits(seen.reports))
        if told is None and isinstance(step, Start | Fill | Unchanged):
            # Reading takes a while, in which somebody may have moved the target: the history is read after it.
            done = await self._read_manifests(order, found, seen.reports, ended=isinstance(step, Unchanged))
            return None if done else _goes_on(f"reading what {len(seen.reports)} workers have staged")
        match step:
            case Published() | Unchanged() | Moved() | Busy() | Spoilt():
                return await self._ended(order, seen, _verdict(order, step, report, told))
            case _:
                return await self._take(order, found, step, told)

    async def _rebased(self, order: Order, wanted: Publication, history: tuple[CommitSeen, ...]) -> Publication | None:
        """Return the publication with the later commit it can go onto as well, since others have changed nothing where
        the sync publishes; None while that is being found out."""
        other = built_upon(history, wanted)
        if other is None or wanted.base is None or not wanted.relies_on_base:
            return wanted
        key = (wanted.base, other, wanted.prefix)
        if key not in self._same:
            same = await self._patiently(order, f"compare {other}", lambda: self._pachd.same_below(order.target, *key))
            if same is None:
                return None
            self._same[key] = same
            _keep_last(self._same, REMEMBERED)
        return replace(wanted, same=other) if self._same[key] else wanted

    async def _read_manifests(
        self, order: Order, wanted: Publication, reports: tuple[Report, ...], *, ended: bool
    ) -> bool:
        """Read the manifests, and tell whether that is done; it goes on between two looks. Of a run that has `ended`,
        what was staged may be gone by now."""
        key = _commits(reports)
        try:
            told = await self._patiently(order, "manifests", lambda: self._tell(order.target, reports, wanted.prefix))
        except TemporarySyncError:
            if not ended:
                raise
            told = Told(None, ())
        if told is None:
            return False
        self._told[key] = told
        _keep_last(self._told, REMEMBERED)
        while len(self._told) > 1 and sum(len(item.deletes) for item in self._told.values()) > MOST_DELETES_REMEMBERED:
            self._told.popitem(last=False)
        return True

    async def _patiently(self, order: Order, what: str, work: Callable[[], Awaitable[_Result]]) -> _Result | None:
        """Return what a long work of the sync results in, None while it goes on; the next look finds it again."""
        key = (*order.sync.key, what)
        task: asyncio.Task[_Result] | None = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(_as_coroutine(work))
        try:
            await asyncio.wait({task}, timeout=PATIENCE)
        finally:
            if task.done():
                self._tasks.pop(key, None)
        return await task if task.done() else None

    async def _take(
        self, order: Order, wanted: Publication, step: Start | Fill | Await | Drop, told: Told | None
    ) -> Outcome | None:
        """Take a step; return the outcome where it was the last for now, else None."""
        target = order.target
        match step:
            case Start():
                digest = (told and told.digest) or f"of-{short_hash('/'.join((*wanted.staged, wanted.base or '')))}"
                text = staging.description(order.sync, order.run, digest)
                await self._pachd.start_commit(target, order.spec.effective_branch, text)
            case Fill(commit):
                deletes = told.deletes if told else ()
                done = await self._patiently(
                    order, f"fill {commit}", lambda: self._copy(target, wanted, commit, deletes)
                )
                if not done:
                    return _goes_on(f"copying {wanted.files} files into commit {commit} of {order.spec.destination}")
            case Await(commit):
                await self._pachd.wait_finished(target, commit)
            case Drop(commit, error):
                await self._pachd.drop_commit(target, commit)
                if error:
                    self._metrics.dropped_commit()
                    text = f"the commit that was to publish finished with an error and was removed: {error}"
                    return Outcome("Retryable", Reason.COMMIT_FAILED, text)
        return None

    async def _copy(self, target: Target, wanted: Publication, commit: str, deletes: tuple[str, ...]) -> bool:
        """Fill and finish the commit."""
        sources = list(wanted.staged)
        if not wanted.prefix:
            # At the top level the manifest would be copied too; the commit before it lacks it.
            sources = [await self._pachd.parent_of(target, source) or source for source in sources]
        copies = [(source, wanted.prefix) for source in sources]
        await self._pachd.modify(target, commit, deletes, copies, wanted.files)
        await self._pachd.finish_commit(target, commit)
        return True

    async def _tell(self, target: Target, reports: tuple[Report, ...], prefix: str) -> Told:
        """Read the manifests, as far as the reports do not tell all: of few syncs at once, for they fill the memory."""
        async with self._reading:
            if len(reports) > 1 and sum(report.files.total for report in reports) <= MOST_DIGESTED:
                return await self._read_all(target, reports, prefix)
            digest = reports[0].digest if len(reports) == 1 else None
            leader = next((item for item in reports if item.files.deleted), None)
            return Told(digest, (await self._read(target, leader, prefix)).deletes if leader else ())

    async def _read_all(self, target: Target, reports: tuple[Report, ...], prefix: str) -> Told:
        lines: list[tuple[str, str]] | None = []
        deletes: tuple[str, ...] = ()
        plans = set()
        for report in reports:
            manifest = await self._read(target, report, prefix)
            deletes += manifest.deletes
            plans.add(manifest.plan)
            found = manifest.lines()
            lines = None if lines is None or found is None or report.result != "Verified" else lines + found
        if len(plans) > 1:
            # Jobs that do not report their plan tell of it here alone.
            raise TemporarySyncError(*INPUTS_DIFFER)
        digest = None if lines is None else await asyncio.to_thread(digest_of, lines)
        return Told(digest, deletes)

    async def _read(self, target: Target, report: Report, prefix: str) -> Manifest:
        content = await self._pachd.read_manifest(target, report.staged.commit if report.staged else "")
        return await asyncio.to_thread(Manifest, content, prefix)

    async def _ended(self, order: Order, seen: Observation, outcome: Outcome) -> Outcome:
        """Clean up after a run that is published; what cannot be removed now, a sweep will."""
        if outcome.kind != "Succeeded":
            return outcome
        branch = staging.staging_branch(staging.run_id(order.sync, order.run))
        async with _as_far_as_it_goes():
            for index in range(len(seen.reports)):
                await self._pachd.remove_branch(order.target, f"{branch}-w{index}")
        return outcome


@contextlib.asynccontextmanager
async def _as_far_as_it_goes() -> AsyncIterator[None]:
    """Clean up within a limit; what stays is no reason to fail a run, and a sweep will find it."""
    try:
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            yield
    except (SyncError, TimeoutError) as error:
        logger.info("what was staged stays for now: %s", error)


def _verdict(
    order: Order, step: Published | Unchanged | Moved | Busy | Spoilt, report: Report, told: Told | None
) -> Outcome:
    """Return what a step means that nothing can be done about; raises TemporarySyncError where it is to be waited."""
    match step:
        case Published(commit, description):
            text = f"{report.message} Published as commit {commit}."
            digest = staging.digest_in(description)
            return Outcome("Succeeded", _good_reason(report), text, commit=commit, digest=digest)
        case Unchanged(head):
            text = f"all {report.files.total} files are in commit {head} already; no commit was made"
            return Outcome("Succeeded", Reason.UNCHANGED, text, commit=head, digest=told.digest if told else None)
        case Spoilt(error):
            text = f"the commit that was to publish finished with an error, and others have built upon it: {error}"
            return Outcome("Retryable", Reason.COMMIT_FAILED, text)
        case Busy(commit, description):
            raise _busy(order, commit, description)
        case Moved(head):
            text = f"branch '{order.spec.effective_branch}' got commit {head} since the run began; all is compared anew"
            return Outcome("Retryable", Reason.TARGET_MOVED, text)


async def _as_coroutine(work: Callable[[], Awaitable[_Result]]) -> _Result:
    return await work()


def _keep_last(remembered: OrderedDict[Any, Any], most: int) -> None:
    while len(remembered) > most:
        remembered.popitem(last=False)


def _commits(reports: tuple[Report, ...]) -> tuple[str, ...]:
    return tuple(report.staged.commit for report in reports if report.staged)


def _good_reason(report: Report) -> Reason:
    return Reason.COPIED if report.result == "Copied" else Reason.VERIFIED


def _goes_on(text: str) -> Outcome:
    return Outcome("Running", Reason.PROGRESSING, text, soon=True)


def _busy(order: Order, commit: str, description: str) -> TemporarySyncError:
    whose = f" ('{description}')" if description else ""
    text = (
        f"branch '{order.spec.effective_branch}' of repo '{order.spec.repo}' is held by the unfinished commit "
        f"{commit}{whose}; it is waited for"
    )
    return TemporarySyncError(Reason.TARGET_BUSY, text)
