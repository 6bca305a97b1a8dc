"""Who finishes commits, in which order, and who hears of it."""

import asyncio

import pytest

from pachyderm_standin.finisher import CommitDroppedError, Finisher
from pachyderm_standin.model import Commit, CommitRef, CommitState, Pfs, RepoRef

REPOS = [RepoRef("one"), RepoRef("two")]


@pytest.fixture
def pfs() -> Pfs:
    pfs = Pfs()
    for repo in REPOS:
        pfs.create_repo(repo)
        pfs.create_branch(repo, "master")
    return pfs


def closed(pfs: Pfs, repo: RepoRef) -> Commit:
    return pfs.finish_commit(CommitRef(repo, "master", pfs.start_commit(repo, "master").id))


async def test_without_a_delay_a_commit_is_finished_at_once(pfs: Pfs) -> None:
    finisher, commit = Finisher(pfs, lambda _: 0), closed(pfs, REPOS[0])
    finisher.submit(commit)
    assert commit.state is CommitState.FINISHED


async def test_a_slow_commit_holds_up_its_own_repo_alone(pfs: Pfs) -> None:
    slow, next_one, other = closed(pfs, REPOS[0]), closed(pfs, REPOS[0]), closed(pfs, REPOS[1])
    finisher = Finisher(pfs, lambda commit: 3600 if commit is slow else 0.001)
    for commit in (slow, next_one, other):
        finisher.submit(commit)
    await finisher.wait(other)
    assert [commit.state for commit in (slow, next_one)] == [CommitState.FINISHING] * 2
    await finisher.close()


async def test_commits_of_a_repo_finish_in_the_order_in_which_they_were_closed(pfs: Pfs) -> None:
    first, second = closed(pfs, REPOS[0]), closed(pfs, REPOS[0])
    finisher = Finisher(pfs, lambda commit: 0.02 if commit is first else 0.001)
    for commit in (first, second):
        finisher.submit(commit)
    await finisher.wait(second)
    assert first.state is CommitState.FINISHED
    await finisher.close()


async def test_an_open_commit_is_waited_for_by_who_asks_for_a_state(pfs: Pfs) -> None:
    finisher, commit = Finisher(pfs, lambda _: 0.001), pfs.start_commit(REPOS[0], "master")
    waiting = [asyncio.create_task(finisher.wait_for(commit, state)) for state in list(CommitState)[1:]]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    finisher.submit(pfs.finish_commit(CommitRef(REPOS[0], "master")))
    await waiting[0]
    states = [commit.state]
    await waiting[1]
    assert [*states, commit.state] == [CommitState.FINISHING, CommitState.FINISHED]
    await finisher.close()


@pytest.mark.parametrize("closing", [False, True])
async def test_who_waits_for_a_commit_that_is_dropped_is_told(pfs: Pfs, closing: bool) -> None:
    finisher, commit = Finisher(pfs, lambda _: 0.01), pfs.start_commit(REPOS[0], "master")
    if closing:
        finisher.submit(pfs.finish_commit(CommitRef(REPOS[0], "master")))
    waiting = asyncio.create_task(finisher.wait_for(commit, CommitState.FINISHED))
    await asyncio.sleep(0)
    finisher.notify(pfs.drop_commit(CommitRef(REPOS[0], "master", commit.id)))
    with pytest.raises(CommitDroppedError, match=f"{commit.id} was deleted"):
        await waiting
    assert commit.finished is None
    await finisher.close()
