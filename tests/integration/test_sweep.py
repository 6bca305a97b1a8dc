"""Sweeps take away what dead runs left in Pachyderm, and nothing that is anybody's result or under way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pachyderm_standin.process import StandinProcess
from s3sync_operator.access import Target
from s3sync_operator.api import Sync
from s3sync_operator.collector import Collector
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.runs import current_run
from s3sync_operator.settings import Settings
from s3sync_operator.staging import description, run_id, staging_branch, writer
from tests.support.objects import sync
from tests.support.pachd import Pachd

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SETTINGS = Settings()
Listing = Callable[[], Awaitable[list[Sync] | None]]


@pytest.fixture(scope="module")
def sweepable_standin() -> Iterator[StandinProcess]:
    """A stand-in in which nobody but these tests stages anything."""
    with StandinProcess() as process:
        yield process


@pytest.fixture
def standin(sweepable_standin: StandinProcess) -> StandinProcess:
    """The stand-in of these tests."""
    return sweepable_standin


@pytest.fixture
def pachd(standin: StandinProcess) -> Iterator[Pachd]:
    """A client of the stand-in, in which there is the repo testrepo, and nothing else."""
    client = Pachd(standin.pachd_address)
    client.api.create_repo(repo=client.branch("testrepo").repo)
    yield client
    for info in client.api.list_repo():
        client.api.delete_repo(repo=info.repo, force=True)


@pytest.fixture
def collector(standin: StandinProcess) -> Any:
    async def open_target(opener: Sync) -> Target:
        assert opener.spec
        return Target(opener.spec.pachd_address or "", "default", opener.spec.repo)

    return Collector(GrpcPachd(5), SETTINGS, Metrics(), open_target, lambda: NOW)


def running(standin: StandinProcess) -> Sync:
    return sync(pachdAddress=standin.pachd_address)


def finished(standin: StandinProcess) -> Sync:
    begun = running(standin)
    assert begun.spec
    done = {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "specDigest": begun.spec.digest,
        "runGeneration": 1,
        "attempt": 1,
        "tfJobName": "books-1",
    }
    return sync(pachdAddress=standin.pachd_address, status=done)


def run_of(of: Sync) -> str:
    assert of.spec
    return run_id(of, current_run(of, of.spec, NOW))


def describe(of: Sync) -> str:
    assert of.spec
    return description(of, current_run(of, of.spec, NOW), "sha256:00")


def in_turn(*steps: Callable[[], list[Sync]]) -> Listing:
    """Return a listing that answers with each step in its turn."""
    left = iter(steps)

    async def listing() -> list[Sync] | None:
        return next(left)()

    return listing


async def test_a_publish_that_ends_between_two_looks_keeps_its_commit(
    standin: StandinProcess, pachd: Pachd, collector: Collector
) -> None:
    commit = pachd.start(pachd.branch("testrepo"), describe(running(standin)))

    def ends() -> list[Sync]:
        pachd.finish(commit)
        return [finished(standin)]

    await collector.sweep(in_turn(lambda: [running(standin)], ends))
    assert pachd.head(pachd.branch("testrepo")).id == commit.id


async def test_what_a_dead_run_holds_open_is_dropped(
    standin: StandinProcess, pachd: Pachd, collector: Collector
) -> None:
    commit = pachd.start(pachd.branch("testrepo"), describe(finished(standin)))
    await collector.sweep(in_turn(lambda: [finished(standin)], lambda: [finished(standin)]))
    assert pachd.head(pachd.branch("testrepo")).id != commit.id


@pytest.mark.parametrize("over", [True, False])
async def test_what_a_killed_worker_that_writes_to_the_target_itself_holds_open_goes_once_its_run_is_over(
    standin: StandinProcess, pachd: Pachd, collector: Collector, over: bool
) -> None:
    of = finished(standin) if over else running(standin)
    commit = pachd.start(pachd.branch("testrepo"), f"s3sync-job for {writer(of)}-w3: in\nput [0123abcd]")
    await collector.sweep(in_turn(lambda: [of], lambda: [of]))
    assert (pachd.head(pachd.branch("testrepo")).id == commit.id) is not over


async def test_a_sync_that_the_second_listing_lacks_keeps_what_it_staged(
    standin: StandinProcess, pachd: Pachd, collector: Collector
) -> None:
    staged = f"{staging_branch(run_of(running(standin)))}-w0"
    pachd.commit(pachd.branch("testrepo", staged), {"/x": b"x"})
    commit = pachd.start(pachd.branch("testrepo"), describe(running(standin)))
    await collector.sweep(in_turn(lambda: [running(standin)], list))
    assert pachd.head(pachd.branch("testrepo")).id == commit.id
    assert pachd.files(pachd.head(pachd.branch("testrepo", staged))) == {"/x": b"x"}


def of_nobody(standin: StandinProcess, now: datetime) -> Collector:
    """Return the collector of an operator that knows one sync, of another repo, at some time."""

    async def open_target(opener: Sync) -> Target:
        assert opener.spec
        return Target(opener.spec.pachd_address or "", "default", opener.spec.repo)

    return Collector(GrpcPachd(5), SETTINGS, Metrics(), open_target, lambda: now)


@pytest.mark.parametrize("others_sync", [True, False], ids=["beside another sync's", "in a repo of no sync"])
async def test_what_a_run_holds_open_whose_sync_went_while_no_operator_was_there_is_found_once_it_is_old(
    standin: StandinProcess, pachd: Pachd, others_sync: bool
) -> None:
    gone = sync(pachdAddress=standin.pachd_address, branch="published")
    left = replace(sync("left", repo="testrepo" if others_sync else "elsewhere"), uid="left")
    left = replace(left, spec=left.spec and left.spec.model_copy(update={"pachd_address": standin.pachd_address}))
    pachd.api.create_branch(branch=pachd.branch("testrepo", "published"))
    before = pachd.head(pachd.branch("testrepo", "published")).id
    staged = f"{staging_branch(run_of(gone))}-w0"
    pachd.commit(pachd.branch("testrepo", staged), {"/x": b"x"}, f"s3sync-job on {staged}: stages 1 files")
    commit = pachd.start(pachd.branch("testrepo", "published"), describe(gone))
    nobodys = pachd.start(pachd.branch("testrepo", "theirs"), "somebody's")

    async def listing() -> list[Sync]:
        return [left]

    started = datetime.now(UTC)
    young = of_nobody(standin, started + timedelta(seconds=SETTINGS.stray_age - 60))
    await young.sweep(listing)
    assert pachd.head(pachd.branch("testrepo", "published")).id == commit.id, "it may be another operator's"
    old = of_nobody(standin, started + timedelta(seconds=SETTINGS.stray_age + 60))
    for _ in range(2):
        await old.sweep(listing)
        old = of_nobody(standin, started + timedelta(seconds=SETTINGS.stray_age + 60))
    assert pachd.head(pachd.branch("testrepo", "published")).id == before
    assert pachd.head(pachd.branch("testrepo", "theirs")).id == nobodys.id
    branches = {info.branch.name for info in pachd.api.list_branch(repo=pachd.branch("testrepo").repo)}
    assert branches == {"published", "theirs"}


async def test_a_staging_branch_stays_while_the_commit_that_it_tells_of_is_too_young_to_go(
    standin: StandinProcess, pachd: Pachd
) -> None:
    gone = sync(pachdAddress=standin.pachd_address)
    left = replace(sync("left", pachdAddress=standin.pachd_address), uid="left")
    staged = f"{staging_branch(run_of(gone))}-w0"
    pachd.commit(pachd.branch("testrepo", staged), {"/x": b"x"}, f"s3sync-job on {staged}: stages 1 files")
    await asyncio.sleep(1.1)
    commit = pachd.start(pachd.branch("testrepo"), describe(gone))
    started = pachd.api.inspect_commit(commit=commit).started

    async def listing() -> list[Sync]:
        return [left]

    between = started + timedelta(seconds=SETTINGS.stray_age - 0.5)
    await of_nobody(standin, between).sweep(listing)
    branches = {info.branch.name for info in pachd.api.list_branch(repo=pachd.branch("testrepo").repo)}
    assert branches == {"master", staged}


async def test_what_writers_put_behind_a_staged_commit_that_was_dropped_goes_with_the_branch(
    standin: StandinProcess, pachd: Pachd, collector: Collector
) -> None:
    over = finished(standin)
    staged = pachd.branch("testrepo", f"{staging_branch(run_of(over))}-w0")
    pachd.commit(staged, {"/x": b"x"}, f"s3sync-job on {staged.name}: stages 1 files")
    pachd.commit(staged, {"/late": b"x"})
    await collector.sweep(in_turn(lambda: [over], lambda: [over]))
    assert list(pachd.api.list_branch(repo=staged.repo)) == []
    assert pachd.commits(staged.repo) == []


@pytest.mark.parametrize("above", [0, 1, 3])
async def test_a_staging_branch_that_was_made_of_another_one_goes_without_that_one_s_commits(
    standin: StandinProcess, pachd: Pachd, collector: Collector, above: int
) -> None:
    over = finished(standin)
    master = pachd.branch("testrepo")
    pachd.api.create_branch(branch=master)
    for _ in range(above):
        pachd.commit(master, {"/x": b"x"})
    staged = pachd.branch("testrepo", f"{staging_branch(run_of(over))}-w0")
    pachd.api.create_branch(branch=staged, head=pachd.head(master))
    before = pachd.commits(master.repo)
    pachd.commit(staged, {"/late": b"x"})
    await collector.sweep(in_turn(lambda: [over], lambda: [over]))
    assert [info.branch.name for info in pachd.api.list_branch(repo=master.repo)] == ["master"]
    assert [info.commit.id for info in pachd.commits(master.repo)] == [info.commit.id for info in before]


async def test_what_a_run_stages_that_began_after_the_first_listing_stays(
    standin: StandinProcess, pachd: Pachd, collector: Collector
) -> None:
    asked = replace(finished(standin), run_request="again")
    assert run_of(asked) != run_of(finished(standin))
    staged = f"{staging_branch(run_of(asked))}-w0"

    def before_it_began() -> list[Sync]:
        pachd.commit(pachd.branch("testrepo", staged), {"/x": b"x"})
        return [finished(standin)]

    await collector.sweep(in_turn(before_it_began, lambda: [asked]))
    assert pachd.files(pachd.head(pachd.branch("testrepo", staged))) == {"/x": b"x"}
