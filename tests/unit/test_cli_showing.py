"""How `s3sync status` tells a sync to a person."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync_cli.logs import has_begun, pods_of
from s3sync_cli.requests import has_ended, new_token
from s3sync_cli.showing import ago, ahead, as_json, details, is_ready, overview, size, table, what_to_do
from s3sync_operator.api import parse_sync
from tests.support.objects import RUNNING, pod_object, sync_object, terminated, waiting

NOW = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
COUNTS = {"files": 10, "bytes": 1_500_000, "verified": 7, "failed": 1, "unchanged": 2}
PROGRESS = {"step": "verify", "files": 4, "totalFiles": 10, "bytes": 450_000, "totalBytes": 1_000_000, "percent": 45}
RUN = {
    "result": "Succeeded",
    "reason": "Verified",
    "trigger": "Schedule",
    "attempts": 2,
    "completionTime": "2026-11-24T10:00:30Z",
    "duration": "1m30s",
    "commit": "0123456789abcdef0123456789abcdef",
    "files": 10,
    "bytes": 1_500_000,
}


def condition(reason: str, status: str = "True", kind: str = "Ready", message: str = "all is said") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-24T12:00:00Z",
        "observedGeneration": 1,
    }


def raw(*conditions: dict[str, Any], spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    found = sync_object(**(spec or {}), status={"observedGeneration": 1, "conditions": list(conditions), **status})
    found["metadata"]["creationTimestamp"] = "2026-11-22T09:00:30Z"
    return found


def test_a_sync_in_full_tells_result_files_history_and_what_to_do() -> None:
    shown = details(
        raw(
            condition("ContentDiffers", "False"),
            phase="Failed",
            counts=COUNTS,
            commit="c0ffee",
            destination="s3://master.testrepo/testdata",
            attempt=2,
            tfJobName="books-1",
            startTime="2026-11-24T12:00:00Z",
            duration="25s",
            trigger="Request",
            consecutiveFailures=3,
            lastSuccessfulTime="2026-11-24T10:00:30Z",
            nextScheduleTime="2026-11-24T13:00:30Z",
            failures=[{"path": "a.txt", "verdict": "Differ", "detail": "byte 4"}],
            skipped=[{"path": "sock", "detail": "is a socket"}],
            history=[RUN],
        ),
        NOW,
    )
    lines = shown.splitlines()
    assert lines[0] == "books (namespace kubeflow)"
    assert "  Ready            False  ContentDiffers: all is said" in lines
    assert "  Files            10, 1.5 MB: 7 verified, 2 unchanged, 1 failed" in lines
    assert "  Run              attempt 2, began by request, started 30s ago, took 25s, job books-1" in lines
    assert "  Last success     2h0m ago" in lines
    assert "  Failed in a row  3" in lines
    assert "  Next run         in 1h0m (2026-11-24 13:00 UTC)" in lines
    assert "  a.txt: Differ: byte 4" in lines
    assert "  sock: is a socket" in lines
    assert lines[lines.index("History") + 2].split() == [
        *("2h0m", "ago", "Succeeded", "Verified", "Schedule", "2", "10", "1.5", "MB", "1m30s", "01234567"),
    ]
    assert "s3sync retry books -n kubeflow" in lines[-1]


def test_a_running_sync_tells_how_far_it_is() -> None:
    shown = details(raw(condition("Progressing", "Unknown"), phase="Running", progress=PROGRESS), NOW)
    assert "45%, verify: 4 of 10 files, 450 kB of 1.0 MB" in shown


def test_a_sync_that_nobody_has_looked_at_says_so() -> None:
    untouched = sync_object()
    assert "not looked at yet" in details(untouched, NOW)
    assert "see that it runs, and serves this namespace" in what_to_do(parse_sync(untouched))


def test_what_a_foreign_image_reports_cannot_steer_the_terminal() -> None:
    shown = details(raw(condition("Odd", "False", message="\x1b[2Jgone\x07")), NOW)
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_the_table_has_a_row_a_sync_and_no_empty_column() -> None:
    lines = overview([raw(condition("Verified"), phase="Succeeded", counts=COUNTS)], NOW, False, False).splitlines()
    assert lines[0].split() == ["NAME", "READY", "REASON", "PHASE", "FILES", "AGE"]
    assert lines[1].split() == ["books", "True", "Verified", "Succeeded", "10", "2d3h"]


def test_the_wide_table_tells_commit_and_times_and_all_namespaces_are_named() -> None:
    item = raw(
        condition("Verified"), phase="Queued", queuePosition=4, commit="c" * 32, nextScheduleTime="2026-11-24T12:05:30Z"
    )
    lines = overview([item], NOW, True, True).splitlines()
    assert lines[0].split()[:3] == ["NAMESPACE", "NAME", "READY"]
    assert "Queued (4)" in lines[1]
    assert "cccccccc " in lines[1]
    assert "in 5m0s (2026-11-24 12:05 UTC)" in lines[1]


@pytest.mark.parametrize(
    ("conditions", "generation", "ready"),
    [
        ([condition("Verified")], 1, True),
        ([condition("Progressing", "Unknown")], 1, False),
        ([condition("Verified")], 2, False),
        ([], 1, False),
    ],
)
def test_ready_is_only_what_speaks_of_the_spec_as_it_is(
    conditions: list[dict[str, Any]], generation: int, ready: bool
) -> None:
    item = raw(*conditions)
    item["metadata"]["generation"] = generation
    assert is_ready(parse_sync(item)) is ready


def test_a_program_is_told_the_status_as_it_is_stored() -> None:
    item = raw(condition("Verified"), phase="Succeeded")
    told = as_json(item)
    assert (told["name"], told["ready"], told["reason"]) == ("books", True, "Verified")
    assert json.loads(json.dumps(told))["status"] == item["status"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (999_600, "1.0 MB"), (5 * 10**18, "5000 PB")],
)
def test_a_size_is_told_in_the_unit_that_fits(count: int, shown: str) -> None:
    assert size(count) == shown


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000)))
def test_a_time_ahead_and_one_past_are_told_in_two_units_at_most(span: timedelta) -> None:
    assert sum(letter.isalpha() for letter in ago(NOW - span, NOW).removesuffix(" ago")) <= 2
    assert ahead(NOW + span, NOW).startswith(("in ", "due"))


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=9), min_size=2, max_size=2
        )
    )
)
def test_a_table_loses_no_cell(rows: list[list[str]]) -> None:
    shown = table(("A", "B"), rows)
    assert all(cell in shown for row in rows for cell in row)
    assert len(shown.splitlines()) == len(rows) + 1


def asked(**status: Any) -> bool:
    return has_ended(parse_sync(raw(*status.pop("conditions", ()), **status)), "token")


def test_a_run_that_was_asked_for_has_ended_once_it_is_answered_and_nothing_is_under_way() -> None:
    assert asked(lastHandledRunRequest="token", phase="Succeeded")
    assert asked(lastHandledRunRequest="token", phase="Failed")
    assert not asked(lastHandledRunRequest="an earlier one", phase="Succeeded")
    assert not asked(lastHandledRunRequest="token", phase="Running")
    syncing = condition("Progressing", "True", "Syncing")
    assert not asked(lastHandledRunRequest="token", phase="Succeeded", conditions=[syncing])
    assert not asked(lastHandledRunRequest="token", phase="Succeeded", observedGeneration=0)


def test_no_two_requests_are_the_same() -> None:
    assert len({new_token() for _ in range(100)}) == 100


def worker(index: int, job: str = "books-1", created: str = "2026-11-24T12:00:00Z") -> dict[str, Any]:
    pod = pod_object(job)
    pod["metadata"] |= {"name": f"{job}-worker-{index}", "creationTimestamp": created}
    pod["metadata"]["labels"] = {"training.kubeflow.org/replica-index": str(index)}
    return pod


def test_the_log_of_a_run_is_that_of_worker_0_or_of_all_by_their_order() -> None:
    pods = [worker(10), worker(2), worker(0), worker(0, "books-0")]
    assert pods_of(pods, "books-1", all_workers=False) == [worker(0)]
    assert pods_of(pods, "books-1", all_workers=True) == [worker(0), worker(2), worker(10)]


def test_a_pod_that_was_replaced_gives_way_to_its_newer_one() -> None:
    newer = worker(0, created="2026-11-24T12:09:00Z")
    assert pods_of([newer, worker(0)], "books-1", all_workers=False) == [newer]


@pytest.mark.parametrize(("state", "begun"), [(waiting("Pulling"), False), (RUNNING, True), (terminated(1), True)])
def test_a_pod_has_a_log_once_its_container_runs(state: dict[str, Any], begun: bool) -> None:
    assert has_begun(pod_object("books-1", state=state)) is begun
