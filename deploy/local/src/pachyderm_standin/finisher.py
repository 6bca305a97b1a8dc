"""How long commits take to finish, and who waits for them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pachyderm_standin.model import Commit, CommitState, Pfs, PfsError, RepoRef

WAIT_SECONDS = 300
"""A request may take 5 minutes in all on the real gateway."""


class CommitDroppedError(PfsError):
    """The commit that somebody waits for was dropped."""


class Finisher:
    """Takes FINISHING commits to FINISHED, those of one repo one after the other, as the real server does.

    `seconds` tells how long the next one takes; 0 is at once.
    """

    def __init__(self, pfs: Pfs, seconds: Callable[[Commit], float]) -> None:
        self._pfs = pfs
        self._seconds = seconds
        self._events: dict[Commit, asyncio.Event] = {}
        self._queues: dict[RepoRef, asyncio.Queue[tuple[Commit, float]]] = {}
        self._workers: set[asyncio.Task[None]] = set()

    def submit(self, commit: Commit) -> None:
        """Take over a FINISHING commit."""
        seconds = self._seconds(commit)
        queue = self._queues.get(commit.repo)
        if not seconds and queue is None:
            self._finish(commit)
            return
        if queue is None:
            queue = self._queues[commit.repo] = asyncio.Queue()
            worker = asyncio.create_task(self._work(commit.repo, queue))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        queue.put_nowait((commit, seconds))
        self.notify(commit)

    async def _work(self, repo: RepoRef, queue: asyncio.Queue[tuple[Commit, float]]) -> None:
        while not queue.empty():
            commit, seconds = queue.get_nowait()
            await asyncio.sleep(seconds)
            self._finish(commit)
        del self._queues[repo]

    def _finish(self, commit: Commit) -> None:
        if not commit.dropped:
            self._pfs.mark_finished(commit)
        self.notify(commit)

    def notify(self, commit: Commit) -> None:
        """Wake those who wait for a commit whose state has changed, or that was dropped."""
        event = self._events.pop(commit, None)
        if event:
            event.set()

    async def wait(self, commit: Commit) -> None:
        """Wait until a FINISHING commit is FINISHED; an open one is not waited for. Raises `TimeoutError`."""
        if commit.finishing and not commit.finished:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.wait_for(commit, CommitState.FINISHED)

    async def wait_for(self, commit: Commit, state: CommitState) -> None:
        """Wait until a commit has come so far, however long that takes. Raises `CommitDroppedError`."""
        order = list(CommitState)
        while order.index(commit.state) < order.index(state):
            if commit.dropped:
                raise CommitDroppedError(f"inspect finishing or finished commit: commit {commit} was deleted")
            await self._events.setdefault(commit, asyncio.Event()).wait()

    async def close(self) -> None:
        """Stop finishing commits."""
        for worker in list(self._workers):
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
