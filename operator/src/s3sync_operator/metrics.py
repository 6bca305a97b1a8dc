"""Pure: what the operator counts, and the names it counts under; `/metrics` shows them.

The number of series is bounded: only the few gauges named `s3sync_sync_…` have syncs' names for labels, of as many
syncs as the settings allow, and a sync that is gone takes its series along. Counters start at zero with the process, as
Prometheus expects; a run is counted where the status that ends it has been written.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from s3sync_operator import __version__
from s3sync_operator.api import ConditionType, Phase, Reason, Status
from s3sync_operator.report import JOB_REASONS, Report

# Else each counter and histogram has a second series for when it began, which the process' start tells as well.
disable_created_metrics()  # type: ignore[no-untyped-call]

OTHER = "Other"
"""Stands for any reason that neither the operator nor s3sync-job knows: foreign images may report what they like."""

REASONS = frozenset(Reason) | JOB_REASONS
NO_ANSWER = "none"
"""Stands for an HTTP status where no answer came."""

NAMED_SYNCS = 1000
"""So many syncs are shown by name where the settings do not say otherwise."""

PUBLISHES = ("published", "unchanged", "moved", "dropped")

_MILLISECONDS_TO_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_UP_TO_MINUTES = (*_MILLISECONDS_TO_SECONDS, 60, 180)
_SECONDS_TO_A_DAY = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)


class ApiRequest(NamedTuple):
    """Verb and resource of a request to the Kubernetes API, in RBAC's words."""

    verb: str
    resource: str


