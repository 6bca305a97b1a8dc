"""What the operator does at its start, before its watch delivers anything."""

import asyncio
from typing import Any, cast

from kubernetes.aio.client import ApiClient

from s3sync_operator.admission import Admission
from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.collector import Collector
from s3sync_operator.freshness import Freshness
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.service import Service
from s3sync_operator.workqueue import WorkQueue
from tests.support.memory_cluster import MemoryCluster
from tests.support.world import KEY, PACHD, SETTINGS, OpenGateway, world

OTHER = ("kubeflow", "other")


class GoneAfterListing(MemoryCluster):
    """Lists its sync once; whoever looks then finds that it is gone."""

    async def list_syncs(self, namespace: str | None) -> list[dict[str, Any]]:
        self.gone = True
        listed = dict(self.raw)
        self.raw = {**self.raw, "metadata": {**self.raw["metadata"], "deletionTimestamp": "2026-11-24T12:00:00Z"}}
        return [listed]


def started_on(cluster: MemoryCluster, admission: Admission, gateway: Any) -> Service:
    metrics = Metrics()
    reconciler = Reconciler(cluster, gateway, PACHD, SETTINGS, metrics=metrics, admission=admission)
    return Service(
        cast(ApiClient, None),
        cast(KubernetesCluster, cluster),
        cast(S3Gateway, gateway),
        PACHD,
        reconciler,
        admission,
        cast(Collector, None),
        WorkQueue(reconciler.reconcile, concurrency=1, time_limit=5, metrics=metrics),
        Freshness(limit=60, started=0),
        SETTINGS,
        metrics,
    )


async def test_a_run_under_way_that_goes_before_the_watch_begins_frees_its_slot() -> None:
    it = await world(finished=False)
    await it.run()
    cluster, admission = GoneAfterListing(), Admission(total=1)
    cluster.raw = it.cluster.raw
    service = started_on(cluster, admission, OpenGateway())
    await service._expect_first_listing()
    assert not admission.ask(OTHER, "http://elsewhere")
    async with asyncio.timeout(5):
        while not admission.ask(OTHER, "http://elsewhere"):
            await asyncio.sleep(0.01)
    assert cluster.sync.key == KEY
    await service.queue.close()
