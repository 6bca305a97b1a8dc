from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachyderm_standin.etag import content_hash
from pachyderm_standin.model import (
    AlreadyExistsError,
    BranchNotFoundError,
    CommitFinishedError,
    CommitNotFoundError,
    CommitRef,
    CommitState,
    Content,
    File,
    InvalidNameError,
    InvalidPathError,
    OutputBranchError,
    ParentNotFinishedError,
    Pfs,
    RelativePathError,
    RepoNotFoundError,
    RepoRef,
    Tree,
)

REPO = RepoRef("repo")
HEAD = CommitRef(REPO, "master")


def file(content: bytes) -> File:
    return File((Content(content_hash(content), len(content)),))


@pytest.fixture
def pfs() -> Pfs:
    """A file system with one repo and branch, whose clock moves a second a look and whose commits are numbered."""
    return new_pfs()


def new_pfs() -> Pfs:
    ticks, numbers = count(), count()
    pfs = Pfs(lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(ticks)), lambda: f"c{next(numbers)}")
    pfs.create_repo(REPO)
    pfs.create_branch(REPO, "master")
    return pfs


def put(pfs: Pfs, path: str, content: bytes = b"x", ref: CommitRef = HEAD) -> str:
    commit = pfs.modify(ref, {path: file(content)})
    if commit.finishing:
        pfs.mark_finished(commit)
    return commit.id


def paths(pfs: Pfs, ref: CommitRef = HEAD) -> list[str]:
    return pfs.tree(pfs.pick(ref)).paths


def test_a_new_branch_has_an_empty_finished_head(pfs: Pfs) -> None:
    head = pfs.branch(REPO, "master").head
    assert (head.state, paths(pfs)) == (CommitState.FINISHED, [])


def test_a_repo_is_made_once_and_only_in_a_project(pfs: Pfs) -> None:
    with pytest.raises(AlreadyExistsError):
        pfs.create_repo(REPO)
    with pytest.raises(InvalidNameError):
        pfs.create_repo(RepoRef("no good"))
    pfs.create_project("project")
    assert pfs.create_repo(RepoRef("repo", "project")).ref.project == "project"


def test_what_is_missing_is_told_apart(pfs: Pfs) -> None:
    with pytest.raises(RepoNotFoundError):
        pfs.branch(RepoRef("other"), "master")
    with pytest.raises(BranchNotFoundError):
        pfs.branch(REPO, "other")
    with pytest.raises(CommitNotFoundError):
        pfs.pick(CommitRef(REPO, "master", "unknown"))


def test_a_write_on_a_closed_head_is_one_commit(pfs: Pfs) -> None:
    first, second = put(pfs, "a"), put(pfs, "b")
    commit = pfs.pick(HEAD)
    assert (commit.id, commit.parent and commit.parent.id) == (second, first)
    assert paths(pfs) == ["a", "b"]


def test_a_write_on_an_open_head_joins_it(pfs: Pfs) -> None:
    opened = pfs.start_commit(REPO, "master")
    assert put(pfs, "a") == put(pfs, "b") == opened.id
    states = [opened.state]
    pfs.finish_commit(HEAD)
    states.append(opened.state)
    pfs.mark_finished(opened)
    assert [*states, opened.state] == [CommitState.STARTED, CommitState.FINISHING, CommitState.FINISHED]


def test_an_open_head_is_a_lock(pfs: Pfs) -> None:
    pfs.start_commit(REPO, "master")
    with pytest.raises(ParentNotFinishedError):
        pfs.start_commit(REPO, "master")


def test_a_commit_finishes_once(pfs: Pfs) -> None:
    commit = put(pfs, "a")
    with pytest.raises(CommitFinishedError):
        pfs.finish_commit(CommitRef(REPO, "master", commit))


def test_a_closed_commit_named_by_id_takes_no_write(pfs: Pfs) -> None:
    commit = put(pfs, "a")
    with pytest.raises(CommitFinishedError):
        put(pfs, "b", ref=CommitRef(REPO, "master", commit))
    assert paths(pfs) == ["a"]


def test_an_unknown_id_is_as_good_as_none(pfs: Pfs) -> None:
    commit = put(pfs, "a", ref=CommitRef(REPO, "master", "unknown"))
    assert pfs.pick(HEAD).id == commit


