"""Pure: how a sync stands, as text for a person."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from s3sync_operator.api import ConditionType, PastRun, Status, Sync, parse_sync
from s3sync_operator.durations import duration_text
from s3sync_operator.hints import hint

COMMIT_DIGITS = 8
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
COLUMNS = ("NAME", "READY", "REASON", "PHASE", "FILES", "PROGRESS", "AGE")
WIDE_COLUMNS = (*COLUMNS[:-1], "DESTINATION", "COMMIT", "LAST SUCCESS", "NEXT RUN", "AGE")
HISTORY_COLUMNS = ("ENDED", "RESULT", "REASON", "TRIGGER", "ATTEMPTS", "FILES", "SIZE", "DURATION", "COMMIT")


def is_ready(sync: Sync) -> bool:
    """Tell whether the sync is Ready, by a status that speaks of the spec as it is now."""
    return sync.status.ready and sync.status.observed_generation == sync.generation


def overview(raws: Sequence[Mapping[str, Any]], now: datetime, wide: bool, with_namespace: bool) -> str:
    """Return a table with a row for each sync."""
    columns = WIDE_COLUMNS if wide else COLUMNS
    rows = [_row(raw, now, wide) for raw in raws]
    if with_namespace:
        columns = ("NAMESPACE", *columns)
        rows = [[str(raw["metadata"]["namespace"]), *row] for raw, row in zip(raws, rows, strict=True)]
    return table(columns, rows)


def _row(raw: Mapping[str, Any], now: datetime, wide: bool) -> list[str]:
    sync = parse_sync(dict(raw))
    status = sync.status
    ready = status.condition(ConditionType.READY)
    row = [
        sync.name,
        ready.status if ready else "Unknown",
        ready.reason if ready else "",
        _phase(sync),
        str(status.counts.files) if status.counts else "",
        f"{status.progress.percent}%" if status.progress else "",
    ]
    if wide:
        row += [
            status.destination or "",
            (status.commit or "")[:COMMIT_DIGITS],
            ago(status.last_successful_time, now),
            ahead(status.next_schedule_time, now),
        ]
    return [*row, ago(created(raw), now).removesuffix(" ago")]


def _phase(sync: Sync) -> str:
    if sync.status.queue_position:
        return f"{sync.status.phase} ({sync.status.queue_position})"
    return str(sync.status.phase or "")


def created(raw: Mapping[str, Any]) -> datetime | None:
    """Return when the object was created."""
    text = raw["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(text) if text else None


def details(raw: Mapping[str, Any], now: datetime) -> str:
    """Return all that a person may want to know of a sync, and what to do about it."""
    sync = parse_sync(dict(raw))
    parts = [
        f"{sync.name} (namespace {sync.namespace})",
        _labelled(_facts(sync, now)),
        _section("Failures", (f"{item.path}: {item.verdict}: {item.detail}" for item in sync.status.failures or ())),
        _section("Skipped", (f"{item.path}: {item.detail}" for item in sync.status.skipped or ())),
        _section("Would be deleted", sync.status.dry_run.delete if sync.status.dry_run else ()),
        _section("History", _history(sync.status.history or (), now).splitlines()),
        _section("What to do", [what_to_do(sync)]),
    ]
    return printable("\n\n".join(part for part in parts if part))


def printable(text: str) -> str:
    """Return a text without what would steer a terminal: an image may report anything."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)


def what_to_do(sync: Sync) -> str:
    """Return the hint for the reason that counts: that of a broken spec, else that of Ready."""
    status = sync.status
    ready = status.condition(ConditionType.READY)
    if status.observed_generation != sync.generation and not status.finished:
        return (
            "The operator has not looked at this spec yet. If that lasts, see that it runs, and serves this namespace."
        )
    if ready is None:
        return (
            "The operator has not looked at this sync yet. If that lasts, see that it runs, and serves this namespace."
        )
    return hint(ready.reason, sync.name, sync.namespace)


