"""The process: runs the sync in a thread, shows progress, hears signals, and always ends with a report."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import NoReturn

from s3sync_job import signals
from s3sync_job.cli import build_parser, parse_settings, termination_log
from s3sync_job.console import Console, nobody_listening
from s3sync_job.outcome import ENDINGS, RETRY_FROM, Reason, SyncError
from s3sync_job.progress import BarProgress, PlainProgress, Progress, Tally
from s3sync_job.report import LOG_LINE_LIMIT, TERMINATION_MESSAGE_LIMIT, Counts, Report, failed
from s3sync_job.run import Run
from s3sync_job.settings import Settings
from s3sync_job.staged_uploads import remove_staged_files
from s3sync_job.steps import Steps

ABANDON_SECONDS = 10.0
"""How long a run that a signal ended may take to drop its open commit; Kubernetes kills it half a minute after."""

MAX_FAILURE_LINES = 1000
"""So many failures are written out one a line before the report, which has room for fewer."""


def main() -> NoReturn:
    """Run ``s3sync-job`` and end the process.

    TensorFlow's S3 plugin aborts at a regular exit ("pure virtual method called", tensorflow/io issue 1912), so that
    every success would look like a crash. Hence ``os._exit``, after all output is flushed.
    """
    try:
        code = run_process(sys.argv[1:], os.environ)
    except SystemExit as exit_:  # From --help and --version.
        code = exit_.code if isinstance(exit_.code, int) else 0
    except BaseException:
        code = ENDINGS[Reason.INTERNAL_ERROR].code
        with suppress(OSError):
            traceback.print_exc()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    # At the very last, since nothing can be opened after it.
    remove_staged_files()
    os._exit(code)


def run_process(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the sync that ``arguments`` and ``environment`` ask for, write its report, and return the exit code."""
    steps = Steps()
    console = Console()
    tally = Tally()
    events: SimpleQueue[Report | signal.Signals] = SimpleQueue()
    _listen(events)
    started = time.monotonic()
    try:
        settings = parse_settings(build_parser().parse_args(arguments), environment)
    except SyncError as error:
        report = failed(error.reason, error.message, Counts(), time.monotonic() - started)
    except Exception as error:
        # A bug. Its text might show a secret, and which those are is not known yet.
        sys.stderr.write("".join(traceback.format_tb(error.__traceback__)))
        message = f"s3sync-job failed in a way it does not know ({type(error).__name__}); please report this."
        report = failed(Reason.INTERNAL_ERROR, message, Counts(), time.monotonic() - started)
    else:
        console.keep_secret(settings.secrets)
        report = replace(_supervise(settings, tally, console, steps, events), step_seconds=steps.snapshot())
    _deafen()
    _publish(report, console, termination_log(arguments, environment))
    return report.exit_code


def _listen(events: SimpleQueue[Report | signal.Signals]) -> None:
    """Queue signals as events: SimpleQueue may be put to in a signal handler, unlike what takes Python locks."""

    def handler(number: int, _frame: FrameType | None) -> None:
        events.put(signal.Signals(number))

    for number in signals.heard():
        signal.signal(number, handler)


def _deafen() -> None:
    """Ignore further signals, so that the report is written whole."""
    for number in signals.ENDING:
        signal.signal(number, signal.SIG_IGN)


def _supervise(
    settings: Settings, tally: Tally, console: Console, steps: Steps, events: SimpleQueue[Report | signal.Signals]
) -> Report:
    """Return the report of the run, or of its end by a signal, showing progress meanwhile.

    The run has a thread of its own, so that this one is never held up in TensorFlow and hears signals at once.
    """
    started = time.monotonic()
    run = Run(settings, tally, console, steps)
    threading.Thread(
        target=lambda: events.put(_execute(run, settings, tally, console)), name="run", daemon=True
    ).start()
    progress = _progress(settings, tally, console)
    while True:
        try:
            event = events.get(timeout=progress.interval)
            break
        except Empty:
            with nobody_listening():
                progress.show()
    with nobody_listening():
        progress.close()
    if isinstance(event, Report):
        return event
    ending = threading.Thread(target=run.abandon, name="abandon", daemon=True)
    ending.start()
    ending.join(ABANDON_SECONDS)
    return _terminated(event, tally.snapshot()[1], time.monotonic() - started, settings)


def _execute(run: Run, settings: Settings, tally: Tally, console: Console) -> Report:
    """Return the run's report; a bug becomes one too, its traceback going to standard error without secrets."""
    started = time.monotonic()
    try:
        return run.execute()
    except BaseException as error:
        sys.stderr.write(console.redact(traceback.format_exc()))
        sys.stderr.flush()
        message = f"s3sync-job failed in a way it does not know ({type(error).__name__}: {error}); please report this."
        return failed(Reason.INTERNAL_ERROR, message, tally.snapshot()[1], time.monotonic() - started, settings.worker)


def _progress(settings: Settings, tally: Tally, console: Console) -> Progress:
    """Return the bar on a terminal unless contents are printed across it, else plain lines."""
    if sys.stderr.isatty() and not settings.print_contents:
        return BarProgress(tally)
    return PlainProgress(tally, console.line)


def _terminated(number: signal.Signals, counts: Counts, seconds: float, settings: Settings) -> Report:
    """Return the report of a run that a signal ended."""
    message = (
        f"Ended by {number.name} after {counts.copied_files} of {counts.total_files} files were copied and "
        f"{counts.verified_files} verified; run it again."
    )
    return Report(Reason.TERMINATED, message, RETRY_FROM + number, counts, seconds, settings.worker)


def _publish(report: Report, console: Console, log: Path | None) -> None:
    """Write the failures for people, then the report for the operator, to the log and as termination message."""
    report = report.rewritten(console.redact)
    for failure in report.failures[:MAX_FAILURE_LINES]:
        console.line(f"{failure.verdict} {failure.path}: {failure.detail}")
    console.line(f"{report.reason} (exit code {report.exit_code}): {report.message}")
    if log is not None:
        try:
            log.write_text(report.line(TERMINATION_MESSAGE_LIMIT))
        except OSError as error:
            console.line(f"warning: --termination-log {log}: {error.strerror}; the report is in the log alone")
    console.last_line(report.line(LOG_LINE_LIMIT))


if __name__ == "__main__":
    main()
