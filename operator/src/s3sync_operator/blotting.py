"""Pure: keeps secrets out of what people read."""

from collections.abc import Sequence

MASK = "***"
SHORTEST = 4


def blot(text: str, secrets: Sequence[str]) -> str:
    """Return a text with every secret in it masked, the longest first; shorter than four characters hides nothing."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, MASK)
    return text