def _facts(sync: Sync, now: datetime) -> list[tuple[str, str]]:
    status, spec = sync.status, sync.spec
    conditions = [(item.type.value, f"{item.status}  {item.reason}: {item.message}") for item in status.conditions]
    return [
        ("Phase", _phase(sync) or "not looked at yet"),
        *(conditions or [("Ready", "Unknown")]),
        ("Suspended", "yes" if spec and spec.suspend else ""),
        ("Destination", status.destination or (spec.destination if spec else "")),
        ("Commit", status.commit or ""),
        ("Run", _run(status, now)),
        ("Progress", _progress(status)),
        ("Files", _files(status)),
        ("Last success", ago(status.last_successful_time, now)),
        ("Failed in a row", str(status.consecutive_failures or "")),
        ("Next attempt", ahead(status.next_attempt_time, now)),
        ("Next run", ahead(status.next_schedule_time, now)),
    ]


def _run(status: Status, now: datetime) -> str:
    told = [
        f"attempt {status.attempt}" if status.attempt else "",
        f"began by {status.trigger.value.lower()}" if status.trigger else "",
        f"started {ago(status.start_time, now)}" if status.start_time else "",
        f"took {status.duration}" if status.duration else "",
        f"job {status.job}" if status.job else "",
    ]
    return ", ".join(part for part in told if part)


def _progress(status: Status) -> str:
    found = status.progress
    if found is None:
        return ""
    sizes = f"{size(found.bytes)} of {size(found.total_bytes)}"
    return f"{found.percent}%, {found.step}: {found.files} of {found.total_files} files, {sizes}"


def _files(status: Status) -> str:
    counts = status.counts
    if counts is None:
        return ""
    told = {
        "verified": counts.verified,
        "unchanged": counts.unchanged,
        "failed": counts.failed,
        "skipped": counts.skipped,
        "deleted": counts.deleted,
        "extra": counts.extra,
    }
    parts = [f"{number} {name}" for name, number in told.items() if number]
    return ": ".join(part for part in (f"{counts.files}, {size(counts.bytes)}", ", ".join(parts)) if part)


def _history(runs: Sequence[PastRun], now: datetime) -> str:
    rows = [
        [
            ago(run.completion_time, now),
            run.result,
            run.reason,
            run.trigger.value,
            str(run.attempts),
            "" if run.files is None else str(run.files),
            "" if run.bytes is None else size(run.bytes),
            run.duration or "",
            (run.commit or "")[:COMMIT_DIGITS],
        ]
        for run in runs
    ]
    return table(HISTORY_COLUMNS, rows) if rows else ""


def _labelled(facts: Iterable[tuple[str, str]]) -> str:
    shown = [(name, value) for name, value in facts if value]
    width = max(len(name) for name, _ in shown)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in shown)


def _section(heading: str, lines: Iterable[str]) -> str:
    shown = [f"  {line}" for line in lines]
    return "\n".join([heading, *shown]) if shown else ""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a heading, in columns as wide as they must be; columns without any content are left out."""
    kept = [index for index in range(len(columns)) if not rows or any(row[index] for row in rows)]
    lines = [[line[index] for index in kept] for line in (columns, *rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(kept))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was, in its two largest units; nothing for none."""
    return f"{_span(now - moment)} ago" if moment else ""


def ahead(moment: datetime | None, now: datetime) -> str:
    """Return when a moment to come is; nothing for none."""
    if moment is None:
        return ""
    local = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"in {_span(moment - now)} ({local})" if moment > now else f"due ({local})"


def _span(span: timedelta) -> str:
    days = span // timedelta(days=1)
    if days:
        return f"{days}d{span.seconds // 3600}h" if days < 10 else f"{days}d"
    text = duration_text(span)
    return text.partition("m")[0] + "m" if "h" in text else text


def size(count: int) -> str:
    """Return a number of bytes in the unit that fits it, by thousands."""
    number, unit = float(count), 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 or number >= 99.95 else f"{number:.1f} {_UNITS[unit]}"


def as_json(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a sync stands for a program: the status as stored, and what it comes to."""
    sync = parse_sync(dict(raw))
    ready = sync.status.condition(ConditionType.READY)
    return {
        "namespace": sync.namespace,
        "name": sync.name,
        "ready": is_ready(sync),
        "reason": ready.reason if ready else None,
        "message": ready.message if ready else None,
        "whatToDo": what_to_do(sync),
        "status": raw.get("status") or {},
    }
