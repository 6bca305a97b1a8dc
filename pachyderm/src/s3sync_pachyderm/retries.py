"""Calls that are tried again."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from s3sync_pachyderm.channel import RpcError
from s3sync_pachyderm.errors import may_pass

ATTEMPTS, BACKOFF_SECONDS = 3, 0.5
"""How often a call is tried and how long is waited before the second time, twice as long before the third."""

_Result = TypeVar("_Result")


def tried(
    call: Callable[[], _Result], again: Callable[[str, str | None], bool] = may_pass, attempts: int = ATTEMPTS
) -> _Result:
    """Return what a call does; it is tried again, after a pause, if `again` says so of its error's code and details.

    Raises the RpcError of the last try.
    """
    pause = BACKOFF_SECONDS
    for attempt in range(1, attempts + 1):
        try:
            return call()
        except RpcError as error:
            failed: Any = error
            if attempt == attempts or not again(failed.code().name, failed.details()):
                raise
        time.sleep(pause)
        pause *= 2
    raise AssertionError("the last attempt returns or raises")
