"""The order of a run's steps: plan, probe, copy, list, compare, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from s3sync_job.console import Console
from s3sync_job.diagnose import COPIED, READ_BACK, ErrorLog
from s3sync_job.gateway import BucketClient
from s3sync_job.outcome import ENDINGS, Failure, Reason, SyncError, Verdict
from s3sync_job.parallel import ByteBudget, StalledError, unordered
from s3sync_job.plan import Plan, PlannedFile, check_conflicts, make_plan
from s3sync_job.progress import Tally
from s3sync_job.report import Report, failed
from s3sync_job.scan import find_files
from s3sync_job.settings import Settings, plugin_environment
from s3sync_job.steps import Step, Steps
from s3sync_job.store import STAGING_FOLDER, TensorFlowStore
from s3sync_job.tensorflow_io_loader import load_file_io
from s3sync_job.verify import (
    CHUNK,
    READ_BUFFER,
    Comparison,
    buffer_size,
    compare_sets,
    compare_streams,
    manifest_digest,
)

MIN_PATIENCE = 600.0
SLOWEST_RATE = 1e6
"""If no file is finished for ten minutes, and 1 s more for each of the largest file's megabytes, the gateway hangs."""

COPY_BUDGET = 32 * 1024 * 1024
"""Bytes of small files on their way at once; a larger file is copied alone, since the plugin holds it in memory."""


_Result = TypeVar("_Result")


