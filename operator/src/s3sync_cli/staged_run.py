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


async def stage_and_publish(
    publisher: Publisher, order: Order, stage: Callable[[Staging], Awaitable[_Stage]], seconds: float
) -> tuple[_Stage, Outcome | None]:
    """Prepare the target, stage, and publish within so many seconds; the outcome is None where staging failed.

    Raises SyncError where Pachyderm fails.
    """
    staging, _ = await publisher.prepare(order)
    staged = await stage(staging)
    if staged.code != 0:
        return staged, None
    return staged, await publish(publisher, order, staged.output, seconds)


async def publish(publisher: Publisher, order: Order, output: str, seconds: float) -> Outcome:
    """Publish what a worker's log reports; passing trouble, and a target that is busy, is waited out.

    Raises SyncError where it does not pass. An outcome that is still Running was not reached in time.
    """
    seen = observe(None, [{"metadata": {"name": POD, "creationTimestamp": NOW}}], {POD: output})
    until, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        try:
            outcome = await publisher.publish(order, seen)
        except TemporarySyncError as error:
            if error.reason == Reason.COMMIT_FAILED or time.monotonic() + pause > until:
                raise
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
            continue
        if outcome.kind != "Running" or time.monotonic() > until:
            return outcome
        await asyncio.sleep(FIRST_PAUSE)
