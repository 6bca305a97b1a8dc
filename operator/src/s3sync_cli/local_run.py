"""A whole sync on this machine: what the operator does before and after the job, and the job."""

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3sync_cli.local_job import Command, JobEnded, LocalJob, command, write_certificates
from s3sync_cli.local_secrets import LocalSecrets
from s3sync_cli.rendering import container_of, manifest_of, run_of
from s3sync_cli.staged_run import stage_and_publish
from s3sync_job import signals
from s3sync_job.outcome import ENDINGS
from s3sync_job.outcome import Reason as JobReason
from s3sync_operator.access import endpoint_url
from s3sync_operator.api import Reason, Spec, Sync
from s3sync_operator.desired import Found, Staging
from s3sync_operator.errors import SyncError, TemporarySyncError
from s3sync_operator.metrics import Metrics
from s3sync_operator.opening import Opened, open_sync
from s3sync_operator.pachd import GrpcPachd
from s3sync_operator.pachyderm import S3Gateway
from s3sync_operator.publisher import Order, Publisher
from s3sync_operator.runs import limits
from s3sync_operator.settings import Settings
from s3sync_operator.staging import is_atomic, mark
from s3sync_operator.status import Outcome

PATIENCE_SECONDS = 300.0
"""How long a busy target, or a server that fails, is waited for; and how long a publish may take."""

CLEAN_SECONDS = 60.0
OF_RETRY = ENDINGS[JobReason.COMMIT_FAILED].code


@dataclass(frozen=True)
class Ended:
    """How the sync ended: the exit code and why, the commit that holds it, and what the job reported."""

    code: int
    reason: str
    message: str
    commit: str | None = None
    report: Mapping[str, Any] | None = None

    @property
    def told(self) -> dict[str, Any]:
        """The same for a program: the job's report, with what came of it after the job."""
        result = (self.report or {}).get("result", "Failed") if self.code == 0 else "Failed"
        ended = {"result": result, "reason": self.reason, "message": self.message, "exitCode": self.code}
        return {**(self.report or {}), **ended, "commit": self.commit}


@dataclass(frozen=True)
class Wanted:
    """What is to be run: the sync, the operator's settings, its Secrets, and where its files lie here, if elsewhere."""

    sync: Sync
    spec: Spec
    settings: Settings
    secrets: LocalSecrets
    input_path: str | None
    here: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """How long the job may take."""
        return float(limits(self.spec, self.settings).run_deadline)


