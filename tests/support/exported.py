"""What the operator exports: every metric with every label, as a scrape of one that has done everything once."""

import json
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from s3sync_operator.api import Phase, Status
from s3sync_operator.metrics import NO_ANSWER, ApiRequest, Metrics
from s3sync_operator.observed import parse_time
from s3sync_operator.report import find_report
from tests.support.objects import sync_object

REPORT = Path(__file__).parent.parent / "golden/report/verified.json"
NOON = "2026-11-24T12:00:00Z"


def everything() -> CollectorRegistry:
    """Return the registry of an operator to which everything that is counted has happened."""
    metrics = Metrics(named_syncs=1)
    for name, phase in (("books", "Succeeded"), ("more", "Failed")):
        raw = sync_object(name, status={"phase": phase, "lastSuccessfulTime": NOON, "lastScheduleTime": NOON})
        metrics.syncs.note(raw | {"metadata": raw["metadata"] | {"uid": name}})
    metrics.waited(0.1)
    metrics.reconciled("done", 0.2)
    metrics.kubernetes_answered(ApiRequest("create", "tfjobs"), "201", 0.1)
    metrics.kubernetes_answered(ApiRequest("get", "pods"), NO_ANSWER, 30)
    metrics.gateway_answered("HeadBucket", "ok", 0.1)
    metrics.pachd_answered("ListBranch", "ok", 0.1)
    metrics.collected(1)
    metrics.last_resync.set_to_current_time()
    _finish_a_run(metrics)
    return metrics.registry


def _finish_a_run(metrics: Metrics) -> None:
    begun = parse_time(NOON)
    running = Status(phase=Phase.RUNNING, spec_digest="d", run_generation=1, attempt=1, start_time=begun)
    done = running.model_copy(update={"phase": Phase.SUCCEEDED, "completion_time": begun + timedelta(seconds=7)})
    metrics.status_written(running, done, find_report(json.dumps(json.loads(REPORT.read_text()))))


def exposition() -> str:
    """Return the scrape."""
    return generate_latest(everything()).decode()


def labels_by_name() -> dict[str, set[str]]:
    """Return the labels of every series' name, as Prometheus stores them."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found
