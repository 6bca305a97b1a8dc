import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync_operator.api import Phase, Reason, Status, Sync, parse_sync
from s3sync_operator.desired import Run, run_name
from s3sync_operator.durations import duration_text
from s3sync_operator.observed import NOTHING, Observation, observe
from s3sync_operator.runners import JOB, TFJOB, JobKind
from s3sync_operator.runs import current_run
from s3sync_operator.settings import Settings
from s3sync_operator.status import Outcome, invalid_spec_status, judge, status_after
from tests.support import objects
from tests.support.objects import RUNNING, pod_object, terminated, tfjob_object, waiting

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOON = NOON + timedelta(seconds=20)
LATE = NOON + timedelta(hours=1)
SETTINGS = Settings(max_attempts=3, retry_delay=10, start_deadline=600)
REPORTS = Path(__file__).parent.parent / "golden" / "report"


def report(name: str) -> str:
    return json.dumps(json.loads((REPORTS / f"{name}.json").read_text()))


def reporting(**changes: Any) -> str:
    """A good report with some of it changed."""
    return json.dumps(json.loads(report("verified")) | changes)


def seen(*pods: dict[str, Any], condition: str = "Created", message: str = "", deleting: bool = False) -> Observation:
    return observe(tfjob_object("job", condition=condition, message=message, deleting=deleting), pods, {})


def pod(phase: str = "Pending", **more: Any) -> dict[str, Any]:
    return pod_object("job", phase, **more)


CASES: list[tuple[str, Observation, datetime, tuple[str, str]]] = [
    ("a job without a pod yet is starting", seen(), SOON, ("Starting", "Progressing")),
    (
        "a pod that pulls its image is starting",
        seen(pod(state=waiting("ContainerCreating"))),
        SOON,
        ("Starting", "Progressing"),
    ),
    ("a running container is running", seen(pod("Running", state=RUNNING)), SOON, ("Running", "Progressing")),
    (
        "a report of success is success, though the TFJob does not say so yet",
        seen(pod("Succeeded", state=terminated(0, report("verified")))),
        SOON,
        ("Succeeded", "Verified"),
    ),
    (
        "a report of a difference is final",
        seen(pod("Failed", state=terminated(1, report("content-differs"))), condition="Failed"),
        SOON,
        ("Permanent", "ContentDiffers"),
    ),
    (
        "a report of an unreachable endpoint may be mended by a retry",
        seen(pod("Failed", state=terminated(160, report("endpoint-unreachable"))), condition="Failed"),
        SOON,
        ("Retryable", "EndpointUnreachable"),
    ),
    (
        "an exit code below 128 without a report is final",
        seen(pod("Failed", state=terminated(7))),
        SOON,
        ("Permanent", "PodCrashed"),
    ),
    (
        "an exit code from 128 without a report may be mended",
        seen(pod("Failed", state=terminated(139))),
        SOON,
        ("Retryable", "PodCrashed"),
    ),
    (
        "memory that does not suffice has its own reason",
        seen(pod("Failed", state=terminated(137, reason="OOMKilled"))),
        SOON,
        ("Retryable", "OutOfMemory"),
    ),
    (
        "an evicted pod may be mended, whatever it reported while it was ended",
        seen(
            pod(
                "Failed",
                state=terminated(143, report("endpoint-unreachable")),
                reason="Evicted",
                message="low on memory",
            )
        ),
        SOON,
        ("Retryable", "PodEvicted"),
    ),
    (
        "a pod evicted through the API says so in a condition",
        seen(pod("Failed", state=terminated(143), conditions=[{"type": "DisruptionTarget", "status": "True"}])),
        SOON,
        ("Retryable", "PodEvicted"),
    ),
    (
        "a TFJob that is being deleted is gone",
        seen(pod("Running", state=RUNNING), deleting=True),
        SOON,
        ("Retryable", "TFJobDeleted"),
    ),
    ("a TFJob that does not exist is gone", observe(None, [], {}), SOON, ("Retryable", "TFJobDeleted")),
    (
        "what was staged for a TFJob that is gone is not published, however well its pods report",
        observe(
            None,
            [
                pod(
                    "Succeeded",
                    state=terminated(0, reporting(staged={"branch": "s3sync-0-w0", "commit": "c" * 32, "base": None})),
                )
            ],
            {},
        ),
        SOON,
        ("Retryable", "TFJobDeleted"),
    ),
    (
        "one of two workers is not all, even where the TFJob is gone and its pods are not yet",
        observe(None, [pod("Succeeded", state=terminated(0, reporting(worker={"index": 0, "count": 2})))], {}),
        SOON,
        ("Retryable", "TFJobDeleted"),
    ),
    (
        "a sole worker that wrote to the branch has done it all, whoever deleted the TFJob since",
        observe(None, [pod("Succeeded", state=terminated(0, reporting()))], {}),
        SOON,
        ("Succeeded", "Verified"),
    ),
    (
        "a job that ends well without a report proves nothing",
        seen(pod("Succeeded", state=terminated(0))),
        SOON,
        ("Permanent", "ReportMissing"),
    ),
    (
        "a TFJob that succeeded while its pod was last seen running is waited for",
        seen(pod("Running", state=RUNNING), condition="Succeeded"),
        SOON,
        ("Running", "Progressing"),
    ),
    (
        "a TFJob that succeeded and lost its pods proves nothing",
        seen(condition="Succeeded"),
        SOON,
        ("Permanent", "ReportMissing"),
    ),
    (
        "a TFJob past its deadline says so",
        seen(condition="Failed", message="TFJob x has failed because it was active longer than specified deadline"),
        SOON,
        ("Retryable", "DeadlineExceeded"),
    ),
    (
        "an image that cannot be pulled is trouble",
        seen(pod(state=waiting("ImagePullBackOff", "Back-off"))),
        SOON,
        ("Starting", "ImagePullFailed"),
    ),
    (
        "after the deadline it is final",
        seen(pod(state=waiting("ErrImagePull"))),
        LATE,
        ("Permanent", "ImagePullFailed"),
    ),
    (
        "an image name that cannot be parsed is final at once",
        seen(pod(state=waiting("InvalidImageName"))),
        SOON,
        ("Permanent", "ImagePullFailed"),
    ),
    (
        "a pod whose Secret is missing is trouble",
        seen(pod(state=waiting("CreateContainerConfigError"))),
        SOON,
        ("Starting", "PodConfigError"),
    ),
    (
        "a pod that fits on no node is trouble, and stays retryable",
        seen(
            pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}])
        ),
        LATE,
        ("Retryable", "PodUnschedulable"),
    ),
    ("no pod within the deadline points at the training-operator", seen(), LATE, ("Retryable", "PodNotCreated")),
]