class LocalRun:
    """Runs one sync once. A signal ends it: the job gives up what it has open, and what was staged is removed."""

    def __init__(self, wanted: Wanted, say: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._say = say
        self._job: LocalJob | None = None
        self._task: asyncio.Task[Ended] | None = None
        self._signal: signal.Signals | None = None
        metrics = Metrics()
        self._gateway = S3Gateway(wanted.settings.gateway_timeout, metrics)
        self._pachd = GrpcPachd(wanted.settings.gateway_timeout, metrics)
        self._publisher = Publisher(self._pachd, metrics)

    async def run(self) -> Ended:
        """Run it to its end, whichever that is."""
        with self._hearing_signals():
            self._task = asyncio.create_task(self._run())
            try:
                return await self._task
            except asyncio.CancelledError:
                return self._interrupted()
            except SyncError as error:
                return Ended(exit_code_of(error), error.reason, error.message)
            finally:
                self._publisher.close()
                self._gateway.close()
                self._pachd.close()

    async def _run(self) -> Ended:
        wanted = self._wanted
        opened = await open_sync(wanted.secrets, wanted.sync, wanted.spec)
        if is_atomic(wanted.spec, wanted.settings):
            return await self._atomically(opened)
        url = endpoint_url(wanted.spec, wanted.settings)
        if await self._gateway.ensure_bucket(url, wanted.spec.bucket, opened.credentials, opened.tls):
            self._say(f"created branch '{wanted.spec.effective_branch}' of repo '{wanted.spec.repo}'")
        return _ended(await self._job_of(opened, None))

    async def _atomically(self, opened: Opened) -> Ended:
        wanted = self._wanted
        target = opened.target(wanted.spec, wanted.settings)
        order = Order(wanted.sync, wanted.spec, run_of(wanted.sync, wanted.spec), target)
        branches: list[str] = []

        async def stage(staging: Staging) -> JobEnded:
            branches.append(f"{staging.branch}-w0")
            return await self._job_of(opened, staging)

        async with self._cleaning_up(order, branches):
            staged, outcome = await stage_and_publish(self._publisher, order, stage, PATIENCE_SECONDS, self._say)
        return _ended(staged) if outcome is None else _published(staged, outcome)

    async def _job_of(self, opened: Opened, staging: Staging | None) -> JobEnded:
        with tempfile.TemporaryDirectory(prefix="s3sync-") as folder:
            what = await self._command(opened, staging, Path(folder))
            self._job = LocalJob(what, self._say, self._wanted.seconds)
            return await self._job.run()

    async def _command(self, opened: Opened, staging: Staging | None, folder: Path) -> Command:
        wanted, spec = self._wanted, self._wanted.spec
        found = Found(opened.secret_keys, opened.certificate_keys, staging)
        container = container_of(manifest_of(wanted.sync, spec, wanted.settings, found))
        if spec.cert_secret_ref:
            name = spec.cert_secret_ref.name
            write_certificates(folder, await wanted.secrets.get_secret("", name, "spec.certSecretRef"))
        secret = await wanted.secrets.get_secret("", spec.secret_ref.name, "spec.secretRef") if spec.secret_ref else {}
        return command(container, secret, folder, wanted.here, wanted.input_path, spec.prefix)

    @contextlib.asynccontextmanager
    async def _cleaning_up(self, order: Order, branches: list[str]) -> AsyncIterator[None]:
        """Leave nothing half-done: an open commit of this run goes, and its staging branches do."""
        try:
            yield
        finally:
            if branches:
                await self._clean(order, branches[0])

    async def _clean(self, order: Order, branch: str) -> None:
        """Go as far as that goes; what stays is told, and a signal more leaves it."""
        left = f"warning: staging branch '{branch}' of repo '{order.spec.repo}' may be left; delete it with pachctl"
        try:
            async with asyncio.timeout(CLEAN_SECONDS):
                await self._publisher.give_up(order)
                if self._signal:
                    await self._tell_of_publish(order)
                if not await self._pachd.remove_branch(order.target, branch):
                    self._say(left)
        except (SyncError, TimeoutError) as error:
            self._say(f"{left} ({error})")
        except asyncio.CancelledError:
            self._say(left)
            raise

    async def _tell_of_publish(self, order: Order) -> None:
        """A signal may come when the publish can no longer be stopped."""
        for commit in await self._pachd.history(order.target, order.spec.effective_branch, None, 1):
            if commit.description.startswith(mark(order.sync, order.run)):
                self._say(f"the sync is published all the same, as commit {commit.id}")

    @contextlib.contextmanager
    def _hearing_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = signals.heard()
        for number in numbers:
            loop.add_signal_handler(number, self._interrupt, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _interrupt(self, number: signal.Signals) -> None:
        """Let a job that runs report its own end; at the second signal, or without a job, stop what is under way."""
        again, self._signal = self._signal is not None, number
        if self._job is not None and self._job.runs and not again:
            self._job.signal(number)
            self._say(f"{number.name}: ending; once more to end at once")
        elif self._task is not None:
            self._task.cancel()

    def _interrupted(self) -> Ended:
        number = self._signal or signal.SIGINT
        text = f"ended by {number.name} before it was done; run it again"
        return Ended(128 + number, JobReason.TERMINATED, text)


def exit_code_of(error: SyncError) -> int:
    """Return s3sync-job's exit code for the reason, or for one of the operator's, 1 or a code that asks for a retry."""
    if error.reason in ENDINGS:
        return ENDINGS[JobReason(error.reason)].code
    if error.reason in (Reason.SECRET_NOT_FOUND, Reason.SECRET_INVALID, Reason.INVALID_SPEC):
        return ENDINGS[JobReason.INVALID_ARGUMENTS].code
    return OF_RETRY if isinstance(error, TemporarySyncError) else 1


def _ended(job: JobEnded) -> Ended:
    report = job.report
    if report is None:
        code = job.code if job.code and job.code > 0 else 1
        return Ended(code, Reason.REPORT_MISSING, f"s3sync-job ended with exit code {job.code} and without a report")
    return Ended(report["exitCode"], report["reason"], report["message"], None, report)


def _published(job: JobEnded, outcome: Outcome) -> Ended:
    codes = {"Succeeded": 0, "Permanent": 1}
    return Ended(codes.get(outcome.kind, OF_RETRY), outcome.reason, outcome.message, outcome.commit, job.report)
