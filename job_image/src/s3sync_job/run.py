"""A run from its plan to its report, whichever way it syncs."""

from __future__ import annotations

from collections.abc import Mapping

from s3sync_job.clients import Clients
from s3sync_job.console import Console
from s3sync_job.direct import DirectSync
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import Plan, PlannedFile, make_plan
from s3sync_job.progress import Tally
from s3sync_job.report import Report, failed
from s3sync_job.scan import changes, find_files
from s3sync_job.session import Session
from s3sync_job.settings import Settings
from s3sync_job.steps import Step, Steps
from s3sync_job.tls import check_tls_files

MAX_SKIPPED_LINES = 1000
"""So many skipped paths are written out one a line."""


class Run:
    """One sync of one worker. ``execute`` may run in any thread; ``tally`` may be read meanwhile."""

    def __init__(self, settings: Settings, tally: Tally, console: Console, steps: Steps) -> None:
        self._settings = settings
        self._session = Session(settings, tally, console, steps)
        self._clients = Clients(settings)
        self._planned: Mapping[str, PlannedFile] = {}

    def execute(self) -> Report:
        """Copy, verify and return the report; whatever keeps the run from its end is in the report as well."""
        try:
            return self._sync()
        except SyncError as caught:
            error, session = self._explained(caught), self._session
            counts = session.tally.snapshot()[1]
            return failed(error.reason, error.message, counts, session.seconds(), self._settings.worker, error.failures)

    def _explained(self, error: SyncError) -> SyncError:
        """Return InputChanged where each file that failed is not any more what was planned, else the error itself."""
        files = [self._planned.get(failure.path) for failure in error.failures]
        if error.reason not in (Reason.CONTENT_DIFFERS, Reason.INPUT_UNREADABLE) or not files:
            return error
        how = [changes(self._session.root, file) if file else None for file in files]
        if not all(how):
            return error
        text = (
            f"{len(files)} files under {self._settings.input_path!r} changed while they were synced, the first being "
            f"{error.failures[0].path!r}: {how[0]}. A retry takes what is there then; to be sure of one state, sync a "
            "snapshot."
        )
        return SyncError(Reason.INPUT_CHANGED, text, error.failures)

    def abandon(self) -> None:
        """Leave no commit open that others would wait for; called while ``execute`` runs, before the process ends."""
        self._clients.abandon()

    def _sync(self) -> Report:
        with self._session.timed(Step.PLAN):
            plan = self._plan()
        check_tls_files(self._settings)
        if self._settings.staging is None:
            return DirectSync(self._session, self._clients).run(plan)
        from s3sync_job.atomic import AtomicSync  # noqa: PLC0415 - It imports gRPC.

        return AtomicSync(self._session, self._clients, self._settings.staging).run(plan)

    def _plan(self) -> Plan:
        """Return the plan, all its keys checked."""
        settings, session = self._settings, self._session
        session.say_verbosely(f"walking {settings.input_path}")
        found = find_files(session.root, settings.filter, settings.on_invalid_path)
        plan = make_plan(
            settings.prefix,
            found.files,
            settings.worker,
            allow_empty=settings.allow_empty,
            on_invalid_path=settings.on_invalid_path,
            skipped=found.skipped,
            chosen_by=settings.filter,
        )
        self._planned = {file.path: file for file in plan.mine}
        session.tally.start(len(plan.mine), plan.total_bytes)
        session.console.line(
            f"copying {len(plan.mine)} files, {plan.total_bytes} bytes: {settings.input_path} to {session.destination}"
        )
        for failure in plan.skipped[:MAX_SKIPPED_LINES]:
            session.console.line(f"skipping {failure.path}: {failure.detail}")
        if len(plan.skipped) > MAX_SKIPPED_LINES:
            session.console.line(f"skipping {len(plan.skipped) - MAX_SKIPPED_LINES} more")
        return plan
