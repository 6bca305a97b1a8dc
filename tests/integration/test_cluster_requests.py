"""What the operator's requests to a real API server mean there: fences, pages, and what goes with a job."""

import asyncio
from typing import Any

import pytest
from kubernetes.aio import client

from s3sync_local.cluster import LocalCluster
from s3sync_operator import cluster as requests
from s3sync_operator.api import Phase
from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.errors import ConflictError
from s3sync_operator.kube_api import KubeApi, path_of
from s3sync_operator.runners import JOB
from tests.integration.conftest import Syncs
from tests.support.cluster import JOB_IMAGE

WAIT_SECONDS = 30


@pytest.fixture
def kubernetes(api: client.ApiClient) -> KubernetesCluster:
    """The operator's side of the API server."""
    return KubernetesCluster(api, timeout=30)


async def test_a_status_that_was_decided_by_an_older_state_is_not_written(
    syncs: Syncs, kubernetes: KubernetesCluster
) -> None:
    name = syncs.apply()
    seen = await kubernetes.get_sync(syncs.namespace, name)
    assert seen
    first = seen.status.model_copy(update={"phase": Phase.SUSPENDED})
    assert await kubernetes.write_status(seen, first)
    with pytest.raises(ConflictError):
        await kubernetes.write_status(seen, seen.status.model_copy(update={"phase": Phase.FAILED}))
    with pytest.raises(ConflictError):
        await kubernetes.write_finalizers(seen, ["example.com/held"])
    now = await kubernetes.get_sync(syncs.namespace, name)
    assert now
    assert (now.status.phase, now.finalizers) == (Phase.SUSPENDED, ())


async def test_all_pages_of_a_listing_are_read(
    syncs: Syncs, kubernetes: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "PAGE", 2)
    names = sorted(syncs.apply() for _ in range(5))
    found = await kubernetes.list_syncs(syncs.namespace)
    assert sorted(item["metadata"]["name"] for item in found) == names


async def test_pods_go_with_their_job(
    installed: LocalCluster, namespace: str, api: client.ApiClient, kubernetes: KubernetesCluster
) -> None:
    pods = path_of("v1", namespace, "pods")
    container = {"name": "main", "image": JOB_IMAGE, "command": ["sleep", "600"]}
    manifest: dict[str, Any] = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "writes", "namespace": namespace},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    made = await kubernetes.create_job(manifest)
    assert made["kind"] == "Job"
    await seen(api, pods, 1)
    await kubernetes.delete_job(namespace, JOB, "writes")
    await seen(api, pods, 0)
    await kubernetes.delete_job(namespace, JOB, "writes")


async def seen(api: client.ApiClient, path: str, count: int) -> None:
    """Wait until there are so many objects."""
    async with asyncio.timeout(WAIT_SECONDS):
        while len((await KubeApi(api, WAIT_SECONDS).get(path))["items"]) != count:
            await asyncio.sleep(0.1)