def test_a_pipelines_branch_takes_no_write(pfs: Pfs) -> None:
    pfs.create_branch(REPO, "output", is_output=True)
    with pytest.raises(OutputBranchError):
        put(pfs, "a", ref=CommitRef(REPO, "output"))


@pytest.mark.parametrize(("path", "error"), [("a[1]", InvalidPathError), ("../a", RelativePathError)])
def test_a_refused_path_makes_no_commit(pfs: Pfs, path: str, error: type[Exception]) -> None:
    before = pfs.pick(HEAD)
    with pytest.raises(error):
        put(pfs, path)
    assert pfs.pick(HEAD) is before


def test_a_collision_stands_in_the_commit_and_is_not_inherited(pfs: Pfs) -> None:
    put(pfs, "dir/file")
    failed = put(pfs, "dir")
    assert "collision (/dir/file)" in pfs.pick(HEAD).error
    put(pfs, "after")
    assert paths(pfs) == ["after", "dir/file"]
    assert paths(pfs, CommitRef(REPO, "master", failed)) == ["dir", "dir/file"]


def test_a_collision_goes_unseen_if_something_sorts_in_between(pfs: Pfs) -> None:
    put(pfs, "dir/file")
    put(pfs, "dir.txt")
    put(pfs, "dir")
    assert pfs.pick(HEAD).error == ""


def test_a_base_that_is_still_finishing_makes_an_open_commit_unreadable(pfs: Pfs) -> None:
    pfs.modify(HEAD, {"a": file(b"x")})
    opened = pfs.start_commit(REPO, "master")
    with pytest.raises(ParentNotFinishedError):
        pfs.check_readable(opened)


def test_joined_files_are_their_stretches_in_order_less_the_empty_ones() -> None:
    one, two, empty = file(b"one"), file(b"two"), file(b"")
    assert (one + empty + two).contents == one.contents + two.contents
    assert (empty + one, empty + empty) == (one, empty)


PATHS = st.sampled_from(["a", "a.txt", "a/b", "a/b/c", "b", "c/d"])
WRITES = st.lists(st.tuples(PATHS, st.none() | st.binary(max_size=2)), max_size=25)


@settings(deadline=None)
@given(WRITES)
def test_every_commit_keeps_the_files_of_its_moment(writes: list[tuple[str, bytes | None]]) -> None:
    pfs, expected, history = new_pfs(), dict[str, File](), []
    for path, content in writes:
        commit = pfs.modify(HEAD, {path: None if content is None else file(content)})
        pfs.mark_finished(commit)
        after = {**expected, path: file(content)} if content is not None else dict(expected)
        if content is None:
            after.pop(path, None)
        history.append((commit.id, after))
        expected = expected if commit.error else after
    # Newest last and oldest first, so that trees that moved on have to be rebuilt.
    for commit_id, files in [*history, *reversed(history)]:
        tree = pfs.tree(pfs.pick(CommitRef(REPO, "master", commit_id)))
        assert (tree.files, tree.paths) == (files, sorted(files))


@settings(deadline=None)
@given(st.dictionaries(PATHS, st.just(file(b"x"))))
def test_a_trees_collision_is_found_among_neighbours(files: dict[str, File]) -> None:
    tree = Tree(files)
    neighbours = [
        second for first, second in zip(tree.paths, tree.paths[1:], strict=False) if second.startswith(f"{first}/")
    ]
    assert (tree.collision(files) is not None) == bool(neighbours)


def test_what_is_taken_out_of_an_open_commit_counts_as_written_there_where_it_is_added(pfs: Pfs) -> None:
    put(pfs, "below")
    pfs.mark_finished(pfs.pick(HEAD))
    commit = pfs.start_commit(REPO, "master")
    put(pfs, "a")
    put(pfs, "b")
    taken = pfs.take_file_set(commit, diff=True)
    pfs.clear_commit(HEAD)
    assert (commit.writes, paths(pfs)) == (0, ["below"])
    put(pfs, "c")
    pfs.add_file_set(HEAD, pfs.join_file_sets([taken], seconds=60))
    assert (commit.writes, paths(pfs)) == (3, ["a", "b", "below", "c"])
