"""What lives as long as the operator: the queue, the clients, the resync, and the health that the probe asks for."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from s3sync_operator.access import Target
from s3sync_operator.admission import Admission, runs_under_way
from s3sync_operator.api import Reason, Sync, parse_sync
from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.collector import Collector
from s3sync_operator.desired import ANNOTATION_SYNC
from s3sync_operator.errors import PermanentSyncError
from s3sync_operator.freshness import Freshness
from s3sync_operator.kube_api import ApiClient, ApiException
from s3sync_operator.metrics import Metrics
from s3sync_operator.opening import open_sync
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler, utc_now
from s3sync_operator.settings import Settings
from s3sync_operator.workqueue import WorkQueue

SyncKey = tuple[str, str]
# The longest single reconcile: each of its few requests has its own, shorter limit.
RECONCILE_LIMIT = 180.0
SWEEP_LIMIT = 3600.0
STALE_AFTER_RESYNCS = 3
FIRST_RELIST = 0.5

logger = logging.getLogger(__name__)


@dataclass
class Service:
    """The running operator, made in kopf's start-up handler and closed in its clean-up handler."""

    api: ApiClient
    cluster: KubernetesCluster
    gateway: S3Gateway
    pachd: GrpcPachd
    reconciler: Reconciler
    admission: Admission
    collector: Collector
    queue: WorkQueue[SyncKey]
    freshness: Freshness
    settings: Settings
    metrics: Metrics
    background: tuple[asyncio.Task[None], ...] = ()

    @classmethod
    async def start(cls, settings: Settings, api: ApiClient, metrics: Metrics) -> "Service":
        """Take over the connection to the cluster and begin the resync."""
        cluster = KubernetesCluster(api, settings.api_timeout)
        gateway = S3Gateway(settings.gateway_timeout, metrics)
        pachd = GrpcPachd(settings.gateway_timeout, metrics)
        admission = Admission(settings.max_concurrent_runs, settings.max_concurrent_runs_per_endpoint, metrics)
        reconciler = Reconciler(cluster, gateway, pachd, settings, metrics=metrics, admission=admission)
        collector = _collector(cluster, pachd, settings, metrics)
        queue: WorkQueue[SyncKey] = WorkQueue(
            reconciler.reconcile, concurrency=settings.concurrency, time_limit=RECONCILE_LIMIT, metrics=metrics
        )
        admission.wake = queue.add
        freshness = Freshness(limit=STALE_AFTER_RESYNCS * settings.resync_interval, started=time.monotonic())
        service = cls(
            api, cluster, gateway, pachd, reconciler, admission, collector, queue, freshness, settings, metrics
        )
        service.background = (
            asyncio.create_task(service._resync_forever(), name="resync"),
            asyncio.create_task(service._sweep_forever(), name="sweep"),
        )
        return service

    async def close(self) -> None:
        """Let reconciles under way end, and let go of all connections."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        await self.queue.close()
        self.reconciler.close()
        self.gateway.close()
        self.pachd.close()
        await self.api.close()

    def sync_changed(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take an event of a sync."""
        metadata = raw["metadata"]
        self.freshness.delivered(metadata["uid"], metadata["resourceVersion"], deleted=kind == "DELETED")
        if kind == "DELETED":
            self.metrics.syncs.forget([metadata["uid"]])
            self.admission.leave((metadata["namespace"], metadata["name"]))
            self.collector.bury(parse_sync(raw))
        else:
            self.metrics.syncs.note(raw)
            self.queue.add((metadata["namespace"], metadata["name"]))

    def child_changed(self, raw: dict[str, Any]) -> None:
        """Take an event of a TFJob, a Job or a pod: the sync it belongs to is named in its annotation."""
        metadata = raw["metadata"]
        if name := metadata.get("annotations", {}).get(ANNOTATION_SYNC):
            self.queue.add((metadata["namespace"], name))

    def health_complaint(self) -> str | None:
        """Return why a restart is due: the operator no longer sees what happens; None while all is well."""
        return self.freshness.complaint(time.monotonic())

    def readiness_complaint(self) -> str | None:
        """Return why the operator cannot do its work now; None while it can."""
        if self.queue.closed:
            return "the operator is stopping"
        if not self.freshness.caught_up:
            return "the watch has not delivered the first listing yet"
        if (wait := self.queue.longest_wait) > RECONCILE_LIMIT:
            return f"a sync has waited for {wait:.0f} s to be reconciled"
        return self.health_complaint()

    async def _resync_forever(self) -> None:
        """Look at all syncs at intervals: what the watch missed is queued, and its silence shows in the probe."""
        await self._expect_first_listing()
        while True:
            await asyncio.sleep(self.settings.resync_interval)
            with contextlib.suppress(asyncio.TimeoutError):
                async with asyncio.timeout(RECONCILE_LIMIT):
                    await self._resync()

    async def _sweep_forever(self) -> None:
        """Collect at intervals what dead runs left in Pachyderm."""
        while True:
            await asyncio.sleep(self.settings.sweep_interval)
            try:
                async with asyncio.timeout(SWEEP_LIMIT):
                    await self.collector.sweep(self._parsed)
            except (ApiException, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("a sweep of what dead runs left in Pachyderm is not done: %s", error)
            except Exception:
                # Unforeseen as it is, it must not end the sweeps for good.
                logger.exception("a sweep of what dead runs left in Pachyderm is not done")

    async def _parsed(self) -> list[Sync] | None:
        found = await self._list()
        return None if found is None else [parse_sync(raw) for raw in found]

    async def _expect_first_listing(self) -> None:
        """Say what the watch must deliver before the operator is ready; the resync sets in after its usual interval,
        however long the API server takes to answer."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(self.settings.resync_interval):
                pause = FIRST_RELIST
                while (found := await self._list()) is None:
                    await asyncio.sleep(pause)
                    pause *= 2
                self._first_listed(found)

    def _first_listed(self, found: list[dict[str, Any]]) -> None:
        """Say what the watch must deliver before the operator is ready, and which runs are under way already."""
        self.freshness.expect(_versions(found), time.monotonic())
        if not self.admission.ready:
            active = runs_under_way(map(parse_sync, found), self.settings)
            self.admission.fill(active)
            for key in active:
                # One that goes before the watch begins sends no event; a look at it frees its slot.
                self.queue.add(key)

    async def _list(self) -> list[dict[str, Any]] | None:
        """Return all syncs, or None where no namespace could be listed: one without rights must not take the others
        down with it."""
        found: list[dict[str, Any]] = []
        known, refused = self.metrics.syncs.known(), 0
        namespaces = self.settings.namespaces or (None,)
        for namespace in namespaces:
            try:
                found += await self.cluster.list_syncs(namespace)
            except (ApiException, aiohttp.ClientError, TimeoutError) as error:
                refused += 1
                logger.warning("the syncs of %s cannot be listed: %s", namespace or "the cluster", error)
        if refused == len(namespaces):
            return None
        if not refused:
            self._listed_all(known, found)
        return found

    def _listed_all(self, known: frozenset[str], found: list[dict[str, Any]]) -> None:
        self.metrics.syncs.forget(known - {item["metadata"]["uid"] for item in found})
        for item in found:
            self.metrics.syncs.note(item)
        self.metrics.last_resync.set_to_current_time()

    async def _resync(self) -> None:
        found = await self._list()
        if found is None:
            return
        self._first_listed(found)
        missed = set(self.freshness.compare(_versions(found), time.monotonic()))
        for metadata in (item["metadata"] for item in found):
            if metadata["uid"] in missed:
                self.queue.add((metadata["namespace"], metadata["name"]))


def _collector(cluster: KubernetesCluster, pachd: GrpcPachd, settings: Settings, metrics: Metrics) -> Collector:
    async def open_target(sync: Sync) -> Target:
        if sync.spec is None:
            raise PermanentSyncError(Reason.INVALID_SPEC, sync.spec_error or "")
        return (await open_sync(cluster, sync, sync.spec)).target(sync.spec, settings)

    return Collector(pachd, settings, metrics, open_target, utc_now)


def _versions(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["metadata"]["uid"], item["metadata"]["resourceVersion"]) for item in found]
