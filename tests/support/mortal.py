"""An operator's life that ends at a chosen call."""

from collections.abc import Callable, Iterator
from typing import Any

from s3sync_operator.metrics import Metrics


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
