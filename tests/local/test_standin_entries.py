"""What listings over gRPC show of a commit's files."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachyderm_standin.entries import entries_at, is_child, list_entries, literal_prefix, match_entries
from pachyderm_standin.etag import content_hash
from pachyderm_standin.model import Content, File, PfsError, Tree, UnreadableError


def file(content: bytes) -> File:
    return File((Content(content_hash(content), len(content)),))


def hash_of(a_file: File) -> str:
    return a_file.contents[0].hash


def tree(*paths: str) -> Tree:
    return Tree({path: file(path.encode()) for path in paths})


def listed(files: Tree, prefix: str = "") -> list[str]:
    return [entry.path for entry in list_entries(files, prefix, hash_of)]


def expected(files: Tree, directory: str = "") -> tuple[int, bytes]:
    """Size and hash of a directory, by the plainest way."""
    names = sorted(
        {
            path[len(directory) :].partition("/")[0] + ("/" if "/" in path[len(directory) :] else "")
            for path in files.paths
            if path.startswith(directory)
        }
    )
    size, digest = 0, hashlib.blake2b(digest_size=32)
    for name in names:
        path = directory + name
        if name.endswith("/"):
            inner_size, inner_hash = expected(files, path)
        else:
            inner_size, inner_hash = files.files[path].size, bytes.fromhex(hash_of(files.files[path]))
        size += inner_size
        digest.update(inner_hash)
    return size, digest.digest()


NAMES = st.sampled_from(["a", "b", "d", "d.txt", "e-1"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


@settings(deadline=None)
@given(st.sets(PATHS, max_size=12))
def test_directories_stand_before_what_is_in_them_with_its_size_and_hash(paths: set[str]) -> None:
    files = tree(*paths)
    try:
        found = list_entries(files, "", hash_of)
    except UnreadableError:
        assert any(other.startswith(f"{path}/") for path in paths for other in paths)
        return
    directories = {"/"} if paths else set[str]()
    for path in paths:
        parts = path.split("/")[:-1]
        directories |= {"/" + "/".join(parts[: end + 1]) + "/" for end in range(len(parts))}
    assert [entry.path for entry in found] == sorted({*directories, *(f"/{path}" for path in paths)})
    for entry in found:
        if entry.path.endswith("/"):
            assert (entry.size, entry.hash) == expected(files, entry.path.removeprefix("/"))


def test_a_prefix_shows_no_directory_above_it() -> None:
    files = tree("d/s/y", "d/x", "d.txt", "e")
    assert listed(files, "/d/s") == ["/d/s/", "/d/s/y"]
    assert listed(files, "/d") == ["/d.txt", "/d/", "/d/s/", "/d/s/y", "/d/x"]
    assert [entry.path for entry in entries_at(files, "/d", hash_of)] == ["/d/", "/d/s/", "/d/s/y", "/d/x"]


def test_a_collision_is_told_only_where_one_looks() -> None:
    files = tree("a/b", "a", "z")
    assert listed(files, "/z") == ["/z"]
    with pytest.raises(UnreadableError, match=r"collision \(/a/b\)"):
        listed(files)


def test_two_datums_with_one_path_cannot_be_listed() -> None:
    files = Tree({"a": File((), "one") + File((), "two")})
    with pytest.raises(UnreadableError, match="/a from one and /a from two"):
        listed(files)


@pytest.mark.parametrize(
    ("parent", "path", "is_one"),
    [("/", "/a", True), ("/", "/a/b", False), ("/d", "/d/x", True), ("/d", "/d/s/y", False), ("/e", "/e", True)],
)
def test_children_lie_directly_below(parent: str, path: str, is_one: bool) -> None:
    assert is_child(parent, path) == is_one


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("/*", ["/d.txt", "/d/", "/e"]),
        ("/**", ["/d.txt", "/d/", "/d/s/", "/d/s/y", "/d/x", "/e"]),
        ("/d/?", ["/d/s/", "/d/x"]),
        ("/d/[!s]", ["/d/x"]),
        ("/{e,d/*}", ["/d/s/", "/d/x", "/e"]),
        ("/d.txt", ["/d.txt"]),
        ("/dxtxt", []),
        ("/", ["/"]),
    ],
)
def test_a_pattern_matches_whole_paths(pattern: str, found: list[str]) -> None:
    files = tree("d/s/y", "d/x", "d.txt", "e")
    assert [entry.path for entry in match_entries(files, pattern, hash_of)] == found


def test_a_matched_directory_can_bring_all_that_is_in_it() -> None:
    files = tree("d/s/y", "d/x", "d.txt", "e")
    assert [entry.path for entry in match_entries(files, "/d", hash_of, whole=True)] == [
        "/d/",
        "/d/s/",
        "/d/s/y",
        "/d/x",
    ]


@pytest.mark.parametrize("pattern", ["/@(a|b)", "/[", "/!(a)"])
def test_a_pattern_that_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(PfsError):
        match_entries(tree("a"), pattern, hash_of)


def test_a_patterns_plain_beginning_is_told() -> None:
    assert [literal_prefix(pattern) for pattern in ("/a/b*c", "/plain", "*")] == ["/a/b", "/plain", ""]