class Metrics:
    """All metrics of one operator, in a registry of their own.

    Counters are made with every value of their labels that is known beforehand, so that `rate()` sees the first count.
    """

    def __init__(self, named_syncs: int = NAMED_SYNCS) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        Info("s3sync_build", "Version of the operator.", registry=registry).info({"version": __version__})
        self._make_queue(registry)
        self._make_runs(registry)
        self._make_reports(registry)
        self._make_requests(registry)
        self.last_resync = Gauge(
            "s3sync_last_successful_resync_timestamp_seconds",
            "When all syncs of all served namespaces were last listed and compared with what the watch delivered.",
            registry=registry,
        )
        self.syncs = KnownSyncs(named_syncs)
        registry.register(self.syncs)

    def _make_queue(self, registry: CollectorRegistry) -> None:
        self._reconciles = Counter(
            "s3sync_reconciles",
            "Reconciles by result: done, requeued (to be looked at again after a while), error, timeout.",
            ["result"],
            registry=registry,
        )
        for result in ("done", "requeued", "error", "timeout"):
            self._reconciles.labels(result)
        self._reconcile_seconds = Histogram(
            "s3sync_reconcile_duration_seconds",
            "How long a reconcile took.",
            registry=registry,
            buckets=_UP_TO_MINUTES,
        )
        self.reconciles_in_progress = Gauge(
            "s3sync_reconciles_in_progress", "Syncs that are being reconciled.", registry=registry
        )
        self.queue_depth = Gauge("s3sync_queue_depth", "Syncs that wait to be reconciled.", registry=registry)
        self._queue_wait = Histogram(
            "s3sync_queue_wait_seconds",
            "How long a sync waited to be reconciled.",
            registry=registry,
            buckets=_UP_TO_MINUTES,
        )

    def _make_runs(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "s3sync_runs_finished",
            "Runs that ended for good, by result (succeeded, failed) and reason.",
            ["result", "reason"],
            registry=registry,
        )
        for good in sorted(_GOOD):
            self._runs.labels("succeeded", good)
        self.runs_active = Gauge(
            "s3sync_runs_active", "Runs under way; one that waits for its next attempt is not.", registry=registry
        )
        self.runs_queued = Gauge(
            "s3sync_runs_queued",
            "Runs that wait until fewer are under way (--max-concurrent-runs, --max-concurrent-runs-per-endpoint).",
            registry=registry,
        )
        self._publishes = Counter(
            "s3sync_publishes",
            "Runs brought onto their branch, by result: published (one commit), unchanged (none was needed), moved "
            "(the branch had changed meanwhile), dropped (the commit finished with an error and was removed).",
            ["result"],
            registry=registry,
        )
        for result in PUBLISHES:
            self._publishes.labels(result)
        self._collected = Counter(
            "s3sync_staging_branches_collected",
            "Staging branches that dead runs had left, removed by a sweep.",
            registry=registry,
        )
        self._failed_attempts = Counter(
            "s3sync_attempts_failed",
            "Attempts of runs that failed, the last one of a failed run among them, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in sorted({*REASONS, OTHER} - _NO_FAILURES):
            self._runs.labels("failed", reason)
            self._failed_attempts.labels(reason)
        self._run_seconds = Histogram(
            "s3sync_run_duration_seconds",
            "From the creation of the last attempt's job to the end of the run, by result.",
            ["result"],
            registry=registry,
            buckets=_SECONDS_TO_A_DAY,
        )
        for result in ("succeeded", "failed"):
            self._run_seconds.labels(result)

    def _make_reports(self, registry: CollectorRegistry) -> None:
        self._files = Counter(
            "s3sync_job_files",
            "Files of the jobs' reports by outcome: verified, copied (unverified, as asked), unchanged, failed, "
            "unfinished (the job ended before).",
            ["outcome"],
            registry=registry,
        )
        self._bytes = Counter(
            "s3sync_job_bytes",
            "Bytes of the jobs' reports by outcome: verified, unchanged, unverified.",
            ["outcome"],
            registry=registry,
        )
        self._copied = Counter("s3sync_job_copied_bytes", "Bytes that jobs wrote to Pachyderm.", registry=registry)
        for outcome in ("verified", "copied", "unchanged", "failed", "unfinished"):
            self._files.labels(outcome)
        for outcome in ("verified", "unchanged", "unverified"):
            self._bytes.labels(outcome)

    def _make_requests(self, registry: CollectorRegistry) -> None:
        self._kubernetes = Counter(
            "s3sync_kubernetes_requests",
            "Requests to the Kubernetes API by verb, resource and HTTP status (none where no answer came).",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self._kubernetes_seconds = Histogram(
            "s3sync_kubernetes_request_duration_seconds",
            "From a request to the Kubernetes API to the head of its answer.",
            ["verb", "resource"],
            registry=registry,
            buckets=_MILLISECONDS_TO_SECONDS,
        )
        self._gateway = Counter(
            "s3sync_gateway_requests",
            "Calls of Pachyderm's S3 gateway by the operator, by operation and result: ok, missing, or the reason of a "
            "failure.",
            ["operation", "result"],
            registry=registry,
        )
        self._pachd = Counter(
            "s3sync_pachd_requests",
            "Calls of pachd's gRPC API by the operator, each try of its own, by operation and result: ok, missing, or "
            "the reason of a failure.",
            ["operation", "result"],
            registry=registry,
        )
        self._pachd_seconds = Histogram(
            "s3sync_pachd_request_duration_seconds",
            "How long a call of pachd's gRPC API took.",
            ["operation"],
            registry=registry,
            buckets=_UP_TO_MINUTES,
        )
        self._gateway_seconds = Histogram(
            "s3sync_gateway_request_duration_seconds",
            "How long a call of Pachyderm's S3 gateway took, its retry included.",
            ["operation"],
            registry=registry,
            buckets=_MILLISECONDS_TO_SECONDS,
        )

    def waited(self, seconds: float) -> None:
        """Count a sync that waited for its reconcile."""
        self._queue_wait.observe(seconds)

    def reconciled(self, result: str, seconds: float) -> None:
        """Count a reconcile; `result` is one of done, requeued, error, timeout."""
        self._reconciles.labels(result).inc()
        self._reconcile_seconds.observe(seconds)

    def status_written(self, before: Status, after: Status, report: Report | None) -> None:
        """Count what a status that was just written brought to an end: an attempt, and with it perhaps the run."""
        if not _ends_attempt(before, after):
            return
        reason = _known(after)
        if after.phase != Phase.SUCCEEDED:
            self._failed_attempts.labels(reason).inc()
        if result := _publish_result(after, reason):
            self._publishes.labels(result).inc()
        if after.finished:
            self._count_run("succeeded" if after.phase == Phase.SUCCEEDED else "failed", reason, after)
        if report:
            self._count_report(report)

    def _count_run(self, result: str, reason: str, status: Status) -> None:
        self._runs.labels(result, reason).inc()
        if status.completion_time and status.start_time:
            seconds = (status.completion_time - status.start_time).total_seconds()
            self._run_seconds.labels(result).observe(max(0.0, seconds))

    def _count_report(self, report: Report) -> None:
        files, size = report.files, report.bytes
        copied = files.copied if report.result == "Copied" else 0
        for outcome, count in (
            ("verified", files.verified),
            ("copied", copied),
            ("unchanged", files.unchanged),
            ("failed", files.failed),
            ("unfinished", files.total - files.verified - files.failed - files.unchanged - copied),
        ):
            self._files.labels(outcome).inc(max(0, count))
        self._bytes.labels("verified").inc(max(0, size.verified))
        self._bytes.labels("unchanged").inc(max(0, size.unchanged))
        self._bytes.labels("unverified").inc(max(0, size.total - size.verified - size.unchanged))
        self._copied.inc(max(0, size.copied))

    def kubernetes_answered(self, request: ApiRequest, code: str, seconds: float) -> None:
        """Count a request to the Kubernetes API; `code` is its HTTP status or NO_ANSWER."""
        self._kubernetes.labels(request.verb, request.resource, code).inc()
        self._kubernetes_seconds.labels(request.verb, request.resource).observe(seconds)

    def gateway_answered(self, operation: str, result: str, seconds: float) -> None:
        """Count a call of the S3 gateway; `result` is ok, missing or a Reason."""
        self._gateway.labels(operation, result).inc()
        self._gateway_seconds.labels(operation).observe(seconds)

    def pachd_answered(self, operation: str, result: str, seconds: float) -> None:
        """Count a call of pachd's gRPC API; `result` is ok, missing or a Reason."""
        self._pachd.labels(operation, result).inc()
        self._pachd_seconds.labels(operation).observe(seconds)

    def dropped_commit(self) -> None:
        """Count a commit that was to publish and was removed; a next look does not find it again."""
        self._publishes.labels("dropped").inc()

    def collected(self, branches: int) -> None:
        """Count staging branches of dead runs that were removed."""
        self._collected.inc(branches)


_GOOD = frozenset({Reason.VERIFIED.value, Reason.COPIED.value, Reason.UNCHANGED.value})
_NO_FAILURES = _GOOD | {Reason.PROGRESSING, Reason.PROGRESSING_WITH_RETRY}


def _ends_attempt(before: Status, after: Status) -> bool:
    """Tell whether the attempt ended with this status: it is over now, and was not over before.

    A run is told by its generation too, since a spec without a digest (it breaks a rule) has no other mark.
    """
    if not after.finished and after.phase != Phase.RETRYING:
        return False
    return _ended_attempt(before) != _ended_attempt(after)


def _ended_attempt(status: Status) -> tuple[object, ...] | None:
    if not status.finished and status.phase != Phase.RETRYING:
        return None
    generation = status.observed_generation if status.run_generation is None else status.run_generation
    occasion = (status.trigger, status.last_handled_run_request, status.last_schedule_time)
    return (status.spec_digest, generation, status.attempt, *occasion)


def _publish_result(after: Status, reason: str) -> str | None:
    """Return what came of the attempt's publish, of PUBLISHES, or None where it did not get so far.

    It is told from what was written: a publish whose status was lost is found done at the next look, and is one all the
    same.
    """
    if after.phase == Phase.SUCCEEDED and after.commit:
        return "unchanged" if reason == Reason.UNCHANGED else "published"
    return "moved" if reason == Reason.TARGET_MOVED else None


def _known(status: Status) -> str:
    telling = status.telling
    return telling.reason if telling and telling.reason in REASONS else OTHER


@dataclass(frozen=True)
class KnownSync:
    """What is shown of a sync; times are seconds since 1970."""

    namespace: str
    name: str
    version: int
    phase: Phase
    stalled: bool
    last_success: float | None
    last_schedule: float | None

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "KnownSync":
        """Return what is shown of a sync as the API server sends it."""
        metadata, status = raw["metadata"], raw.get("status") or {}
        phase = next((item for item in Phase if item == status.get("phase")), Phase.PENDING)
        conditions = status.get("conditions") or ()
        # Versions before lastSuccessfulTime told of the last run alone.
        ended = status.get("completionTime") if phase == Phase.SUCCEEDED else None
        return cls(
            metadata["namespace"],
            metadata["name"],
            int(metadata["resourceVersion"]),
            phase,
            any(item.get("type") == ConditionType.STALLED and item.get("status") == "True" for item in conditions),
            _seconds(status.get("lastSuccessfulTime") or ended),
            _seconds(status.get("lastScheduleTime")),
        )


def _seconds(moment: object) -> float | None:
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else None
    return None


class KnownSyncs(Collector):
    """Every sync, as the watch delivers it and each listing sets it right; it is read at each scrape.

    At most `named` syncs are shown by name, the first by namespace and name, lest a cluster with very many of them
    burdens Prometheus; how many are not is shown too.
    """

    def __init__(self, named: int) -> None:
        self._named = named
        self._syncs: dict[str, KnownSync] = {}

    def note(self, raw: dict[str, Any]) -> None:
        """Take note of a sync; an older version than the one known tells nothing new."""
        uid, seen = raw["metadata"]["uid"], KnownSync.of(raw)
        known = self._syncs.get(uid)
        if known is None or known.version <= seen.version:
            self._syncs[uid] = seen

    def forget(self, uids: Iterable[str]) -> None:
        """Take note that syncs are gone."""
        for uid in uids:
            self._syncs.pop(uid, None)

    def known(self) -> frozenset[str]:
        """Return the uids of the syncs that are known."""
        return frozenset(self._syncs)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the gauges as they are now."""
        syncs = sorted(self._syncs.values(), key=lambda sync: (sync.namespace, sync.name))
        yield _by_phase(syncs)
        yield GaugeMetricFamily(
            "s3sync_syncs_not_named",
            "Syncs that are not among those shown by name (--metrics-syncs).",
            max(0, len(syncs) - self._named),
        )
        named = syncs[: self._named]
        yield _by_name(
            "stalled", "Whether a sync has failed for good (1), and needs somebody to mend it.",
            ((sync, float(sync.stalled)) for sync in named),
        )  # fmt: skip
        yield _by_name(
            "last_success_timestamp_seconds", "When a sync's last successful run ended.",
            ((sync, sync.last_success) for sync in named),
        )  # fmt: skip
        yield _by_name(
            "last_schedule_timestamp_seconds", "The time of its schedule for which a sync was last run.",
            ((sync, sync.last_schedule) for sync in named),
        )  # fmt: skip


def _by_phase(syncs: list[KnownSync]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "s3sync_syncs", "Syncs by phase; Pending are also those without a status.", labels=["phase"]
    )
    phases = [sync.phase for sync in syncs]
    for phase in Phase:
        family.add_metric([phase.value], phases.count(phase))
    return family


def _by_name(name: str, text: str, values: Iterable[tuple[KnownSync, float | None]]) -> GaugeMetricFamily:
    # Prometheus names the namespace of the pod that it scrapes `namespace`, and would rename one of ours.
    family = GaugeMetricFamily(f"s3sync_sync_{name}", text, labels=["sync_namespace", "sync"])
    for sync, value in values:
        if value is not None:
            family.add_metric([sync.namespace, sync.name], value)
    return family


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_RESOURCES = frozenset(
    {
        "customresourcedefinitions",
        "events",
        "jobs",
        "namespaces",
        "pachydermsyncs",
        "pachydermsyncs/status",
        "pods",
        "pods/log",
        "secrets",
        "tfjobs",
    }
)
_PATH = re.compile(r"/(?:api/[^/]+|apis/[^/]+/[^/]+)(?:/namespaces/[^/]+(?=/))?/([^/]+)(?:/([^/]+))?(?:/([^/]+))?/?")


def api_request(method: str, path: str, *, watch: bool = False) -> ApiRequest:
    """Return what a request asks for; paths that name no resource are `discovery`, foreign resources `other`."""
    found = _PATH.fullmatch(path)
    if found is None:
        return ApiRequest(_VERBS.get(method, "get"), "discovery")
    kind, name, part = found.groups()
    resource = f"{kind}/{part}" if part else kind
    read = "watch" if watch else "get" if name else "list"
    return ApiRequest(_VERBS.get(method, read), resource if resource in _RESOURCES else "other")
