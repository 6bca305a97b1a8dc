"""Which signals end a run: one truth for s3sync-job and for whoever passes them on to it."""

from __future__ import annotations

import signal

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def heard() -> list[signal.Signals]:
    """Return the signals to be heard: whoever started the program by nohup wants it to outlive the terminal."""
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in ENDING if number != signal.SIGHUP or not outlives]
