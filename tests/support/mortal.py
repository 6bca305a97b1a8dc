"""An operator's life that ends at a chosen call."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from s3sync_operator.api import Sync
from s3sync_operator.cluster import KubernetesCluster
from s3sync_operator.metrics import Metrics
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.reconcile import Reconciler
from s3sync_operator.settings import Settings

Outside = tuple[KubernetesCluster, S3Gateway, GrpcPachd]
"""What an operator works with."""

LOOKS = 400


class Killed(BaseException):
    """The operator's life ended here."""


class Mortal:
    """Passes calls on; the one of number `last` kills, before or after it has its effect."""

    def __init__(self, inner: Any, calls: Iterator[int], last: int, *, after_effect: bool) -> None:
        self._inner, self._calls, self._last, self._after_effect = inner, calls, last, after_effect

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._inner, name)

        async def call(*arguments: Any) -> Any:
            dies = next(self._calls) == self._last
            if dies and not self._after_effect:
                raise Killed
            result = await method(*arguments)
            if dies:
                raise Killed
            return result

        return call


class MortalMetrics(Metrics):
    """Metrics of a pachd client, which are told of each of its gRPC calls: that of number `last` kills after its
    effect."""

    def __init__(self, calls: Iterator[int], last: int) -> None:
        super().__init__()
        self._calls, self._last = calls, last

    def pachd_answered(self, operation: str, result: str, seconds: float) -> None:
        super().pachd_answered(operation, result, seconds)
        if next(self._calls) == self._last:
            raise Killed


async def live(
    key: tuple[str, str],
    outside: Outside,
    settings: Settings,
    done: Callable[[Sync], bool],
    first: Reconciler | None = None,
) -> None:
    """Reconcile until the sync is done; an operator that is killed, as the `first` may be, is followed by another."""
    cluster, gateway, pachd = outside
    operator = first or Reconciler(cluster, gateway, pachd, settings)
    for _ in range(LOOKS):
        try:
            await operator.reconcile(key)
        except Killed:
            operator = Reconciler(cluster, gateway, pachd, settings)
        sync = await cluster.get_sync(*key)
        if sync and done(sync):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{key} is not done after {LOOKS} looks")
