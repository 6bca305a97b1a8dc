"""A publish that is killed at any call, and by anything: one commit on the target or none, and nothing left beside.

Kubernetes is one in memory here; pachd is the stand-in's and the workers are processes of s3sync-job.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_operator import publisher
from s3sync_operator.access import Target
from s3sync_operator.api import ANNOTATION_RUN_REQUESTED, Phase, Reason, Sync
from s3sync_operator.collector import Collector
from s3sync_operator.metrics import Metrics
from s3sync_operator.opening import open_sync
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler, utc_now
from s3sync_operator.settings import Settings
from s3sync_operator.staging import owner_and_run, writer
from tests.integration.conftest import plant
from tests.support.memory_cluster import Clock, JobCluster
from tests.support.mortal import Killed, Mortal, MortalMetrics
from tests.support.objects import pod_object, terminated
from tests.support.pachd import Message, Pachd, add, delete
from tests.support.syncs import unique

KEY = ("kubeflow", "books")
SETTINGS = Settings(retry_delay=1, retry_delay_max=1, gateway_timeout=5, max_attempts=4)
LOOKS = 60
MOST_CALLS = 60
BEFORE = {"/data/kept.txt": b"kept", "/data/lost.txt": b"lost", "/data/old.txt": b"old", "/beside.txt": b"beside"}
TREE = {"kept.txt": b"kept", "old.txt": b"renewed", "new/one.txt": b"1" * 3000, "new/two.txt": b"2"}
AFTER = {f"/data/{path}": content for path, content in TREE.items()} | {"/beside.txt": b"beside"}


class Place:
    """A repo with a tree in it, a sync that prunes and publishes onto that, and what they are looked at with."""

    def __init__(self, standin: StandinProcess, pachd: Pachd, folder: Path, **spec: Any) -> None:
        self.repo = f"repo-{unique()}"
        self.pachd = pachd
        self.branch = pachd.branch(self.repo)
        pachd.api.create_repo(repo=self.branch.repo)
        self.before = pachd.commit(self.branch, BEFORE).id
        spec = {"inputPath": "tree", "destinationPath": "data", "prune": {}, "client": "pfs"} | spec
        spec |= {"repo": self.repo, "endpoint": standin.endpoint, "pachdAddress": standin.pachd_address}
        self.cluster = JobCluster(folder, **spec)
        self.clock = Clock()

    def history(self) -> list[Message]:
        """Return all commits that came to be, but for empty ones: dropping a branch's first commit leaves one in its
        place, which outlives the branch where the life ends just then."""
        made = [info for info in self.pachd.commits(self.branch.repo) if info.commit.id != self.before]
        return [info for info in made if info.description or self.pachd.files(info.commit)]

    def files(self) -> dict[str, bytes]:
        """Return what a reader sees: the newest commit of the target that is finished."""
        head = self.pachd.api.inspect_commit(commit=self.pachd.head(self.branch))
        shown = head.commit if head.finished.year > 1970 else head.parent_commit
        return self.pachd.files(shown)

    def staged(self) -> list[str]:
        found = self.pachd.api.list_branch(repo=self.branch.repo)
        return [branch.branch.name for branch in found if owner_and_run(branch.branch.name)]


@pytest.fixture
def place(standin: StandinProcess, pachd: Pachd, tmp_path: Path) -> Place:
    plant(tmp_path, "tree", TREE)
    return Place(standin, pachd, tmp_path)


async def staged(place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd) -> Reconciler:
    """Have the workers stage, and return the operator that is about to publish."""
    reconciler = Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock)
    await reconciler.reconcile(KEY)
    await place.cluster.run_jobs()
    return reconciler


async def finish(place: Place, reconciler: Reconciler, looks: int = LOOKS) -> None:
    """Look until the sync is finished; what readers see meanwhile is all of it or nothing."""
    for _ in range(looks):
        await place.cluster.run_jobs()
        await reconciler.reconcile(KEY)
        assert place.files() in (BEFORE, AFTER)
        if place.cluster.status.finished:
            return
    raise AssertionError(f"not finished after {looks} looks: {place.cluster.status}")


def assert_published_once(place: Place, attempt: int = 1) -> None:
    status = place.cluster.status
    assert (status.phase, status.attempt) == (Phase.SUCCEEDED, attempt), status
    assert place.files() == AFTER
    (commit,) = place.history()
    assert (status.commit, commit.parent_commit.id) == (commit.commit.id, place.before)
    assert place.staged() == []


async def live_and_die(place: Place, gateway: S3Gateway, calls: Iterator[int], last: int, kind: str) -> None:
    """Lead one life that ends at its call `last` of the kind, if it comes so far, and a second to the end."""
    of_pachd, of_cluster = (calls, itertools.count()) if kind == "pachd" else (itertools.count(), calls)
    pachd = GrpcPachd(timeout=5, metrics=MortalMetrics(of_pachd, last if kind == "pachd" else -1))
    mortal = Mortal(place.cluster, of_cluster, -1 if kind == "pachd" else last, after_effect=kind == "after")
    cluster: Any = mortal
    try:
        await finish(place, Reconciler(cluster, gateway, pachd, SETTINGS, place.clock))
    except Killed:
        await finish_anew(place, gateway)
    finally:
        pachd.close()


async def finish_anew(place: Place, gateway: S3Gateway) -> None:
    """Bring the sync to its end in a life of its own."""
    pachd = GrpcPachd(timeout=5)
    try:
        await finish(place, Reconciler(place.cluster, gateway, pachd, SETTINGS, place.clock))
    finally:
        pachd.close()


# pachd's calls are killed after their effect; before the effect of one is after that of the one before.
@pytest.mark.parametrize("kind", ["pachd", "before", "after"])
@pytest.mark.timeout(600)
async def test_killed_at_any_call_it_publishes_once(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, tmp_path: Path, kind: str
) -> None:
    plant(tmp_path, "tree", TREE)
    for last in range(MOST_CALLS):
        calls = itertools.count()
        place = Place(standin, pachd, tmp_path)
        await live_and_die(place, gateway, calls, last, kind)
        assert_published_once(place)
        if next(calls) <= last:
            return
    raise AssertionError(f"a life makes more calls than {MOST_CALLS}, not all of which were tried")


async def test_workers_that_are_killed_are_run_again_and_the_others_work_is_taken_over(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    plant(tmp_path, "tree", TREE)
    place = Place(standin, pachd, tmp_path, workers=2)
    reconciler = Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock)
    await reconciler.reconcile(KEY)
    await place.cluster.run_jobs(0)
    (job,) = place.cluster.jobs
    killed = pod_object(job["metadata"]["name"], "Failed", state=terminated(137, "", "OOMKilled"))
    killed["metadata"]["name"] = f"{job['metadata']['name']}-worker-1"
    place.cluster.pods.append(killed)
    (first,) = place.staged()
    staged = pachd.head(pachd.branch(place.repo, first)).id
    await reconciler.reconcile(KEY)
    assert place.cluster.status.conditions[0].reason == Reason.OUT_OF_MEMORY
    while not place.cluster.jobs or place.cluster.jobs[0] is job:
        await reconciler.reconcile(KEY)
    await place.cluster.run_jobs()
    assert pachd.head(pachd.branch(place.repo, first)).id == staged, "worker 0 staged nothing again"
    await finish(place, reconciler)
    assert_published_once(place, attempt=2)


async def test_a_target_that_moved_is_compared_anew(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, pachd: Pachd
) -> None:
    reconciler = await staged(place, gateway, grpc_pachd)
    # What the job found unchanged is changed behind its back.
    theirs = pachd.start(place.branch, "somebody else's")
    pachd.modify(theirs, [delete("/data/kept.txt"), add("/data/kept.txt", b"not ours")])
    pachd.finish(theirs)
    await reconciler.reconcile(KEY)
    assert place.cluster.status.conditions[0].reason == Reason.TARGET_MOVED
    for _ in range(LOOKS):
        await place.cluster.run_jobs()
        await reconciler.reconcile(KEY)
    assert (place.cluster.status.phase, place.cluster.status.attempt) == (Phase.SUCCEEDED, 2)
    assert place.files() == AFTER
    assert [info.description[:6] for info in place.history()] == ["s3sync", "somebo"]


async def test_a_re_run_makes_no_commit_where_nothing_has_changed_and_one_where_something_has(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    reconciler = Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock)
    metadata = place.cluster.raw["metadata"]
    seen = []
    for request in ("", "again", "and again", "and once more"):
        metadata["annotations"] = {ANNOTATION_RUN_REQUESTED: request}
        if request == "and again":
            plant(tmp_path, "tree", {"new/one.txt": b"changed"})
        for _ in range(LOOKS):
            await reconciler.reconcile(KEY)
            await place.cluster.run_jobs()
            if place.cluster.status.finished and place.cluster.status.last_handled_run_request == (request or None):
                break
        seen.append((place.cluster.status.conditions[0].reason, len(place.history()), place.cluster.status.attempt))
    assert seen == [("Verified", 1, 1), ("Unchanged", 1, 1), ("Verified", 2, 1), ("Unchanged", 2, 1)]
    assert place.cluster.status.commit == place.history()[0].commit.id
    assert place.files() == AFTER | {"/data/new/one.txt": b"changed"}


async def test_commits_of_others_beside_the_destination_cost_no_attempt(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, pachd: Pachd
) -> None:
    reconciler = await staged(place, gateway, grpc_pachd)
    for number in range(3):
        pachd.commit(place.branch, {f"/beside/{number}": b"theirs"})
    for _ in range(LOOKS):
        await reconciler.reconcile(KEY)
    status = place.cluster.status
    assert (status.phase, status.attempt) == (Phase.SUCCEEDED, 1), status
    assert place.files() == AFTER | {f"/beside/{number}": b"theirs" for number in range(3)}
    head = pachd.api.inspect_commit(commit=pachd.head(place.branch))
    assert (status.commit, head.description[:7]) == (head.commit.id, "s3sync ")


async def test_a_name_that_others_changed_with_its_content_kept_is_no_less_of_a_change(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, pachd: Pachd
) -> None:
    reconciler = await staged(place, gateway, grpc_pachd)
    theirs = pachd.start(place.branch)
    pachd.modify(theirs, [delete("/data/kept.txt"), add("/data/kept2.txt", b"kept")])
    pachd.finish(theirs)
    await reconciler.reconcile(KEY)
    assert place.cluster.status.conditions[0].reason == Reason.TARGET_MOVED


async def test_a_comparison_that_takes_longer_than_a_look_is_found_again(
    place: Place,
    gateway: S3Gateway,
    grpc_pachd: GrpcPachd,
    pachd: Pachd,
    standin: StandinProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "PATIENCE", 0.05)
    reconciler = await staged(place, gateway, grpc_pachd)
    pachd.commit(place.branch, {"/beside/x": b"theirs"})
    standin.set_faults([{"action": "latency", "operation": "DiffFile|GetFile|ModifyFile", "seconds": 0.4}])
    said = set()
    for _ in range(LOOKS):
        await reconciler.reconcile(KEY)
        said.add(place.cluster.status.conditions[0].message.split()[0])
        await asyncio.sleep(0.05)
    assert {"comparing", "reading", "copying"} <= said
    assert (place.cluster.status.phase, place.cluster.status.attempt) == (Phase.SUCCEEDED, 1)


async def test_a_publish_waits_for_whoever_holds_the_target(
    standin: StandinProcess, gateway: S3Gateway, grpc_pachd: GrpcPachd, pachd: Pachd, tmp_path: Path
) -> None:
    plant(tmp_path, "tree", {"only.txt": b"new"})
    place = Place(standin, pachd, tmp_path, prune=None)
    reconciler = await staged(place, gateway, grpc_pachd)
    theirs = pachd.start(place.branch, "somebody else's")
    await reconciler.reconcile(KEY)
    assert (place.cluster.status.phase, place.cluster.status.conditions[0].reason) == ("Running", Reason.TARGET_BUSY)
    pachd.finish(theirs)
    await reconciler.reconcile(KEY)
    assert (place.cluster.status.phase, place.cluster.status.attempt) == (Phase.SUCCEEDED, 1)
    assert place.files() == BEFORE | {"/data/only.txt": b"new"}


@pytest.mark.parametrize(("publish", "error"), [("Direct", ""), ("Atomic", ""), ("Atomic", "it failed")])
async def test_what_a_killed_worker_of_an_earlier_run_holds_the_target_open_by_is_dropped(
    standin: StandinProcess,
    gateway: S3Gateway,
    grpc_pachd: GrpcPachd,
    pachd: Pachd,
    tmp_path: Path,
    publish: str,
    error: str,
) -> None:
    plant(tmp_path, "tree", {"only.txt": b"new"})
    place = Place(standin, pachd, tmp_path, prune=None, publish=publish, destinationPath="fresh")
    held = pachd.start(place.branch, f"s3sync-job for {writer(place.cluster.sync)}-w3: tree [0123abcd]")
    if error:
        pachd.api.finish_commit(commit=held, error=error)
        pachd.wait(held)
    reconciler = await staged(place, gateway, grpc_pachd)
    await reconciler.reconcile(KEY)
    assert (place.cluster.status.phase, place.cluster.status.attempt) == (Phase.SUCCEEDED, 1), place.cluster.status
    assert place.files() == BEFORE | {"/fresh/only.txt": b"new"}
    assert held.id not in {info.commit.id for info in pachd.commits(place.branch.repo)}


async def test_a_pachd_that_goes_away_is_waited_for_with_all_that_is_staged(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, standin: StandinProcess
) -> None:
    reconciler = await staged(place, gateway, grpc_pachd)
    standin.begin_outage(300)
    await reconciler.reconcile(KEY)
    ready = place.cluster.status.conditions[0]
    assert (place.cluster.status.phase, ready.status, ready.reason) == ("Running", "False", Reason.PACHD_UNREACHABLE)
    standin.begin_outage(0)
    await finish(place, reconciler)
    assert_published_once(place)


async def test_a_sweep_removes_what_dead_runs_left_and_nothing_of_those_under_way(
    place: Place, gateway: S3Gateway, grpc_pachd: GrpcPachd, pachd: Pachd
) -> None:
    await staged(place, gateway, grpc_pachd)
    (live,) = place.staged()
    stranger = "s3sync-0123456789abcdef-w0"
    dead = f"{live[:15]}00000000-w3"
    for name in (stranger, dead, "s3sync-mine"):
        pachd.commit(pachd.branch(place.repo, name), {"/x": b"x"})
    held = pachd.start(place.branch, f"s3sync kubeflow/books run {dead[7:23]} digest none")
    collector = collector_of(place, grpc_pachd)

    async def listed() -> list[Sync]:
        return [place.cluster.sync]

    await collector.sweep(listed)
    assert place.staged() == [live, stranger] or place.staged() == [stranger, live]
    assert pachd.head(place.branch).id == place.before != held.id

    place.cluster.raw["spec"]["prune"] = None
    collector.bury(place.cluster.sync)

    async def none_left() -> list[Sync]:
        return []

    await collector.sweep(none_left)
    assert place.staged() == [stranger]
    assert place.files() == BEFORE


def collector_of(place: Place, pachd: GrpcPachd) -> Collector:
    async def open_target(sync: Sync) -> Target:
        assert sync.spec
        return (await open_sync(place.cluster, sync, sync.spec)).target(sync.spec, SETTINGS)

    return Collector(pachd, SETTINGS, Metrics(), open_target, utc_now)


@pytest.mark.timeout(600)
async def test_killed_at_random_over_and_over_it_publishes_once(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, tmp_path: Path
) -> None:
    plant(tmp_path, "tree", TREE)
    chance = random.Random(11)
    for _ in range(6):
        place = Place(standin, pachd, tmp_path, workers=2)
        for _ in range(8):
            kind = chance.choice(["pachd", "pachd", "before", "after"])
            life = GrpcPachd(timeout=5, metrics=MortalMetrics(itertools.count(), chance.randrange(2, 14)))
            cluster: Any = Mortal(
                place.cluster, itertools.count(), chance.randrange(3, 20), after_effect=kind == "after"
            )
            try:
                await finish(place, Reconciler(cluster, gateway, life, SETTINGS, place.clock))
            except Killed:
                continue
            finally:
                life.close()
            break
        await finish_anew(place, gateway)
        assert_published_once(place)
