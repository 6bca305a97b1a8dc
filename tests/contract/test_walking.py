"""Reading over gRPC: listings with sizes and hashes, and the one hash that S3 shows as the ETag."""

import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from pachyderm_sdk.api import pfs

from pachyderm_standin.etag import content_hash
from tests.support.pachd import UNSET_YEAR, Message, Pachd, add, refused

TREE = {"/d/x": b"x in d", "/d/s/y": b"y in s", "/e": b"e", "/d.txt": b"a file that sorts before the directory"}
FILE, DIR = pfs.FileType.FILE, pfs.FileType.DIR


@pytest.fixture
def tree(pachd: Pachd, master: Message) -> Message:
    """A finished commit with the files of TREE."""
    return pachd.commit(master, TREE)


def blake2b(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=32).digest()


def paths(infos: Any) -> list[str]:
    return [info.file.path for info in infos]


def at(commit: Message, path: str) -> Message:
    return pfs.File(commit=commit, path=path)


def random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def test_a_walk_shows_files_and_directories_in_order(pachd: Pachd, tree: Message) -> None:
    infos = pachd.walk(tree)
    assert list(infos) == ["/", "/d.txt", "/d/", "/d/s/", "/d/s/y", "/d/x", "/e"]
    assert {path: info.size_bytes for path, info in infos.items() if info.file_type == FILE} == {
        path: len(content) for path, content in TREE.items()
    }
    assert (infos["/d/"].file_type, infos["/d/"].size_bytes, infos["/"].size_bytes) == (DIR, 12, 51)
    assert infos["/e"].file.commit.id == tree.id
    assert infos["/e"].committed.year > UNSET_YEAR


def test_a_small_files_hash_is_the_hash_of_its_hash_and_a_directorys_that_of_its_childrens(
    pachd: Pachd, tree: Message
) -> None:
    infos = pachd.walk(tree)
    assert infos["/e"].hash == blake2b(blake2b(b"e"))
    assert infos["/d/"].hash == blake2b(infos["/d/s/"].hash, infos["/d/x"].hash)
    assert infos["/"].hash == blake2b(infos["/d.txt"].hash, infos["/d/"].hash, infos["/e"].hash)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("d", ["/d/", "/d/s/", "/d/s/y", "/d/x"]),
        ("/d/", ["/d/", "/d/s/", "/d/s/y", "/d/x"]),
        ("/d/x", ["/d/x"]),
        ("", ["/", "/d.txt", "/d/", "/d/s/", "/d/s/y", "/d/x", "/e"]),
    ],
)
def test_a_walk_begins_anywhere(pachd: Pachd, tree: Message, path: str, found: list[str]) -> None:
    assert list(pachd.walk(tree, path)) == found


def test_a_walk_of_what_is_missing_is_not_found_but_of_an_empty_commit_empty(
    pachd: Pachd, master: Message, tree: Message
) -> None:
    with refused("NOT_FOUND", f"commit/{tree.id} does not contain item: (/missing)"):
        pachd.walk(tree, "/missing")
    empty = pachd.api.inspect_commit(commit=pfs.Commit(repo=master.repo, id="master^")).commit
    assert pachd.walk(empty) == {}
    with refused("NOT_FOUND", f"file / not found in repo default/{master.repo.name} at commit {empty.id}"):
        pachd.api.inspect_file(file=at(empty, "/"))


def test_a_walk_comes_in_pages(pachd: Pachd, tree: Message) -> None:
    walk: Callable[..., Any] = pachd.api.walk_file
    root = at(tree, "/")
    assert paths(walk(file=root, number=2)) == ["/", "/d.txt"]
    assert paths(walk(file=root, number=2, pagination_marker=at(tree, "/d.txt"))) == ["/d/", "/d/s/"]
    assert paths(walk(file=root, pagination_marker=at(tree, "/d/s/y"))) == ["/d/x", "/e"]
    assert paths(walk(file=root, number=3, reverse=True)) == ["/e", "/d/x", "/d/s/y"]
    assert paths(walk(file=root, number=2, reverse=True, pagination_marker=at(tree, "/d/x"))) == ["/d/s/y", "/d/s/"]
    with refused("UNKNOWN", "number must be > 0 when reverse is true"):
        list(walk(file=root, reverse=True))
    with refused("UNKNOWN", "cannot return more than 100000 files at a time"):
        list(walk(file=root, number=100_001))


