"""All I/O with Pachyderm: repo and branch are made through the S3 gateway, where a bucket is a branch of a repo."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Protocol

from s3sync_operator.access import SYSTEM_TLS, Credentials, Tls
from s3sync_operator.api import Reason
from s3sync_operator.log_context import in_context
from s3sync_operator.metrics import Metrics
from s3sync_operator.slots import Slots

if TYPE_CHECKING:
    from s3sync_operator.s3_calls import S3Calls

THREADS, CALLS_AT_ONCE = 64, 8
"""The latter of one gateway."""


class Gateway(Protocol):
    """What the reconciler asks of Pachyderm."""

    async def ensure_bucket(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls) -> bool:
        """Make the repo and branch of a bucket if they are missing; tell whether they were.

        Raises PermanentSyncError or TemporarySyncError with the reason.
        """


class S3Gateway:
    """Pachyderm's S3 gateway through botocore, in threads; `timeout` (seconds) limits each connection and answer."""

    def __init__(self, timeout: int, metrics: Metrics | None = None) -> None:
        self._timeout = timeout
        self._metrics = metrics or Metrics()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway")
        self._slots = Slots(CALLS_AT_ONCE, Reason.ENDPOINT_UNREACHABLE)

    async def ensure_bucket(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls = SYSTEM_TLS) -> bool:
        """Make the repo and branch of a bucket if they are missing; tell whether they were."""
        loop = asyncio.get_running_loop()
        work = in_context(partial(self._ensured, endpoint, bucket, credentials, tls))
        async with self._slots.at(endpoint):
            return await loop.run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ensured(self, endpoint: str, bucket: str, credentials: Credentials, tls: Tls) -> bool:
        return self._calls.ensure_bucket(endpoint, bucket, credentials, tls)

    @cached_property
    def _calls(self) -> "S3Calls":
        from s3sync_operator.s3_calls import S3Calls  # noqa: PLC0415 - It imports botocore: 0.6 s of CPU.

        return S3Calls(self._timeout, self._metrics)
