"""What lives as long as the operator: the queue, the clients, the resync, and the health that the probe asks for."""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ApiException

from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.desired import ANNOTATION_SYNC
from s3sync_operator.freshness import Freshness
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings
from s3sync_operator.workqueue import WorkQueue

SyncKey = tuple[str, str]
# The longest single reconcile: each of its few requests has its own, shorter limit.
RECONCILE_LIMIT = 180.0
STALE_AFTER_RESYNCS = 3

logger = logging.getLogger(__name__)


class StaleError(Exception):
    """The operator no longer sees what happens; raised to the probe so that the kubelet restarts it."""


@dataclass
class Service:
    """The running operator, made in kopf's start-up handler and closed in its clean-up handler."""

    api: ApiClient
    cluster: KubernetesCluster
    gateway: S3Gateway
    queue: WorkQueue[SyncKey]
    freshness: Freshness
    settings: Settings
    resync: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, settings: Settings, api: ApiClient) -> "Service":
        """Take over the connection to the cluster and begin the resync."""
        cluster = KubernetesCluster(api, settings.api_timeout)
        gateway = S3Gateway(settings.gateway_timeout)
        reconciler = Reconciler(cluster, gateway, settings)
        queue: WorkQueue[SyncKey] = WorkQueue(
            reconciler.reconcile, concurrency=settings.concurrency, time_limit=RECONCILE_LIMIT
        )
        freshness = Freshness(limit=STALE_AFTER_RESYNCS * settings.resync_interval, started=time.monotonic())
        service = cls(api, cluster, gateway, queue, freshness, settings)
        service.resync = asyncio.create_task(service._resync_forever(), name="resync")
        return service

    async def close(self) -> None:
        """Let reconciles under way end, and let go of all connections."""
        if self.resync:
            self.resync.cancel()
            await asyncio.gather(self.resync, return_exceptions=True)
        await self.queue.close()
        self.gateway.close()
        await self.api.close()

    def sync_changed(self, kind: str | None, raw: dict[str, Any]) -> None:
        """Take an event of a sync."""
        metadata = raw["metadata"]
        self.freshness.delivered(metadata["uid"], metadata["resourceVersion"], deleted=kind == "DELETED")
        if kind != "DELETED":
            self.queue.add((metadata["namespace"], metadata["name"]))

    def child_changed(self, raw: dict[str, Any]) -> None:
        """Take an event of a TFJob or a pod: the sync it belongs to is named in its annotation."""
        metadata = raw["metadata"]
        if name := metadata.get("annotations", {}).get(ANNOTATION_SYNC):
            self.queue.add((metadata["namespace"], name))

    def check_health(self) -> str:
        """Return what is well; raises StaleError where the operator no longer sees what happens."""
        if complaint := self.freshness.complaint(time.monotonic()):
            raise StaleError(complaint)
        return "the watch delivers"

    async def _resync_forever(self) -> None:
        """Look at all syncs at intervals: what the watch missed is queued, and its silence shows in the probe."""
        while True:
            await asyncio.sleep(self.settings.resync_interval)
            with contextlib.suppress(asyncio.TimeoutError):
                async with asyncio.timeout(RECONCILE_LIMIT):
                    await self._resync()

    async def _list(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the metadata of all syncs, and whether any namespace could be listed: one without rights must not take
        the others down with it."""
        found: list[dict[str, Any]] = []
        answered = False
        for namespace in self.settings.namespaces or (None,):
            try:
                found += [item["metadata"] for item in await self.cluster.list_syncs(namespace)]
                answered = True
            except (ApiException, aiohttp.ClientError, TimeoutError) as error:
                logger.warning("the syncs of %s cannot be listed: %s", namespace or "the cluster", error)
        return found, answered

    async def _resync(self) -> None:
        found, answered = await self._list()
        if not answered:
            return
        listed = ((item["uid"], item["resourceVersion"]) for item in found)
        missed = set(self.freshness.compare(listed, time.monotonic()))
        for item in found:
            if item["uid"] in missed:
                self.queue.add((item["namespace"], item["name"]))
