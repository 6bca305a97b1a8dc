"""Runs work on many files at once, within bounds of threads, memory and patience."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class StalledError(Exception):
    """No piece of work ended within the time given."""


class ClosedError(Exception):
    """No more work is admitted."""


def unordered(
    work: Callable[[_Item], _Result], items: Iterable[_Item], *, threads: int, patience: float
) -> Iterator[tuple[_Item, Future[_Result]]]:
    """Yield each item with its ended future, as they end; closing the iterator cancels what has not begun.

    Only twice ``threads`` items are in hand at a time, so that a million files do not become a million futures.

    Raises:
        StalledError: nothing ended for ``patience`` seconds.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="file")
    waiting = iter(items)
    running: dict[Future[_Result], _Item] = {}
    try:
        while True:
            for item in islice(waiting, 2 * threads - len(running)):
                running[pool.submit(work, item)] = item
            if not running:
                return
            done, _ = wait(running, timeout=patience, return_when=FIRST_COMPLETED)
            if not done:
                raise StalledError(f"no file was finished for {patience:.0f} s")
            for future in done:
                yield running.pop(future), future
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class ByteBudget:
    """Lets work on many small files run at once but bounds the bytes in hand; what is larger than all of it runs alone.

    First come, first served: what waits is not overtaken, so a large file is not put off for ever.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free = capacity
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes of the budget while the block runs."""
        held = min(size, self._capacity)
        with self._turn, self._changed:
            while self._free < held:
                self._changed.wait(timeout=60)
            self._free -= held
        try:
            yield
        finally:
            with self._changed:
                self._free += held
                self._changed.notify_all()


class Admission:
    """Lets work begin until it is closed, which waits for what has begun."""

    def __init__(self) -> None:
        self._begun = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def of_one(self) -> Iterator[None]:
        """Admit one piece of work, the block; raises ClosedError once closed."""
        with self._changed:
            if self._closed:
                raise ClosedError
            self._begun += 1
        try:
            yield
        finally:
            with self._changed:
                self._begun -= 1
                self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Admit nothing more, and wait until all that was admitted has ended, but no longer than ``seconds``."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._begun, seconds)
