"""When runs begin and how they end, through the whole reconciler, on a cluster in memory and a clock that is set."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from s3sync_operator.admission import Admission
from s3sync_operator.api import ConditionType, Reason
from s3sync_operator.errors import TemporarySyncError
from tests.support.memory_cluster import MemoryCluster
from tests.support.world import KEY, NOON, World, world

# --- Requests. --------------------------------------------------------------------------------------------------------


async def test_each_new_token_begins_one_run_and_is_echoed_once_it_begins() -> None:
    it = await world()
    await it.request("a")
    assert (it.jobs_made, it.status.last_handled_run_request, it.status.trigger) == (2, "a", "Request")
    await it.succeed()
    assert it.history == [("Succeeded", "Request"), ("Succeeded", "Spec")]
    await it.later(hours=1)
    await it.request(None)
    await it.request("a")
    assert it.jobs_made == 2
    await it.request("b")
    assert (it.jobs_made, it.status.last_handled_run_request) == (3, "b")


async def test_a_token_that_is_there_at_the_first_run_counts_as_handled_by_it() -> None:
    it = World(MemoryCluster())
    await it.request("a")
    await it.succeed()
    assert (it.jobs_made, it.status.trigger, it.status.last_handled_run_request) == (1, "Spec", "a")


async def test_a_run_of_a_request_has_a_job_and_a_place_in_pachyderm_of_its_own() -> None:
    it = await world()
    first = it.status.tf_job_name
    await it.request("a")
    second = it.status.tf_job_name
    await it.succeed()
    await it.request("b")
    assert len({first, second, it.status.tf_job_name}) == 3


async def test_while_what_is_ready_is_run_again_only_syncing_is_added() -> None:
    it = await world()
    ready_since = it.status.conditions[0].last_transition_time
    await it.later(hours=1)
    it.seen.clear()
    await it.request("a")
    await it.run()
    await it.crash()
    await it.later(seconds=10)
    assert {status.phase for status in it.seen} == {"Starting", "Running", "Retrying"}
    for status in it.seen:
        assert {item.type.value: item.status for item in status.conditions} == {"Ready": "True", "Syncing": "True"}
        assert status.conditions[0].last_transition_time == ready_since
    await it.succeed()
    assert (it.conditions, it.status.attempt) == ({"Ready": "True"}, 2)
    assert it.status.conditions[0].last_transition_time == ready_since


async def test_a_re_run_that_waits_for_the_job_before_it_to_end_warns_nobody() -> None:
    it = await world()
    it.cluster.events.clear()
    await it.request("a")
    assert it.cluster.events == ["RunRequested", "TFJobCreated"]


async def test_the_second_attempt_of_a_re_run_waits_for_the_first_to_end_however_long_that_ran() -> None:
    it = await world(runPolicy={"backoffLimit": 1, "activeDeadlineSeconds": 3600})
    await it.request("a")
    await it.run()
    await it.later(seconds=3700)
    assert it.status.phase == "Retrying"
    await it.later(seconds=11)
    syncing = it.status.condition(ConditionType.SYNCING)
    assert syncing
    assert (it.status.attempt, it.conditions["Ready"], syncing.reason) == (2, "True", "PreviousRunTerminating")
    await it.later(seconds=601)
    assert it.conditions == {"Ready": "False", "Stalled": "True"}


async def test_a_finished_job_goes_in_its_time_also_while_the_next_run_is_held_back() -> None:
    it = await world(runPolicy={"ttlSecondsAfterFinished": 60})
    await it.change(suspend=True)
    await it.request("a")
    assert (len(it.cluster.jobs), it.pause is not None and it.pause <= 60) == (1, True)
    await it.later(seconds=61)
    assert (it.cluster.jobs, it.status.phase) == ([], "Suspended")


async def test_passing_trouble_of_a_re_run_stands_in_syncing() -> None:
    it = await world()
    await it.request("a")
    await it.crash()
    syncing = it.status.condition(ConditionType.SYNCING)
    assert syncing
    assert (syncing.reason, "attempt 1 of 2 failed" in syncing.message) == ("PodCrashed", True)
    assert it.cluster.events[-1] == "PodCrashed"


async def test_a_re_run_that_fails_for_good_is_stalled_and_counted() -> None:
    it = await world()
    succeeded = it.status.last_successful_time
    for token, failures in (("a", 1), ("b", 2)):
        await it.request(token)
        await it.fail()
        assert it.conditions == {"Ready": "False", "Stalled": "True"}
        assert (it.status.consecutive_failures, it.status.last_successful_time) == (failures, succeeded)
    await it.request("c")
    assert it.conditions == {"Ready": "Unknown", "Reconciling": "True"}
    await it.succeed()
    assert (it.conditions, it.status.consecutive_failures) == ({"Ready": "True"}, 0)


async def test_a_request_wakes_a_failed_sync_which_has_all_its_attempts_again() -> None:
    it = await world(finished=False)
    await it.crash()
    await it.later(seconds=10)
    await it.crash()
    assert (it.conditions, it.status.attempt) == ({"Ready": "False", "Stalled": "True"}, 2)
    await it.request("a")
    assert (it.status.phase, it.status.attempt) == ("Starting", 1)


async def test_a_request_between_two_attempts_does_not_wait_for_the_next() -> None:
    it = await world(finished=False)
    await it.crash()
    await it.request("a")
    assert (it.status.trigger, it.status.attempt, it.history) == ("Request", 1, [("Replaced", "Spec")])


async def test_a_request_during_a_run_waits_for_its_end() -> None:
    it = await world(finished=False)
    await it.run()
    await it.request("a")
    assert (it.jobs_made, it.status.last_handled_run_request) == (1, None)
    await it.succeed()
    assert (it.jobs_made, it.status.last_handled_run_request) == (2, "a")


async def test_where_runs_are_replaced_a_request_ends_the_one_under_way() -> None:
    it = await world(finished=False, concurrencyPolicy="Replace")
    await it.run()
    first = it.status.tf_job_name
    it.cluster.pods = []
    await it.request("a")
    assert it.history == [("Replaced", "Spec")]
    assert [job["metadata"]["name"] for job in it.cluster.jobs] == [it.status.tf_job_name] != [first]
    await it.succeed()
    assert it.history == [("Succeeded", "Request"), ("Replaced", "Spec")]


async def test_a_very_long_token_is_cut_in_status_and_still_handled_once() -> None:
    it = await world()
    await it.request("x" * 5000)
    await it.succeed()
    await it.look()
    assert (it.jobs_made, len(it.status.last_handled_run_request or "")) == (2, 256)


# --- Schedules. -------------------------------------------------------------------------------------------------------

HOURLY = {"schedule": "0 * * * *"}


async def test_a_scheduled_sync_runs_at_once_and_then_by_its_schedule() -> None:
    it = await world(trigger=HOURLY)
    assert it.status.next_schedule_time == datetime(2026, 11, 24, 13, tzinfo=UTC)
    assert it.pause == 3585
    await it.later(minutes=59)
    assert it.jobs_made == 1
    await it.later(minutes=1)
    assert (it.jobs_made, it.status.trigger) == (2, "Schedule")
    assert it.status.last_schedule_time == datetime(2026, 11, 24, 13, tzinfo=UTC)
    assert it.status.next_schedule_time == datetime(2026, 11, 24, 14, tzinfo=UTC)
    assert "Scheduled" in it.cluster.events


async def test_of_runs_missed_while_the_operator_was_away_one_is_made_up_for() -> None:
    it = await world(trigger=HOURLY)
    await it.later(hours=9)
    await it.succeed()
    assert (it.jobs_made, it.history[0]) == (2, ("Succeeded", "Schedule"))
    assert it.status.last_schedule_time == datetime(2026, 11, 24, 21, tzinfo=UTC)


async def test_of_runs_missed_during_a_run_one_is_made_up_for_after_it() -> None:
    it = await world(finished=False, trigger=HOURLY)
    await it.run()
    await it.later(hours=3)
    assert it.jobs_made == 1
    await it.succeed()
    await it.succeed()
    assert (it.jobs_made, it.history) == (2, [("Succeeded", "Schedule"), ("Succeeded", "Spec")])


async def test_a_schedule_that_is_added_to_a_finished_sync_begins_no_run_at_once() -> None:
    it = await world()
    await it.later(days=30)
    await it.change(trigger=HOURLY)
    assert (it.jobs_made, it.status.observed_generation, it.conditions) == (1, 2, {"Ready": "True"})
    await it.later(hours=1)
    assert it.jobs_made == 2


async def test_a_schedule_that_is_changed_makes_up_for_no_time_of_the_one_before() -> None:
    it = await world(trigger=HOURLY)
    it.now += timedelta(hours=3)
    await it.change(trigger={"schedule": "30 5 * * *"})
    assert it.jobs_made == 1
    assert it.status.next_schedule_time == datetime(2026, 11, 25, 5, 30, tzinfo=UTC)
    await it.change(trigger=None)
    assert it.status.next_schedule_time is None


async def test_a_schedule_that_never_comes_is_an_invalid_spec_and_a_mended_one_runs() -> None:
    it = await world(finished=False, trigger={"schedule": "30 2 31 2 *"})
    assert it.status.conditions[0].reason == "InvalidSpec"
    assert "spec.trigger.schedule" in it.status.conditions[0].message
    await it.change(trigger=HOURLY)
    assert it.jobs_made == 1


async def test_a_finished_sync_that_gets_an_invalid_schedule_keeps_its_history() -> None:
    it = await world()
    await it.change(trigger={"schedule": "0 0 * * 5-1"})
    assert (it.conditions, it.history) == ({"Ready": "False", "Stalled": "True"}, [("Succeeded", "Spec")])


async def test_an_operator_killed_between_job_and_status_goes_on_with_the_run_though_the_next_time_has_come() -> None:
    it = await world(trigger={"schedule": "* * * * *"}, runPolicy={"ttlSecondsAfterFinished": 0})
    # Nothing of the run before is in the way, whose end would be waited for and written down.
    assert it.cluster.jobs == []
    it.cluster.pods = []
    it.cluster.fail_status_after_create = True
    it.now += timedelta(minutes=1)
    with pytest.raises(OSError, match="killed"):
        await it.look()
    it.cluster.fail_status_after_create = False
    await it.later(minutes=2)
    assert it.jobs_made == 2
    assert it.status.last_schedule_time == datetime(2026, 11, 24, 12, 1, tzinfo=UTC)


# --- Suspension. ------------------------------------------------------------------------------------------------------


async def test_a_sync_that_is_suspended_from_the_start_runs_once_it_is_resumed() -> None:
    it = await world(finished=False, suspend=True)
    assert (it.jobs_made, it.status.phase, it.conditions) == (0, "Suspended", {"Ready": "Unknown"})
    assert it.status.conditions[0].reason == "Suspended"
    await it.change(suspend=None)
    await it.succeed()
    assert (it.jobs_made, it.conditions, it.history) == (1, {"Ready": "True"}, [("Succeeded", "Spec")])
    assert it.cluster.events[0] == "Suspended"
    assert "Resumed" in it.cluster.events


async def test_suspending_what_is_ready_changes_nothing_until_something_is_due() -> None:
    it = await world(trigger=HOURLY)
    await it.change(suspend=True)
    assert (it.status.phase, it.conditions, it.status.observed_generation) == ("Succeeded", {"Ready": "True"}, 2)
    await it.later(hours=5)
    assert (it.status.phase, it.conditions, it.jobs_made) == ("Suspended", {"Ready": "True"}, 1)
    await it.change(suspend=False)
    await it.succeed()
    assert (it.status.phase, it.jobs_made) == ("Succeeded", 2)
    await it.later(minutes=30)
    assert it.jobs_made == 2


async def test_a_request_for_a_suspended_sync_runs_once_it_is_resumed_and_not_if_it_is_taken_back() -> None:
    it = await world(suspend=False)
    await it.change(suspend=True)
    await it.request("a")
    assert (it.status.phase, it.status.last_handled_run_request, it.jobs_made) == ("Suspended", None, 1)
    await it.request(None)
    assert (it.status.phase, it.conditions) == ("Succeeded", {"Ready": "True"})
    await it.request("b")
    await it.change(suspend=None)
    assert (it.jobs_made, it.status.last_handled_run_request) == (2, "b")


async def test_a_run_under_way_ends_as_usual_though_the_sync_is_suspended() -> None:
    it = await world(finished=False)
    await it.run()
    await it.change(suspend=True)
    assert it.status.phase == "Running"
    await it.succeed()
    assert (it.status.phase, it.conditions) == ("Succeeded", {"Ready": "True"})


async def test_a_run_under_way_is_not_replaced_while_the_sync_is_suspended() -> None:
    it = await world(finished=False, concurrencyPolicy="Replace")
    await it.run()
    await it.change(suspend=True)
    await it.request("a")
    assert (it.status.phase, it.jobs_made) == ("Running", 1)
    await it.succeed()
    assert (it.status.phase, it.jobs_made, it.history) == ("Suspended", 1, [("Succeeded", "Spec")])


async def test_no_attempt_begins_while_a_sync_is_suspended() -> None:
    it = await world(finished=False)
    await it.crash()
    await it.change(suspend=True)
    await it.later(hours=1)
    assert (it.status.phase, it.conditions, it.jobs_made) == ("Suspended", {"Ready": "False"}, 1)
    assert it.status.conditions[0].reason == "Suspended"
    assert "PodCrashed" in it.status.conditions[0].message
    await it.change(suspend=None)
    assert (it.status.attempt, it.jobs_made) == (2, 2)


async def test_a_re_run_between_attempts_that_is_suspended_stays_ready() -> None:
    it = await world()
    await it.request("a")
    await it.crash()
    await it.change(suspend=True)
    assert (it.status.phase, it.conditions) == ("Suspended", {"Ready": "True"})
    await it.change(suspend=None)
    assert (it.status.attempt, it.status.trigger, it.conditions) == (2, "Request", {"Ready": "True", "Syncing": "True"})


async def test_a_new_spec_of_a_suspended_sync_ends_the_run_of_the_old_one_and_waits() -> None:
    it = await world(finished=False)
    await it.run()
    await it.change(suspend=True, inputPath="other")
    assert (it.status.phase, it.cluster.jobs, it.conditions) == ("Suspended", [], {"Ready": "Unknown"})
    assert it.history == [("Replaced", "Spec")]
    it.cluster.pods = []
    await it.change(suspend=None)
    await it.succeed()
    assert it.history == [("Succeeded", "Spec"), ("Replaced", "Spec")]


async def test_a_new_spec_that_is_taken_back_while_suspended_still_ends_ready() -> None:
    it = await world()
    await it.change(suspend=True, inputPath="other")
    assert it.conditions == {"Ready": "Unknown"}
    await it.change(suspend=None, inputPath=None)
    await it.succeed()
    assert it.conditions == {"Ready": "True"}


# --- Failed syncs that are changed. -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ({"runPolicy": {"backoffLimit": 3}}, 2),
        ({"historyLimit": 2}, 2),
        ({"branch": "master"}, 2),
        ({"suspend": False}, 1),
        ({"suspend": True}, 1),
    ],
    ids=str,
)
async def test_a_failed_sync_runs_again_when_anything_but_suspend_is_changed(change: dict[str, Any], jobs: int) -> None:
    it = await world(finished=False)
    await it.fail()
    await it.change(**change)
    await it.change(suspend=None)
    assert it.jobs_made == jobs
    assert it.status.observed_generation == it.cluster.sync.generation


async def test_a_sync_that_succeeded_does_not_run_again_for_a_change_of_no_meaning() -> None:
    it = await world()
    await it.change(runPolicy={"backoffLimit": 3}, historyLimit=1, branch="master", concurrencyPolicy="Replace")
    assert (it.jobs_made, it.status.observed_generation) == (1, 2)


async def test_a_failed_sync_that_is_changed_and_suspended_runs_once_it_is_resumed() -> None:
    it = await world(finished=False)
    await it.fail()
    await it.change(suspend=True, runPolicy={"backoffLimit": 3})
    assert (it.jobs_made, it.status.phase) == (1, "Suspended")
    await it.change(suspend=None)
    assert it.jobs_made == 2


# --- Limits of a run, and what is kept of it. -------------------------------------------------------------------------


async def test_the_backoff_limit_is_one_less_than_the_attempts() -> None:
    it = await world(finished=False, runPolicy={"backoffLimit": 0})
    await it.crash()
    assert (it.conditions, it.status.attempt) == ({"Ready": "False", "Stalled": "True"}, 1)
    it = await world(finished=False, runPolicy={"backoffLimit": 3})
    for _ in range(3):
        await it.crash()
        await it.later(minutes=5)
    assert (it.status.phase, it.status.attempt) == ("Starting", 4)


async def test_the_deadline_of_an_attempt_is_the_jobs() -> None:
    it = await world(finished=False, runPolicy={"activeDeadlineSeconds": 77})
    assert it.cluster.jobs[0]["spec"]["runPolicy"]["activeDeadlineSeconds"] == 77


async def test_an_attempt_past_its_deadline_has_failed_and_its_job_is_ended_though_nobody_else_saw_to_it() -> None:
    it = await world(finished=False, runPolicy={"activeDeadlineSeconds": 77, "backoffLimit": 1})
    await it.run()
    await it.later(seconds=70)
    assert (it.status.phase, 7 < (it.pause or 0) < 8) == ("Running", True)
    await it.later(seconds=8)
    assert (it.status.phase, it.cluster.jobs) == ("Retrying", [])
    assert it.status.conditions[0].reason == "DeadlineExceeded"
    it.cluster.pods = []
    await it.later(seconds=10)
    await it.run()
    await it.later(seconds=78)
    assert (it.conditions, it.status.attempt) == ({"Ready": "False", "Stalled": "True"}, 2)


async def test_the_job_of_a_finished_run_is_deleted_after_its_time_also_by_an_operator_started_anew() -> None:
    it = await world(runPolicy={"ttlSecondsAfterFinished": 100})
    assert (it.pause, len(it.cluster.jobs)) == (100, 1)
    await it.later(seconds=99)
    assert (it.pause, len(it.cluster.jobs)) == (1, 1)
    await it.later(seconds=1)
    assert (it.pause, it.cluster.jobs, it.conditions) == (None, [], {"Ready": "True"})
    await it.later(hours=1)
    assert it.jobs_made == 1


async def test_a_job_of_a_spec_that_was_taken_back_before_it_was_written_down_does_not_go_on() -> None:
    it = await world(runPolicy={"ttlSecondsAfterFinished": 0})
    # Nothing of the run before is in the way, whose end would be waited for and written down.
    assert it.cluster.jobs == []
    it.cluster.pods = []
    it.cluster.fail_status_after_create = True
    with pytest.raises(OSError, match="killed"):
        await it.change(inputPath="elsewhere", runPolicy=None)
    it.cluster.fail_status_after_create = False
    assert len(it.cluster.jobs) == 1
    it.cluster.refuse_lists = TemporarySyncError(Reason.OPERATOR_FORBIDDEN, "may not list")
    await it.change(inputPath=None)
    assert (it.status.observed_generation, it.pause is not None) == (1, True), "what was not seen is not acknowledged"
    it.cluster.refuse_lists = None
    await it.later(seconds=15)
    assert it.cluster.jobs == []
    assert (it.status.phase, it.status.observed_generation, it.jobs_made) == ("Succeeded", 3, 2)


async def test_a_failed_run_keeps_its_job_for_its_time_too() -> None:
    it = await world(finished=False, runPolicy={"ttlSecondsAfterFinished": 0})
    await it.fail()
    assert (it.cluster.jobs, it.status.phase) == ([], "Failed")


async def test_the_history_holds_no_more_than_its_limit_the_latest_first() -> None:
    it = await world(historyLimit=2)
    for token in "abc":
        await it.request(token)
        await it.succeed()
    assert it.history == [("Succeeded", "Request")] * 2
    await it.change(historyLimit=1)
    assert len(it.history) == 1
    await it.change(historyLimit=0)
    await it.request("d")
    await it.succeed()
    assert (it.history, it.status.last_successful_time is not None) == ([], True)


async def test_a_past_run_tells_what_it_was() -> None:
    it = await world()
    assert it.status.history
    past = it.status.history[0]
    assert (past.result, past.reason, past.attempts, past.files, past.verified) == ("Succeeded", "Verified", 1, 2, 2)
    assert (past.start_time, past.completion_time, past.duration) == (NOON, NOON + timedelta(seconds=5), "5s")


# --- The queue. -------------------------------------------------------------------------------------------------------

OTHER = ("kubeflow", "other")


def full() -> Admission:
    """Return a queue in which another sync is the one that may run."""
    admission = Admission(total=1)
    admission.fill({OTHER: "http://elsewhere"})
    return admission


async def test_a_run_that_must_wait_is_queued_and_begins_at_its_turn() -> None:
    it = await world(finished=False, admission=full())
    assert (it.status.phase, it.status.queue_position, it.jobs_made) == ("Queued", 1, 0)
    assert it.conditions == {"Ready": "Unknown", "Reconciling": "True"}
    it.admission.leave(OTHER)
    await it.look()
    assert (it.jobs_made, it.status.queue_position) == (1, None)
    await it.succeed()
    assert it.admission.ask(OTHER, "http://elsewhere"), "a run that has ended makes room"


async def test_a_re_run_that_must_wait_leaves_ready_as_it_is() -> None:
    it = await world()
    it.admission = full()
    await it.request("a")
    assert (it.status.phase, it.conditions) == ("Queued", {"Ready": "True", "Syncing": "True"})
    await it.request(None)
    assert (it.status.phase, it.conditions) == ("Succeeded", {"Ready": "True"})


async def test_a_failed_sync_stays_stalled_until_its_turn() -> None:
    it = await world(finished=False)
    await it.fail()
    it.admission = full()
    await it.request("a")
    assert it.conditions == {"Ready": "False", "Stalled": "True", "Syncing": "True"}
    it.admission.leave(OTHER)
    await it.look()
    assert it.conditions == {"Ready": "Unknown", "Reconciling": "True"}


async def test_between_two_attempts_a_run_lets_others_go_first() -> None:
    admission = Admission(total=1)
    admission.fill({})
    it = await world(finished=False, admission=admission)
    await it.crash()
    assert admission.ask(OTHER, "http://elsewhere")
    await it.later(seconds=10)
    assert (it.status.phase, it.conditions) == ("Queued", {"Ready": "False", "Reconciling": "True"})
    admission.leave(OTHER)
    await it.look()
    assert (it.status.phase, it.status.attempt, it.jobs_made) == ("Starting", 2, 2)


async def test_a_finished_job_goes_in_its_time_also_while_the_next_run_is_queued() -> None:
    it = await world(runPolicy={"ttlSecondsAfterFinished": 60})
    it.admission = full()
    await it.request("a")
    assert (len(it.cluster.jobs), it.status.phase) == (1, "Queued")
    await it.later(seconds=61)
    assert (it.cluster.jobs, it.status.phase) == ([], "Queued")


async def test_a_sync_that_waits_and_is_suspended_leaves_the_queue() -> None:
    it = await world(finished=False, admission=full())
    await it.change(suspend=True)
    assert (it.status.phase, it.status.queue_position, it.admission.place(KEY)) == ("Suspended", None, 0)


async def test_before_the_runs_under_way_are_known_none_is_admitted_and_nothing_written() -> None:
    it = await world(finished=False, admission=Admission(total=5))
    assert (it.jobs_made, it.cluster.writes) == (0, [])
    it.admission.fill({})
    await it.look()
    assert it.jobs_made == 1


async def test_a_place_in_the_queue_is_told_again_only_after_a_while() -> None:
    admission = full()
    for number in range(3):
        admission.ask(("kubeflow", f"before-{number}"), "http://elsewhere")
    it = await world(finished=False, admission=admission)
    assert it.status.queue_position == 4
    admission.leave(("kubeflow", "before-0"))
    writes = len(it.cluster.writes)
    await it.look()
    assert len(it.cluster.writes) == writes
    await it.later(seconds=15)
    assert it.status.queue_position == 3
