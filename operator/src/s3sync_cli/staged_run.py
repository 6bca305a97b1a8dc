"""An atomic sync outside of a cluster: whatever stages, the operator's own Publisher prepares and publishes.

`s3sync run` and the benchmark both do it this way.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from s3sync_operator.api import Reason
from s3sync_operator.desired import Staging
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.observed import observe
from s3sync_operator.publisher import Order, Publisher
from s3sync_operator.status import Outcome

POD = "here-worker-0"
NOW = "2026-01-01T00:00:00Z"
"""The publisher never looks at a pod's time."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


class Stage(Protocol):
    """How staging ended: the exit code of s3sync-job (None: it was ended at a limit), and its log with the report."""

    @property
    def code(self) -> int | None:
        """The exit code."""

    @property
    def output(self) -> str:
        """The log."""


_Stage = TypeVar("_Stage", bound=Stage)
_Result = TypeVar("_Result")


async def stage_and_publish(
    publisher: Publisher,
    order: Order,
    stage: Callable[[Staging], Awaitable[_Stage]],
    seconds: float,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[_Stage, Outcome | None]:
    """Prepare the target, stage, and publish; the outcome is None where staging failed.

    A target that is busy is waited for so many seconds, before and after staging; `say` takes what is waited for.
    Raises SyncError where Pachyderm fails.
    """
    await publisher.ensure_branch(order)
    staging = await _patiently(lambda: publisher.prepare(order), _is_busy, seconds, say)
    staged = await stage(staging)
    if staged.code != 0:
        return staged, None
    return staged, await publish(publisher, order, staged.output, seconds, say)


async def publish(
    publisher: Publisher, order: Order, output: str, seconds: float, say: Callable[[str], None]
) -> Outcome:
    """Publish what a worker's log reports, in so many seconds; an outcome that is still Running was not in time.

    Raises SyncError where trouble does not pass.
    """
    seen = observe(None, [{"metadata": {"name": POD, "creationTimestamp": NOW}}], {POD: output})
    until = time.monotonic() + seconds
    while True:
        left = max(0.0, until - time.monotonic())
        outcome = await _patiently(lambda: publisher.publish(order, seen), _may_pass, left, say)
        if outcome.kind != "Running" or time.monotonic() > until:
            return outcome
        await asyncio.sleep(FIRST_PAUSE)


async def _patiently(
    work: Callable[[], Awaitable[_Result]],
    passes: Callable[[TemporarySyncError], bool],
    seconds: float,
    say: Callable[[str], None],
) -> _Result:
    """Do it again, after pauses that double, while what keeps it from being done may pass."""
    until, pause, said = time.monotonic() + seconds, FIRST_PAUSE, ""
    while True:
        try:
            return await work()
        except TemporarySyncError as error:
            if not passes(error) or time.monotonic() + pause > until:
                raise
            if error.message != said:
                say(error.message)
            said = error.message
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)


def _is_busy(error: TemporarySyncError) -> bool:
    return error.reason == Reason.TARGET_BUSY


def _may_pass(error: TemporarySyncError) -> bool:
    """With a failed commit, what was staged is lost."""
    return error.reason != Reason.COMMIT_FAILED
