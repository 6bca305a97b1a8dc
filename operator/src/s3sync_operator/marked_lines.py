"""Pure: lines of a log that the job writes for machines: JSON objects, each kind of which has a mark of its own."""

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError

_Line = TypeVar("_Line", bound=BaseModel)


def parse_marked(line: str, mark: str, kind: type[_Line]) -> _Line | None:
    """Return what a line with the mark holds, or None where it is another line or not whole."""
    if mark not in line or not line.startswith("{"):
        return None
    try:
        return kind.model_validate(json.loads(line))
    except (ValueError, ValidationError):
        return None


def last_marked(text: str, mark: str, kind: type[_Line]) -> _Line | None:
    """Return what the last such line of a text holds, or None."""
    lines = reversed(text.splitlines())
    return next((found for line in lines if (found := parse_marked(line, mark, kind))), None)
