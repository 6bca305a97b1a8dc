"""Commits, branches and repos over gRPC: the states, the lock, and what can be taken back."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import grpc
import pytest
from pachyderm_sdk.api import pfs

from tests.support.pachd import UNSET_YEAR, Message, Pachd, add, delete, refused

USER, AUTO = pfs.OriginKind.USER, pfs.OriginKind.AUTO


def an_id() -> str:
    return uuid4().hex


def ids(commits: list[Message]) -> list[str]:
    return [commit.id for commit in commits]


def test_a_repo_is_made_once(pachd: Pachd, repo: str) -> None:
    branch = pachd.branch(repo)
    with refused("NOT_FOUND", f"repo default/{repo} not found"):
        pachd.api.inspect_repo(repo=branch.repo)
    pachd.api.create_repo(repo=branch.repo, description="first")
    with refused("ALREADY_EXISTS", f"repo default/{repo} already exists"):
        pachd.api.create_repo(repo=branch.repo)
    pachd.api.create_repo(repo=branch.repo, description="second", update=True)
    assert pachd.api.inspect_repo(repo=branch.repo).description == "second"


@pytest.mark.parametrize("name", ["", "two words", "dotted.name"])
def test_a_bad_name_is_refused_without_a_code_of_its_own(pachd: Pachd, name: str) -> None:
    with refused("UNKNOWN", f"name ({name}) invalid: only alphanumeric characters, underscores, and dashes"):
        pachd.api.create_repo(repo=pfs.Repo(name=name, type="user"))


def test_a_project_holds_repos_and_is_made_once(pachd: Pachd, repo: str) -> None:
    project = pfs.Project(name=f"p{an_id()[:12]}")
    inside = pfs.Repo(name=repo, type="user", project=project)
    with refused("NOT_FOUND", f'cannot find project "{project.name}"'):
        pachd.api.create_repo(repo=inside)
    with refused("NOT_FOUND", f'project "{project.name}" not found'):
        pachd.api.inspect_project(project=project)
    pachd.api.create_project(project=project)
    with refused("ALREADY_EXISTS", f"project {project.name} already exists"):
        pachd.api.create_project(project=project)
    assert project.name in [info.project.name for info in pachd.api.list_project()]
    pachd.api.create_repo(repo=inside)
    pachd.commit(pachd.branch(repo, project=project.name), {"/file": b"x"})
    assert pachd.api.delete_repo(repo=inside).deleted
    pachd.api.delete_project(project=project)


def test_deleting_a_repo_that_is_gone_is_no_error(pachd: Pachd, master: Message) -> None:
    assert pachd.api.delete_repo(repo=master.repo).deleted
    assert not pachd.api.delete_repo(repo=master.repo).deleted


@pytest.fixture
def reader(pachd: Pachd, master: Message, repo: str) -> Iterator[Message]:
    """A branch of another repo that a pipeline makes of master."""
    found = pachd.branch(f"{repo}-read")
    pachd.api.create_repo(repo=found.repo)
    pachd.api.create_branch(branch=found, provenance=[master])
    yield found
    pachd.api.delete_repo(repo=found.repo)


def test_what_a_pipeline_reads_is_not_deleted(pachd: Pachd, master: Message, repo: str, reader: Message) -> None:
    read = f"in the direct provenance of [default/{repo}-read@master]"
    with refused("UNKNOWN", read):
        pachd.api.delete_branch(branch=master)
    with refused("UNKNOWN", read):
        pachd.api.delete_repo(repo=master.repo)
    pachd.api.delete_repo(repo=reader.repo)
    pachd.api.delete_branch(branch=master)
    assert list(pachd.api.list_branch(repo=master.repo)) == []


def test_the_branches_of_all_repos_are_listed_where_none_is_named(pachd: Pachd, master: Message, repo: str) -> None:
    pachd.api.create_branch(branch=pachd.branch(repo, "other"))
    found = [info.branch for info in pachd.api.list_branch() if info.branch.repo.name == repo]
    assert {branch.name for branch in found} == {"master", "other"}
    assert {branch.repo.project.name for branch in found} == {"default"}


def test_a_repo_keeps_its_description_and_a_branch_the_time_it_was_made(
    pachd: Pachd, master: Message, repo: str
) -> None:
    described = pfs.Repo(name=f"{repo}-described", type="user", project=master.repo.project)
    pachd.api.create_repo(repo=described, description="made by a test")
    assert pachd.api.inspect_repo(repo=described).description == "made by a test"
    pachd.api.delete_repo(repo=described)
    made = pachd.api.inspect_branch(branch=master).created_at
    pachd.commit(master, {"/file": b"x"})
    assert (pachd.api.inspect_branch(branch=master).created_at, made.year > UNSET_YEAR) == (made, True)


def test_what_differs_below_a_directory_is_told_by_name_though_its_hash_is_of_contents_alone(
    pachd: Pachd, master: Message
) -> None:
    def differ(path: str) -> list[str]:
        sides = {"new_file": pfs.File(commit=second, path=path), "old_file": pfs.File(commit=first, path=path)}
        return [info.new_file.file.path or info.old_file.file.path for info in pachd.api.diff_file(**sides)]

    first = pachd.commit(master, {"/data/a": b"a", "/beside": b"b"})
    second = pachd.commit(master, {"/beside": b"changed", "/other/x": b"x"})
    assert differ("/data") == []
    assert "/beside" in differ("/")
    second = pachd.start(master)
    pachd.modify(second, [delete("/data/a"), add("/data/renamed", b"a")])
    pachd.finish(second)
    assert differ("/data") == ["/data/a", "/data/renamed"]


def test_a_new_branch_has_an_empty_finished_head_and_stays_as_it_is(pachd: Pachd, master: Message) -> None:
    head = pachd.head(master)
    info = pachd.api.inspect_commit(commit=head)
    assert (info.origin.kind, info.error, info.details.size_bytes) == (AUTO, "", 0)
    assert info.finished.year > UNSET_YEAR
    pachd.api.create_branch(branch=master)
    assert pachd.head(master) == head


def test_what_is_missing_is_not_found(pachd: Pachd, master: Message, repo: str) -> None:
    other = pachd.branch(repo, "other")
    with refused("NOT_FOUND", f'branch "other" not found in repo default/{repo}'):
        pachd.api.inspect_branch(branch=other)
    with refused("NOT_FOUND", f'branch "other" not found in repo default/{repo}'):
        pachd.api.inspect_commit(commit=pachd.head_of(other))
    with refused("NOT_FOUND", f"branch=default/{repo}@other) not found"):
        pachd.api.delete_branch(branch=other)
    missing = pfs.Commit(repo=master.repo, id=f"{an_id()[:12]}4{an_id()[:19]}")
    with refused("NOT_FOUND", f"commit default/{repo}@{missing.id} not found"):
        pachd.api.inspect_commit(commit=missing)
    nowhere = pachd.branch(f"{repo}-missing")
    with refused("NOT_FOUND", f"repo default/{repo}-missing not found"):
        pachd.start(nowhere)
    with refused("NOT_FOUND", f"repo default/{repo}-missing not found"):
        list(pachd.api.list_commit(repo=nowhere.repo))
    with refused("NOT_FOUND", f"repo default/{repo}-missing not found"):
        list(pachd.api.list_branch(repo=nowhere.repo))


def test_a_commit_without_its_repo_is_not_found_though_its_branch_names_one(pachd: Pachd, master: Message) -> None:
    # The SDK fills in an empty repo, which the server believes.
    with refused("NOT_FOUND", "repo default/ not found"):
        pachd.api.inspect_commit(commit=pfs.Commit(branch=master))


def test_a_commit_goes_from_started_to_finished(pachd: Pachd, master: Message) -> None:
    parent = pachd.head(master)
    commit = pachd.start(master, "who and why")
    info = pachd.api.inspect_commit(commit=commit)
    assert (info.origin.kind, info.description, info.parent_commit.id) == (USER, "who and why", parent.id)
    assert (info.finishing.year, info.finished.year) == (UNSET_YEAR, UNSET_YEAR)
    assert pachd.api.inspect_commit(commit=commit, wait=pfs.CommitState.READY).commit.id == commit.id
    pachd.write(commit, {"/file": b"content"})
    pachd.api.finish_commit(commit=commit)
    assert pachd.api.inspect_commit(commit=commit, wait=pfs.CommitState.FINISHING).finishing.year > UNSET_YEAR
    done = pachd.wait(commit)
    assert (done.finished.year > UNSET_YEAR, done.error, done.details.size_bytes) == (True, "", 7)
    assert pachd.head(master).id == commit.id
    assert ids(pachd.api.inspect_commit(commit=parent).child_commits) == [commit.id]


def test_finishing_can_change_the_description(pachd: Pachd, master: Message) -> None:
    kept, changed = pachd.start(master, "kept"), ""
    pachd.finish(kept)
    commit = pachd.start(master, "first")
    pachd.api.finish_commit(commit=commit, description="second")
    changed = pachd.wait(commit).description
    assert (pachd.api.inspect_commit(commit=kept).description, changed) == ("kept", "second")


def test_starting_a_commit_on_an_open_head_fails_so_that_a_head_is_a_lock(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    with refused("UNKNOWN", f"parent commit default/{master.repo.name}@{commit.id} has not been finished"):
        pachd.start(master)
    # The code says nothing; the head does.
    assert pachd.api.inspect_commit(commit=pachd.head_of(master)).finishing.year == UNSET_YEAR
    pachd.finish(commit)
    pachd.finish(pachd.start(master))


def test_only_one_of_many_gets_the_lock(pachd: Pachd, master: Message) -> None:
    won: list[Any] = []

    def try_to_start() -> None:
        # A database that gives up on a transaction loses as well.
        with suppress(grpc.RpcError):
            won.append(pachd.start(master))

    threads = [threading.Thread(target=try_to_start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_new_commit_need_not_wait_for_its_parent_to_be_finished(pachd: Pachd, master: Message) -> None:
    first = pachd.start(master)
    pachd.write(first, {"/file": b"x"})
    pachd.api.finish_commit(commit=first)
    second = pachd.start(master)
    assert pachd.api.inspect_commit(commit=second).parent_commit.id == first.id
    pachd.finish(second)
    assert list(pachd.walk(second)) == ["/", "/file"]


def test_a_commit_on_a_missing_branch_makes_the_branch_and_has_no_parent(
    pachd: Pachd, master: Message, repo: str
) -> None:
    staging = pachd.branch(repo, "staging")
    commit = pachd.commit(staging, {"/file": b"x"})
    assert pachd.head(staging).id == commit.id
    assert pachd.api.inspect_commit(commit=commit).parent_commit.id == ""


def test_branches_and_commits_are_listed_newest_first(pachd: Pachd, master: Message, repo: str) -> None:
    head, commit = pachd.head(master), pachd.commit(master, {"/file": b"content"})
    other = pachd.commit(pachd.branch(repo, "other"), {})
    assert [info.branch.name for info in pachd.api.list_branch(repo=master.repo)] == ["other", "master"]
    listed = pachd.commits(master.repo)
    assert [info.commit.id for info in listed] == [other.id, commit.id, head.id]
    assert listed[1].size_bytes_upper_bound == 7
    to = list(pachd.api.list_commit(repo=master.repo, to=commit))
    assert [info.commit.id for info in to] == [commit.id, head.id]
    assert [info.commit.id for info in pachd.api.list_commit(repo=master.repo, number=1)] == [other.id]


def test_a_commit_finishes_once_and_takes_no_more(pachd: Pachd, master: Message) -> None:
    commit = pachd.commit(master, {"/file": b"x"})
    with refused("UNKNOWN", f"commit default/{master.repo.name}@{commit.id} has already finished"):
        pachd.api.finish_commit(commit=commit)
    with refused("UNKNOWN", f"commit default/{master.repo.name}@{commit.id} has already finished"):
        pachd.write(commit, {"/late": b"x"})


def test_a_commit_finished_with_an_error_keeps_its_files_and_leaves_none(pachd: Pachd, master: Message) -> None:
    failed = pachd.start(master)
    pachd.write(failed, {"/file": b"x"})
    pachd.api.finish_commit(commit=failed, error="boom")
    assert pachd.wait(failed).error == "boom"
    assert list(pachd.walk(failed)) == ["/", "/file"]
    after = pachd.start(master)
    assert list(pachd.walk(after)) == []
    assert pachd.finish(after).error == ""


def test_a_commit_after_one_with_an_error_is_built_upon_what_was_before_that(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/before": b"x"})
    for _ in range(2):
        failed = pachd.start(master)
        pachd.write(failed, {"/failed": b"y"})
        pachd.api.finish_commit(commit=failed, error="boom")
        pachd.wait(failed)
    after = pachd.start(master)
    assert pachd.api.inspect_commit(commit=after).parent_commit.id == failed.id
    assert pachd.finish(after).error == ""
    assert pachd.files(after) == {"/before": b"x"}


def test_a_finished_commit_can_carry_an_error(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.write(commit, {"/name": b"x", "/name/below": b"y"})
    with refused("UNKNOWN", "file / directory path collision (/name/below)"):
        pachd.walk(commit)
    assert pachd.finish(commit).error == "file / directory path collision (/name/below)"
    with refused("UNKNOWN", "file / directory path collision (/name/below)"):
        pachd.walk(commit)
    assert list(pachd.walk(pachd.commit(master, {"/good": b"x"}))) == ["/", "/good"]


# Dropping.


def test_dropping_an_open_commit_puts_the_head_back_and_leaves_nothing(pachd: Pachd, master: Message) -> None:
    kept = pachd.commit(master, {"/kept": b"x"})
    commit = pachd.start(master)
    pachd.write(commit, {"/dropped": b"x"})
    pachd.api.drop_commit(commit=commit)
    assert pachd.head(master).id == kept.id
    assert pachd.files(kept) == {"/kept": b"x"}
    for call in (pachd.api.inspect_commit, pachd.api.finish_commit, pachd.api.drop_commit):
        with refused("NOT_FOUND", f"{commit.id} not found"):
            call(commit=commit)
    with refused("NOT_FOUND", f"{commit.id} not found"):
        pachd.write(commit, {"/late": b"x"})
    assert ids(pachd.api.inspect_commit(commit=kept).child_commits) == []


def test_dropping_a_finished_head_puts_the_branch_back(pachd: Pachd, master: Message) -> None:
    kept = pachd.commit(master, {"/kept": b"x"})
    pachd.api.drop_commit(commit=pachd.commit(master, {"/kept": b"changed", "/more": b"x"}), recursive=True)
    assert pachd.head(master).id == kept.id
    assert pachd.files(pachd.head(master)) == {"/kept": b"x"}


@pytest.mark.parametrize("recursive", [False, True])
def test_a_commit_with_children_cannot_be_dropped(pachd: Pachd, master: Message, recursive: bool) -> None:
    parent = pachd.commit(master, {"/one": b"x"})
    pachd.commit(master, {"/two": b"x"})
    with refused("UNKNOWN", f"cannot drop a commit that has children: default/{master.repo.name}@{parent.id}"):
        pachd.api.drop_commit(commit=parent, recursive=recursive)


def test_dropping_the_last_commit_of_a_branch_leaves_an_empty_head(pachd: Pachd, master: Message) -> None:
    first = pachd.head(master)
    pachd.api.drop_commit(commit=first)
    head = pachd.api.inspect_commit(commit=pachd.head(master))
    assert head.commit.id != first.id
    assert (head.origin.kind, pachd.walk(head.commit)) == (AUTO, {})


def test_who_waits_for_a_commit_that_is_dropped_is_told(
    pachd: Pachd, master: Message, until_called: Callable[[str], None]
) -> None:
    commit, told = pachd.start(master), []

    def wait() -> None:
        with refused("UNKNOWN", f"{commit.id} was deleted"):
            pachd.wait(commit)
        told.append(commit)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until_called("InspectCommit")
    pachd.api.drop_commit(commit=commit)
    waiting.join(timeout=30)
    assert told


def test_a_branch_that_is_deleted_leaves_its_commits_to_read_and_to_drop(
    pachd: Pachd, master: Message, repo: str
) -> None:
    staging = pachd.branch(repo, "staging")
    first, second = pachd.commit(staging, {"/one": b"1"}), pachd.commit(staging, {"/two": b"2"})
    pachd.api.delete_branch(branch=staging)
    assert pachd.files(second) == {"/one": b"1", "/two": b"2"}
    pachd.api.drop_commit(commit=second)
    pachd.api.drop_commit(commit=first)
    assert [info.commit.id for info in pachd.commits(master.repo)] == [pachd.head(master).id]


def test_a_squashed_commits_files_stay_in_its_child(pachd: Pachd, master: Message) -> None:
    first, second = pachd.commit(master, {"/one": b"1"}), pachd.commit(master, {"/two": b"2"})
    with refused("UNKNOWN", "cannot squash a commit that has no children"):
        pachd.api.squash_commit(commit=second)
    pachd.api.squash_commit(commit=first)
    assert pachd.files(second) == {"/one": b"1", "/two": b"2"}
    with refused("NOT_FOUND"):
        pachd.api.inspect_commit(commit=first)


def test_dropping_an_unknown_commit_set_is_no_error_but_looking_at_it_is(pachd: Pachd) -> None:
    nothing = pfs.CommitSet(id=an_id())
    pachd.api.drop_commit_set(commit_set=nothing)
    with refused("NOT_FOUND", f"no commits found for commitset {nothing.id}"):
        list(pachd.api.inspect_commit_set(commit_set=nothing))


def test_clearing_an_open_commit_takes_its_files_out(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/kept": b"x"})
    commit = pachd.start(master)
    pachd.write(commit, {"/gone": b"x"})
    pachd.api.clear_commit(commit=commit)
    assert pachd.files(commit) == {"/kept": b"x"}
    pachd.finish(commit)
    with refused("UNKNOWN", "cannot clear finished commit"):
        pachd.api.clear_commit(commit=commit)


# Heads.


def test_a_branch_can_be_made_at_a_commit_and_moved(pachd: Pachd, master: Message, repo: str) -> None:
    first, second = pachd.commit(master, {"/one": b"1"}), pachd.commit(master, {"/two": b"2"})
    tag = pachd.branch(repo, "tag")
    pachd.api.create_branch(branch=tag, head=first)
    assert pachd.head(tag).id == first.id
    pachd.api.create_branch(branch=tag, head=second)
    assert pachd.files(pachd.head(tag)) == {"/one": b"1", "/two": b"2"}


def test_which_branch_a_commit_was_made_on_is_told_by_its_parent_as_long_as_the_branch_is_there(
    pachd: Pachd, s3: Any, master: Message, repo: str
) -> None:
    tag = pachd.branch(repo, "tag")
    first = pachd.commit(master, {"/one": b"1"})
    pachd.api.create_branch(branch=tag, head=first)
    s3.put_object(Bucket=f"tag.{repo}", Key="two", Body=b"2")
    by_put = pachd.head(tag)
    assert made_on(pachd, by_put) == {first.id: "master", by_put.id: "tag"}
    assert {info.commit.branch.name for info in pachd.commits(master.repo)} == {""}
    pachd.api.delete_branch(branch=tag)
    assert made_on(pachd, by_put) == {first.id: "master", by_put.id: ""}


def made_on(pachd: Pachd, commit: Message) -> dict[str, str]:
    """Return the branches of a commit and those before it, but for the first, which has no parent to tell."""
    listed = pachd.api.list_commit(repo=commit.repo, to=commit)
    return {child.id: child.branch.name for info in listed for child in info.child_commits}


def test_a_commit_can_start_from_another_parent(pachd: Pachd, master: Message, repo: str) -> None:
    first = pachd.commit(master, {"/one": b"1"})
    pachd.commit(master, {"/two": b"2"})
    other = pachd.branch(repo, "other")
    commit = pachd.api.start_commit(branch=other, parent=first)
    pachd.modify(commit, [add("/three", b"3")])
    assert pachd.files(commit) == {"/one": b"1", "/three": b"3"}
    with refused("UNKNOWN", "has not been finished"):
        pachd.api.start_commit(branch=pachd.branch(repo, "third"), parent=commit)


def test_a_head_can_be_named_with_carets(pachd: Pachd, master: Message) -> None:
    first = pachd.commit(master, {"/one": b"1"})
    pachd.commit(master, {"/two": b"2"})
    found = pachd.api.inspect_commit(commit=pfs.Commit(repo=master.repo, id="master^"))
    assert found.commit.id == first.id
