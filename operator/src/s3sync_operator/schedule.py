"""Pure: when a sync's schedule begins runs.

Cron's rules are cronsim's, which are Debian cron's: a time that daylight saving time skips is made up for right after
the gap, one that occurs twice counts once, and a job of every so many minutes or hours goes by what has passed.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from s3sync_operator.api import TriggerSpec
from s3sync_operator.durations import duration_seconds

_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_SECOND = timedelta(seconds=1)
# Clocks are set back by less, and no step of a cron expression that matters here is shorter than a minute.
_SET_BACK, _MOST_SET_BACK_TIMES = timedelta(hours=3), 200
_ANY_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class ScheduleError(ValueError):
    """A schedule that never comes, or in a time zone that does not exist; the text names the field."""


@dataclass(frozen=True)
class Timetable:
    """A schedule's times, in UTC; a run starts `delay` after its time."""

    expression: str
    zone: tzinfo
    delay: timedelta

    def start_after(self, moment: datetime) -> datetime:
        """Return the first start after a moment."""
        return self._first(moment - self.delay) + self.delay

    def time_of_last_start(self, moment: datetime) -> datetime:
        """Return the time of the schedule, without the delay, whose start was the last one until a moment."""
        until = moment - self.delay
        # Backwards from an hour that occurs twice, cronsim passes over times of its first occurrence.
        return self._find(until + _SET_BACK, lambda time: time <= until, reverse=True)

    def has_start(self, moment: datetime) -> bool:
        """Tell whether the schedule has a start at just that moment."""
        return self.start_after(moment - _SECOND) == moment

    def _first(self, moment: datetime) -> datetime:
        return self._find(moment, lambda time: time > moment)

    def _find(self, begin: datetime, wanted: Callable[[datetime], bool], *, reverse: bool = False) -> datetime:
        times = self._times(begin, reverse)
        for _ in range(_MOST_SET_BACK_TIMES):
            found = next(times, None)
            if found is None:
                break
            if wanted(found):
                return found
        raise ScheduleError(f"spec.trigger.schedule: '{self.expression}' never comes; name a day that exists")

    def _times(self, begin: datetime, reverse: bool) -> Iterator[datetime]:
        local = begin.replace(microsecond=0).astimezone(self.zone)
        return (time.astimezone(UTC) for time in CronSim(self.expression, local, reverse=reverse))


def timetable(trigger: TriggerSpec, uid: str) -> Timetable:
    """Return the times of a trigger; `uid`, the sync's, decides which part of the jitter is its own.

    Raises ScheduleError that names the field, for what admission's regular expression cannot find.
    """
    expression = _NAMED.get(trigger.schedule, trigger.schedule)
    found = Timetable(expression, _zone(trigger.time_zone), _own_part(trigger.jitter, uid))
    try:
        found.start_after(_ANY_MOMENT)
    except CronSimError as error:
        text = f"spec.trigger.schedule: '{trigger.schedule}' is no schedule of cron ({error}); a range goes upwards"
        raise ScheduleError(text) from None
    return found


def schedule_problem(trigger: TriggerSpec | None) -> str | None:
    """Return what is wrong with a trigger that admission let pass, or None."""
    try:
        if trigger:
            timetable(trigger, "")
    except ScheduleError as error:
        return str(error)
    return None


def _zone(name: str | None) -> tzinfo:
    if name in (None, "UTC"):
        # cronsim spares itself all that is about daylight saving for just this one.
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # A folder of zones, as Europe, is an OSError.
        text = f"spec.trigger.timeZone: '{name}' is no time zone of the IANA's database; use one as Europe/Berlin"
        raise ScheduleError(text) from None


def _own_part(jitter: str | None, uid: str) -> timedelta:
    """Spread syncs evenly over the jitter, each always at the same place."""
    seconds = duration_seconds(jitter) if jitter else 0
    share = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8])
    return timedelta(seconds=share % seconds if seconds else 0)
