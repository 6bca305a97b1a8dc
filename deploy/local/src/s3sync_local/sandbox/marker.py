"""How a process knows that it runs in a sandbox."""

from pathlib import Path

MARKER = Path("/run/.pachyderm-s3-sync-sandbox")
"""Lies in a sandbox's own /run, so it is there for processes in a sandbox and for no other."""


def is_inside() -> bool:
    """Tell whether this process runs in a sandbox."""
    return MARKER.exists()