def test_a_list_shows_what_lies_directly_in_a_directory(pachd: Pachd, tree: Message) -> None:
    assert paths(pachd.api.list_file(file=at(tree, "/"))) == ["/d.txt", "/d/", "/e"]
    assert paths(pachd.api.list_file(file=at(tree, "/d"))) == ["/d/s/", "/d/x"]
    assert paths(pachd.api.list_file(file=at(tree, "/e"))) == ["/e"]
    assert paths(pachd.api.list_file(file=at(tree, "/missing"))) == []


def test_a_file_or_directory_is_inspected(pachd: Pachd, tree: Message) -> None:
    assert pachd.api.inspect_file(file=at(tree, "d/x")).size_bytes == 6
    for path in ("/d", "/d/"):
        info = pachd.api.inspect_file(file=at(tree, path))
        assert (info.file.path, info.file_type) == ("/d/", DIR)
    with refused("NOT_FOUND", "file /missing not found"):
        pachd.api.inspect_file(file=at(tree, "/missing"))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*", ["/d.txt", "/d/", "/e"]),
        ("/", ["/"]),
        ("/d*", ["/d.txt", "/d/"]),
        ("/d/**", ["/d/s/", "/d/s/y", "/d/x"]),
        ("/{d,e}", ["/d/", "/e"]),
        ("/d/[xs]", ["/d/s/", "/d/x"]),
        ("**/y", ["/d/s/y"]),
        ("/d.txt", ["/d.txt"]),
        ("/?", ["/d/", "/e"]),
        ("/missing*", []),
    ],
)
def test_a_pattern_matches_files_and_directories(pachd: Pachd, tree: Message, pattern: str, found: list[str]) -> None:
    assert paths(pachd.api.glob_file(commit=tree, pattern=pattern)) == found


def test_a_diff_shows_what_a_commit_changed(pachd: Pachd, master: Message, tree: Message) -> None:
    commit = pachd.commit(master, {"/d/x": b"changed", "/new": b"n"})
    changed = [
        (sides.new_file.file.path, sides.old_file.file.path) for sides in pachd.api.diff_file(new_file=at(commit, "/"))
    ]
    assert changed == [("/", "/"), ("/d/", "/d/"), ("/d/x", "/d/x"), ("/new", "")]
    back = pachd.api.diff_file(new_file=at(tree, "/"), old_file=at(commit, "/"))
    assert [(sides.new_file.file.path, sides.old_file.file.path) for sides in back] == [
        ("/", "/"),
        ("/d/", "/d/"),
        ("/d/x", "/d/x"),
        ("", "/new"),
    ]


def test_a_file_is_read_whole_or_from_an_offset(pachd: Pachd, tree: Message) -> None:
    assert pachd.read(tree, "/d/x") == b"x in d"
    assert pachd.read(tree, "/d/s/*") == b"y in s"
    rest = pachd.api.get_file(file=at(tree, "/d/x"), offset=2)
    assert b"".join(piece.value for piece in rest) == b"in d"
    with refused("NOT_FOUND", "file /missing not found"):
        pachd.read(tree, "/missing")
    with refused("UNKNOWN", "cannot get directory or non-regular file"):
        pachd.read(tree, "/d")
    with refused("UNKNOWN", "matched multiple files"):
        pachd.read(tree, "/{e,d.txt}")


