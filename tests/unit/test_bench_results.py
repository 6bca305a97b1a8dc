from typing import Any, cast

import pytest
from job_image.bench.results import Result, Section, State, markdown, merged, ratio, time_of


def result(
    state: State = "done", seconds: float = 10, way: str = "ours", tree: str = "small", **changes: Any
) -> Result:
    known = Result(
        tree=tree,
        way=way,
        proves="no",
        state=state,
        seconds=seconds,
        peak_bytes=5_000_000,
        files=5000,
        there=5000,
        bytes=50_000_000,
        load=1.5,
        detail="",
    )
    return cast(Result, {**known, **changes})


def section(*results: Result) -> Section:
    return Section(
        server="a server",
        machine="m",
        versions={"mc": "1"},
        when="today",
        baseline="base",
        results=list(results),
    )


@pytest.mark.parametrize(
    ("ours", "base", "shown"),
    [
        (result(seconds=10), result(seconds=25), "2.5 times faster"),
        (result(seconds=25), result(seconds=10), "2.5 times slower"),
        (result(seconds=10), result("limit", 100), "more than 10.0 times faster"),
        (result("limit", 100), result(seconds=10), "more than 10.0 times slower"),
        (result("limit", 100), result("limit", 100), "–"),
        (result("wrong"), result(seconds=10), "–"),
        (result(), result("failed"), "–"),
        (result(), None, "–"),
    ],
)
def test_a_ratio_is_a_bound_where_the_limit_ended_one_and_absent_where_there_is_nothing_to_compare(
    ours: Result, base: Result | None, shown: str
) -> None:
    assert ratio(ours, base) == shown


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        (result(seconds=1.26), "1.3 s"),
        (result("limit", 100, there=500), "> 100 s (500 of 5,000 files; at that pace 1,000 s)"),
        (result("limit", 100, there=0), "> 100 s (0 of 5,000 files)"),
        (result("wrong", detail="4 of 5 files as they should be"), "10.0 s, and wrong: 4 of 5 files as they should be"),
        (result("failed", detail="no"), "failed: no"),
    ],
)
def test_a_time_says_why_it_is_none(item: Result, shown: str) -> None:
    assert time_of(item) == shown


def test_the_document_has_a_table_for_each_tree_and_every_way_in_it() -> None:
    base = result(way="base", seconds=20)
    text = markdown([section(result(), base, result(tree="large", way="theirs"))])
    assert "### small (5,000 files, 50.0 MB)" in text
    assert "| ours | 10.0 s | 2.0 times faster | 5 MB | no |" in text
    assert "| base | 20.0 s | – | 5 MB | no |" in text
    assert "today. m; load before a cell 1.5 to 1.5. mc 1." in text
    assert "| theirs | 10.0 s | – | 5 MB | no |" in text


def test_a_run_replaces_what_the_same_kind_of_server_had_before_and_a_real_one_comes_first() -> None:
    old, new, other = section(result()), section(result(seconds=2)), section(result(seconds=1))
    assert list(merged({"standin": old, "real": other}, "standin", new).items()) == [("real", other), ("standin", new)]


def test_trees_that_were_not_run_again_stay_unless_something_else_changed() -> None:
    old, new = section(result(), result(tree="large")), section(result(seconds=2))
    assert merged({"real": old}, "real", new)["real"]["results"] == [result(tree="large"), result(seconds=2)]
    newer: Section = {**new, "versions": {"mc": "2"}}
    assert merged({"real": old}, "real", newer) == {"real": newer}
