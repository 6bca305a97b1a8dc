"""How long commits take to finish: one after the other, each the same time, as was seen on a real server."""

import asyncio

from pachyderm_standin.model import Commit, Pfs

WAIT_SECONDS = 300
"""A request may take 5 minutes in all on the real gateway."""


class Finisher:
    """Takes FINISHING commits to FINISHED in order, `latency` seconds each; at once if that is 0."""

    def __init__(self, pfs: Pfs, latency: float = 0) -> None:
        self._pfs = pfs
        self._latency = latency
        self._waiting: dict[Commit, asyncio.Event] = {}
        self._queue: asyncio.Queue[Commit] = asyncio.Queue()

    def submit(self, commit: Commit) -> None:
        """Take over a FINISHING commit."""
        if not self._latency:
            self._pfs.mark_finished(commit)
            return
        self._waiting[commit] = asyncio.Event()
        self._queue.put_nowait(commit)

    async def wait(self, commit: Commit) -> None:
        """Wait until a FINISHING commit is FINISHED; an open one is not waited for. Raises `TimeoutError`."""
        event = self._waiting.get(commit)
        if event:
            async with asyncio.timeout(WAIT_SECONDS):
                await event.wait()

    async def run(self) -> None:
        """Finish commits until cancelled."""
        while True:
            commit = await self._queue.get()
            await asyncio.sleep(self._latency)
            self._pfs.mark_finished(commit)
            self._waiting.pop(commit).set()
