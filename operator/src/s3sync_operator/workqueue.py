"""A queue of keys: each is worked on by one task at a time, again if it was added meanwhile, later after errors.

The pattern is that of client-go's workqueue; events say only that something changed, the handler looks for itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from s3sync_operator.metrics import Metrics

Key = TypeVar("Key")

FIRST_DELAY, LONGEST_DELAY = 1.0, 300.0

logger = logging.getLogger(__name__)


class WorkQueue(Generic[Key]):
    """Calls `handle(key)` for added keys, at most `concurrency` at once, each within `time_limit` seconds.

    The handler returns the seconds after which it wants to be called again, or None. After an exception the key comes
    back with a delay that doubles from 1 s to 5 min until the handler succeeds.
    """

    def __init__(
        self,
        handle: Callable[[Key], Awaitable[float | None]],
        *,
        concurrency: int,
        time_limit: float,
        metrics: Metrics | None = None,
    ) -> None:
        self._handle = handle
        self._metrics = metrics or Metrics()
        self._slots = asyncio.Semaphore(concurrency)
        self._time_limit = time_limit
        self._working: set[Key] = set()
        self._waiting: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def add(self, key: Key) -> None:
        """Have the key handled as soon as a slot is free; a key being handled is handled once more after that."""
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._working:
            self._again.add(key)
            return
        self._working.add(key)
        loop = asyncio.get_running_loop()
        self._waiting[key] = loop.time()
        self._metrics.queue_depth.set(len(self._waiting))
        task = loop.create_task(self._work(key), name=f"work-{key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def add_after(self, key: Key, delay: float) -> None:
        """Have the key handled after `delay` seconds, or earlier if it is added meanwhile."""
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self.add, key)

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    @property
    def longest_wait(self) -> float:
        """How long (seconds) the key that has waited longest for a slot has waited by now."""
        return asyncio.get_running_loop().time() - min(self._waiting.values()) if self._waiting else 0.0

    async def close(self, grace: float = 5.0) -> None:
        """Take nothing more, let the handlers under way end within `grace` seconds, then cancel them."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _work(self, key: Key) -> None:
        async with self._slots:
            self._begun(key)
            try:
                with self._metrics.reconciles_in_progress.track_inprogress():
                    delay = await self._handled(key)
            finally:
                self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        elif delay is not None:
            self.add_after(key, delay)

    def _begun(self, key: Key) -> None:
        self._metrics.waited(asyncio.get_running_loop().time() - self._waiting.pop(key))
        self._metrics.queue_depth.set(len(self._waiting))

    async def _handled(self, key: Key) -> float | None:
        begun = asyncio.get_running_loop().time()
        result = "error"
        try:
            async with asyncio.timeout(self._time_limit) as limit:
                delay = await self._handle(key)
            result = "done" if delay is None else "requeued"
        except Exception:
            result = "timeout" if limit.expired() else "error"
            return self._pause_after_failure(key)
        finally:
            self._metrics.reconciled(result, asyncio.get_running_loop().time() - begun)
        self._failures.pop(key, None)
        return delay

    def _pause_after_failure(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 10)))
        logger.exception("%s: cannot be handled; again in %.0f s", key, pause)
        return pause
