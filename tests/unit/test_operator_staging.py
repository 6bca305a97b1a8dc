from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3sync_operator.api import Trigger, parse_spec
from s3sync_operator.collector import live_runs
from s3sync_operator.desired import Run
from s3sync_operator.settings import Settings
from s3sync_operator.staging import (
    BranchSeen,
    dead_branches,
    description,
    digest_in,
    is_atomic,
    owner_and_run,
    owner_of,
    run_id,
    spec_problem,
    staging_branch,
)
from tests.support import objects

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
RUN = Run(1, 1, "d")
DEFAULT = Settings(default_pachd_address="pachd:30650")


def test_all_attempts_of_a_run_stage_in_the_same_place_and_other_runs_elsewhere() -> None:
    sync = objects.sync()
    assert run_id(sync, RUN) == run_id(sync, Run(1, 2, "d"))
    requested = Run(1, 1, "d", Trigger.REQUEST, "a")
    others = (Run(2, 1, "d"), Run(1, 1, "e"), requested, replace(requested, occasion="b"))
    assert len({run_id(sync, run) for run in (RUN, *others)}) == 5
    assert run_id(sync, requested) == run_id(sync, replace(requested, attempt=2))


def test_a_branch_and_a_commit_tell_whose_they_are() -> None:
    sync = objects.sync()
    run = run_id(sync, RUN)
    for text in (f"{staging_branch(run)}-w12", description(sync, RUN, "sha256:00"), description(sync, RUN, "of-1")):
        assert owner_and_run(text) == (owner_of(sync.uid), run)
    assert owner_and_run("s3sync-mine") is None
    assert owner_and_run("s3sync by hand") is None


def test_the_digest_is_read_from_the_description_where_there_is_one() -> None:
    assert digest_in(description(objects.sync(), RUN, "sha256:00")) == "sha256:00"
    assert digest_in(description(objects.sync(), RUN, "of-1234")) is None


OWNER, OTHER = "0" * 8, "f" * 8


@pytest.mark.parametrize(
    ("name", "age", "dead"),
    [
        (f"s3sync-{OWNER}{'1' * 8}-w0", timedelta(), False),
        (f"s3sync-{OWNER}{'2' * 8}-w0", timedelta(), True),
        (f"s3sync-{OTHER}{'1' * 8}-w0", timedelta(hours=23), False),
        (f"s3sync-{OTHER}{'1' * 8}-w0", timedelta(hours=25), True),
        (f"s3sync-{OTHER}{'1' * 8}-w0", None, False),
        ("master", timedelta(days=900), False),
        ("s3sync-mine", timedelta(days=900), False),
    ],
    ids=[
        "the run under way", "another run of a sync we know", "a stranger's", "a stray",
        "a stranger's without a commit", "a branch of the user's", "one whose name only begins alike",
    ],
)  # fmt: skip
def test_a_staging_branch_is_dead_where_its_run_is_over(name: str, age: timedelta | None, dead: bool) -> None:
    seen = BranchSeen(name, None if age is None else NOON - age)
    assert (dead_branches([seen], {f"{OWNER}{'1' * 8}"}, {OWNER}, NOON, DAY) == [name]) == dead


def status(phase: str, sync: Any) -> dict[str, Any]:
    assert sync.spec
    return {"observedGeneration": 1, "runGeneration": 1, "attempt": 1, "specDigest": sync.spec.digest, "phase": phase}


def test_a_run_lives_until_its_sync_is_finished_and_a_changed_spec_begins_another() -> None:
    new = objects.sync()
    running = objects.sync(status=status("Running", new))
    finished = objects.sync(status=status("Succeeded", new))
    changed = objects.sync(generation=2, status=status("Succeeded", new), inputPath="other")
    assert [len(list(live_runs([sync], NOON))) for sync in (new, running, finished, changed)] == [1, 1, 0, 1]
    assert list(live_runs([new], NOON)) == list(live_runs([running], NOON)) != list(live_runs([changed], NOON))


@pytest.mark.parametrize(
    ("spec", "settings", "atomic"),
    [
        ({}, Settings(), False),
        ({"pachdAddress": "pachd:1"}, Settings(), True),
        ({}, DEFAULT, True),
        ({"publish": "Direct"}, DEFAULT, False),
        ({"publish": "Direct", "pachdAddress": "pachd:1"}, Settings(), False),
    ],
)
def test_a_sync_is_atomic_where_pachd_is_known_unless_it_says_otherwise(
    spec: dict[str, Any], settings: Settings, atomic: bool
) -> None:
    assert is_atomic(parse_spec({"repo": "r", **spec}), settings) == atomic


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"publish": "Atomic"}, "spec.publish: Atomic needs Pachyderm's gRPC API; set spec.pachdAddress"),
        ({"prune": {}}, "spec.prune: needs an atomic publish"),
        ({"client": "pfs"}, "spec.client: pfs speaks gRPC"),
    ],
)
def test_what_needs_pachd_is_refused_without_an_address_by_the_name_of_its_field(
    spec: dict[str, Any], said: str
) -> None:
    parsed = parse_spec({"repo": "r", **spec})
    assert (spec_problem(parsed, Settings()) or "").startswith(said)
    assert spec_problem(parsed, DEFAULT) is None


def test_a_bucket_too_long_for_the_minio_client_is_refused_before_a_job_is_made() -> None:
    spec = parse_spec({"repo": "r" * 40, "client": "minio", "workers": 10})
    assert "spec.client: minio takes no bucket name" in (spec_problem(spec, DEFAULT) or "")
    assert spec_problem(spec, Settings()) is None
