"""File sets: files that belong to no commit yet, streamed or taken out of one, until they are added to one.

Pachyderm composes all that an open commit holds at each PUT. A commit that is emptied now and then takes them faster.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import uuid4

import pytest
from pachyderm_sdk.api import pfs

from tests.support.pachd import Message, Pachd, add, delete, is_open, refused

Put = Callable[..., dict[str, Any]]
FILE_SETS = pfs.Repo(name="__filesets__")
"""The repo that no one made: a commit of it named by a file set's ID holds what the file set does."""

DIFF, TOTAL = pfs.GetFileSetRequestFileSetType.DIFF, pfs.GetFileSetRequestFileSetType.TOTAL
HALF_AN_HOUR = 1800
FORGOTTEN_SECONDS = 120
"""A real server forgets file sets at intervals."""


def take(pachd: Pachd, commit: Message, kind: Any = DIFF) -> str:
    return str(pachd.api.get_file_set(commit=commit, type=kind).file_set_id)


def held(file_set: str) -> Message:
    return pfs.Commit(repo=FILE_SETS, id=file_set)


def join(pachd: Pachd, file_sets: Sequence[str]) -> str:
    return str(pachd.api.compose_file_set(file_set_ids=list(file_sets), ttl_seconds=HALF_AN_HOUR).file_set_id)


def names(pachd: Pachd, commit: Message) -> set[str]:
    return {path for path, info in pachd.walk(commit).items() if info.file_type == pfs.FileType.FILE}


def test_what_is_taken_out_of_an_open_commit_comes_back(pachd: Pachd, master: Message, put: Put) -> None:
    commit = pachd.start(master)
    put("a", b"first")
    first = take(pachd, commit)
    pachd.api.clear_commit(commit=commit)
    assert names(pachd, commit) == set()
    assert put("b", b"second")["VersionId"] == commit.id
    second = take(pachd, commit)
    pachd.api.clear_commit(commit=commit)
    put("c", b"third")
    pachd.api.add_file_set(commit=commit, file_set_id=join(pachd, [first, second]))
    assert pachd.finish(commit).error == ""
    assert pachd.files(commit) == {"/a": b"first", "/b": b"second", "/c": b"third"}


def test_what_was_written_is_told_apart_from_the_base(pachd: Pachd, master: Message, put: Put) -> None:
    pachd.commit(master, {"/old": b"x"})
    commit = pachd.start(master)
    put("new")
    assert names(pachd, held(take(pachd, commit))) == {"/new"}
    assert names(pachd, held(take(pachd, commit, TOTAL))) == {"/old", "/new"}
    pachd.api.clear_commit(commit=commit)
    assert names(pachd, commit) == {"/old"}


def test_what_comes_back_together_with_its_base_is_there_once_where_it_was_put_and_not_appended(
    pachd: Pachd, master: Message, put: Put
) -> None:
    for key in ("old", "older"):
        commit = pachd.start(master)
        put(key, b"before")
        pachd.finish(commit)
    commit = pachd.start(master)
    put("old", b"after")
    whole = take(pachd, commit, TOTAL)
    pachd.api.clear_commit(commit=commit)
    pachd.api.add_file_set(commit=commit, file_set_id=whole)
    pachd.finish(commit)
    assert pachd.files(commit) == {"/old": b"after", "/older": b"before"}


@pytest.mark.parametrize("base", [{}, {"/old": b"x"}])
def test_of_a_commit_that_holds_nothing_yet_not_even_the_root_is_told(
    pachd: Pachd, master: Message, base: dict[str, bytes]
) -> None:
    if base:
        pachd.commit(master, base)
    empty = take(pachd, pachd.start(master))
    with refused("NOT_FOUND", "file / not found"):
        pachd.api.inspect_file(file=pfs.File(commit=held(empty), path="/"))


def test_what_comes_back_twice_is_there_once(pachd: Pachd, master: Message, put: Put) -> None:
    commit = pachd.start(master)
    put("a", b"content")
    taken = take(pachd, commit)
    for _ in range(2):
        pachd.api.add_file_set(commit=commit, file_set_id=taken)
    pachd.finish(commit)
    assert pachd.files(commit) == {"/a": b"content"}


