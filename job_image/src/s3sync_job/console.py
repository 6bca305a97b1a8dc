"""Writes lines for people on standard output, whole, at once, and without secrets."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from s3sync_job.report import printable

MIN_SECRET = 4
"""Shorter keys are not blanked out: they keep nobody out, and blanking them would garble the text."""


class Console:
    """Standard output shared by threads; ``secrets`` are blanked out wherever they would appear."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self._lock = threading.Lock()
        self._secrets: tuple[str, ...] = ()
        self._ended = False

    def keep_secret(self, secrets: tuple[str, ...]) -> None:
        """Blank these out from now on."""
        # The longest first, lest the end of a secret be left that starts with another one.
        self._secrets = tuple(
            sorted((secret for secret in secrets if len(secret) >= MIN_SECRET), key=len, reverse=True)
        )

    def redact(self, text: str) -> str:
        """Return ``text`` without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def line(self, text: str) -> None:
        """Write one line."""
        self.write(f"{printable(self.redact(text))}\n".encode())

    def write(self, content: bytes) -> None:
        """Write bytes as they are, such as a file's contents for --print; nothing once ``last_line`` was called."""
        with self._lock:
            if not self._ended:
                self._put(content)

    def last_line(self, text: str) -> None:
        """Write one line as it is and nothing after it, though threads that copy may still have something to say."""
        with self._lock:
            self._ended = True
            self._put(f"{text}\n".encode())

    def _put(self, content: bytes) -> None:
        with nobody_listening():
            self._stream.write(content)
            self._stream.flush()


@contextmanager
def nobody_listening() -> Iterator[None]:
    """Let a terminal that was closed, or a reader that has gone, fail nothing but what is said to it."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EPIPE):
            raise
