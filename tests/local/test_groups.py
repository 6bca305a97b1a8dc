"""Tests of one group get a name that says so, where a process deals them out."""

import copy
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.groups import pytest_collection_modifyitems


def renamed(item: pytest.Item, *, loadgroup: bool) -> str:
    """Return the end of a test's name once its group is told."""
    other = copy.copy(item)
    config = cast("Any", SimpleNamespace(option=SimpleNamespace(loadgroup=loadgroup)))
    for _ in range(2):
        pytest_collection_modifyitems(config, [other])
    return other.nodeid.rpartition("::")[2]


@pytest.mark.xdist_group("b")
@pytest.mark.xdist_group("a")
def test_the_groups_of_a_test_end_its_name_once(request: pytest.FixtureRequest) -> None:
    assert renamed(request.node, loadgroup=True) == "test_the_groups_of_a_test_end_its_name_once@a_b"


def test_a_test_without_a_group_keeps_its_name(request: pytest.FixtureRequest) -> None:
    assert renamed(request.node, loadgroup=True) == "test_a_test_without_a_group_keeps_its_name"


@pytest.mark.xdist_group("a")
def test_where_nobody_deals_tests_out_names_stay(request: pytest.FixtureRequest) -> None:
    assert renamed(request.node, loadgroup=False).startswith("test_where_nobody_deals_tests_out_names_stay")
