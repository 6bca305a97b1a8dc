"""Which keys are planned, which are refused, and how workers share them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3sync_job.keys import MANIFEST_FOLDER, REFUSED_CHARACTERS, destination_prefix, join_key, key_problem
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import SOLE_WORKER, LocalFile, OnInvalidPath, Worker, make_plan, settle_conflicts

PLAIN = "".join(chr(code) for code in range(32, 127) if chr(code) not in REFUSED_CHARACTERS + "/")
elements = st.text(PLAIN, min_size=1, max_size=8).filter(lambda element: element not in (".", ".."))
# Hypothesis tries words of the code, and so s3sync's own folder, too.
parts = st.lists(elements, min_size=1, max_size=4).filter(lambda parts: parts[0] != MANIFEST_FOLDER)
paths = parts.map("/".join)


@pytest.mark.parametrize(
    ("input_path", "prefix"),
    [
        ("testdata", "testdata"),
        ("./testdata/", "testdata"),
        ("/data/books", "data/books"),
        ("a//b/./c/", "a/b/c"),
        (".", ""),
        ("/", ""),
        ("././", ""),
        ("..a/b..", "..a/b.."),
    ],
)
def test_the_input_path_becomes_the_prefix(input_path: str, prefix: str) -> None:
    assert destination_prefix(input_path) == prefix


@pytest.mark.parametrize("input_path", ["", "..", "../a", "a/../b", "/a/.."])
def test_an_input_path_that_cannot_be_a_prefix_is_refused(input_path: str) -> None:
    with pytest.raises(SyncError, match="-i/--inputpath") as refused:
        destination_prefix(input_path)
    assert refused.value.reason is Reason.INVALID_ARGUMENTS


@given(paths)
@settings(deadline=None)
def test_printable_ascii_without_glob_characters_is_taken(key: str) -> None:
    assert key_problem(key) is None


@given(paths, st.sampled_from([*REFUSED_CHARACTERS, "\n", "\x7f", "é", "\udcff", "\N{WHALE}"]), st.data())
@settings(deadline=None)
def test_one_other_character_anywhere_is_refused(key: str, character: str, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(key)))
    assert key_problem(key[:position] + character + key[position:]) is not None


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", ".", "a/./b", "..", "../a", "a/.."])
def test_empty_and_dot_elements_are_refused(key: str) -> None:
    assert key_problem(key) is not None


@given(st.sets(paths, min_size=1), st.sampled_from(["", "testdata", "a/b"]))
@settings(deadline=None)
def test_a_plan_has_each_file_once_sorted_by_key(found: set[str], prefix: str) -> None:
    plan = make_plan(prefix, [LocalFile(path, 1) for path in found], SOLE_WORKER, allow_empty=False)
    assert [file.key for file in plan.mine] == sorted(join_key(prefix, path) for path in found)
    assert plan.mine == plan.everything
    assert plan.total_bytes == len(found)


@given(st.sets(paths, min_size=1), st.integers(1, 7))
@settings(deadline=None)
def test_workers_share_all_files_and_none_twice(found: set[str], count: int) -> None:
    files = [LocalFile(path, 1) for path in found]
    plans = [make_plan("in", files, Worker(index, count), allow_empty=False) for index in range(count)]
    shares = [file for plan in plans for file in plan.mine]
    assert sorted(shares, key=lambda file: file.key) == list(plans[0].everything)
    assert max(len(plan.mine) for plan in plans) - min(len(plan.mine) for plan in plans) <= 1


@pytest.mark.parametrize(("key", "refused"), [(".s3sync", True), (".s3sync/a", True), ("a/.s3sync", False)])
def test_s3syncs_own_folder_is_refused_at_the_top_level_alone(key: str, refused: bool) -> None:
    assert (key_problem(key) is not None) is refused


def test_no_file_is_an_error_unless_allowed() -> None:
    with pytest.raises(SyncError) as refused:
        make_plan("in", [], SOLE_WORKER, allow_empty=False)
    assert refused.value.reason is Reason.INPUT_EMPTY
    assert make_plan("in", [], SOLE_WORKER, allow_empty=True).mine == ()


def test_all_refused_names_are_reported_at_once() -> None:
    found = [LocalFile(path, 1) for path in ("fine", "Chapter [1].txt", "a/b?", "c+d")]
    with pytest.raises(SyncError) as refused:
        make_plan("in", found, SOLE_WORKER, allow_empty=False)
    assert refused.value.reason is Reason.INVALID_KEY
    assert {failure.path for failure in refused.value.failures} == {"Chapter [1].txt", "a/b?", "c+d"}


def test_a_prefix_that_pachyderm_refuses_is_named_by_its_flag() -> None:
    with pytest.raises(SyncError, match=r"-i/--inputpath 'data \(1\)'") as refused:
        make_plan("data (1)", [LocalFile("fine", 1)], SOLE_WORKER, allow_empty=False)
    assert refused.value.reason is Reason.INVALID_KEY


@pytest.mark.parametrize(
    ("here", "there", "in_conflict"),
    [
        ("a/b", "in/a", True),
        ("a", "in/a/b", True),
        ("a/b/c", "in/a", True),
        ("a", "in/a", False),
        ("a", "in/ab", False),
        ("a/b", "in/a/c", False),
        ("a b", "in/a", False),
    ],
)
def test_a_file_and_a_directory_of_one_name_are_in_conflict(here: str, there: str, in_conflict: bool) -> None:
    plan = make_plan("in", [LocalFile(here, 1), LocalFile("other", 1)], SOLE_WORKER, allow_empty=False)
    if not in_conflict:
        assert settle_conflicts(plan, [there], OnInvalidPath.FAIL) == plan
        return
    with pytest.raises(SyncError) as refused:
        settle_conflicts(plan, [there], OnInvalidPath.FAIL)
    assert [failure.path for failure in refused.value.failures] == [here]
