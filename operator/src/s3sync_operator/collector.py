"""Collects what dead runs left in Pachyderm: staging branches, and commits that hold a target open."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from s3sync_operator.access import Target, pachd_address
from s3sync_operator.api import DEFAULT_PROJECT, Sync
from s3sync_operator.errors import SyncError
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import Pachd
from s3sync_operator.publish import CommitSeen
from s3sync_operator.runs import current_run, is_new
from s3sync_operator.settings import Settings
from s3sync_operator.staging import BranchSeen, dead_branches, dead_commits, owner_and_run, owner_in, owner_of, run_id

GRAVE_HOURS, MOST_GRAVES, MOST_BRANCHES = 1, 1000, 200
SWEEPS_A_FULL_ONE = 24

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """A repo that syncs stage in, the syncs, those of them that are deleted, and one whose Secrets open the repo.

    `repo` (project, name) names it where none of the syncs does.
    """

    opener: Sync
    syncs: tuple[Sync, ...]
    graves: tuple[Sync, ...] = ()
    repo: tuple[str, str] | None = None

    @property
    def state(self) -> frozenset[tuple[str, str]]:
        """Changes whenever one of the syncs does."""
        return frozenset((sync.uid, sync.resource_version) for sync in self.syncs)


class Collector:
    """Sweeps the repos of all syncs; a place where nothing changed since it was found clean is passed over mostly."""

    def __init__(
        self,
        pachd: Pachd,
        settings: Settings,
        metrics: Metrics,
        open_target: Callable[[Sync], Awaitable[Target]],
        now: Callable[[], datetime],
    ) -> None:
        self._pachd = pachd
        self._settings = settings
        self._metrics = metrics
        self._open_target = open_target
        self._now = now
        self._graves: dict[str, tuple[datetime, Sync]] = {}
        self._clean: dict[tuple[str, ...], frozenset[tuple[str, str]]] = {}
        self._sweeps = 0

    def bury(self, sync: Sync) -> None:
        """Take note of a sync that was deleted: what it left is sought for a while."""
        if sync.spec and pachd_address(sync.spec, self._settings) and len(self._graves) < MOST_GRAVES:
            self._graves[sync.uid] = (self._now(), sync)

    async def sweep(self, list_syncs: Callable[[], Awaitable[list[Sync] | None]]) -> None:
        """Look once at all repos that syncs stage in, and remove what belongs to no run under way.

        The branches are listed before the syncs: a branch's run was then begun, and its sync is found to be at it.
        """
        self._forget_old_graves()
        found = await list_syncs()
        if found is None:
            return
        full = self._sweeps % SWEEPS_A_FULL_ONE == 0
        if full:
            self._clean.clear()
        self._sweeps += 1
        places = self._places(found)
        if full:
            places |= await self._strangers(places)
        for key, place in places.items():
            if self._clean.get(key) != place.state:
                await self._as_far_as_it_goes(key, self._sweep_place(key, place, list_syncs))

    async def _as_far_as_it_goes(self, key: tuple[str, ...], work: Awaitable[None]) -> None:
        """One place that cannot be swept must not keep the others from it."""
        try:
            await work
        except SyncError as error:
            logger.info("%s is not swept: %s", "/".join(key), error)
        except Exception:
            logger.exception("%s is not swept", "/".join(key))

    async def _strangers(self, places: Mapping[tuple[str, ...], Place]) -> dict[tuple[str, ...], Place]:
        """Return the repos with staging branches that no sync names any more, at the pachds that syncs name: a sync may
        have been deleted while no operator was there to take note of it."""
        openers = {key[0]: place.opener for key, place in places.items()}
        found: dict[tuple[str, ...], Place] = {}
        for address, opener in openers.items():

            async def look(address: str = address, opener: Sync = opener) -> None:
                for project, repo in await self._pachd.staged_in(await self._open_target(opener)):
                    key = (address, project, repo)
                    if key not in places:
                        found[key] = Place(opener, (), repo=(project, repo))

            await self._as_far_as_it_goes((address,), look())
        return found

    def _forget_old_graves(self) -> None:
        since = self._now() - timedelta(hours=GRAVE_HOURS)
        self._graves = {uid: grave for uid, grave in self._graves.items() if grave[0] > since}

    def _places(self, syncs: Iterable[Sync]) -> dict[tuple[str, ...], Place]:
        places: dict[tuple[str, ...], Place] = {}
        graves = tuple(sync for _, sync in self._graves.values())
        for sync in (*syncs, *graves):
            spec = sync.spec
            # One that is Direct now may have staged before.
            address = pachd_address(spec, self._settings) if spec else None
            if spec is None or address is None:
                continue
            key = (address, spec.project or DEFAULT_PROJECT, spec.repo)
            known = places.get(key, Place(sync, ()))
            buried = (*known.graves, sync) if sync in graves else known.graves
            places[key] = Place(known.opener, (*known.syncs, sync), buried)
        return places

    async def _sweep_place(
        self, key: tuple[str, ...], place: Place, list_syncs: Callable[[], Awaitable[list[Sync] | None]]
    ) -> None:
        target = await self._open_target(place.opener)
        if place.repo:
            target = replace(target, project=place.repo[0], repo=place.repo[1])
        branches = await self._pachd.list_branches(target)
        open_heads = await self._open_heads(target, place, branches)
        if not open_heads and not any(owner_and_run(branch.name) for branch in branches):
            self._clean[key] = place.state
            return
        syncs = await list_syncs()
        if syncs is None:
            return
        # Live in either listing is live: a run may have ended, or begun, since what it left was listed. And whose
        # sync the second listing lacks, as when a namespace could not be listed, is not known to be over.
        before = [sync for sync in place.syncs if sync not in place.graves]
        live = frozenset({*live_runs(before, self._now()), *live_runs(syncs, self._now())})
        owners = {owner_of(sync.uid) for sync in (*syncs, *place.graves)}
        stray_age = timedelta(seconds=self._settings.stray_age)
        over = dead_commits(open_heads, live, owners, self._now(), stray_age)
        for commit in over:
            if await self._pachd.drop_open_commit(target, commit.id):
                logger.info("dropped commit %s of %s, whose run is over", commit.id, target.shown)
        # By its staging branches, an open commit is found again: they stay until it goes.
        left = {
            named[1] for commit in open_heads if commit not in over and (named := owner_and_run(commit.description))
        }
        for name in dead_branches(branches, {*live, *left}, owners, self._now(), stray_age):
            if await self._pachd.remove_branch(target, name):
                self._metrics.collected(1)
                logger.info("removed staging branch %s of %s, whose run is over", name, target.shown)

    async def _open_heads(self, target: Target, place: Place, branches: Iterable[BranchSeen]) -> list[CommitSeen]:
        """Return the open heads that are of a run: of the syncs' branches first, and of all others, for a spec may
        have named another one."""
        names = sorted({sync.spec.effective_branch for sync in place.syncs if sync.spec})
        others = sorted(branch.name for branch in branches if owner_and_run(branch.name) is None)
        found = []
        for branch in [*names, *(name for name in others if name not in names)][:MOST_BRANCHES]:
            head = await self._pachd.history(target, branch, None, 1)
            found += [commit for commit in head if commit.state == "Open" and owner_in(commit.description)]
        return found


def live_runs(syncs: Iterable[Sync], now: datetime) -> Iterable[str]:
    """Yield the ids of the runs that are under way or about to begin."""
    for sync in syncs:
        if sync.spec is None:
            continue
        run = current_run(sync, sync.spec, now)
        if is_new(sync, run) or not sync.status.finished:
            yield run_id(sync, run)