@pytest.mark.parametrize(("seen", "now", "outcome"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_observation_is_judged(seen: Observation, now: datetime, outcome: tuple[str, str]) -> None:
    found = judge(seen, now, SETTINGS)
    assert (found.kind, found.reason) == outcome
    assert found.message


def after(sync: Sync, outcome: Outcome, observation: Observation = NOTHING, now: datetime = SOON) -> Status:
    assert sync.spec
    return status_after(sync, sync.spec, current_run(sync, sync.spec, now), outcome, observation, now, SETTINGS)


def with_status(status: Status, generation: int = 1, **spec: Any) -> Sync:
    return parse_sync(
        objects.sync_object(generation=generation, status=status.model_dump(by_alias=True, mode="json"), **spec)
    )


RETRYABLE = Outcome("Retryable", "EndpointUnreachable", "cannot reach it")
STARTING = Outcome("Starting", "Progressing", "waits")
SUCCEEDED = Outcome("Succeeded", "Verified", "2 files")


def kinds(status: Status) -> dict[str, str]:
    return {condition.type: condition.status for condition in status.conditions}


def test_a_starting_run_is_reconciling_and_not_yet_ready() -> None:
    assert kinds(after(objects.sync(), STARTING)) == {"Ready": "Unknown", "Reconciling": "True"}


def test_a_verified_run_is_ready_and_nothing_else() -> None:
    assert kinds(after(objects.sync(), SUCCEEDED)) == {"Ready": "True"}


def test_passing_trouble_is_reconciling_with_retry_and_names_its_reason_in_ready() -> None:
    status = after(objects.sync(), RETRYABLE)
    assert kinds(status) == {"Ready": "False", "Reconciling": "True"}
    assert [condition.reason for condition in status.conditions] == ["EndpointUnreachable", "ProgressingWithRetry"]
    assert status.next_attempt_time == SOON + timedelta(seconds=10)


def test_attempts_that_are_used_up_are_stalled() -> None:
    status = Status(
        phase=Phase.RETRYING, spec_digest=spec_digest(), run_generation=1, attempt=2, next_attempt_time=NOON
    )
    stalled = after(with_status(status), RETRYABLE)
    assert kinds(stalled) == {"Ready": "False", "Stalled": "True"}
    assert stalled.phase == Phase.FAILED
    assert "given up after 3 attempts" in stalled.conditions[0].message


def spec_digest() -> str:
    spec = objects.sync().spec
    assert spec
    return spec.digest


def test_the_wait_between_attempts_doubles_up_to_its_limit() -> None:
    settings = Settings(retry_delay=10, retry_delay_max=60)
    assert [settings.retry_after(attempt).seconds for attempt in range(1, 6)] == [10, 20, 40, 60, 60]


def test_the_next_attempt_is_due_at_its_time_and_not_before() -> None:
    waiting_sync = with_status(after(objects.sync(), RETRYABLE))
    assert waiting_sync.spec
    assert current_run(waiting_sync, waiting_sync.spec, SOON).attempt == 1
    assert current_run(waiting_sync, waiting_sync.spec, SOON + timedelta(seconds=10)).attempt == 2


def test_a_changed_spec_begins_a_new_run_at_its_first_attempt() -> None:
    changed = with_status(after(objects.sync(), RETRYABLE), generation=2, inputPath="other")
    assert changed.spec
    assert current_run(changed, changed.spec, SOON) == Run(2, 1, changed.spec.digest)


def test_a_new_generation_that_means_the_same_is_the_same_run() -> None:
    same = with_status(after(objects.sync(), SUCCEEDED), generation=2, branch="master")
    assert same.spec
    assert current_run(same, same.spec, SOON).generation == 1


def test_going_back_to_an_earlier_spec_is_a_new_run_with_a_new_name() -> None:
    first = objects.sync()
    assert first.spec
    back = with_status(Status(spec_digest="another", run_generation=2, attempt=1), generation=3)
    assert back.spec
    runs = (current_run(first, first.spec, NOON), current_run(back, back.spec, NOON))
    assert run_name(first, runs[0]) != run_name(back, runs[1])


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    started = with_status(after(objects.sync(), STARTING, now=NOON))
    running = after(started, Outcome("Running", "Progressing", "copies"), now=SOON)
    assert {condition.last_transition_time for condition in running.conditions} == {NOON}


def test_a_spec_that_breaks_a_rule_is_told_once() -> None:
    broken = parse_sync(objects.sync_object(repo="no spaces"))
    status = invalid_spec_status(broken, broken.spec_error or "", NOON)
    again = parse_sync(objects.sync_object(repo="no spaces", status=status.model_dump(by_alias=True, mode="json")))
    assert invalid_spec_status(again, again.spec_error or "", LATE) == again.status


def test_a_pod_that_replaces_a_lost_one_after_hours_has_its_own_time_to_start() -> None:
    new = pod(state=waiting("ErrImagePull"))
    new["metadata"]["creationTimestamp"] = "2026-11-24T12:59:50Z"
    assert judge(seen(new), LATE, SETTINGS).troubled


def test_a_container_that_ended_counts_though_a_sidecar_keeps_the_pod_running() -> None:
    ended = pod("Running", state=terminated(137, reason="OOMKilled"))
    assert judge(seen(ended), SOON, SETTINGS).reason == Reason.OUT_OF_MEMORY


def test_a_foreign_report_of_any_length_fits_into_a_condition() -> None:
    status = after(objects.sync(), Outcome("Permanent", "R" * 5000, "m" * 100_000))
    assert len(status.conditions[0].reason) + len(status.conditions[0].message) < 5000


def test_a_spec_that_breaks_a_rule_is_stalled_and_runs_once_it_is_mended() -> None:
    broken = with_status(after(objects.sync(), SUCCEEDED), generation=2, repo="no spaces")
    status = invalid_spec_status(broken, broken.spec_error or "", SOON)
    assert kinds(status) == {"Ready": "False", "Stalled": "True"}
    assert status.conditions[0].reason == Reason.INVALID_SPEC
    assert "spec.repo" in status.conditions[0].message
    mended = with_status(status, generation=3)
    assert mended.spec
    assert current_run(mended, mended.spec, SOON).generation == 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (1.4, "1s"), (59, "59s"), (90, "1m30s"), (7205, "2h0m5s"), (-1, "0s")]
)
def test_a_duration_is_written_as_kubernetes_does(seconds: float, text: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == text


OUTCOMES = st.builds(
    Outcome,
    kind=st.sampled_from(["Starting", "Running", "Succeeded", "Retryable", "Permanent"]),
    reason=st.sampled_from(["Progressing", "EndpointUnreachable"]),
    message=st.text(max_size=10),
    troubled=st.booleans(),
)


@given(st.lists(OUTCOMES, min_size=1, max_size=8))
def test_any_sequence_of_outcomes_leads_to_a_status_that_kstatus_can_read(outcomes: list[Outcome]) -> None:
    sync, now = objects.sync(), NOON
    for outcome in outcomes:
        now += timedelta(seconds=400)
        status = after(sync, outcome, now=now)
        present = kinds(status)
        assert "Ready" in present
        assert not ("Reconciling" in present and "Stalled" in present)
        assert set(present.values() if present["Ready"] == "True" else []) <= {"True"}
        assert all(value == "True" for kind, value in present.items() if kind != "Ready")
        assert status.observed_generation == 1
        assert all(condition.observed_generation == 1 for condition in status.conditions)
        sync = with_status(status)
        assert sync.status.conditions, "a status survives being written and read"


# --- Many workers. ----------------------------------------------------------------------------------------------------


def workers(*pods: dict[str, Any], count: int = 3, stages: bool = True, condition: str = "Running") -> Observation:
    """Return what is seen of a TFJob with so many workers, whose pods are numbered in their order."""
    args = ["--staging-branch=s3sync-0"] if stages else []
    worker = {"replicas": count, "template": {"spec": {"containers": [{"args": args}]}}}
    job = tfjob_object("job", condition=condition) | {"spec": {"tfReplicaSpecs": {"Worker": worker}}}
    for index, pod in enumerate(pods):
        pod["metadata"]["name"] = f"job-worker-{index}"
    return observe(job, pods, {})


def good(index: int, result: str = "Verified") -> dict[str, Any]:
    told = json.loads(report("verified")) | {"worker": {"index": index, "count": 3}, "result": result, "reason": result}
    return pod("Succeeded", state=terminated(0, json.dumps(told)))


def running() -> dict[str, Any]:
    return pod("Running", state=RUNNING)


def killed() -> dict[str, Any]:
    return pod("Failed", state=terminated(137, "", "OOMKilled"))


WORKERS: list[tuple[str, Observation, datetime, tuple[str, str]]] = [
    ("all good is good", workers(good(0), good(1), good(2)), SOON, ("Succeeded", "Verified")),
    ("one unverified makes it copied", workers(good(0), good(1, "Copied"), good(2)), SOON, ("Succeeded", "Copied")),
    ("one is under way", workers(good(0), running(), good(2)), SOON, ("Running", "Progressing")),
    ("one has no pod yet", workers(good(0), good(1)), SOON, ("Starting", "Progressing")),
    ("one never gets a pod", workers(good(0), good(1)), LATE, ("Retryable", "PodNotCreated")),
    ("one was killed and the others stage on", workers(killed(), running(), good(2)), SOON, ("Running", "OutOfMemory")),
    (
        "one was killed and the others have ended",
        workers(killed(), good(1), good(2)),
        SOON,
        ("Retryable", "OutOfMemory"),
    ),
    (
        "without staging nobody's work is worth the wait",
        workers(killed(), running(), good(2), stages=False),
        SOON,
        ("Retryable", "OutOfMemory"),
    ),
    (
        "what no retry mends is not waited with",
        workers(pod("Failed", state=terminated(1, report("content-differs"))), running(), good(2)),
        SOON,
        ("Permanent", "ContentDiffers"),
    ),
    (
        "one that ended without a report",
        workers(good(0), pod("Succeeded", state=terminated(0)), good(2), condition="Succeeded"),
        SOON,
        ("Permanent", "ReportMissing"),
    ),
]


@pytest.mark.parametrize(("found", "now", "said"), [case[1:] for case in WORKERS], ids=[case[0] for case in WORKERS])
def test_of_many_workers_all_must_be_good(found: Observation, now: datetime, said: tuple[str, str]) -> None:
    outcome = judge(found, now, SETTINGS)
    assert (outcome.kind, outcome.reason) == said


def test_others_are_waited_for_no_longer_than_a_run_may_take() -> None:
    found = workers(killed(), running(), good(2))
    assert judge(found, NOON + timedelta(days=2), SETTINGS).kind == "Retryable"


def test_a_status_tells_what_was_skipped_and_what_a_dry_run_would_delete() -> None:
    told = json.loads(report("verified"))
    told["files"] |= {"skipped": 7, "extra": 9, "unchanged": 1}
    told |= {"skipped": [{"path": f"p{n}", "detail": "a socket"} for n in range(7)], "skippedOmitted": 0}
    told |= {"dryRun": {"delete": [f"d{n}" for n in range(6)], "deleteOmitted": 3}}
    found = seen(pod("Succeeded", state=terminated(0, json.dumps(told))))
    sync = objects.sync()
    assert sync.spec
    outcome = Outcome("Succeeded", Reason.UNCHANGED, "m", commit="c", digest="sha256:00")
    status = status_after(sync, sync.spec, Run(1, 1, "d"), outcome, found, SOON, SETTINGS)
    assert status.counts
    assert (status.counts.skipped, status.counts.extra, status.counts.unchanged, status.counts.deleted) == (
        7,
        9,
        1,
        None,
    )
    assert [item.path for item in status.skipped or ()] == ["p0", "p1", "p2", "p3", "p4"]
    assert status.dry_run
    assert (status.dry_run.delete, status.dry_run.count) == (("d0", "d1", "d2", "d3", "d4"), 9)
    assert (status.commit, status.manifest_digest) == ("c", "sha256:00")


# --- What keeps a job from starting, and what it is called. ---


def waits(warning: str = "", *, pods: bool = True, suspended: bool = False, runner: str = "TFJob") -> Observation:
    """Return what is seen of a job whose pod, or itself where it has none, is told of by an Event."""
    spec = {"suspend": suspended} if runner == "Job" else {"runPolicy": {"suspend": suspended}}
    job = tfjob_object("job") | {"kind": runner, "spec": spec}
    found = [pod(state=waiting("ContainerCreating"))] if pods else []
    return observe(job, found, {}, warnings={"job-worker-0" if pods else "job": warning} if warning else {})


MOUNT = 'FailedMount: configmap "c" not found'
EXPLAINED: list[tuple[str, Observation, datetime, tuple[str, str]]] = [
    ("a volume that cannot be mounted is told", waits(MOUNT), SOON, ("Starting", "MountFailed")),
    ("and fails the attempt in the end", waits(MOUNT), LATE, ("Retryable", "MountFailed")),
    ("any other Event is told too", waits("FailedCreatePodSandBox: no"), SOON, ("Starting", "PodNotStarted")),
    ("a pod that is refused is told", waits("FailedCreate: no", pods=False), SOON, ("Starting", "PodNotCreated")),
    ("and that too ends", waits("FailedCreate: no", pods=False), LATE, ("Retryable", "PodNotCreated")),
    ("without an Event it is waited for", waits(), SOON, ("Starting", "Progressing")),
    ("a suspended TFJob waits for as long as it takes", waits(suspended=True), LATE, ("Starting", "Queued")),
    ("a suspended Job does too", waits(suspended=True, runner="Job", pods=False), LATE, ("Starting", "Queued")),
]


@pytest.mark.parametrize(
    ("found", "now", "said"), [case[1:] for case in EXPLAINED], ids=[case[0] for case in EXPLAINED]
)
def test_what_keeps_a_job_from_starting_is_told(found: Observation, now: datetime, said: tuple[str, str]) -> None:
    outcome = judge(found, now, SETTINGS)
    assert (outcome.kind, outcome.reason) == said


def test_the_pods_that_a_suspension_ends_have_not_failed() -> None:
    found = observe(
        tfjob_object("job") | {"spec": {"runPolicy": {"suspend": True}}},
        [pod("Failed", state=terminated(143, report("endpoint-unreachable")))],
        {},
    )
    assert judge(found, SOON, SETTINGS).reason == Reason.QUEUED


def test_the_start_deadline_of_a_resumed_job_counts_from_then() -> None:
    job = tfjob_object("job") | {"status": {"startTime": (LATE - timedelta(seconds=5)).isoformat()}}
    assert judge(observe(job, [], {}), LATE, SETTINGS).kind == "Starting"


@pytest.mark.parametrize(("made_as", "reason"), [(TFJOB, "TFJobDeleted"), (JOB, "JobDeleted")])
def test_a_job_that_is_gone_is_called_what_it_was_made_as(made_as: JobKind, reason: str) -> None:
    assert judge(observe(None, [], {}, made_as=made_as), SOON, SETTINGS).reason == reason


def test_a_job_that_fails_without_a_pod_that_says_why_is_called_a_job() -> None:
    job = tfjob_object("job") | {
        "kind": "Job",
        "status": {"conditions": [{"type": "Failed", "status": "True", "message": "Job has failed indexes"}]},
    }
    outcome = judge(observe(job, [], {}), SOON, SETTINGS)
    assert (outcome.kind, outcome.reason, outcome.message) == ("Retryable", "JobFailed", "Job has failed indexes")


def test_the_run_deadline_of_a_resumed_job_counts_from_then() -> None:
    resumed = (NOON + timedelta(days=2)).isoformat().replace("+00:00", "Z")
    job = tfjob_object("job") | {"status": {"startTime": resumed}}
    found = observe(job, [pod("Running", state=RUNNING)], {})
    in_time, late = (NOON + timedelta(days=2, seconds=SETTINGS.run_deadline + more) for more in (-1, 1))
    assert judge(found, in_time, SETTINGS).kind == "Running"
    assert judge(found, late, SETTINGS).reason == Reason.DEADLINE_EXCEEDED
