"""Times in pachd's messages."""

from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def time_of(message: Message, field: str) -> datetime | None:
    """Return a time, None if it is not set; Go's zero time, of the year 1, counts as not set."""
    if not message.HasField(field):
        return None
    moment: Timestamp = getattr(message, field)
    return moment.ToDatetime(tzinfo=UTC) if moment.seconds > 0 else None
