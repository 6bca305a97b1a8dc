"""Keeps one server that hangs from taking all threads: so many calls at once to each address, and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from s3sync_operator.api import Reason
from s3sync_operator.errors import TemporarySyncError

PATIENCE_SECONDS = 60.0


class Slots:
    """At most `each` calls to one address at the same time; the others wait, and hold no thread meanwhile."""

    def __init__(self, each: int, reason: Reason) -> None:
        self._each = each
        self._reason = reason
        # An address that nobody calls any more is forgotten.
        self._by_address: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def at(self, address: str) -> AsyncIterator[None]:
        """Hold a slot of the address; raises TemporarySyncError where none gets free within a minute."""
        slots = self._by_address.get(address)
        if slots is None:
            slots = self._by_address[address] = asyncio.Semaphore(self._each)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await slots.acquire()
        except TimeoutError:
            text = f"{address} answers slowly, and {self._each} calls to it are under way already; it is tried again"
            raise TemporarySyncError(self._reason, text) from None
        try:
            yield
        finally:
            slots.release()
