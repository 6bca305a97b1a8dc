"""What the workers of an end-to-end run share: the cluster, alone or beside others, and the stand-in's faults."""

import fcntl
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from pachyderm_standin.faults import parse_rules
from pachyderm_standin.s3.routes import Route
from tests.e2e.sharing import BusyError, Shared, locked, write_facts


class Control:
    """Stands for the stand-in's control API."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []

    def faults(self) -> list[dict[str, Any]]:
        return list(self.rules)

    def set_faults(self, rules: list[dict[str, Any]]) -> None:
        self.rules = rules


def test_tests_use_the_cluster_beside_one_another(tmp_path: Path) -> None:
    shared = Shared(tmp_path)
    with shared.cluster_use(alone=False), shared.cluster_use(alone=False):
        pass


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_a_test_that_disturbs_others_waits_for_them_and_they_for_it(tmp_path: Path, first: bool, second: bool) -> None:
    shared, began, order = Shared(tmp_path), threading.Event(), []

    def use() -> None:
        began.set()
        with shared.cluster_use(alone=second):
            order.append("second")

    waiting = threading.Thread(target=use)
    with shared.cluster_use(alone=first):
        waiting.start()
        assert began.wait(10)
        waiting.join(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_whoever_waits_too_long_is_told_for_what(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "cluster.lock"),
        pytest.raises(BusyError, match=r"cluster\.lock was not free within 0 s"),
        locked(tmp_path / "cluster.lock", fcntl.LOCK_SH, seconds=0),
    ):
        pass


def test_the_operator_is_installed_once_and_again_after_a_test_took_it_away(tmp_path: Path) -> None:
    shared = Shared(tmp_path)
    seen = []
    for takes_away in (False, True, False, False):
        with shared.installing() as done:
            seen.append(done)
        if takes_away:
            shared.taken_away()
    assert seen == [False, True, False, True]


def test_an_installation_that_fails_is_tried_again_by_the_next_test(tmp_path: Path) -> None:
    shared = Shared(tmp_path)
    with pytest.raises(RuntimeError), shared.installing():
        raise RuntimeError
    with shared.installing() as done:
        assert not done


def test_the_faults_of_one_repo_leave_those_of_others_in_force(tmp_path: Path) -> None:
    shared, control = Shared(tmp_path), Control()
    first, second = (shared.faults_of(control, repo) for repo in ("one", "two"))
    first.set(action="latency", seconds=1)
    second.set(action="latency", seconds=2)
    first.set(action="latency", seconds=3)
    assert [rule["seconds"] for rule in control.rules] == [2, 3]
    first.clear()
    assert [rule["seconds"] for rule in control.rules] == [2]


@pytest.mark.parametrize(
    ("bucket", "hit"),
    [("master.repo-1", True), ("stage.repo-1.team", True), ("master.repo-10", False), ("repo-1.other", False)],
)
def test_a_repos_faults_hit_its_branches_in_any_project_and_nothing_else(
    tmp_path: Path, bucket: str, hit: bool
) -> None:
    control = Control()
    Shared(tmp_path).faults_of(control, "repo-1").set(action="latency", method="PUT", key=".+", seconds=6)
    (rule,) = parse_rules(json.dumps(control.rules))
    assert rule.matches("PUT", Route("PutObject", bucket, "testdata/a.txt")) == hit


def test_facts_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    write_facts(tmp_path / "target.json", {"endpoint": "http://x"})
    assert [path.name for path in tmp_path.iterdir()] == ["target.json"]
