"""Pure: whether the watch still delivers, by comparing what it delivered with what a listing shows.

A watch can die in silence (kopf #698, #996, #1276), and an operator that answers its probes and sees nothing is worse
than one that is restarted.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

Uid = str


@dataclass
class Freshness:
    """Remembers the newest version of each object that the watch delivered; times are seconds of any steady clock."""

    limit: float
    started: float
    _seen: dict[Uid, int] = field(default_factory=dict)
    _behind: dict[Uid, float] = field(default_factory=dict)
    _compared: float | None = None
    _awaited: dict[Uid, int] | None = None

    def delivered(self, uid: Uid, version: str, *, deleted: bool = False) -> None:
        """Take note of an event of the watch."""
        if deleted:
            self._seen.pop(uid, None)
            self._behind.pop(uid, None)
            self._arrived(uid)
            return
        self._seen[uid] = max(self._seen.get(uid, 0), int(version))
        self._behind.pop(uid, None)
        if self._awaited and self._seen[uid] >= self._awaited.get(uid, 0):
            self._arrived(uid)

    def _arrived(self, uid: Uid) -> None:
        if self._awaited:
            self._awaited.pop(uid, None)

    def expect(self, listed: Iterable[tuple[Uid, str]], now: float) -> None:
        """Take the first listing: the watch has caught up once all of it has come; later ones change nothing."""
        if self._awaited is None:
            self._compared = now
            self._awaited = {uid: int(version) for uid, version in listed if self._seen.get(uid, 0) < int(version)}

    def compare(self, listed: Iterable[tuple[Uid, str]], now: float) -> list[Uid]:
        """Compare with a listing; return the objects that the watch has not delivered in their listed version."""
        versions = dict(listed)
        missing = [uid for uid, version in versions.items() if self._seen.get(uid, 0) < int(version)]
        self._behind = {uid: self._behind.get(uid, now) for uid in missing}
        self._compared = now
        # What was deleted before the watch began is never delivered.
        for uid in [uid for uid in self._awaited or () if uid not in versions]:
            self._arrived(uid)
        return missing

    @property
    def caught_up(self) -> bool:
        """Whether the watch has delivered all that the first listing showed."""
        return self._awaited is not None and not self._awaited

    def complaint(self, now: float) -> str | None:
        """Return what is stale, or None while all is well."""
        if self._behind and now - min(self._behind.values()) > self.limit:
            return f"the watch has not delivered {len(self._behind)} changed object(s) for over {self.limit:.0f} s"
        last = self.started if self._compared is None else self._compared
        if now - last > self.limit:
            return f"the syncs could not be listed for over {self.limit:.0f} s"
        return None
