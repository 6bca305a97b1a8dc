"""Pure: durations as Kubernetes writes them."""

import re
from datetime import timedelta

_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")


def duration_text(span: timedelta) -> str:
    """Return a span as Kubernetes writes durations: 45s, 1m30s, 2h0m5s."""
    seconds = max(0, round(span.total_seconds()))
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def duration_seconds(text: str) -> int:
    """Return the seconds of a duration as 1h30m, 15m or 90s."""
    found = _DURATION.fullmatch(text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return 3600 * hours + 60 * minutes + seconds
