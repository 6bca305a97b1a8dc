import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachyderm_standin.names import BucketName, canonical_bucket, clean_path, is_commit_id, parse_bucket, path_error

COMMIT = "2b5289f2c5334aeea09b2359d001d890"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("repo", ("", "master", "repo", "default")),
        ("stage.repo", ("", "stage", "repo", "default")),
        ("stage.repo.project", ("", "stage", "repo", "project")),
        (f"{COMMIT}.repo", (COMMIT, "master", "repo", "default")),
        (f"{COMMIT}.stage.repo", (COMMIT, "stage", "repo", "default")),
        (f"{COMMIT}.stage.repo.project", (COMMIT, "stage", "repo", "project")),
    ],
)
def test_a_buckets_name_points_at_a_commit(name: str, parts: tuple[str, ...]) -> None:
    assert parse_bucket(name) == BucketName(*parts)


@pytest.mark.parametrize("name", [COMMIT, "a.b.c.d", f"{COMMIT}.a.b.c.d"])
def test_a_name_with_too_few_or_too_many_parts_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="invalid bucket name"):
        parse_bucket(name)


NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True).filter(lambda name: not is_commit_id(name))


@settings(deadline=None)
@given(NAMES, NAMES, NAMES)
def test_a_canonical_name_reads_back(branch: str, repo: str, project: str) -> None:
    assert parse_bucket(canonical_bucket(branch, repo, project)) == BucketName("", branch, repo, project)


@pytest.mark.parametrize("text", [COMMIT[:-1], COMMIT.upper(), COMMIT[:12] + "5" + COMMIT[13:], ""])
def test_only_a_version_4_uuid_in_small_hex_digits_is_a_commit_id(text: str) -> None:
    assert is_commit_id(COMMIT)
    assert not is_commit_id(text)


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="*?[]{}!()@+^/."), min_size=1))
def test_other_printable_characters_are_fine(path: str) -> None:
    assert path_error(path) is None


@pytest.mark.parametrize("path", ["", "é", "a\x00", "a\x7f", *(f"a{character}" for character in "*?[]{}!()@+^")])
def test_a_path_with_a_refused_character_says_so(path: str) -> None:
    error = path_error(path)
    assert error is not None
    assert not error.is_relative


@pytest.mark.parametrize("path", [".", "..", "a/.", "../a", "a/../b"])
def test_a_relative_path_is_refused_in_its_own_way(path: str) -> None:
    error = path_error(path)
    assert error is not None
    assert error.is_relative


def test_names_that_only_look_relative_are_fine() -> None:
    assert [path_error(path) for path in ("...", ".hidden", "a/b.", "a..b")] == [None] * 4


def test_paths_are_kept_without_slashes_around() -> None:
    assert [clean_path(path) for path in ("/a/b/", "a//b", "a", "/")] == ["a/b", "a/b", "a", ""]
