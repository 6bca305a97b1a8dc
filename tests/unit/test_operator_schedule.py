from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3sync_operator.api import TriggerSpec
from s3sync_operator.durations import duration_seconds
from s3sync_operator.schedule import Timetable, schedule_problem, timetable

UID = "7f6d2a0e-1111-4222-8333-944444444444"


def table(schedule: str, zone: str | None = None, jitter: str | None = None, uid: str = UID) -> Timetable:
    return timetable(TriggerSpec(schedule=schedule, time_zone=zone, jitter=jitter), uid)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "after", "start"),
    [
        ("*/15 * * * *", None, "2026-11-24T12:00:00", "2026-11-24T12:15:00"),
        ("*/15 * * * *", None, "2026-11-24T12:14:59.5", "2026-11-24T12:15:00"),
        ("@daily", None, "2026-11-24T12:00:00", "2026-11-25T00:00:00"),
        ("@hourly", "Asia/Kolkata", "2026-11-24T12:00:00", "2026-11-24T12:30:00"),
        ("0 3 * * mon-fri", "Europe/Berlin", "2026-11-27T12:00:00", "2026-11-30T02:00:00"),
        ("0 3 29 2 *", None, "2026-11-24T12:00:00", "2028-02-29T03:00:00"),
        ("0 12 1,15 * *", "America/New_York", "2026-11-24T12:00:00", "2026-12-01T17:00:00"),
    ],
)
def test_a_schedule_has_its_next_start(schedule: str, zone: str | None, after: str, start: str) -> None:
    assert table(schedule, zone).start_after(at(after)) == at(start)


def starts(timetable: Timetable, after: str, count: int) -> list[str]:
    moment, found = at(after), []
    for _ in range(count):
        moment = timetable.start_after(moment)
        found.append(moment.strftime("%dT%H:%M"))
    return found


def test_a_time_that_daylight_saving_skips_is_made_up_for_after_the_gap() -> None:
    assert starts(table("30 2 * * *", "Europe/Berlin"), "2026-03-28T00:00:00", 3) == [
        "28T01:30",
        "29T01:00",
        "30T00:30",
    ]


def test_a_time_that_occurs_twice_when_clocks_are_set_back_counts_once() -> None:
    assert starts(table("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00", 2) == ["25T00:30", "26T01:30"]


def test_a_moment_in_the_second_occurrence_of_an_hour_has_the_first_one_behind_it() -> None:
    again = at("2026-10-25T01:10:00")
    assert table("30 2 * * *", "Europe/Berlin").start_after(again) == at("2026-10-26T01:30:00")
    assert table("30 2 * * *", "Europe/Berlin").time_of_last_start(again) == at("2026-10-25T00:30:00")


def test_a_schedule_of_each_hour_goes_by_what_has_passed_though_clocks_change() -> None:
    assert starts(table("0 * * * *", "Europe/Berlin"), "2026-10-24T23:30:00", 4) == [
        "25T00:00",
        "25T01:00",
        "25T02:00",
        "25T03:00",
    ]


def test_of_the_starts_since_a_moment_the_last_one_counts() -> None:
    assert table("*/5 * * * *").time_of_last_start(at("2026-11-24T12:59:59")) == at("2026-11-24T12:55:00")
    assert table("0 3 * * *").time_of_last_start(at("2026-11-24T03:00:00")) == at("2026-11-24T03:00:00")


def test_jitter_shifts_all_starts_of_a_sync_by_the_same_part_of_it_and_other_syncs_by_others() -> None:
    plain, own = table("0 * * * *"), table("0 * * * *", jitter="30m")
    assert timedelta() < own.delay < timedelta(minutes=30)
    noon = at("2026-11-24T12:00:01")
    assert own.start_after(noon + own.delay) - plain.start_after(noon) == own.delay
    assert own.time_of_last_start(at("2026-11-24T12:00:00") + own.delay) == at("2026-11-24T12:00:00")
    assert len({table("0 * * * *", jitter="30m", uid=str(number)).delay for number in range(20)}) > 10


@pytest.mark.parametrize(
    ("schedule", "zone", "said"),
    [
        ("30 2 31 2 *", None, "spec.trigger.schedule: '30 2 31 2 *' is no schedule"),
        ("0 0 * * 5-1", None, "a range goes upwards"),
        ("0 0 * * *", "Mars/Olympus", "spec.trigger.timeZone: 'Mars/Olympus' is no time zone"),
        ("0 0 * * *", "Europe", "spec.trigger.timeZone: 'Europe' is no time zone"),
    ],
)
def test_what_admission_cannot_find_is_told_with_the_field(schedule: str, zone: str | None, said: str) -> None:
    assert said in (schedule_problem(TriggerSpec(schedule=schedule, time_zone=zone)) or "")


def test_a_good_trigger_and_none_at_all_have_no_problem() -> None:
    assert schedule_problem(TriggerSpec(schedule="@weekly", time_zone="Europe/Berlin")) is None
    assert schedule_problem(None) is None


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("2m5s", 125), ("1h0m1s", 3601)])
def test_a_duration_is_read_as_it_is_written(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


SCHEDULES = st.sampled_from(
    ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 3 * * 1", "15 1,2,3 * * *", "0 0 1 * *", "0 */2 * * *"]
)
ZONES = st.sampled_from([None, "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
MOMENTS = st.datetimes(datetime(2011, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@given(SCHEDULES, ZONES, MOMENTS, st.sampled_from([None, "3m", "5h"]))
def test_starts_lie_on_the_right_side_of_any_moment_and_agree_with_each_other(
    schedule: str, zone: str | None, moment: datetime, jitter: str | None
) -> None:
    times = table(schedule, zone, jitter)
    following = times.start_after(moment)
    last = times.time_of_last_start(moment) + times.delay
    assert last <= moment < following
    assert times.has_start(following)
    assert times.has_start(last)
    assert times.start_after(last) == following
