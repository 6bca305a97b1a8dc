"""Follows the progress of running attempts by their pods' logs, each of which is read seldom."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from s3sync_operator.api import Phase, Progress, Sync
from s3sync_operator.observed import Observation
from s3sync_operator.progress import Told, find_progress, summed

READ_AT_ONCE = 16
"""So many workers' logs are read at one look; of more, those go first that were read longest ago."""


class Logs(Protocol):
    """Where the ends of pods' logs are read."""

    async def pod_log(self, namespace: str, pod: str) -> str:
        """Return the end of a pod's log, or nothing where it cannot be had."""


@dataclass
class _Followed:
    """What is known of an attempt: when it was last looked at, and what each pod has told when it was last read."""

    job: str
    looked: datetime
    read: dict[str, datetime] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)


class Follower:
    """Knows how far running attempts have come; what it remembers only saves reading it again."""

    def __init__(self, logs: Logs, interval: int) -> None:
        self._logs = logs
        self._interval = timedelta(seconds=interval)
        self._followed: dict[tuple[str, str], _Followed] = {}

    def forget(self, key: tuple[str, str]) -> None:
        """Follow the sync (namespace, name) no more."""
        self._followed.pop(key, None)

    async def progress(self, sync: Sync, seen: Observation, now: datetime) -> Progress | None:
        """Return how far the attempt has come, or None where no pod runs or none has told.

        Logs are read at most once in each interval, the first of which begins with the job: short ones are never read.
        """
        key, running = sync.key, _running(seen)
        if seen.job is None or not running:
            self.forget(key)
            return None
        followed = self._followed.get(key)
        if followed is None or followed.job != seen.job.name:
            followed = self._followed[key] = _Followed(seen.job.name, seen.job.created)
        if now - followed.looked >= self._interval:
            followed.looked = now
            await self._read(sync, followed, running, now)
        return summed([*followed.told.values()]) or _known_before(sync)

    async def _read(self, sync: Sync, followed: _Followed, running: list[str], now: datetime) -> None:
        due = sorted(running, key=lambda pod: (pod in followed.read, followed.read.get(pod, now)))
        chosen = due[:READ_AT_ONCE]
        texts = await asyncio.gather(*(self._logs.pod_log(sync.namespace, pod) for pod in chosen))
        for pod, text in zip(chosen, texts, strict=True):
            followed.read[pod] = now
            if told := find_progress(text):
                followed.told[pod] = told


def _running(seen: Observation) -> list[str]:
    return [pod.name for pod in seen.pods if pod.running and pod.exit_code is None]


def _known_before(sync: Sync) -> Progress | None:
    """Another operator may have read what this one has not yet."""
    return sync.status.progress if sync.status.phase == Phase.RUNNING else None