class Run:
    """One sync of one worker. ``execute`` may run in any thread; ``tally`` may be read meanwhile."""

    def __init__(self, settings: Settings, tally: Tally, console: Console, steps: Steps) -> None:
        self._settings = settings
        self._tally = tally
        self._timed = steps.timed
        self._console = console
        self._root = Path(settings.input_path)
        self._bucket = BucketClient(settings.gateway, settings.bucket)
        self._started = time.monotonic()

    def execute(self) -> Report:
        """Copy, verify and return the report; whatever keeps the run from its end is in the report as well."""
        try:
            return self._sync()
        except SyncError as error:
            counts = self._tally.snapshot()[1]
            return failed(error.reason, error.message, counts, self._seconds(), self._settings.worker, error.failures)

    def _sync(self) -> Report:
        with self._timed(Step.PLAN):
            plan = self._plan()
        with self._timed(Step.PROBE):
            self._bucket.probe()
            self._refuse_conflicts(plan)
        with self._timed(Step.LOAD):
            store = self._load(plan) if plan.mine else None
        if store:
            with self._timed(Step.COPY):
                self._copy(plan, store)
        with self._timed(Step.LIST):
            there = self._bucket.list_keys(plan.prefix)
        common, failures = compare_sets(plan, there, self._settings.worker)
        self._tally.failed(len(failures))
        digests: dict[str, str] = {}
        if store:
            with self._timed(Step.VERIFY):
                failures += self._compare(common, store, digests)
            if self._settings.print_contents:
                self._print(common, store)
        return self._judge(plan, failures, digests)

    def _plan(self) -> Plan:
        """Return the plan, all its keys checked."""
        settings = self._settings
        self._say_verbosely(f"walking {settings.input_path}")
        found = find_files(self._root)
        plan = make_plan(settings.prefix, found, settings.worker, allow_empty=settings.allow_empty)
        self._tally.start(len(plan.mine), plan.total_bytes)
        self._console.line(
            f"copying {len(plan.mine)} files, {plan.total_bytes} bytes: {settings.input_path} to {self._destination}"
        )
        return plan

    @property
    def _destination(self) -> str:
        prefix = self._settings.prefix
        return f"s3://{self._settings.bucket}/{prefix}{'/' if prefix else ''}"

    def _refuse_conflicts(self, plan: Plan) -> None:
        """Raise InvalidKey where the bucket has a file in place of a directory or the other way about.

        Pachyderm takes such a file, and then fails to list the branch that has it; so it must never be sent.
        """
        blocking = self._bucket.file_at(plan.prefix)
        if blocking is not None:
            raise SyncError(
                Reason.INVALID_KEY,
                f"The bucket has a file {blocking!r} where the copy needs a directory; delete it or sync another path.",
            )
        check_conflicts(plan, self._bucket.list_keys(plan.prefix))

    def _load(self, plan: Plan) -> TensorFlowStore:
        """Return the store, TensorFlow being loaded only now: its plugin is told the size of the largest file."""
        free = shutil.disk_usage(STAGING_FOLDER).free
        if free < plan.largest:
            raise SyncError(
                Reason.INVALID_ARGUMENTS,
                f"{STAGING_FOLDER} has {free} bytes free, but TensorFlow stages each upload there and the largest file "
                f"has {plan.largest}; mount a larger volume there.",
            )
        file_io, errors = load_file_io(plugin_environment(self._settings.gateway, plan.largest, self._settings.threads))
        return TensorFlowStore(file_io, errors, self._settings.bucket)

    def _copy(self, plan: Plan, store: TensorFlowStore) -> None:
        """Copy this worker's files; raises SyncError if not all arrived."""
        budget = ByteBudget(COPY_BUDGET)

        def copy_one(file: PlannedFile) -> None:
            source = self._root / file.path
            with budget.hold(file.size):
                self._say_verbosely(f"copying {source} to {store.url(file.key)}")
                store.copy(source, file.key)
            self._tally.copied(file.size)

        self._tally.enter("copied")
        errors = ErrorLog(COPIED, self._root, store, self._bucket)
        for file, future in self._each(copy_one, plan.mine):
            error = future.exception()
            if error is not None:
                self._tally.failed()
                errors.note(file, error)
        errors.raise_if_any()

    def _compare(self, files: list[PlannedFile], store: TensorFlowStore, digests: dict[str, str]) -> list[Failure]:
        """Return the files that are not equal on both sides, after adding the SHA-256 of the others to ``digests``.

        Raises:
            SyncError: files could not be read, and none was found to differ.
        """
        budget = ByteBudget(READ_BUFFER)

        def compare_one(file: PlannedFile) -> Comparison:
            buffer = buffer_size(file.size)
            with budget.hold(buffer), (self._root / file.path).open("rb") as here:
                return compare_streams(here, store.open(file.key, buffer), file.size)

        self._tally.enter("verified")
        errors = ErrorLog(READ_BACK, self._root, store, self._bucket)
        unequal: list[Failure] = []
        for file, future in self._each(compare_one, files):
            error = future.exception()
            if error is not None:
                self._tally.failed()
                errors.note(file, error)
            elif (comparison := future.result()).sha256 is None:
                self._tally.failed()
                unequal.append(Failure(file.path, comparison.verdict, comparison.detail))
            else:
                self._tally.verified(file.size)
                digests[file.key] = comparison.sha256
        if not unequal:
            errors.raise_if_any()
        return [*unequal, *errors.failures]

    def _each(
        self, work: Callable[[PlannedFile], _Result], files: Iterable[PlannedFile]
    ) -> Iterator[tuple[PlannedFile, Future[_Result]]]:
        """Do ``work`` on all files with many threads, the largest first.

        The plugin keeps the memory that a transfer has touched, by thread. In this order only the first threads meet
        large files, and no large file is left to the end.
        """
        largest_first = sorted(files, key=lambda file: -file.size)
        patience = MIN_PATIENCE + (largest_first[0].size / SLOWEST_RATE if largest_first else 0)
        try:
            yield from unordered(work, largest_first, threads=self._settings.threads, patience=patience)
        except StalledError as error:
            raise SyncError(Reason.SERVER_ERROR, f"{self._settings.gateway.endpoint} hangs: {error}.") from error

    def _print(self, files: list[PlannedFile], store: TensorFlowStore) -> None:
        """Print what the bucket holds as the seed's script does, whatever bytes it is."""
        for file in files:
            directory, _, name = store.url(file.key).rpartition("/")
            self._console.write(f"printing {name} in {directory}  as string: >>".encode())
            reader = store.open(file.key, buffer_size(file.size))
            while content := reader.read(CHUNK):
                self._console.write(content)
            self._console.write(b"<<\n")

    def _judge(self, plan: Plan, failures: list[Failure], digests: dict[str, str]) -> Report:
        """Return the report of a run that came to its end."""
        if failures:
            ordered = tuple(sorted(failures, key=lambda failure: failure.path))
            unequal = sum(failure.verdict is not Verdict.ERROR for failure in ordered)
            raise SyncError(
                Reason.CONTENT_DIFFERS,
                f"{unequal} of {len(plan.mine)} files do not match between the input and {self._destination}, the "
                f"first being {ordered[0].path!r} ({ordered[0].verdict}): {ordered[0].detail}.",
                ordered,
            )
        return Report(
            Reason.VERIFIED,
            f"{len(plan.mine)} files, {plan.total_bytes} bytes copied to {self._destination}, read back and equal.",
            ENDINGS[Reason.VERIFIED].code,
            self._tally.snapshot()[1],
            self._seconds(),
            self._settings.worker,
            digest=manifest_digest(plan.mine, digests),
        )

    def _say_verbosely(self, text: str) -> None:
        """Say what the seed's script says while it walks and copies, with --print."""
        if self._settings.print_contents:
            self._console.line(text)

    def _seconds(self) -> float:
        return time.monotonic() - self._started
