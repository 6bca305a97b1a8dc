"""How a process knows that it runs in a sandbox, and what it cannot do there."""

from pathlib import Path

from s3sync_local.errors import MissingToolError

MARKER = Path("/run/.pachyderm-s3-sync-sandbox")
"""Lies in a sandbox's own /run, so it is there for processes in a sandbox and for no other."""


def is_inside() -> bool:
    """Tell whether this process runs in a sandbox."""
    return MARKER.exists()


def refuse_inside(need: str) -> None:
    """Raise MissingToolError where this process runs in a sandbox, about to make what only a network gives.

    `need` is one of the names that `sandbox.needs` knows, so that the message says which step makes it.
    """
    if is_inside():
        raise MissingToolError(
            f"{need} is missing, and in a sandbox, which has no network, it cannot be made; "
            f"make it before the sandbox begins: python -m s3sync_local.sandbox --need {need} -- COMMAND"
        )
