"""Which of the syncs that want to run may begin: caps on the runs under way, and a fair queue for the rest.

A run under way is an attempt whose job runs or that is being published; between two attempts a run gives its place to
others. Namespaces take turns, and within one the first to come is the first to go, so that a thousand syncs of one
namespace do not keep those of another waiting. What is here follows from the statuses: an operator that starts learns
the runs under way from a listing before it admits any.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from s3sync_operator.access import endpoint_url
from s3sync_operator.api import Phase, Sync
from s3sync_operator.metrics import Metrics
from s3sync_operator.settings import Settings

SyncKey = tuple[str, str]
_UNDER_WAY = (Phase.STARTING, Phase.RUNNING)
REFRESH_SECONDS, SHORTEST_REFRESH, LONGEST_REFRESH = 2.0, 15.0, 300.0


@dataclass
class Waiting:
    """A sync in the queue: which gateway it wants to use, and when its place was last told."""

    endpoint: str
    told: datetime | None = None


class Admission:
    """Admits runs, at most `total` at once and `each` to one endpoint (0: any number); calls `wake` for the next ones.

    It does no I/O and decides by its own state alone.
    """

    def __init__(self, total: int = 0, each: int = 0, metrics: Metrics | None = None) -> None:
        self.wake: Callable[[SyncKey], None] = lambda _: None
        self._total = total
        self._each = each
        self._metrics = metrics or Metrics()
        self._active: dict[SyncKey, str] = {}
        self._users: Counter[str] = Counter()
        self._queues: OrderedDict[str, OrderedDict[SyncKey, Waiting]] = OrderedDict()
        self._filled = not self.capped

    @property
    def capped(self) -> bool:
        """Whether there is any limit."""
        return bool(self._total or self._each)

    @property
    def ready(self) -> bool:
        """Whether the runs under way are known, so that others can be admitted."""
        return self._filled

    def fill(self, active: Mapping[SyncKey, str]) -> None:
        """Take the runs under way, with their endpoints, as a listing shows them; only the first listing counts."""
        if self._filled:
            return
        for key, endpoint in active.items():
            self.occupy(key, endpoint)
        self._filled = True
        self._grant()
        self._show()

    def occupy(self, key: SyncKey, endpoint: str) -> None:
        """Take note of a run that is under way, whoever admitted it."""
        self._forget(key)
        self._enter(key, endpoint)
        self._show()

    def ask(self, key: SyncKey, endpoint: str) -> bool:
        """Admit the run if it may begin; else it waits, and is woken at its turn."""
        if self._active.get(key) not in (None, endpoint):
            # Its spec names another gateway now, where others may have come first.
            self.leave(key)
        # Of those that wait, none could make use of the room that there is, or it would not wait.
        if key in self._active or (self._filled and self._has_room(endpoint)):
            self.occupy(key, endpoint)
            return True
        self._queues.setdefault(key[0], OrderedDict()).setdefault(key, Waiting(endpoint)).endpoint = endpoint
        self._show()
        return False

    def leave(self, key: SyncKey) -> None:
        """Take note that the sync has no run under way and wants none: others may take its place."""
        self._forget(key)
        if self._exit(key) and self._filled:
            self._grant()
        self._show()

    def place(self, key: SyncKey) -> int:
        """Return the sync's place in the queue, from 1; 0 where it does not wait.

        Of each namespace that comes before its own in the turn, one more goes first than of those after it.
        """
        queue = self._queues.get(key[0])
        if queue is None or key not in queue:
            return 0
        before = list(queue).index(key)
        turns = list(self._queues)
        own = turns.index(key[0])
        others = (
            min(len(self._queues[name]), before + (number < own)) for number, name in enumerate(turns) if number != own
        )
        return before + sum(others) + 1

    def may_tell(self, key: SyncKey, now: datetime) -> bool:
        """Tell whether the sync's place, last told a while ago, may be told again; this look then counts as that."""
        waiting = self._queues.get(key[0], OrderedDict()).get(key)
        if waiting is None:
            return False
        if waiting.told and now - waiting.told < timedelta(seconds=self.refresh_after(key)):
            return False
        waiting.told = now
        return True

    def refresh_after(self, key: SyncKey) -> float:
        """Return the seconds after which a place is told anew: the further behind, the later."""
        return min(LONGEST_REFRESH, max(SHORTEST_REFRESH, REFRESH_SECONDS * self.place(key)))

    def _grant(self) -> None:
        """Admit as many as there is room for, in turn."""
        while key := self._next():
            namespace = key[0]
            self._enter(key, self._queues[namespace][key].endpoint)
            self._forget(key)
            if namespace in self._queues:
                self._queues.move_to_end(namespace)
            self.wake(key)

    def _next(self) -> SyncKey | None:
        """Return the first that may begin; one whose endpoint is at its limit is passed over, and keeps its place."""
        if self._total and len(self._active) >= self._total:
            return None
        waiting = (item for queue in self._queues.values() for item in queue.items())
        return next((key for key, item in waiting if self._has_room(item.endpoint)), None)

    def _has_room(self, endpoint: str) -> bool:
        if self._total and len(self._active) >= self._total:
            return False
        return not self._each or self._users[endpoint] < self._each

    def _enter(self, key: SyncKey, endpoint: str) -> None:
        self._exit(key)
        self._active[key] = endpoint
        self._users[endpoint] += 1

    def _exit(self, key: SyncKey) -> bool:
        endpoint = self._active.pop(key, None)
        if endpoint is None:
            return False
        self._users[endpoint] -= 1
        if not self._users[endpoint]:
            del self._users[endpoint]
        return True

    def _forget(self, key: SyncKey) -> None:
        queue = self._queues.get(key[0])
        if queue is not None:
            queue.pop(key, None)
            if not queue:
                del self._queues[key[0]]

    def _show(self) -> None:
        self._metrics.runs_active.set(len(self._active))
        self._metrics.runs_queued.set(sum(len(queue) for queue in self._queues.values()))


def runs_under_way(syncs: Iterable[Sync], settings: Settings) -> dict[SyncKey, str]:
    """Return the syncs of a listing whose runs take up room, with the endpoints that these use."""
    return {
        sync.key: endpoint_url(sync.spec, settings) for sync in syncs if sync.spec and sync.status.phase in _UNDER_WAY
    }