def test_what_comes_back_takes_the_place_of_what_was_put_meanwhile(pachd: Pachd, master: Message, put: Put) -> None:
    commit = pachd.start(master)
    put("a", b"before")
    taken = take(pachd, commit)
    pachd.api.clear_commit(commit=commit)
    put("a", b"meanwhile")
    pachd.api.add_file_set(commit=commit, file_set_id=taken)
    pachd.finish(commit)
    assert pachd.files(commit) == {"/a": b"before"}


def test_files_that_stand_in_each_others_way_are_still_found_when_the_commit_finishes(
    pachd: Pachd, master: Message, put: Put
) -> None:
    commit = pachd.start(master)
    put("a")
    taken = take(pachd, commit)
    pachd.api.clear_commit(commit=commit)
    put("a/b")
    pachd.api.add_file_set(commit=commit, file_set_id=taken)
    assert "file / directory path collision (/a/b)" in pachd.finish(commit).error


def test_what_was_taken_out_of_a_dropped_commit_can_be_put_into_another(
    pachd: Pachd, master: Message, put: Put
) -> None:
    commit = pachd.start(master)
    put("a", b"content")
    taken = take(pachd, commit)
    pachd.api.drop_commit(commit=commit)
    other = pachd.start(master)
    pachd.api.add_file_set(commit=other, file_set_id=taken)
    pachd.finish(other)
    assert pachd.files(other) == {"/a": b"content"}


def test_a_closed_commit_is_neither_emptied_nor_added_to(pachd: Pachd, master: Message, put: Put) -> None:
    commit = pachd.start(master)
    put("a")
    pachd.finish(commit)
    taken = take(pachd, commit)
    assert names(pachd, held(taken)) == {"/a"}
    with refused("UNKNOWN", "cannot clear finished commit"):
        pachd.api.clear_commit(commit=commit)
    with refused("UNKNOWN", "has already finished"):
        pachd.api.add_file_set(commit=commit, file_set_id=taken)