def test_a_tree_is_read_as_a_tar_archive(pachd: Pachd, tree: Message) -> None:
    with pachd.api.pfs_tar_file(file=at(tree, "/d")) as archive:
        members = [(member.name, member.isdir(), archive.extractfile(member)) for member in archive]
        names = [(name, is_directory) for name, is_directory, _ in members]
    assert names == [("d", True), ("d/s", True), ("d/s/y", False), ("d/x", False)]


def test_an_open_commit_is_read_with_its_parents_files(pachd: Pachd, master: Message, tree: Message) -> None:
    commit = pachd.start(master)
    pachd.modify(commit, [add("/e", b"!")])
    assert pachd.read(commit, "/e") == b"e!"
    assert pachd.walk(commit)["/e"].committed.year == UNSET_YEAR


def test_a_finishing_commit_is_waited_for(pachd: Pachd, master: Message) -> None:
    commit = pachd.start(master)
    pachd.modify(commit, [add("/file", b"x")])
    pachd.api.finish_commit(commit=commit)
    assert pachd.walk(commit)["/file"].size_bytes == 1


# The hash, which proves a file without reading it.

SIZES = [0, 1, 10_000, 999_999, 1_000_000, 1_000_001, 12_000_000, 20_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_a_files_hash_is_known_beforehand_and_is_the_etag_whatever_its_size(
    pachd: Pachd, bucket: str, master: Message, s3: Any, size: int
) -> None:
    content = random_bytes(size)
    etag = s3.put_object(Bucket=bucket, Key="over-s3", Body=content)["ETag"].strip('"')
    commit = pachd.start(master)
    pieces = [content[start : start + 3_000_000] for start in range(0, size, 3_000_000)]
    pachd.modify(commit, [add("/over-grpc", piece) for piece in pieces or [b""]])
    infos = pachd.walk(commit)
    assert [etag, infos["/over-s3"].hash.hex(), infos["/over-grpc"].hash.hex()] == [content_hash(content)] * 3
    pachd.finish(commit)
    assert pachd.walk(commit)["/over-grpc"].hash.hex() == content_hash(content)
    listed = {item["Key"]: item["ETag"].strip('"') for item in s3.list_objects(Bucket=bucket)["Contents"]}
    assert listed == {"over-s3": etag, "over-grpc": etag}


@pytest.mark.parametrize("content", [bytes(20_000_000), b"0123456789" * 2_500_000], ids=["zeros", "digits"])
def test_content_that_never_cuts_a_chunk_is_cut_at_20_mb(pachd: Pachd, master: Message, content: bytes) -> None:
    commit = pachd.start(master)
    half = len(content) // 2
    pachd.modify(commit, [add("/file", content[:half]), add("/file", content[half:])])
    assert pachd.walk(commit)["/file"].hash.hex() == content_hash(content)


def test_a_file_appended_to_in_several_streams_hashes_as_a_whole(pachd: Pachd, master: Message) -> None:
    pieces = [random_bytes(size) for size in (6_000_000, 500_000, 3_000_000)]
    commit = pachd.start(master)
    for piece in pieces:
        pachd.modify(commit, [add("/file", piece)])
    pachd.modify(commit, [add("/small", b"abc")])
    pachd.modify(commit, [add("/small", b"def")])
    pachd.finish(commit)
    assert pachd.walk(commit)["/file"].hash.hex() == content_hash(b"".join(pieces))
    assert pachd.walk(commit)["/small"].hash.hex() == content_hash(b"abcdef")


def test_a_multipart_uploads_etag_is_the_hash_of_the_whole(pachd: Pachd, s3: Any, bucket: str, master: Message) -> None:
    parts = [random_bytes(size) for size in (5 * 1024 * 1024, 6_000_000, 1000)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="file")["UploadId"]
    etags = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=bucket, Key="file", UploadId=upload, PartNumber=number, Body=part)["ETag"],
        }
        for number, part in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(Bucket=bucket, Key="file", UploadId=upload, MultipartUpload={"Parts": etags})
    head = pachd.wait(pachd.head(master)).commit
    assert pachd.walk(head)["/file"].hash.hex() == content_hash(b"".join(parts))
