"""Verdicts, comparisons and the digest."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3sync_job import verify
from s3sync_job.outcome import Reason, SyncError, Verdict
from s3sync_job.plan import SOLE_WORKER, LocalFile, PlannedFile, Worker, make_plan
from s3sync_job.scan import find_files
from s3sync_job.verify import compare_sets, compare_streams, first_difference, manifest_digest


@pytest.mark.parametrize(
    ("here", "there", "equal", "expected"),
    [
        (True, True, True, Verdict.MATCH),
        (True, True, False, Verdict.DIFFER),
        (True, True, None, Verdict.ERROR),
        (True, False, None, Verdict.MISSING_THERE),
        (True, False, True, Verdict.MISSING_THERE),
        (True, False, False, Verdict.MISSING_THERE),
        (False, True, None, Verdict.MISSING_HERE),
        (False, True, True, Verdict.MISSING_HERE),
        (False, True, False, Verdict.MISSING_HERE),
    ],
)
def test_the_truth_table_of_verdicts(here: bool, there: bool, equal: bool | None, expected: Verdict) -> None:
    assert verify.verdict(here=here, there=there, equal=equal) is expected


@pytest.mark.parametrize("equal", [True, False, None])
def test_a_path_that_neither_side_has_cannot_be_judged(equal: bool | None) -> None:
    with pytest.raises(ValueError, match="neither side"):
        verify.verdict(here=False, there=False, equal=equal)


@given(st.binary(max_size=64), st.binary(max_size=64), st.integers(1, 9))
@settings(deadline=None)
def test_streams_match_exactly_if_their_bytes_do(ours: bytes, theirs: bytes, buffer: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "CHUNK", buffer)
        same = compare_streams(io.BytesIO(ours), io.BytesIO(ours), len(ours))
        other = compare_streams(io.BytesIO(ours), io.BytesIO(theirs), len(ours))
    assert (same.verdict, same.sha256) == (Verdict.MATCH, hashlib.sha256(ours).hexdigest())
    assert (other.verdict is Verdict.MATCH) == (ours == theirs)
    assert (other.sha256 is None) == (ours != theirs)


@pytest.mark.parametrize(
    ("theirs", "detail"),
    [
        (b"abcdXfgh", "first difference at byte 4 of 8"),
        (b"abcdef", "ends in the bucket after 6 bytes, the input has more (8 when it was planned)"),
        (b"abcdefghi", "goes on in the bucket after the input's 8 bytes"),
        (b"", "ends in the bucket after 0 bytes, the input has more (8 when it was planned)"),
    ],
)
@pytest.mark.parametrize("buffer", [1, 3, 8, 100])
def test_the_detail_says_where_the_contents_part(
    monkeypatch: pytest.MonkeyPatch, theirs: bytes, detail: str, buffer: int
) -> None:
    monkeypatch.setattr(verify, "CHUNK", buffer)
    assert compare_streams(io.BytesIO(b"abcdefgh"), io.BytesIO(theirs), 8).detail == detail


@given(st.binary(max_size=40), st.binary(max_size=40))
@settings(deadline=None)
def test_the_first_difference_is_the_length_of_the_common_start(ours: bytes, theirs: bytes) -> None:
    common = first_difference(ours, theirs)
    assert ours[:common] == theirs[:common]
    assert common == min(len(ours), len(theirs)) or ours[common] != theirs[common]


def test_both_sides_must_have_the_same_set_of_files() -> None:
    plan = make_plan("in", [LocalFile("both", 1), LocalFile("here", 1)], SOLE_WORKER, allow_empty=False)
    common, failures = compare_sets(plan, {"in/both", "in/there"}, SOLE_WORKER)
    assert [file.path for file in common] == ["both"]
    assert {failure.path: failure.verdict for failure in failures} == {
        "here": Verdict.MISSING_THERE,
        "there": Verdict.MISSING_HERE,
    }


def test_files_of_other_workers_are_not_missing_and_strange_ones_are_counted_once() -> None:
    files = [LocalFile(str(number), 1) for number in range(4)]
    there = {f"in/{number}" for number in range(4)} | {"in/strange"}
    failures = [
        compare_sets(make_plan("in", files, worker, allow_empty=False), there, worker)[1]
        for worker in (Worker(0, 2), Worker(1, 2))
    ]
    assert [[failure.path for failure in of_worker] for of_worker in failures] == [["strange"], []]


def test_the_digest_is_the_hash_of_the_sorted_manifest() -> None:
    files = [PlannedFile("b", "in/b", 2), PlannedFile("a", "in/a", 1)]
    expected = hashlib.sha256(b"11  1  in/a\n22  2  in/b\n").hexdigest()
    assert manifest_digest(files, {"in/a": "11", "in/b": "22"}) == f"sha256:{expected}"


def test_a_scan_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(b"12")
    (tmp_path / "twice").symlink_to("a")
    assert sorted((file.path, file.size) for file in find_files(tmp_path).files) == [("a/file", 2), ("twice/file", 2)]
    (tmp_path / "a/up").symlink_to("..")
    with pytest.raises(SyncError) as refused:
        find_files(tmp_path)
    assert refused.value.reason is Reason.INPUT_UNREADABLE
    assert {failure.path for failure in refused.value.failures} == {"a/up", "twice/up"}


def test_an_input_that_changed_its_size_since_it_was_planned_is_no_match() -> None:
    found = compare_streams(io.BytesIO(b"longer"), io.BytesIO(b"longer"), 3)
    assert (found.verdict, found.sha256) == (Verdict.DIFFER, None)
    assert found.detail == "the input changed during the run: it has 6 bytes and had 3 when it was planned"
