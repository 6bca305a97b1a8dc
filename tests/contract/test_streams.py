"""Writing over gRPC: one stream of steps, all of which are taken or none."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import grpc
import pytest
from pachyderm_sdk.api import pfs

from tests.support.pachd import Message, Pachd, add, copy, delete, refused

MIB = 1024 * 1024


def test_a_stream_writes_many_files_into_an_open_commit(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    files = {f"/dir/{number:03}": str(number).encode() for number in range(200)}
    pachd.modify(commit, [add(path, content) for path, content in files.items()])
    assert pachd.finish(commit).details.size_bytes == sum(map(len, files.values()))
    assert {path: info.size_bytes for path, info in pachd.walk(commit).items() if path in files} == {
        path: len(content) for path, content in files.items()
    }
    assert pachd.read(commit, "/dir/199") == b"199"


def test_pieces_of_one_file_are_joined(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.modify(commit, [add("/file", b"one "), add("/other", b"x"), add("/file", b"two "), add("/file", b"three")])
    pachd.finish(commit)
    assert pachd.files(commit) == {"/file": b"one two three", "/other": b"x"}


def test_adding_appends_to_what_is_there_unless_it_is_deleted_first(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/appended": b"old", "/replaced": b"old"})
    commit = pachd.start(master)
    pachd.modify(commit, [add("/appended", b"new"), delete("/replaced"), add("/replaced", b"new")])
    pachd.finish(commit)
    assert pachd.files(commit) == {"/appended": b"oldnew", "/replaced": b"new"}


def test_steps_are_taken_in_order(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.modify(
        commit, [add("/file", b"x"), delete("/file"), add("/twice", b"1"), delete("/twice"), add("/twice", b"2")]
    )
    pachd.finish(commit)
    assert pachd.files(commit) == {"/twice": b"2"}


def test_an_empty_file_is_a_file(pachd: Pachd, master: Message) -> None:
    commit = pachd.commit(master, {"/empty": b""})
    assert pachd.files(commit) == {"/empty": b""}


def test_a_file_may_come_in_several_streams(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    for piece in (b"a" * 700_000, b"b" * 700_000):
        pachd.modify(commit, [add("/file", piece)])
    pachd.finish(commit)
    assert pachd.read(commit, "/file") == b"a" * 700_000 + b"b" * 700_000


def test_a_directory_is_deleted_by_a_slash_at_the_end_alone(pachd: Pachd, master: Message) -> None:
    pachd.commit(master, {"/dir/a": b"x", "/dir/b": b"x", "/dir2": b"x"})
    commit = pachd.start(master)
    pachd.modify(commit, [delete("/dir")])
    assert list(pachd.files(commit)) == ["/dir/a", "/dir/b", "/dir2"]
    pachd.modify(commit, [delete("/dir/")])
    pachd.finish(commit)
    assert list(pachd.files(commit)) == ["/dir2"]


def test_deleting_what_is_not_there_is_no_error(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.modify(commit, [delete("/missing"), delete("/missing/")])
    assert pachd.finish(commit).error == ""


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/a*b", "path (/a*b) invalid: globbing character (*) not allowed in path"),
        ("/é", "path (/é) invalid: only printable ASCII characters allowed"),
        ("", "path () invalid: only printable ASCII characters allowed"),
        ("/a/../b", "path (/a/../b) invalid: relative file paths are not allowed"),
        ("./a", "path (./a) invalid: relative file paths are not allowed"),
    ],
)
def test_a_refused_path_takes_the_whole_stream_with_it(
    pachd: Pachd, master: Message, path: str, complaint: str
) -> None:
    commit = pachd.start(master)
    for step in (add(path, b"x"), delete(path)):
        with refused("UNKNOWN", complaint):
            pachd.modify(commit, [add("/good", b"x"), step])
    assert pachd.finish(commit).details.size_bytes == 0
    assert pachd.walk(commit) == {}


def test_paths_are_cleaned(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.modify(commit, [add("no/slash", b"1"), add("//two//slashes", b"2"), add("/dir/", b"3")])
    pachd.finish(commit)
    assert pachd.files(commit) == {"/dir": b"3", "/no/slash": b"1", "/two/slashes": b"2"}


def test_two_datums_with_one_path_are_an_error(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.modify(commit, [add("/file", b"1", datum="one"), add("/kept", b"1", datum="one"), delete("/kept")])
    assert [info.file.datum for info in pachd.walk(commit).values()] == ["", "one", "one"]
    pachd.modify(commit, [add("/file", b"2", datum="two")])
    words = "duplicate path output by different datums (/file from one and /file from two)"
    with refused("UNKNOWN", words):
        pachd.walk(commit)
    assert pachd.finish(commit).error == words


def test_a_message_over_20_mib_is_refused_and_one_just_below_is_not(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    with refused("RESOURCE_EXHAUSTED"):
        pachd.modify(commit, [add("/file", bytes(20 * MIB))])
    pachd.modify(commit, [add("/file", bytes(20 * MIB - 1024))])
    assert pachd.finish(commit).details.size_bytes == 20 * MIB - 1024


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "EOF"),
        ([add("/file", b"x")], "first message must be a commit"),
        ([pfs.ModifyFileRequest()], "first message must be a commit"),
    ],
)
def test_a_stream_begins_with_its_commit(pachd: Pachd, requests: list[Any], words: str) -> None:
    with refused("UNKNOWN", words):
        pachd.api.modify_file(iter(requests))


def test_a_stream_names_its_commit_once_and_every_step_says_what_it_is(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    with refused("UNKNOWN", "cannot set commit"):
        pachd.modify(commit, [pfs.ModifyFileRequest(set_commit=commit)])
    with refused("UNKNOWN", "unrecognized message type"):
        pachd.modify(commit, [pfs.ModifyFileRequest()])


# Where a stream goes.


def test_a_stream_to_a_closed_head_is_one_commit(pachd: Pachd, master: Message) -> None:
    before = pachd.head(master)
    pachd.write(pachd.head_of(master), {"/one": b"1", "/two": b"2"})
    head = pachd.wait(pachd.head(master))
    assert head.parent_commit.id == before.id
    assert pachd.files(head.commit) == {"/one": b"1", "/two": b"2"}


def test_a_stream_to_an_open_head_joins_it(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.write(pachd.head_of(master), {"/joined": b"x"})
    assert pachd.head(master).id == commit.id
    pachd.finish(commit)
    assert pachd.files(commit) == {"/joined": b"x"}


def test_a_stream_to_a_missing_branch_makes_it(pachd: Pachd, master: Message, repo: str) -> None:
    new = pachd.branch(repo, "new")
    pachd.write(pachd.head_of(new), {"/file": b"x"})
    assert pachd.files(pachd.wait(pachd.head(new)).commit) == {"/file": b"x"}


def test_an_unknown_commit_with_a_branch_silently_makes_a_commit_on_the_branch(pachd: Pachd, master: Message) -> None:
    before = pachd.head(master)
    unknown = pfs.Commit(repo=master.repo, branch=master, id=f"{uuid4().hex[:12]}4{uuid4().hex[:19]}")
    pachd.write(unknown, {"/trapped": b"x"})
    assert pachd.wait(pachd.head(master)).parent_commit.id == before.id
    with refused("NOT_FOUND", f"{unknown.id} not found"):
        pachd.write(pfs.Commit(repo=master.repo, id=unknown.id), {"/safe": b"x"})


def test_a_commit_without_its_repo_never_joins_an_open_head(pachd: Pachd, master: Message) -> None:
    # `Commit(branch=…)` of the SDK is such a one: it reads well and does something else.
    trap = pfs.Commit(branch=master)
    pachd.write(trap, {"/own": b"x"})
    own = pachd.wait(pachd.head(master)).commit
    assert pachd.files(own) == {"/own": b"x"}
    pachd.start(master)
    with refused("UNKNOWN", "has not been finished"):
        pachd.write(trap, {"/joined": b"x"})


# Copies.


def test_a_whole_tree_is_copied_without_its_bytes(pachd: Pachd, master: Message, repo: str) -> None:
    source = pachd.commit(pachd.branch(repo, "source"), {"/a": b"1", "/dir/b": b"2", "/dir/sub/c": b"3"})
    commit = pachd.start(master)
    pachd.modify(commit, [copy(source, "/", "/")])
    pachd.finish(commit)
    assert {path: info.hash for path, info in pachd.walk(commit).items()} == {
        path: info.hash for path, info in pachd.walk(source).items()
    }


def test_a_copy_names_a_file_or_a_directory(pachd: Pachd, master: Message, repo: str) -> None:
    source = pachd.commit(
        pachd.branch(repo, "source"), {"/a": b"1", "/dir/b": b"2", "/dir/sub/c": b"3", "/dir.txt": b"4"}
    )
    commit = pachd.start(master)
    pachd.modify(
        commit,
        [
            copy(source, "/dir", "/to"),
            copy(source, "/dir/", "/to2/"),
            copy(source, "/a", "/to/named"),
            copy(source, "/", "/deep/er"),
        ],
    )
    pachd.finish(commit)
    assert pachd.files(commit) == {
        "/deep/er/a": b"1",
        "/deep/er/dir.txt": b"4",
        "/deep/er/dir/b": b"2",
        "/deep/er/dir/sub/c": b"3",
        "/to/b": b"2",
        "/to/named": b"1",
        "/to/sub/c": b"3",
        "/to2/b": b"2",
        "/to2/sub/c": b"3",
    }


def test_a_copy_replaces_and_with_append_adds(pachd: Pachd, master: Message, repo: str) -> None:
    source = pachd.commit(pachd.branch(repo, "source"), {"/file": b"new"})
    pachd.commit(master, {"/replaced": b"old", "/appended": b"old", "/kept": b"old"})
    commit = pachd.start(master)
    pachd.modify(commit, [copy(source, "/file", "/replaced"), copy(source, "/file", "/appended", append=True)])
    pachd.finish(commit)
    assert pachd.files(commit) == {"/appended": b"oldnew", "/kept": b"old", "/replaced": b"new"}


def test_what_is_not_there_is_copied_without_a_word(pachd: Pachd, master: Message, repo: str) -> None:
    source = pachd.commit(pachd.branch(repo, "source"), {"/file": b"x"})
    commit = pachd.start(master)
    pachd.modify(commit, [copy(source, "/missing", "/to")])
    pachd.finish(commit)
    assert pachd.walk(commit) == {}


def test_a_copys_target_is_not_checked(pachd: Pachd, master: Message, repo: str) -> None:
    source = pachd.commit(pachd.branch(repo, "source"), {"/file": b"x"})
    commit = pachd.start(master)
    pachd.modify(commit, [copy(source, "/file", "/b*d"), copy(source, "/file", "../up")])
    assert pachd.finish(commit).error == ""
    assert list(pachd.walk(commit)) == ["/", "/b*d", "/up"]


def test_an_open_commit_can_be_copied_from_and_a_finishing_one_is_waited_for(
    pachd: Pachd, master: Message, repo: str
) -> None:
    source = pachd.start(pachd.branch(repo, "source"))
    pachd.write(source, {"/file": b"x"})
    commit = pachd.start(master)
    pachd.modify(commit, [copy(source, "/", "/open")])
    pachd.api.finish_commit(commit=source)
    pachd.modify(commit, [copy(source, "/", "/finishing")])
    pachd.finish(commit)
    assert pachd.files(commit) == {"/finishing/file": b"x", "/open/file": b"x"}


def test_a_copy_from_a_dropped_commit_is_not_found(pachd: Pachd, master: Message, repo: str) -> None:
    source = pachd.commit(pachd.branch(repo, "source"), {"/file": b"x"})
    pachd.api.drop_commit(commit=source)
    commit = pachd.start(master)
    with refused("NOT_FOUND", f"{source.id} not found"):
        pachd.modify(commit, [copy(source, "/", "/")])


def test_a_copy_outlives_its_source(pachd: Pachd, master: Message, repo: str) -> None:
    staging = pachd.branch(repo, "staging")
    source = pachd.commit(staging, {"/file": b"x" * 2_000_000})
    commit = pachd.start(master)
    pachd.modify(commit, [copy(source, "/", "/")])
    pachd.finish(commit)
    pachd.api.delete_branch(branch=staging)
    pachd.api.drop_commit(commit=source, recursive=True)
    assert pachd.read(commit, "/file") == b"x" * 2_000_000


# Several at a time, and those that end early.


def test_streams_of_several_workers_meet_in_one_open_commit(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    with ThreadPoolExecutor(4) as workers:
        list(
            workers.map(
                lambda worker: pachd.modify(commit, [add(f"/{worker}/{number}", b"x") for number in range(25)]),
                range(4),
            )
        )
    assert pachd.finish(commit).details.size_bytes == 100
    assert len([path for path in pachd.walk(commit) if not path.endswith("/")]) == 100


def test_workers_publish_all_their_branches_in_one_commit(pachd: Pachd, master: Message, repo: str) -> None:
    staged = [pachd.commit(pachd.branch(repo, f"worker-{n}"), {f"/from-{n}": b"x", "/both": b"x"}) for n in range(2)]
    commit = pachd.start(master)
    pachd.modify(commit, [copy(source, "/", "/") for source in staged])
    assert pachd.finish(commit).error == ""
    assert pachd.files(commit) == {"/both": b"x", "/from-0": b"x", "/from-1": b"x"}


def test_a_stream_that_its_client_gives_up_writes_nothing(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)

    def steps() -> Iterator[Message]:
        yield add("/half", b"x" * 1_000_000)
        raise OSError("the disk is gone")

    with pytest.raises(grpc.RpcError):
        pachd.modify(commit, steps())
    pachd.modify(commit, [add("/whole", b"x")])
    pachd.finish(commit)
    assert list(pachd.files(commit)) == ["/whole"]


def test_a_wait_ends_at_its_deadline_and_harms_nothing(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    # The SDK's calls take no time limit; those of its channel do.
    inspect = pachd.client._channel.unary_unary(
        "/pfs_v2.API/InspectCommit",
        request_serializer=pfs.InspectCommitRequest.SerializeToString,
        response_deserializer=pfs.CommitInfo.FromString,
    )
    with refused("DEADLINE_EXCEEDED"):
        inspect(pfs.InspectCommitRequest(commit=commit, wait=pfs.CommitState.FINISHED), timeout=0.5)
    assert pachd.finish(commit).error == ""
