"""Pure: how far the workers of a running attempt have come, by the lines that s3sync-job writes into its log.

Samples of the lines stand in tests/golden/progress; both sides test against them.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from s3sync_operator.api import Progress
from s3sync_operator.marked_lines import last_marked, parse_marked

MARK = "s3syncProgress"
STEPS = ("copy", "verify")
"""The steps of a worker that it tells of, in their order."""

Number = Annotated[int, Field(ge=0, lt=2**63)]


class Told(BaseModel):
    """What one worker told of itself last: files and bytes done and to do in a step."""

    # A newer job may tell more than this operator knows: what it does not know, it passes over.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    version: Literal[1] = Field(alias="s3syncProgress")
    step: Literal["copy", "verify"]
    files: Number
    total_files: Number
    bytes: Number
    total_bytes: Number


def find_progress(text: str) -> Told | None:
    """Return what the last such line of a log tells, or None."""
    return last_marked(text, MARK, Told)


def is_progress(line: str) -> bool:
    """Tell whether a line of a log is for machines and not for people."""
    return parse_marked(line, MARK, Told) is not None


def summed(workers: Sequence[Told]) -> Progress | None:
    """Return what the workers' lines tell together, or None where there is none.

    The step is that of the worker furthest behind; those who are further have all of it behind them.
    """
    if not workers:
        return None
    step = min((told.step for told in workers), key=STEPS.index)
    files = sum(told.files if told.step == step else told.total_files for told in workers)
    size = sum(told.bytes if told.step == step else told.total_bytes for told in workers)
    total_files, total_bytes = sum(told.total_files for told in workers), sum(told.total_bytes for told in workers)
    return Progress(
        step=step,
        files=files,
        total_files=total_files,
        bytes=size,
        total_bytes=total_bytes,
        percent=_percent(size, total_bytes) if total_bytes else _percent(files, total_files),
    )


def _percent(done: int, total: int) -> int:
    return min(100, done * 100 // total) if total else 0
