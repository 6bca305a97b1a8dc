"""How a staged run gets onto its target: from the target's history and the reports to the next step."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync_operator.api import Reason, parse_spec
from s3sync_operator.publish import (
    Await,
    Busy,
    CommitSeen,
    Drop,
    Fill,
    Moved,
    Publication,
    Published,
    Spoilt,
    Start,
    Unchanged,
    base_of,
    built_upon,
    disagreement,
    next_step,
    publication,
    stranger,
)
from s3sync_operator.report import Report, combined, find_report

MARK = "s3sync kubeflow/books run 0123456789abcdef "
OURS = f"{MARK}digest sha256:00"
VERIFIED = json.loads((Path(__file__).parent.parent / "golden/report/verified.json").read_text())


def wanted(**more: Any) -> Publication:
    plain: dict[str, Any] = {
        "mark": MARK,
        "base": "base",
        "prefix": "data",
        "staged": ("staged",),
        "deletes_of": None,
        "files": 1,
        "relies_on_base": True,
    }
    return Publication(**plain | more)


ALL_NEW = wanted(relies_on_base=False)
NOTHING = wanted(staged=())


def ours(state: Any = "Finished", parent: str = "base", error: str = "") -> CommitSeen:
    return CommitSeen("ours", parent, OURS, state, error)


def theirs(state: Any = "Finished") -> CommitSeen:
    return CommitSeen("theirs", "base", "somebody else's", state)


def broken(name: str = "broken", parent: str = "x") -> CommitSeen:
    return CommitSeen(name, parent, "somebody else's", "Finished", "a path collision")


def theirs2() -> CommitSeen:
    return CommitSeen("theirs2", "theirs", "somebody else's", "Finished")


BUSY = Busy("theirs", "somebody else's")
CASES: list[tuple[str, tuple[CommitSeen, ...], Publication, object]] = [
    ("nothing came after the base, so the commit is started", (), wanted(), Start()),
    ("nothing to publish makes no commit", (), NOTHING, Unchanged("base")),
    ("its own open commit is filled", (ours("Open"),), wanted(), Fill("ours")),
    ("its own commit that is finishing is waited for", (ours("Finishing"),), wanted(), Await("ours")),
    ("its own finished commit is the publish", (ours(),), wanted(), Published("ours", OURS)),
    ("that is so also where others went on from it", (theirs(), ours()), wanted(), Published("ours", OURS)),
    ("a commit that finished with an error is removed", (ours(error="x"),), wanted(), Drop("ours", "x")),
    (
        "one with an error that others went on from stays, and the run fails",
        (theirs(), ours(error="x")),
        wanted(),
        Spoilt("x"),
    ),
    (
        "of two operators' commits the first to finish is the publish, and the other one goes",
        (CommitSeen("twin", "ours", OURS, "Open"), ours()),
        ALL_NEW,
        Drop("twin"),
    ),
    ("what relies on the base cannot go onto another commit", (theirs(),), wanted(), Moved("theirs")),
    ("so it is with what is unchanged only", (theirs(),), NOTHING, Moved("theirs")),
    ("but onto one that holds the same where it publishes", (theirs(),), wanted(same="theirs"), Start()),
    ("which needs no commit where nothing is new", (theirs(),), wanted(staged=(), same="theirs"), Unchanged("theirs")),
    ("a still later one counts anew", (theirs2(), theirs()), wanted(same="theirs"), Moved("theirs2")),
    (
        "its own commit upon such a one is filled",
        (ours("Open", parent="theirs"), theirs()),
        wanted(same="theirs"),
        Fill("ours"),
    ),
    ("of a head that is open it cannot be told, and it is waited for", (theirs("Open"),), wanted(), BUSY),
    ("what others finished with an error changes nothing", (broken(), broken("x", "base")), wanted(), Start()),
    ("and nothing is new of it", (broken(parent="base"),), NOTHING, Unchanged("base")),
    ("a commit before it counts all the same", (broken(parent="theirs"), theirs()), wanted(), Moved("theirs")),
    (
        "its own commit upon such a one is filled as upon the base",
        (ours("Open", parent="broken"), broken(), broken("x", "base")),
        wanted(),
        Fill("ours"),
    ),
    (
        "its own with an error cannot be removed once another is upon it",
        (broken(parent="ours"), ours(error="x")),
        wanted(),
        Spoilt("x"),
    ),
    ("what is new in all can", (theirs(),), ALL_NEW, Start()),
    ("a head held open by others is waited for", (theirs("Open"),), ALL_NEW, Busy("theirs", "somebody else's")),
    ("and so is one that is finishing", (theirs("Finishing"),), ALL_NEW, Busy("theirs", "somebody else's")),
    (
        "a target that moved just before its own commit was started is compared anew",
        (ours("Open", parent="theirs"), theirs()),
        wanted(),
        Drop("ours"),
    ),
    (
        "but not where it relies on nothing",
        (ours("Open", parent="theirs"), theirs()),
        ALL_NEW,
        Fill("ours"),
    ),
]


@pytest.mark.parametrize(("history", "publication_", "step"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_history_tells_the_next_step(
    history: tuple[CommitSeen, ...], publication_: Publication, step: object
) -> None:
    assert next_step(history, publication_) == step


@pytest.mark.parametrize(
    ("history", "commit"),
    [
        ((), None),
        ((theirs(),), "theirs"),
        ((theirs2(), theirs()), "theirs2"),
        ((theirs("Open"),), None),
        ((CommitSeen("theirs", "base", "", "Finished", "it failed"),), None),
        ((ours("Open"),), None),
        ((ours("Open", parent="theirs"), theirs()), "theirs"),
        ((theirs2(), ours(), theirs()), None),
        ((broken(parent="theirs"), theirs()), "theirs"),
        ((ours("Open", parent="broken"), broken(parent="theirs"), theirs()), "theirs"),
    ],
)
def test_what_others_did_is_compared_up_to_the_commit_that_is_built_upon(
    history: tuple[CommitSeen, ...], commit: str | None
) -> None:
    assert built_upon(history, wanted()) == commit


@pytest.mark.parametrize(
    ("history", "base"),
    [
        ((), None),
        ((theirs2(), theirs()), "theirs2"),
        ((broken(), theirs()), "theirs"),
        ((theirs("Open"), broken(), theirs2()), "theirs2"),
        ((broken(),), None),
    ],
)
def test_what_is_staged_is_compared_with_the_last_commit_whose_content_is_certain(
    history: tuple[CommitSeen, ...], base: str | None
) -> None:
    assert base_of(history) == base


commits = st.builds(
    CommitSeen,
    id=st.sampled_from("abcdef"),
    parent=st.sampled_from(["base", "a", None]),
    description=st.sampled_from(["", "theirs", OURS]),
    state=st.sampled_from(["Open", "Finishing", "Finished"]),
    error=st.sampled_from(["", "x"]),
)


@given(st.lists(commits, max_size=5), st.booleans(), st.booleans())
def test_a_run_with_a_commit_never_starts_a_second_and_touches_nobody_elses(
    history: list[CommitSeen], relies: bool, staged: bool
) -> None:
    step = next_step(history, wanted(relies_on_base=relies, staged=("s",) if staged else ()))
    own = {commit.id for commit in history if commit.description == OURS}
    assert not (own and isinstance(step, Start))
    if isinstance(step, Fill | Drop | Await | Published):
        assert step.commit in own


def report(index: int = 0, count: int = 1, base: str | None = "base", **files: int) -> Report:
    counts = {"total": 2, "copied": 1, "verified": 1, "failed": 0} | files
    staged = {"branch": f"b-w{index}", "commit": f"c{index}", "base": base}
    told = VERIFIED | {"files": counts, "staged": staged, "worker": {"index": index, "count": count}}
    found = find_report(json.dumps(told))
    assert found
    return found


SPEC = parse_spec({"repo": "r", "destinationPath": "/"})


def test_only_workers_that_staged_something_are_copied_from() -> None:
    found = publication(SPEC, [report(0, 3), report(1, 3, copied=0), report(2, 3)], MARK)
    assert (found.staged, found.prefix, found.relies_on_base, found.empty) == (("c0", "c2"), "", False, False)


def test_what_is_unchanged_or_deleted_relies_on_the_base() -> None:
    unchanged = publication(SPEC, [report(copied=0, unchanged=2)], MARK)
    deleted = publication(SPEC, [report(copied=0, deleted=1)], MARK)
    assert (unchanged.empty, unchanged.relies_on_base) == (True, True)
    assert (deleted.empty, deleted.relies_on_base, deleted.deletes_of) == (False, True, "c0")


def test_pruning_relies_on_the_base_even_where_nothing_is_to_be_deleted() -> None:
    pruning = parse_spec({"repo": "r", "prune": {}})
    dry = parse_spec({"repo": "r", "prune": {"dryRun": True}})
    found, shown = publication(pruning, [report()], MARK), publication(dry, [report()], MARK)
    assert (found.relies_on_base, shown.relies_on_base) == (True, False)


def test_reports_are_taken_from_the_runs_own_workers_alone() -> None:
    assert stranger([report(0, 2), report(1, 2)], "b") is None
    assert "'b-w0', not on 'prod-w0'" in (stranger([report()], "prod") or "")
    assert "speaks of 1 workers, not of 2" in (stranger([report(0, 1), report(1, 1)], "b") or "")
    assert "not numbered from 0" in (stranger([report(0, 2), report(0, 2)], "b") or "")


def test_workers_that_built_upon_different_commits_leave_nothing_to_publish() -> None:
    apart = disagreement([report(0, 2), report(1, 2, base="another")])
    assert apart == (Reason.TARGET_MOVED, "the workers did not all build upon the same commit")


def test_workers_that_saw_different_files_leave_nothing_to_publish() -> None:
    def planned(index: int, plan: str | None) -> Report:
        found = report(index, 2)
        assert found.staged
        return found.model_copy(update={"staged": found.staged.model_copy(update={"plan": plan})})

    apart = disagreement([planned(0, "sha256:00"), planned(1, "sha256:11")])
    assert apart
    assert apart[0] == Reason.INPUT_CHANGED
    assert disagreement([planned(0, "sha256:00"), planned(1, "sha256:00")]) is None
    assert disagreement([planned(0, None), planned(1, None)]) is None, "of jobs that do not tell it yet"


def test_reports_are_summed_and_the_digest_is_left_to_the_manifests() -> None:
    both = combined([report(0, 2, skipped=1, extra=3), report(1, 2, unchanged=1)])
    assert both
    assert both.files.model_dump() == {
        **{"total": 4, "copied": 2, "verified": 2, "failed": 0},
        **{"unchanged": 1, "skipped": 1, "extra": 3, "deleted": 0},
    }
    assert (both.result, both.digest) == ("Verified", None)


def failed(index: int, reason: str, code: int) -> Report:
    update = {"result": "Failed", "reason": reason, "exit_code": code, "message": "it failed"}
    return report(index, 3).model_copy(update=update)


def test_of_several_failures_the_one_that_no_retry_mends_leads() -> None:
    found = combined([report(0, 3), failed(1, "PachdUnreachable", 164), failed(2, "InvalidKey", 6)])
    assert found
    assert (found.result, found.reason, found.message) == ("Failed", "InvalidKey", "worker 2: it failed")
