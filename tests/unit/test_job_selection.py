"""Which files are synced, which worker takes them, and what a sync changes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3sync_job.batches import batches
from s3sync_job.compare import Prune, There, check_prune_limit, delta, extra_keys, may_be_unchanged
from s3sync_job.filters import Filter
from s3sync_job.manifest import MAX_BYTES, Entry, Manifest, check_size, entries, is_reusable, parse_manifest
from s3sync_job.outcome import Failure, Reason, SyncError, Verdict
from s3sync_job.plan import (
    FILE_COST_BYTES,
    SOLE_WORKER,
    LocalFile,
    OnInvalidPath,
    Plan,
    PlannedFile,
    Worker,
    make_plan,
    settle_conflicts,
    share,
)
from s3sync_job.scan import find_files
from s3sync_operator.pachd_calls import MANIFEST_BYTES

sizes = st.lists(st.integers(0, 10**9), min_size=1, max_size=60)


def planned(found_sizes: list[int]) -> tuple[PlannedFile, ...]:
    return tuple(PlannedFile(f"{index:03}", f"in/{index:03}", size) for index, size in enumerate(found_sizes))


def plan_of(*paths: str, chosen_by: Filter | None = None, skipped: tuple[Failure, ...] = ()) -> Plan:
    files = [LocalFile(path, 1) for path in paths]
    chosen = chosen_by or Filter()
    return make_plan("in", files, SOLE_WORKER, allow_empty=True, skipped=skipped, chosen_by=chosen)


@pytest.mark.parametrize(
    ("include", "exclude", "taken", "left"),
    [
        ((), (), ["a", "a/b.txt"], []),
        (("*.txt",), (), ["a.txt", "deep/down/b.txt"], ["a.csv", "txt"]),
        (("/top/*.txt",), (), ["top/a.txt"], ["a.txt", "x/top/a.txt", "top/deep/a.txt"]),
        (("/top/**/a.txt",), (), ["top/a.txt", "top/x/y/a.txt"], ["a.txt"]),
        (("images/",), (), ["images/a", "x/images/y/z"], ["images"]),
        (("images",), (), ["images", "images/a/b"], ["images2/a"]),
        ((), ("*.tmp", "cache/"), ["a", "cache"], ["a.tmp", "x/b.tmp", "cache/a", "x/cache/y"]),
        (("*.txt",), ("draft*",), ["a.txt"], ["draft.txt", "drafts/a.txt", "a.csv"]),
        ((), ("*.txt", "!keep.txt"), ["keep.txt", "a"], ["b.txt"]),
        (("a?c", "[xy]1"), (), ["abc", "x1"], ["abbc", "z1"]),
    ],
)
def test_patterns_are_those_of_gitignore_and_exclude_wins(
    include: tuple[str, ...], exclude: tuple[str, ...], taken: list[str], left: list[str]
) -> None:
    chosen = Filter(include, exclude)
    assert [path for path in taken if not chosen.takes(path)] == []
    assert [path for path in left if chosen.takes(path)] == []


@pytest.mark.parametrize("pattern", ["", "  ", "# a comment", "/", "!"])
@pytest.mark.parametrize("flag", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_refused_by_its_flag(flag: str, pattern: str) -> None:
    with pytest.raises(SyncError, match=f"--{flag}") as refused:
        Filter(**{flag: (pattern,)})
    assert refused.value.reason is Reason.INVALID_ARGUMENTS


def test_what_is_filtered_out_need_not_be_readable(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/up").symlink_to("..")
    for chosen in (Filter(include=("*.txt",), exclude=("up/",)), Filter(exclude=("dangling", "pipe", "loop/"))):
        assert [file.path for file in find_files(tmp_path, chosen).files] == ["good.txt"]
    with pytest.raises(SyncError) as refused:
        find_files(tmp_path, Filter(include=("*.txt",)))
    assert {failure.path for failure in refused.value.failures} == {"loop/up"}, "it may hold what is included"


def test_what_cannot_be_synced_is_skipped_on_demand_and_named(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"x")
    (tmp_path / "b[a]d").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nothing")
    found = find_files(tmp_path, on_invalid_path=OnInvalidPath.SKIP)
    plan = make_plan(
        "in",
        found.files,
        SOLE_WORKER,
        allow_empty=False,
        on_invalid_path=OnInvalidPath.SKIP,
        skipped=found.skipped,
    )
    plan = settle_conflicts(plan, ["in/good/below"], OnInvalidPath.SKIP)
    assert plan.everything == plan.mine == ()
    assert {failure.path for failure in plan.skipped} == {"b[a]d", "dangling", "good"}


def test_an_input_whose_files_are_all_skipped_is_empty() -> None:
    with pytest.raises(SyncError) as refused:
        make_plan("in", [LocalFile("b*d", 1)], SOLE_WORKER, allow_empty=False, on_invalid_path=OnInvalidPath.SKIP)
    assert refused.value.reason is Reason.INPUT_EMPTY


def test_an_input_path_that_cannot_be_listed_is_never_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SyncError) as refused:
        find_files(tmp_path, on_invalid_path=OnInvalidPath.SKIP)
    assert refused.value.reason is Reason.INPUT_UNREADABLE


def test_the_workers_own_folder_is_no_place_for_files() -> None:
    with pytest.raises(SyncError) as refused:
        make_plan("", [LocalFile(".s3sync/manifest.json", 1)], SOLE_WORKER, allow_empty=False)
    assert refused.value.reason is Reason.INVALID_KEY


@given(sizes, st.integers(1, 9))
@settings(deadline=None)
def test_shares_are_disjoint_complete_ordered_and_none_much_heavier_than_another(
    found_sizes: list[int], count: int
) -> None:
    files = planned(found_sizes)
    shares = [share(files, Worker(index, count)) for index in range(count)]
    assert sorted((file for part in shares for file in part), key=lambda file: file.key) == list(files)
    assert all(list(part) == sorted(part, key=lambda file: file.key) for part in shares)
    loads = [sum(file.size + FILE_COST_BYTES for file in part) for part in shares]
    assert max(loads) - min(loads) <= max(found_sizes) + FILE_COST_BYTES


@given(sizes, st.integers(1, 7), st.integers(1, 10**9))
@settings(deadline=None)
def test_batches_hold_all_files_in_order_within_both_bounds(
    found_sizes: list[int], max_files: int, max_bytes: int
) -> None:
    files = planned(found_sizes)
    parts = list(batches(files, max_files, max_bytes))
    assert [file for part in parts for file in part] == list(files)
    assert all(1 <= len(part) <= max_files for part in parts)
    assert all(len(part) == 1 or sum(file.size for file in part) <= max_bytes for part in parts)


def test_only_files_of_equal_size_and_hash_are_unchanged() -> None:
    plan = plan_of("same", "other", "larger", "new", "unknown")
    there = {
        "in/same": There(1, "aa"),
        "in/other": There(1, "bb"),
        "in/larger": There(2, "aa"),
        "in/unknown": There(1, None),
    }
    candidates = may_be_unchanged(plan, there)
    assert {file.path for file in candidates} == {"same", "other"}
    changes = delta(plan, there, {file.key: "aa" for file in candidates})
    assert [file.path for file in changes.unchanged] == ["same"]
    assert [file.path for file in changes.stage] == ["larger", "new", "other", "unknown"]


def test_what_the_filter_or_a_skip_leaves_out_is_not_extra() -> None:
    skipped = (Failure("locked", Verdict.ERROR, "Permission denied"),)
    plan = plan_of("here", chosen_by=Filter(exclude=("*.tmp",)), skipped=skipped)
    there = ["in/here", "in/gone", "in/a.tmp", "in/locked", "in/locked/inside", "in/lockedout"]
    assert extra_keys(plan, there) == ("in/gone", "in/lockedout")


@pytest.mark.parametrize(("percent", "extra", "files", "fits"), [(50, 2, 4, True), (49, 2, 4, False), (0, 0, 0, True)])
def test_pruning_stops_at_its_limit_before_a_disaster(percent: int, extra: int, files: int, fits: bool) -> None:
    keys = tuple(f"in/{number}" for number in range(extra))
    check_prune_limit(Prune(dry_run=True, max_delete_percent=percent), keys, files)
    if fits:
        check_prune_limit(Prune(max_delete_percent=percent), keys, files)
        return
    with pytest.raises(SyncError, match="--max-delete-percent") as refused:
        check_prune_limit(Prune(max_delete_percent=percent), keys, files)
    assert refused.value.reason is Reason.PRUNE_LIMIT_EXCEEDED


SHARE = (PlannedFile("a", "in/a", 1), PlannedFile("b", "in/b", 2))
MANIFEST = Manifest(
    base="0" * 32,
    worker=Worker(0, 2),
    destination="in",
    verification="Full",
    files=entries(SHARE, frozenset({"in/b"}), {"in/a": "11", "in/b": "22"}),
    delete=("in/gone",),
    plan="sha256:of-all",
    tree="sha256:of-what-is-staged",
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    document = json.loads(MANIFEST.dump())
    assert document == {
        "s3syncManifest": 1,
        "plan": "sha256:of-all",
        "tree": "sha256:of-what-is-staged",
        "base": "0" * 32,
        "worker": {"index": 0, "count": 2},
        "destination": "/in",
        "verification": "Full",
        "files": [["in/a", 1, "11", "staged"], ["in/b", 2, "22", "unchanged"]],
        "delete": ["in/gone"],
        "complete": True,
    }
    assert parse_manifest(MANIFEST.dump()) == MANIFEST


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"s3syncManifest":1}', MANIFEST.dump().replace(b"true", b"false")]
)
def test_half_a_manifest_is_none(content: bytes) -> None:
    assert parse_manifest(content) is None


@pytest.mark.parametrize(
    "change",
    [
        {"base": None},
        {"worker": Worker(0, 3)},
        {"destination": "elsewhere"},
        {"verification": "None"},
        {"delete": ()},
        {"files": MANIFEST.files[:1]},
        {"files": (Entry("in/a", 1, None, "staged"), MANIFEST.files[1])},
        {"files": (Entry("in/a", 9, "11", "staged"), MANIFEST.files[1])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_earlier_manifest_is_reused_only_if_all_of_it_fits(change: dict[str, object]) -> None:
    assert is_reusable(MANIFEST, MANIFEST, SHARE)
    assert not is_reusable(replace(MANIFEST, **change), MANIFEST, SHARE)  # type: ignore[arg-type]


def test_a_list_of_files_that_the_operator_could_not_read_is_refused_before_anything_is_copied() -> None:
    many = [PlannedFile(f"{number:06}", f"in/{number:06}", 10_000) for number in range(5_000)]
    listed = manifest_of(many).dump()
    check_size(many, [], limit=len(listed))
    with pytest.raises(SyncError, match=r"5000 files .* let more spec\.workers share") as refused:
        check_size(many, [], limit=len(listed) * 9 // 10)
    assert refused.value.reason is Reason.MANIFEST_TOO_LARGE


def test_a_million_files_fit_where_sixteen_workers_share_them() -> None:
    path = "a/directory/of/some/depth/file"
    part = [PlannedFile(path, f"in/{path}-{number:07}", 10**9) for number in range(1_000_000 // 16)]
    check_size(part, [])
    with pytest.raises(SyncError):
        check_size(part * 4, [])


def manifest_of(files: Sequence[PlannedFile]) -> Manifest:
    hashes = {file.key: "0" * 64 for file in files}
    return Manifest("0" * 32, SOLE_WORKER, "in", "Full", entries(files, frozenset(hashes), hashes))


def test_the_operator_reads_as_much_of_a_manifest_as_the_job_may_write() -> None:
    assert MAX_BYTES == MANIFEST_BYTES
