"""An operator that is stopped between any two steps, and started again, still brings a sync to its right end."""

import asyncio
import itertools
import random

import pytest
from kubernetes.aio import client

from pachyderm_standin.process import StandinProcess
from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings
from tests.integration.conftest import Syncs
from tests.support.cluster import JOB_IMAGE
from tests.support.mortal import Mortal, live
from tests.support.operator_process import OperatorProcess

SETTINGS = Settings(job_image=JOB_IMAGE, retry_delay=1, gateway_timeout=5)
STEPS_LIMIT = 60


async def run_lives(
    key: tuple[str, str], cluster: KubernetesCluster, gateway: S3Gateway, pachd: GrpcPachd, last: int, after: bool
) -> int:
    """Reconcile until the sync is finished; the first life ends at its call `last`. Return the number of calls made."""
    calls = itertools.count()
    first = Reconciler(
        Mortal(cluster, calls, last, after_effect=after),
        Mortal(gateway, calls, last, after_effect=after),
        Mortal(pachd, calls, last, after_effect=after),
        SETTINGS,
    )
    await live(key, (cluster, gateway, pachd), SETTINGS, lambda sync: sync.status.finished, first)
    return next(calls)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before its effect", "after its effect"])
async def test_killed_at_any_call_it_goes_on_from_there(
    syncs: Syncs, api: client.ApiClient, standin: StandinProcess, after_effect: bool
) -> None:
    cluster, gateway, pachd = KubernetesCluster(api, timeout=30), S3Gateway(timeout=5), GrpcPachd(timeout=5)
    reference = syncs.apply()
    key = (syncs.namespace, reference)
    steps = await run_lives(key, cluster, gateway, pachd, last=-1, after=after_effect)
    # The polling between the steps makes the number of calls vary; every kind of call is among the first ones and the
    # last, so one sync is killed at each of them.
    wanted = [number for number in range(min(steps, STEPS_LIMIT)) if number < 16 or number >= steps - 6]
    for batch in (wanted[start : start + 6] for start in range(0, len(wanted), 6)):
        names = [syncs.apply() for _ in batch]
        await asyncio.gather(
            *(
                run_lives((syncs.namespace, name), cluster, gateway, pachd, last=last, after=after_effect)
                for name, last in zip(names, batch, strict=True)
            )
        )
        for name in names:
            status = syncs.get(name)["status"]
            assert status["phase"] == "Succeeded", status
            assert status["counts"] == {**status["counts"], "verified": 2, "failed": 0}
            assert status["attempt"] == 1, "no step was taken for a failure"
            jobs = syncs.kubectl("get", "tfjobs", "-o", "name").split()
            assert sum(f"/{name}-" in job for job in jobs) == 1, "the same spec never runs twice"
    gateway.close()
    pachd.close()


def test_killed_at_random_moments_as_a_process(syncs: Syncs, own_operator: OperatorProcess) -> None:
    chance = random.Random(7)
    names = [syncs.apply() for _ in range(4)]
    for _ in range(4):
        wait = chance.uniform(0.1, 1.2)
        asyncio.run(asyncio.sleep(wait))
        own_operator.kill()
        own_operator.start()
    for name in names:
        assert syncs.wait_ready(name)["attempt"] == 1
    assert len(syncs.kubectl("get", "tfjobs", "-o", "name").split()) == len(names)


def test_an_operator_that_comes_after_the_sync_carries_it_out(syncs: Syncs, own_operator: OperatorProcess) -> None:
    own_operator.stop()
    name = syncs.apply()
    own_operator.start()
    syncs.wait_ready(name)


def test_an_operator_that_was_away_when_the_job_ended_tells_its_result(
    syncs: Syncs, own_operator: OperatorProcess, standin: StandinProcess
) -> None:
    name = syncs.apply()
    job = syncs.wait_for(name, lambda status: "tfJobName" in status, "started")["tfJobName"]
    own_operator.kill()
    syncs.kubectl("wait", "--for=condition=Succeeded", f"tfjob/{job}", "--timeout=60s")
    own_operator.start()
    assert syncs.wait_ready(name)["tfJobName"] == job
