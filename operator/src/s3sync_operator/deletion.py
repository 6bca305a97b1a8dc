"""What becomes of Pachyderm's branch and repo when a sync is deleted, as its deletionPolicy says.

A finalizer holds the sync until that is done. It goes in any case: where Pachyderm is gone for good, after a limit or
by an annotation, and an Event tells what is left.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from s3sync_operator import staging
from s3sync_operator.access import Target, pachd_address
from s3sync_operator.api import (
    ANNOTATION_SKIP_CLEANUP,
    DEFAULT_PROJECT,
    FINALIZER,
    ConditionType,
    DeletionPolicy,
    Reason,
    Spec,
    Sync,
    parse_sync,
)
from s3sync_operator.cluster import Cluster, EventType
from s3sync_operator.errors import SyncError, TemporarySyncError
from s3sync_operator.opening import open_sync
from s3sync_operator.pachd import Pachd
from s3sync_operator.settings import Settings

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
NAMED = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Going:
    """What is deleted with a sync, and why not more, where the policy asks for more."""

    what: Literal["repo", "branch", "nothing"]
    why_not_more: str = ""


@dataclass(frozen=True)
class Farewell:
    """The Event with which the finalizer goes."""

    kind: EventType
    reason: str
    note: str


class Deletion:
    """Holds syncs that are to be cleaned up after, and cleans up after them; each look decides anew."""

    def __init__(self, cluster: Cluster, pachd: Pachd, settings: Settings, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._pachd = pachd
        self._settings = settings
        self._now = now

    async def go_on(self, sync: Sync, still_ending: Callable[[Sync], Awaitable[str | None]]) -> SyncError | None:
        """Take a deleted sync as far as it goes now; return what it waits for, None once nothing holds it any more.

        `still_ending` ends the sync's jobs and names what of them is still there.
        """
        farewell = given_up(sync, self._settings, self._now())
        try:
            farewell = farewell or await self._cleaned_up(sync, still_ending)
        except SyncError as error:
            return error
        logger.info("%s: %s", farewell.reason, farewell.note)
        await self._cluster.post_event(sync, farewell.kind, farewell.reason, farewell.note)
        await self._cluster.write_finalizers(sync, [name for name in sync.finalizers if name != FINALIZER])
        return None

    def pause(self, sync: Sync) -> float:
        """Return after how many seconds to look again: the later, the longer it has taken, but not past the limit."""
        deleted = sync.deleted_at or self._now()
        taken = (self._now() - deleted).total_seconds()
        left = max(SHORTEST_PAUSE, self._settings.deletion_deadline - taken)
        return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, taken / 4), left)

    async def _cleaned_up(self, sync: Sync, still_ending: Callable[[Sync], Awaitable[str | None]]) -> Farewell:
        """Raises SyncError with what is in the way."""
        if sync.spec is None:
            return Farewell("Warning", "CleanupSkipped", f"nothing is deleted in Pachyderm: {sync.spec_error}")
        if text := await still_ending(sync):
            raise TemporarySyncError(Reason.DELETING, text)
        target = (await open_sync(self._cluster, sync, sync.spec)).target(sync.spec, self._settings)
        await self._remove_staged(sync, sync.spec, target)
        repo = await self._pachd.repo_of(target)
        if repo is None or sync.spec.effective_branch not in repo.branches:
            return Farewell("Normal", "BranchDeleted", f"{_branch(sync.spec)} is gone already")
        going = what_goes(sync, sync.spec, repo, await self._others(sync))
        return await self._delete(sync.spec, target, going)

    async def _remove_staged(self, sync: Sync, spec: Spec, target: Target) -> None:
        for branch in await self._pachd.list_branches(target):
            if staging.is_of(sync, branch.name) and not await self._pachd.remove_branch(target, branch.name):
                raise TemporarySyncError(Reason.DELETING, f"staging branch '{branch.name}' is being removed")
        for head in await self._pachd.history(target, spec.effective_branch, None, 1):
            if staging.is_of(sync, head.description):
                await self._pachd.drop_open_commit(target, head.id)

    async def _others(self, sync: Sync) -> list[Sync]:
        """Return all syncs but this one that stay; one namespace that cannot be listed keeps all from being deleted."""
        found: list[Sync] = []
        for namespace in self._settings.namespaces or (None,):
            found += map(parse_sync, await self._cluster.list_syncs(namespace))
        return [other for other in found if other.uid != sync.uid and other.deleted_at is None]

    async def _delete(self, spec: Spec, target: Target, going: Going) -> Farewell:
        because = f": {going.why_not_more}" if going.why_not_more else ""
        match going.what:
            case "repo":
                await self._pachd.delete_repo(target)
                return Farewell("Normal", "RepoDeleted", f"repo '{spec.repo}' is deleted")
            case "branch":
                await self._pachd.delete_branch(target, spec.effective_branch)
                kept = f"; the repo is kept{because}" if because else ""
                return Farewell("Normal", "BranchDeleted", f"{_branch(spec)} is deleted{kept}")
            case "nothing":
                return Farewell("Normal", "BranchKept", f"{_branch(spec)} is kept{because}")


def is_held(spec: Spec, settings: Settings) -> bool:
    """Tell whether a sync is cleaned up after when it is deleted."""
    return spec.deletion_policy not in (None, DeletionPolicy.RETAIN) and pachd_address(spec, settings) is not None


def finalizers_of(sync: Sync, spec: Spec, settings: Settings) -> tuple[str, ...]:
    """Return the finalizers that the sync is to have; those of others stay."""
    if is_held(spec, settings) == (FINALIZER in sync.finalizers):
        return sync.finalizers
    others = tuple(name for name in sync.finalizers if name != FINALIZER)
    return (*others, FINALIZER) if is_held(spec, settings) else others


def given_up(sync: Sync, settings: Settings, now: datetime) -> Farewell | None:
    """Return the farewell of a sync that is not cleaned up after, or not any longer; None where it is."""
    if sync.spec and sync.spec.deletion_policy in (None, DeletionPolicy.RETAIN):
        return Farewell("Normal", "BranchKept", f"{_branch(sync.spec)} is kept, as spec.deletionPolicy says")
    left = f"{_branch(sync.spec)} stays as it is" if sync.spec else "what it made in Pachyderm stays as it is"
    if sync.skips_cleanup:
        return Farewell("Warning", "CleanupSkipped", f"{left}: annotation {ANNOTATION_SKIP_CLEANUP} says so")
    if sync.deleted_at and now - sync.deleted_at > timedelta(seconds=settings.deletion_deadline):
        text = f"{left}: not cleaned up within {settings.deletion_deadline} seconds (--deletion-deadline)"
        ready = sync.status.condition(ConditionType.READY)
        return Farewell("Warning", "CleanupAbandoned", f"{text}; last: {ready.message}" if ready else text)
    return None


def what_goes(sync: Sync, spec: Spec, repo: staging.RepoSeen, others: Iterable[Sync]) -> Going:
    """Return what is deleted in Pachyderm: what the policy names, the sync has made, and nobody else uses.

    Whether two addresses lead to the same Pachyderm cannot be told, so a sync of any address counts that names the same
    repo.
    """
    beside = [other for other in others if other.spec and _place(other.spec) == _place(spec)]
    sharing = [item for item in beside if item.spec and item.spec.effective_branch == spec.effective_branch]
    made_repo = repo.description.startswith(staging.repo_mark(sync))
    if sharing:
        return Going("nothing", f"{_syncs(sharing)} names it too")
    if not made_repo and not _made_branch(sync, spec, repo):
        return Going("nothing", "the sync has not made it")
    if spec.deletion_policy is not DeletionPolicy.DELETE_REPO:
        return Going("branch")
    kept = _why_repo_is_kept(made_repo, beside, set(repo.branches) - {spec.effective_branch})
    return Going("branch", kept) if kept else Going("repo")


def _why_repo_is_kept(made_repo: bool, beside: Sequence[Sync], branches: Collection[str]) -> str | None:
    if not made_repo:
        return "the sync has not made it"
    if beside:
        return f"{_syncs(beside)} names it too"
    return f"it has {_listed(sorted(branches), 'branch')} besides" if branches else None


def _made_branch(sync: Sync, spec: Spec, repo: staging.RepoSeen) -> bool:
    """Tell whether the branch is the one that the sync made: somebody may have made another by its name since."""
    made = sync.status.branch_created_at
    there = repo.branches.get(spec.effective_branch)
    return made is not None and (there is None or abs(there - made) < timedelta(seconds=1))


def _place(spec: Spec) -> tuple[str, str]:
    return spec.project or DEFAULT_PROJECT, spec.repo


def _branch(spec: Spec) -> str:
    return f"branch '{spec.effective_branch}' of repo '{spec.repo}'"


def _syncs(syncs: Sequence[Sync]) -> str:
    return _listed([f"{sync.namespace}/{sync.name}" for sync in syncs], "sync")


def _listed(names: Sequence[str], kind: str) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{kind} {', '.join(repr(name) for name in names[:NAMED])}{more}"
