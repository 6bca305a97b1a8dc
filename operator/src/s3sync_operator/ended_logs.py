"""The logs of pods that have ended: each is read once, however often its sync is looked at while that publishes."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

from s3sync_operator.report import find_report

REMEMBERED, LONGEST = 512, 64 * 1024
"""How many logs are remembered, and how long (characters) they may be."""


class Logs(Protocol):
    """Where the ends of pods' logs are read."""

    async def pod_log(self, namespace: str, pod: str) -> str:
        """Return the end of a pod's log, or nothing where it cannot be had."""


class EndedLogs:
    """Reads logs, and remembers those that tell how the job ended: nothing follows after that."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._known: OrderedDict[str, str] = OrderedDict()

    async def read(self, namespace: str, pods: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Return the logs of pods, given by name and uid, by their names."""
        named = list(pods)
        texts = await asyncio.gather(*(self._one(namespace, name, uid) for name, uid in named))
        return {name: text for (name, _), text in zip(named, texts, strict=True)}

    async def _one(self, namespace: str, name: str, uid: str) -> str:
        if uid in self._known:
            self._known.move_to_end(uid)
            return self._known[uid]
        text = await self._logs.pod_log(namespace, name)
        if uid and len(text) <= LONGEST and find_report(text):
            self._known[uid] = text
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return text