def test_a_file_set_that_nobody_knows_is_refused(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    with refused("UNKNOWN", "not exist"):
        pachd.api.add_file_set(commit=commit, file_set_id=uuid4().hex)
    with refused("UNKNOWN", "dangling reference"):
        pachd.api.compose_file_set(file_set_ids=[uuid4().hex], ttl_seconds=HALF_AN_HOUR)


def test_the_commit_of_a_file_set_must_be_there(pachd: Pachd, master: Message) -> None:
    missing = pfs.Commit(repo=master.repo, id=f"{uuid4().hex[:12]}4{uuid4().hex[:19]}")
    with refused("NOT_FOUND", "not found"):
        pachd.api.get_file_set(commit=missing)
    with refused("NOT_FOUND", "not found"):
        pachd.api.clear_commit(commit=missing)
    with refused("NOT_FOUND", "not found"):
        pachd.api.add_file_set(commit=missing, file_set_id=uuid4().hex)


def stream(pachd: Pachd, requests: Iterable[Message]) -> str:
    return str(pachd.api.create_file_set(iter(requests)).file_set_id)


def replaced(files: dict[str, bytes]) -> list[Message]:
    """What puts files in place of those that a commit may hold by these names."""
    return [request for path, content in files.items() for request in (delete(path), add(path, content))]


def with_added(pachd: Pachd, branch: Message, file_sets: Sequence[str]) -> Message:
    """A commit on top of the branch's head to which the file sets were added in their order, and which has finished."""
    commit = pachd.start(branch)
    for file_set in file_sets:
        pachd.api.add_file_set(commit=commit, file_set_id=file_set)
    assert pachd.finish(commit).error == ""
    return commit


def test_what_is_streamed_without_a_commit_shows_nowhere_until_it_is_added(pachd: Pachd, master: Message) -> None:
    before = [info.commit.id for info in pachd.commits(master.repo)]
    streamed = stream(pachd, [add("/in/a", b"A"), add("/in/b", b"B1"), add("/in/b", b"B2"), add("/empty", b"")])
    assert [info.commit.id for info in pachd.commits(master.repo)] == before
    assert [info.branch.name for info in pachd.api.list_branch(repo=master.repo)] == ["master"]
    commit = with_added(pachd, master, [streamed])
    assert pachd.files(commit) == {"/in/a": b"A", "/in/b": b"B1B2", "/empty": b""}


def test_the_hashes_of_what_was_added_are_known_while_the_commit_is_open(pachd: Pachd, master: Message) -> None:
    files = {"/in/a": b"A", "/in/large": b"x" * 1_500_000}
    finished = pachd.walk(with_added(pachd, pachd.branch(master.repo.name, "other"), [stream(pachd, replaced(files))]))
    commit = pachd.start(master)
    pachd.api.add_file_set(commit=commit, file_set_id=stream(pachd, replaced(files)))
    while_open = pachd.walk(commit)
    assert is_open(pachd.api.inspect_commit(commit=commit))
    assert {path: while_open[path].hash for path in files} == {path: finished[path].hash for path in files}
    assert pachd.files(commit) == files


def test_a_file_is_appended_unless_the_file_set_deletes_it_first(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/a": b"one", "/b": b"one"})
    commit = with_added(pachd, master, [stream(pachd, [add("/a", b"two"), *replaced({"/b": b"two"})])])
    assert pachd.files(commit) == {"/a": b"onetwo", "/b": b"two"}


def test_a_file_set_deletes_files_and_no_directories(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/t/a": b"x", "/t/b": b"x", "/u/c": b"x"})
    commit = with_added(pachd, master, [stream(pachd, [delete("/t/"), delete("/u/c")])])
    assert set(pachd.files(commit)) == {"/t/a", "/t/b"}


def test_an_open_commit_deletes_directories_before_a_file_set_is_added(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/t/a": b"x", "/t/b": b"x"})
    commit = pachd.start(master)
    pachd.modify(commit, [delete("/t/")])
    pachd.api.add_file_set(commit=commit, file_set_id=stream(pachd, [add("/t/b", b"new")]))
    pachd.finish(commit)
    assert pachd.files(commit) == {"/t/b": b"new"}


@pytest.mark.parametrize("joined", [False, True])
def test_of_two_file_sets_with_one_path_the_later_wins(pachd: Pachd, master: Message, joined: bool) -> None:
    sets = [stream(pachd, replaced({"/a": content, f"/{content.decode()}": b"x"})) for content in (b"one", b"two")]
    commit = with_added(pachd, master, [join(pachd, sets)] if joined else sets)
    assert pachd.files(commit) == {"/a": b"two", "/one": b"x", "/two": b"x"}


def test_a_commit_that_is_cleared_and_finished_with_an_error_counts_for_nothing(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/old": b"x"})
    commit = pachd.start(master)
    pachd.api.add_file_set(commit=commit, file_set_id=stream(pachd, [add("/wrong", b"x")]))
    pachd.api.clear_commit(commit=commit)
    pachd.api.finish_commit(commit=commit, error="not proved")
    pachd.api.inspect_commit(commit=commit, wait=pfs.CommitState.FINISHED)
    following = with_added(pachd, master, [stream(pachd, [add("/new", b"x")])])
    assert pachd.files(following) == {"/old": b"x", "/new": b"x"}


def test_a_stream_that_breaks_off_makes_no_file_set(pachd: Pachd, master: Message) -> None:
    def broken() -> Iterable[Message]:
        yield add("/a", b"x")
        yield add("/?", b"x")

    with refused("UNKNOWN", "?"):
        stream(pachd, broken())


def test_a_file_set_is_kept_for_half_an_hour_at_most(pachd: Pachd, master: Message) -> None:
    streamed = stream(pachd, [add("/a", b"x")])
    pachd.api.renew_file_set(file_set_id=streamed, ttl_seconds=HALF_AN_HOUR)
    with refused("UNKNOWN", "exceeds max ttl"):
        pachd.api.renew_file_set(file_set_id=streamed, ttl_seconds=HALF_AN_HOUR + 1)
    with refused("UNKNOWN", "at least one second"):
        pachd.api.renew_file_set(file_set_id=streamed, ttl_seconds=0)
    assert pachd.files(with_added(pachd, master, [streamed])) == {"/a": b"x"}


def test_a_file_set_that_nobody_renews_is_forgotten(pachd: Pachd, master: Message) -> None:
    streamed = stream(pachd, [add("/a", b"x")])
    pachd.api.renew_file_set(file_set_id=streamed, ttl_seconds=1)
    commit = pachd.start(master)
    deadline = time.monotonic() + FORGOTTEN_SECONDS
    with refused("UNKNOWN", "not exist"):
        while time.monotonic() < deadline:
            pachd.api.add_file_set(commit=commit, file_set_id=streamed)
            pachd.api.clear_commit(commit=commit)
            time.sleep(0.2)
