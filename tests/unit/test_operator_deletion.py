"""What is deleted with a sync: from its policy, what it made, and who else uses that, to what goes and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3sync_operator.api import FINALIZER, Condition, ConditionType, Status, Sync, parse_sync
from s3sync_operator.deletion import Going, finalizers_of, given_up, what_goes
from s3sync_operator.settings import Settings
from s3sync_operator.staging import RepoSeen, repo_description
from s3sync_operator.status import deleting_status
from tests.support import objects

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SETTINGS = Settings(deletion_deadline=600)
PACHD = "pachd:30650"


def sync(policy: str | None, made_at: datetime | None = None, **spec: Any) -> Sync:
    found = objects.sync(deletionPolicy=policy, pachdAddress=PACHD, **spec)
    return replace(found, status=Status(branch_created_at=made_at))


def other(name: str = "other", **spec: Any) -> Sync:
    return replace(objects.sync(name, **spec), uid=f"uid-of-{name}")


def repo(*branches: str, made_by: Sync | None = None, made_at: datetime | None = NOON) -> RepoSeen:
    return RepoSeen(repo_description(made_by) if made_by else "", dict.fromkeys(branches or ("master",), made_at))


MINE, REPO_TOO = sync("DeleteBranch", NOON), sync("DeleteRepo", NOON)
STRANGER = other()
CASES: list[tuple[str, Sync, RepoSeen, list[Sync], Going]] = [
    ("a branch that the sync made", MINE, repo(), [], Going("branch")),
    (
        "a branch that was there before stays",
        sync("DeleteBranch"),
        repo(),
        [],
        Going("nothing", "the sync has not made it"),
    ),
    (
        "one that somebody made anew by its name stays",
        MINE,
        repo(made_at=NOON + timedelta(minutes=1)),
        [],
        Going("nothing", "the sync has not made it"),
    ),
    ("a pachd that tells no times is taken at its name", MINE, repo(made_at=None), [], Going("branch")),
    (
        "a branch that another sync names stays",
        MINE,
        repo(),
        [STRANGER],
        Going("nothing", "sync 'kubeflow/other' names it too"),
    ),
    (
        "syncs of other repos, branches and projects have no say",
        MINE,
        repo(),
        [other(repo="r"), other(branch="b"), other(project="p")],
        Going("branch"),
    ),
    ("a repo that the sync made", REPO_TOO, repo(made_by=REPO_TOO), [], Going("repo")),
    (
        "a repo that was there before keeps all but the sync's branch",
        REPO_TOO,
        repo(),
        [],
        Going("branch", "the sync has not made it"),
    ),
    (
        "a repo that an earlier sync by the name made counts as there before",
        REPO_TOO,
        repo(made_by=other("books")),
        [],
        Going("branch", "the sync has not made it"),
    ),
    (
        "a repo with other branches stays",
        REPO_TOO,
        repo("master", "theirs", made_by=REPO_TOO),
        [],
        Going("branch", "it has branch 'theirs' besides"),
    ),
    (
        "a repo that another sync names stays, though it has made no branch yet",
        REPO_TOO,
        repo(made_by=REPO_TOO),
        [other(branch="b")],
        Going("branch", "sync 'kubeflow/other' names it too"),
    ),
    (
        "what was made stays the sync's where its status was lost with the operator, if the repo tells so",
        sync("DeleteRepo"),
        repo(made_by=REPO_TOO),
        [],
        Going("repo"),
    ),
]


@pytest.mark.parametrize(("of", "seen", "others", "going"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_what_goes_with_a_sync(of: Sync, seen: RepoSeen, others: list[Sync], going: Going) -> None:
    assert of.spec
    assert what_goes(of, of.spec, seen, others) == going


def test_of_many_syncs_the_first_are_named_and_the_rest_counted() -> None:
    assert MINE.spec
    found = what_goes(MINE, MINE.spec, repo(), [other(f"s{number}") for number in range(5)])
    assert found.why_not_more == "sync 'kubeflow/s0', 'kubeflow/s1', 'kubeflow/s2' and 2 more names it too"


@pytest.mark.parametrize(
    ("policy", "address", "before", "after"),
    [
        (None, PACHD, (), ()),
        ("Retain", PACHD, (), ()),
        ("DeleteBranch", PACHD, (), (FINALIZER,)),
        ("DeleteRepo", PACHD, ("theirs",), ("theirs", FINALIZER)),
        ("DeleteBranch", PACHD, (FINALIZER, "theirs"), (FINALIZER, "theirs")),
        ("Retain", PACHD, ("theirs", FINALIZER), ("theirs",)),
        ("DeleteBranch", None, (FINALIZER,), ()),
    ],
)
def test_a_sync_is_held_where_something_is_to_be_deleted_and_others_finalizers_stay(
    policy: str | None, address: str | None, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    of = replace(objects.sync(deletionPolicy=policy, pachdAddress=address), finalizers=before)
    assert of.spec
    assert finalizers_of(of, of.spec, SETTINGS) == after


def test_a_deleted_sync_is_held_until_the_limit_and_says_what_stays() -> None:
    of = replace(MINE, deleted_at=NOON)
    of = replace(of, status=deleting_status(of, "PachdUnreachable", "pachd does not answer", NOON))
    assert given_up(of, SETTINGS, NOON + timedelta(seconds=600)) is None
    farewell = given_up(of, SETTINGS, NOON + timedelta(seconds=601))
    assert farewell
    assert (farewell.kind, farewell.reason) == ("Warning", "CleanupAbandoned")
    assert farewell.note == (
        "branch 'master' of repo 'testrepo' stays as it is: not cleaned up within 600 seconds (--deletion-deadline); "
        "last: pachd does not answer"
    )


def test_an_annotation_lets_a_deleted_sync_go_at_once() -> None:
    raw = objects.sync_object(deletionPolicy="DeleteRepo", pachdAddress=PACHD)
    raw["metadata"] |= {"annotations": {"sync.pachyderm.io/skip-cleanup": "true"}}
    raw["metadata"] |= {"deletionTimestamp": "2026-11-24T12:00:00Z", "finalizers": [FINALIZER]}
    of = parse_sync(raw)
    assert (of.deleted_at, of.finalizers, of.skips_cleanup) == (NOON, (FINALIZER,), True)
    farewell = given_up(of, SETTINGS, NOON)
    assert farewell
    assert (farewell.kind, farewell.reason) == ("Warning", "CleanupSkipped")


def test_a_sync_that_retains_is_let_go_without_a_warning() -> None:
    farewell = given_up(replace(sync("Retain"), deleted_at=NOON), SETTINGS, NOON)
    assert farewell
    assert (farewell.kind, farewell.reason) == ("Normal", "BranchKept")


def test_a_sync_that_is_being_deleted_is_neither_ready_nor_stalled() -> None:
    ready = Condition(
        type=ConditionType.READY, status="True", reason="Verified", message="", last_transition_time=NOON,
        observed_generation=1,
    )  # fmt: skip
    of = replace(MINE, status=Status(conditions=(ready,), commit="c1"))
    status = deleting_status(of, "DeletionBlocked", "a pipeline reads it", NOON)
    assert [(item.type, item.status, item.reason) for item in status.conditions] == [
        ("Ready", "False", "DeletionBlocked"),
        ("Reconciling", "True", "DeletionBlocked"),
    ]
    assert (status.observed_generation, status.commit) == (1, "c1")
