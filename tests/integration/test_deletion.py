"""A deleted sync takes with it what its policy says, whatever is killed or down meanwhile, and nothing of others.

Kubernetes is one in memory in the first part and a real API server in the second; pachd is the stand-in's.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_local.cluster import LocalCluster
from s3sync_operator.api import FINALIZER
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings
from tests.integration.conftest import QUICK, Syncs, plant
from tests.support.memory_cluster import Clock, JobCluster
from tests.support.mortal import Killed, Mortal, MortalMetrics
from tests.support.objects import sync_object
from tests.support.operator_process import OperatorProcess
from tests.support.pachd import Pachd
from tests.support.syncs import unique

KEY = ("kubeflow", "books")
SETTINGS = Settings(gateway_timeout=5, deletion_deadline=600)
LOOKS, MOST_CALLS = 40, 80


class Place:
    """A sync into a repo of its own, and the words for what becomes of both."""

    def __init__(self, standin: StandinProcess, pachd: Pachd, folder: Path, **spec: Any) -> None:
        self.repo = f"repo-{unique()}"
        self.pachd = pachd
        plant(folder, "tree", {"a.txt": b"a"})
        spec = {"inputPath": "tree", "client": "pfs", "deletionPolicy": "DeleteRepo"} | spec
        spec |= {"repo": self.repo, "endpoint": standin.endpoint, "pachdAddress": standin.pachd_address}
        self.cluster = JobCluster(folder, **spec)
        self.clock = Clock()

    def delete(self) -> None:
        self.cluster.raw["metadata"]["deletionTimestamp"] = self.clock().isoformat()

    @property
    def held(self) -> bool:
        return FINALIZER in self.cluster.sync.finalizers and not self.cluster.gone

    def repos(self) -> list[str]:
        return [info.repo.name for info in self.pachd.api.list_repo() if info.repo.name == self.repo]

    def branches(self) -> list[str]:
        found = self.pachd.api.list_branch(repo=self.pachd.branch(self.repo).repo)
        return [info.branch.name for info in found]


async def sync_and_delete(place: Place, reconciler: Reconciler, run: bool = True) -> None:
    """Bring the sync to its end, if it is to run at all, delete it, and look until it is gone."""
    for _ in range(LOOKS):
        await reconciler.reconcile(KEY)
        assert place.held or not place.repos(), "nothing is made before the finalizer is there"
        if run:
            await place.cluster.run_jobs()
        if place.cluster.status.finished or (not run and place.cluster.jobs):
            break
    await delete_and_look(place, reconciler)


async def delete_and_look(place: Place, reconciler: Reconciler) -> None:
    if place.cluster.sync.deleted_at is None:
        place.delete()
    for _ in range(LOOKS):
        await reconciler.reconcile(KEY)
        if not place.held:
            return
    raise AssertionError(f"still held after {LOOKS} looks: {place.cluster.status.conditions}")


@pytest.mark.parametrize("run", [True, False], ids=["after its run", "while its job runs"])
async def test_a_repo_goes_with_the_sync_that_made_it(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path, run: bool
) -> None:
    place = Place(standin, pachd, tmp_path)
    await sync_and_delete(place, Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock), run)
    assert (place.repos(), place.cluster.jobs, place.cluster.events[-1]) == ([], [], "RepoDeleted")


async def test_a_direct_sync_that_is_to_be_cleaned_up_after_makes_its_branch_in_the_same_way(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    place = Place(standin, pachd, tmp_path, publish="Direct", client="file_io")
    await sync_and_delete(place, Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock), run=False)
    assert (place.repos(), place.cluster.events[-1]) == ([], "RepoDeleted")


async def test_a_repo_that_was_there_before_loses_no_more_than_the_branch(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    place = Place(standin, pachd, tmp_path)
    pachd.api.create_repo(repo=pachd.branch(place.repo).repo, description="the platform team's")
    pachd.commit(pachd.branch(place.repo, "theirs"), {"/x": b"x"})
    await sync_and_delete(place, Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock))
    assert (place.branches(), place.cluster.events[-1]) == (["theirs"], "BranchDeleted")


async def test_a_branch_that_was_there_before_stays_with_all_that_was_synced(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    place = Place(standin, pachd, tmp_path)
    pachd.api.create_repo(repo=pachd.branch(place.repo).repo)
    pachd.api.create_branch(branch=pachd.branch(place.repo))
    await sync_and_delete(place, Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock))
    assert pachd.files(pachd.head(pachd.branch(place.repo))) == {"/tree/a.txt": b"a"}
    assert place.cluster.events[-1] == "BranchKept"


async def test_what_another_sync_names_stays_and_goes_with_the_last(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    place = Place(standin, pachd, tmp_path)
    other = sync_object("other", repo=place.repo)
    other["metadata"] |= {"uid": "another", "namespace": "elsewhere"}
    place.cluster.others = [other]
    await sync_and_delete(place, Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock))
    assert (place.branches(), place.cluster.events[-1]) == (["master"], "BranchKept")


async def test_a_branch_that_a_pipeline_reads_holds_its_sync_until_the_pipeline_is_gone(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    place = Place(standin, pachd, tmp_path)
    reconciler = Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock)
    for _ in range(3):
        await reconciler.reconcile(KEY)
    reader = pachd.branch(f"{place.repo}-read")
    pachd.api.create_repo(repo=reader.repo)
    pachd.api.create_branch(branch=reader, provenance=[pachd.branch(place.repo)])
    place.delete()
    for _ in range(3):
        await reconciler.reconcile(KEY)
    ready = place.cluster.status.conditions[0]
    assert (place.held, ready.status, ready.reason) == (True, "False", "DeletionBlocked")
    assert f"[default/{place.repo}-read@master]" in ready.message
    pachd.api.delete_repo(repo=reader.repo)
    await delete_and_look(place, reconciler)
    assert place.repos() == []


async def test_a_policy_that_becomes_retain_lets_go_and_one_that_comes_later_holds(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path
) -> None:
    place = Place(standin, pachd, tmp_path, deletionPolicy="Retain")
    reconciler = Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock)
    for _ in range(3):
        await reconciler.reconcile(KEY)
    held = [place.held]
    for policy in ("DeleteBranch", "Retain", "DeleteBranch"):
        place.cluster.raw["spec"]["deletionPolicy"] = policy
        await reconciler.reconcile(KEY)
        held.append(place.held)
    assert held == [False, True, False, True]
    await delete_and_look(place, reconciler)
    assert (place.repos(), place.branches()) == ([place.repo], [])


async def die_and_go_on(
    place: Place, gateway: S3Gateway, calls: Iterator[int], last: int, kind: str, settings: Settings
) -> None:
    """Lead one life that ends at its call `last` of the kind, if it comes so far, and a second to the end."""
    of_pachd, of_cluster = (calls, itertools.count()) if kind == "pachd" else (itertools.count(), calls)
    pachd = GrpcPachd(timeout=5, metrics=MortalMetrics(of_pachd, last if kind == "pachd" else -1))
    mortal: Any = Mortal(place.cluster, of_cluster, -1 if kind == "pachd" else last, after_effect=kind == "after")
    second = GrpcPachd(timeout=5)
    try:
        await delete_and_look(place, Reconciler(mortal, gateway, pachd, settings, place.clock))
    except Killed:
        if place.held:
            await delete_and_look(place, Reconciler(place.cluster, gateway, second, settings, place.clock))
    finally:
        pachd.close()
        second.close()


@pytest.mark.parametrize("kind", ["pachd", "before", "after"])
@pytest.mark.timeout(600)
async def test_killed_at_any_call_a_deletion_is_gone_on_with(
    standin: StandinProcess, pachd: Pachd, gateway: S3Gateway, grpc_pachd: GrpcPachd, tmp_path: Path, kind: str
) -> None:
    for last in range(MOST_CALLS):
        calls = itertools.count()
        place = Place(standin, pachd, tmp_path)
        reconciler = Reconciler(place.cluster, gateway, grpc_pachd, SETTINGS, place.clock)
        for _ in range(3):
            await reconciler.reconcile(KEY)
        await place.cluster.run_jobs()
        await die_and_go_on(place, gateway, calls, last, kind, SETTINGS)
        assert (place.repos(), place.cluster.jobs) == ([], [])
        if next(calls) <= last:
            return
    raise AssertionError(f"a deletion makes more calls than {MOST_CALLS}, not all of which were tried")


# On a real API server.


def repos(pachd: Pachd, name: str) -> list[str]:
    return [info.repo.name for info in pachd.api.list_repo() if info.repo.name == name]


@pytest.fixture
def slow_operator(installed: LocalCluster, namespace: str, tmp_path: Path) -> OperatorProcess:
    """An operator whose deadline is long, which the test starts and kills itself."""
    return OperatorProcess(installed, tmp_path / "operator.log", namespaces=namespace, **QUICK)


def test_a_sync_deleted_while_it_runs_takes_its_repo_with_it(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess, pachd: Pachd, trees: Path
) -> None:
    plant(trees, "slow", {f"{number}": b"x" for number in range(40)})
    standin.set_faults([{"action": "latency", "operation": "PutObject", "seconds": 0.5}])
    name = syncs.apply_tree("slow", pachdAddress=standin.pachd_address, deletionPolicy="DeleteRepo")
    syncs.wait_phase(name, "Running")
    assert syncs.get(name)["metadata"]["finalizers"] == [FINALIZER]
    syncs.kubectl("delete", "ps3", name, "--wait=false")
    syncs.wait_gone(name)
    assert repos(pachd, name) == []
    assert syncs.kubectl("get", "tfjobs", "-o", "name") == ""
    syncs.events(name, until="RepoDeleted")


def synced(syncs: Syncs, standin: StandinProcess, trees: Path, policy: str) -> str:
    """Return a small sync with a deletionPolicy, once it is Ready."""
    tree = plant(trees, "small", {"a.txt": b"a"})
    name = syncs.apply_tree(tree, pachdAddress=standin.pachd_address, deletionPolicy=policy)
    syncs.wait_ready(name)
    return name


def test_a_sync_deleted_while_pachyderm_is_down_waits_says_so_and_goes_once_it_is_back(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess, pachd: Pachd, trees: Path
) -> None:
    name = synced(syncs, standin, trees, "DeleteBranch")
    standin.begin_outage(300)
    syncs.kubectl("delete", "ps3", name, "--wait=false")
    status = syncs.wait_reason(name, "PachdUnreachable")
    assert {item["type"]: item["status"] for item in status["conditions"]} == {"Ready": "False", "Reconciling": "True"}
    standin.begin_outage(0)
    syncs.wait_gone(name)
    assert repos(pachd, name) == [name]
    assert list(pachd.api.list_branch(repo=pachd.branch(name).repo)) == []
    syncs.events(name, until="BranchDeleted")


def test_where_pachyderm_is_gone_for_good_the_annotation_lets_the_sync_go(
    syncs: Syncs, operator: OperatorProcess, standin: StandinProcess, pachd: Pachd, trees: Path
) -> None:
    name = synced(syncs, standin, trees, "DeleteRepo")
    standin.begin_outage(300)
    syncs.kubectl("delete", "ps3", name, "--wait=false")
    syncs.wait_reason(name, "PachdUnreachable")
    syncs.kubectl("annotate", "ps3", name, "sync.pachyderm.io/skip-cleanup=true")
    syncs.wait_gone(name)
    standin.begin_outage(0)
    assert repos(pachd, name) == [name]
    syncs.events(name, until="CleanupSkipped")


def test_past_the_deadline_a_sync_goes_with_a_warning_of_what_is_left(
    installed: LocalCluster, namespace: str, syncs: Syncs, standin: StandinProcess, tmp_path: Path, trees: Path
) -> None:
    settings = QUICK | {"deletion_deadline": 2}
    with OperatorProcess(installed, tmp_path / "operator.log", namespaces=namespace, **settings):
        name = synced(syncs, standin, trees, "DeleteRepo")
        standin.begin_outage(300)
        syncs.kubectl("delete", "ps3", name, "--wait=false")
        syncs.wait_gone(name)
        standin.begin_outage(0)
        syncs.events(name, until="CleanupAbandoned")


def test_a_sync_deleted_while_the_operator_is_away_is_held_and_cleaned_up_after_once_it_is_back(
    syncs: Syncs, slow_operator: OperatorProcess, standin: StandinProcess, pachd: Pachd, trees: Path
) -> None:
    with slow_operator:
        name = synced(syncs, standin, trees, "DeleteRepo")
        slow_operator.kill()
        syncs.kubectl("delete", "ps3", name, "--wait=false")
        assert not syncs.api.is_gone(name)
        assert repos(pachd, name) == [name]
        slow_operator.start()
        syncs.wait_gone(name)
        assert repos(pachd, name) == []
