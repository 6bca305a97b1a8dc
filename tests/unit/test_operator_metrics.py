"""What happened, as the samples that Prometheus scrapes."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from s3sync_operator.api import Condition, ConditionType, Phase, Reason, Status
from s3sync_operator.metrics import NO_ANSWER, OTHER, PUBLISHES, REASONS, ApiRequest, Metrics, api_request
from s3sync_operator.observed import parse_time
from s3sync_operator.report import JOB_REASONS, Report, find_report
from tests.support.objects import sync_object

REPORTS = Path(__file__).parent.parent / "golden" / "report"
NOON = parse_time("2026-11-24T12:00:00Z")


def report(sample: str) -> Report:
    found = find_report(json.dumps(json.loads((REPORTS / f"{sample}.json").read_text())))
    assert found
    return found


def status(phase: Phase, reason: str = Reason.PROGRESSING, *, attempt: int = 1, **more: Any) -> Status:
    ready = Condition(
        type=ConditionType.READY,
        status="True" if phase == Phase.SUCCEEDED else "False",
        reason=reason,
        message="m",
        last_transition_time=NOON,
        observed_generation=1,
    )
    run: dict[str, Any] = {"observed_generation": 1, "run_generation": 1, "spec_digest": "d"}
    return Status(phase=phase, attempt=attempt, conditions=(ready,), **run | more)


RUNNING = status(Phase.RUNNING)
VERIFIED = status(Phase.SUCCEEDED, Reason.VERIFIED, start_time=NOON, completion_time=NOON + timedelta(seconds=7))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def failed(metrics: Metrics, reason: str) -> float | None:
    return value(metrics, "s3sync_attempts_failed_total", reason=reason)


def test_a_run_that_is_verified_counts_with_its_duration_files_and_bytes() -> None:
    metrics, told = Metrics(), report("verified")
    metrics.status_written(RUNNING, VERIFIED, told)
    assert value(metrics, "s3sync_runs_finished_total", result="succeeded", reason="Verified") == 1
    assert value(metrics, "s3sync_run_duration_seconds_sum", result="succeeded") == 7
    assert value(metrics, "s3sync_job_files_total", outcome="verified") == told.files.verified > 0
    assert value(metrics, "s3sync_job_bytes_total", outcome="verified") == told.bytes.verified > 0
    assert value(metrics, "s3sync_job_copied_bytes_total") == told.bytes.copied > 0


def test_a_status_written_again_counts_nothing_again() -> None:
    metrics = Metrics()
    metrics.status_written(RUNNING, VERIFIED, report("verified"))
    before = generate_latest(metrics.registry)
    metrics.status_written(VERIFIED, VERIFIED.model_copy(update={"observed_generation": 2}), report("verified"))
    metrics.status_written(status(Phase.STARTING), RUNNING, None)
    after = generate_latest(metrics.registry)
    assert [line for line in after.splitlines() if b"s3sync" in line] == [
        line for line in before.splitlines() if b"s3sync" in line
    ]


def test_each_failed_attempt_counts_once_and_the_run_once_at_its_end() -> None:
    metrics, reason = Metrics(), Reason.ENDPOINT_UNREACHABLE
    written = [
        status(Phase.STARTING),
        status(Phase.RETRYING, reason, attempt=1),
        status(Phase.RETRYING, reason, attempt=2),
        status(Phase.RUNNING, attempt=3),
        status(Phase.FAILED, reason, attempt=3),
    ]
    for before, after in zip([Status(), *written], written, strict=False):
        metrics.status_written(before, after, None)
    assert failed(metrics, reason) == 3
    assert value(metrics, "s3sync_runs_finished_total", result="failed", reason=reason) == 1
    assert value(metrics, "s3sync_runs_finished_total", result="succeeded", reason="Verified") == 0


def test_the_next_run_of_a_sync_counts_anew() -> None:
    metrics = Metrics()
    metrics.status_written(RUNNING, VERIFIED, None)
    metrics.status_written(VERIFIED, status(Phase.STARTING, spec_digest="e", run_generation=2), None)
    metrics.status_written(status(Phase.STARTING, spec_digest="e"), VERIFIED, None)
    assert value(metrics, "s3sync_runs_finished_total", result="succeeded", reason="Verified") == 2


@pytest.mark.parametrize(
    ("ended", "result"),
    [
        (VERIFIED.model_copy(update={"commit": "c"}), "published"),
        (status(Phase.SUCCEEDED, Reason.UNCHANGED, commit="c"), "unchanged"),
        (status(Phase.RETRYING, Reason.TARGET_MOVED), "moved"),
    ],
)
def test_a_publish_counts_where_the_status_that_tells_of_it_is_written(ended: Status, result: str) -> None:
    metrics = Metrics()
    metrics.status_written(RUNNING, ended, None)
    metrics.status_written(ended, ended.model_copy(update={"observed_generation": 2}), None)
    assert value(metrics, "s3sync_publishes_total", result=result) == 1
    assert sum(value(metrics, "s3sync_publishes_total", result=item) or 0 for item in PUBLISHES) == 1


@pytest.mark.parametrize("phase", [Phase.SUSPENDED, Phase.QUEUED])
def test_a_run_that_was_to_follow_and_is_taken_back_does_not_count_the_one_before_again(phase: Phase) -> None:
    metrics = Metrics()
    metrics.status_written(VERIFIED.model_copy(update={"phase": phase}), VERIFIED, None)
    assert value(metrics, "s3sync_runs_finished_total", result="succeeded", reason="Verified") == 0


def test_an_attempt_of_a_re_run_that_fails_counts_under_its_own_reason_though_ready_stays_true() -> None:
    metrics = Metrics()
    ready = VERIFIED.conditions[0]
    told = {"type": ConditionType.SYNCING, "status": "True", "reason": Reason.ENDPOINT_UNREACHABLE}
    retrying = status(Phase.RETRYING).model_copy(update={"conditions": (ready, ready.model_copy(update=told))})
    metrics.status_written(RUNNING, retrying, None)
    assert failed(metrics, Reason.ENDPOINT_UNREACHABLE) == 1


def test_files_that_a_failed_job_did_not_come_to_are_unfinished() -> None:
    metrics, told = Metrics(), report("content-differs")
    files = told.files.model_copy(update={"total": 10, "verified": 3, "failed": 2})
    size = told.bytes.model_copy(update={"total": 100, "verified": 30, "copied": 60})
    told = told.model_copy(update={"files": files, "bytes": size})
    metrics.status_written(RUNNING, status(Phase.FAILED, "ContentDiffers"), told)
    found = [value(metrics, "s3sync_job_files_total", outcome=item) for item in ("verified", "failed", "unfinished")]
    assert found == [3, 2, 5]
    assert value(metrics, "s3sync_job_bytes_total", outcome="unverified") == 70
    assert value(metrics, "s3sync_job_copied_bytes_total") == 60


def test_a_foreign_images_reason_makes_no_series_of_its_own() -> None:
    metrics = Metrics()
    metrics.status_written(RUNNING, status(Phase.FAILED, "MadeUpByAnImage"), None)
    assert failed(metrics, OTHER) == 1
    assert b"MadeUpByAnImage" not in generate_latest(metrics.registry)


def test_every_reason_of_the_jobs_schema_has_a_name_of_its_own() -> None:
    schema = json.loads((REPORTS / "schema.json").read_text())
    assert frozenset(schema["properties"]["reason"]["enum"]) - JOB_REASONS == frozenset()


def test_every_reason_has_a_series_before_it_first_happens() -> None:
    metrics = Metrics()
    quiet = {Reason.COPIED, Reason.UNCHANGED, Reason.VERIFIED, Reason.PROGRESSING, Reason.PROGRESSING_WITH_RETRY}
    assert all(failed(metrics, reason) == 0 for reason in {*REASONS, OTHER} - quiet)
    assert value(metrics, "s3sync_build_info", version="0.1.0") == 1
    assert b"_created" not in generate_latest(metrics.registry)


@pytest.mark.parametrize(
    ("method", "path", "watch", "found"),
    [
        ("GET", "/apis/sync.pachyderm.io/v1alpha1/pachydermsyncs", False, ("list", "pachydermsyncs")),
        ("GET", "/apis/sync.pachyderm.io/v1alpha1/namespaces/a/pachydermsyncs", True, ("watch", "pachydermsyncs")),
        ("GET", "/apis/sync.pachyderm.io/v1alpha1/namespaces/a/pachydermsyncs/b", False, ("get", "pachydermsyncs")),
        (
            "PATCH",
            "/apis/sync.pachyderm.io/v1alpha1/namespaces/a/pachydermsyncs/b/status",
            False,
            ("patch", "pachydermsyncs/status"),
        ),
        ("POST", "/apis/kubeflow.org/v1/namespaces/a/tfjobs", False, ("create", "tfjobs")),
        ("DELETE", "/apis/kubeflow.org/v1/namespaces/a/tfjobs/b", False, ("delete", "tfjobs")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", False, ("get", "pods/log")),
        ("GET", "/api/v1/pods", True, ("watch", "pods")),
        ("GET", "/api/v1/namespaces", False, ("list", "namespaces")),
        ("GET", "/api/v1/namespaces/a", False, ("get", "namespaces")),
        ("POST", "/apis/batch/v1/namespaces/a/jobs", False, ("create", "jobs")),
        ("GET", "/api/v1/namespaces/a/configmaps/b", False, ("get", "other")),
        ("GET", "/apis/kubeflow.org/v1", False, ("get", "discovery")),
        ("GET", "/apis", False, ("get", "discovery")),
        ("GET", "/api", False, ("get", "discovery")),
    ],
)
def test_a_request_is_counted_by_verb_and_resource_in_rbacs_words(
    method: str, path: str, watch: bool, found: tuple[str, str]
) -> None:
    assert api_request(method, path, watch=watch) == ApiRequest(*found)


def test_every_resource_of_the_operators_role_is_counted_under_its_name() -> None:
    objects = yaml.safe_load_all((Path(__file__).parents[2] / "deploy/base/rbac.yaml").read_text())
    (role,) = [item for item in objects if item["kind"] == "ClusterRole"]
    asked_for = {name for rule in role["rules"] for name in rule["resources"]} - NEVER_ASKED_FOR
    path = "/apis/a/b/namespaces/c"
    named = {
        api_request("GET", f"{path}/{kind}/d/{part}".rstrip("/")).resource
        for kind, _, part in (name.partition("/") for name in asked_for)
    }
    assert named == asked_for


NEVER_ASKED_FOR = {"pachydermsyncs/finalizers"}
"""The right to set owner references is held, and never used by a request of its own."""


def test_requests_without_an_answer_are_counted_too() -> None:
    metrics = Metrics()
    request = ApiRequest("create", "tfjobs")
    metrics.kubernetes_answered(request, "201", 0.2)
    metrics.kubernetes_answered(request, NO_ANSWER, 30)
    assert value(metrics, "s3sync_kubernetes_requests_total", verb="create", resource="tfjobs", code="none") == 1
    assert value(metrics, "s3sync_kubernetes_request_duration_seconds_count", verb="create", resource="tfjobs") == 2


def known(name: str, version: str = "7", phase: str | None = None, **status: Any) -> dict[str, Any]:
    raw = sync_object(name, status=({"phase": phase} if phase else {}) | status)
    raw["metadata"] |= {"uid": name, "resourceVersion": version}
    return raw


def of_sync(metrics: Metrics, name: str, sync: str) -> float | None:
    return value(metrics, f"s3sync_sync_{name}", sync_namespace="kubeflow", sync=sync)


def test_every_phase_has_its_number_of_syncs_and_a_sync_without_status_is_pending() -> None:
    metrics = Metrics()
    for name, phase in (("a", "Running"), ("b", "Running"), ("c", None), ("d", "FromTheFuture")):
        metrics.syncs.note(known(name, phase=phase))
    assert value(metrics, "s3sync_syncs", phase="Running") == 2
    assert value(metrics, "s3sync_syncs", phase="Pending") == 2
    assert value(metrics, "s3sync_syncs", phase="Failed") == 0


def test_a_listing_older_than_the_watch_does_not_turn_a_phase_back() -> None:
    metrics = Metrics()
    metrics.syncs.note(known("a", "10", "Succeeded"))
    metrics.syncs.note(known("a", "9", "Running"))
    assert value(metrics, "s3sync_syncs", phase="Succeeded") == 1
    assert value(metrics, "s3sync_syncs", phase="Running") == 0


def test_a_sync_is_shown_by_name_and_its_series_go_with_it() -> None:
    metrics = Metrics()
    stalled: dict[str, Any] = {
        "conditions": [{"type": "Stalled", "status": "True"}],
        "lastScheduleTime": "2026-11-24T12:00:00Z",
    }
    metrics.syncs.note(known("a", phase="Failed", lastSuccessfulTime="2026-11-24T11:00:00Z", **stalled))
    assert of_sync(metrics, "stalled", "a") == 1
    assert of_sync(metrics, "last_schedule_timestamp_seconds", "a") == NOON.timestamp()
    assert of_sync(metrics, "last_success_timestamp_seconds", "a") == NOON.timestamp() - 3600
    metrics.syncs.forget(["a"])
    assert of_sync(metrics, "stalled", "a") is None


def test_a_success_that_an_older_version_told_of_is_shown_and_what_never_was_is_not() -> None:
    metrics = Metrics()
    metrics.syncs.note(known("a", phase="Succeeded", completionTime="2026-11-24T12:00:00Z"))
    metrics.syncs.note(known("b", phase="Failed", completionTime="2026-11-24T12:00:00Z"))
    metrics.syncs.note(known("c", phase="Succeeded", completionTime="no time"))
    found = [of_sync(metrics, "last_success_timestamp_seconds", name) for name in "abc"]
    assert found == [NOON.timestamp(), None, None]
    assert of_sync(metrics, "stalled", "b") == 0


def test_no_more_syncs_are_shown_by_name_than_the_settings_allow() -> None:
    metrics = Metrics(named_syncs=2)
    for name in ("c", "a", "b"):
        metrics.syncs.note(known(name))
    assert [of_sync(metrics, "stalled", name) for name in "abc"] == [0, 0, None]
    assert value(metrics, "s3sync_syncs_not_named") == 1
    assert value(metrics, "s3sync_syncs", phase="Pending") == 3
