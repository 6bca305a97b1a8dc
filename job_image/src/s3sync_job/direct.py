"""Syncs straight to the bucket's branch, as the seed does: each PUT is a commit that pipelines see at once."""

from __future__ import annotations

from s3sync_job.clients import Clients
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.plan import Plan, settle_conflicts
from s3sync_job.report import Report, printable
from s3sync_job.session import Session
from s3sync_job.settings import Client, Verify
from s3sync_job.steps import Step
from s3sync_job.transports import Place, Transport
from s3sync_job.verify import compare_sets


class DirectSync:
    """One worker's sync to the branch itself."""

    def __init__(self, session: Session, clients: Clients) -> None:
        self._session = session
        self._clients = clients

    def run(self, plan: Plan) -> Report:
        """Copy, verify and return the report; raises SyncError."""
        session = self._session
        with session.timed(Step.PROBE):
            plan = self._settled(plan)
        transport = None
        place = self._clients.target_place()
        if plan.mine:
            with session.timed(Step.LOAD):
                transport = self._clients.transport(plan.largest)
            with session.timed(Step.COPY):
                place = self._copy(plan, transport)
        if session.settings.verify is Verify.NONE:
            self._print(plan, transport, place)
            return session.report(plan, None, f"{self._sizes(plan)} copied to {session.destination}, not verified.")
        return self._verified(plan, transport, place)

    def _settled(self, plan: Plan) -> Plan:
        """Return the plan once the branch is known to be there and to have nothing in the way.

        Pachyderm takes a file where it has a directory, and then fails to list the branch; so it must never be sent.
        """
        branch = self._clients.branch()
        branch.probe()
        blocking = branch.file_at(plan.prefix)
        if blocking is not None:
            raise SyncError(
                Reason.INVALID_KEY,
                f"The bucket has a file {blocking!r} where the copy needs a directory; delete it or sync another path.",
            )
        settings = self._session.settings
        settled = settle_conflicts(plan, branch.list_files(plan.prefix), settings.on_invalid_path)
        if settings.worker.index == 0:
            self._session.tally.left(skipped=len(settled.skipped), extra=0, deleted=0)
        if settled is not plan:
            self._session.tally.start(len(settled.mine), settled.total_bytes)
        return settled

    def _copy(self, plan: Plan, transport: Transport) -> Place:
        """Copy the files, in one commit where the client can, and return where they are to be read."""
        session, target = self._session, self._clients.target
        if session.settings.client is not Client.PFS:
            place = self._clients.target_place()
            session.copy(transport, place, plan.mine)
            return place
        pachd, settings = self._clients.pachd(), session.settings
        # Nobody else writes for this worker: what is open by its mark is a dead run's.
        mark = f"s3sync-job for {settings.writer}-w{settings.worker.index}: " if settings.writer else ""
        description = printable(f"{mark or 's3sync-job '}{settings.input_path}")
        # Workers take turns: a branch has one open commit at a time.
        turns = 0 if settings.worker.count == 1 else sum(file.size for file in plan.everything)
        opened = pachd.open_commit(target.branch, description, plan.total_bytes, wait_for=turns, own=mark)
        with session.tally.provisional(), opened as commit:
            place = Place(session.settings.bucket, target.branch, commit)
            session.copy(transport, place, plan.mine)
        return place

    def _verified(self, plan: Plan, transport: Transport | None, place: Place) -> Report:
        session = self._session
        with session.timed(Step.LIST):
            there = self._clients.branch(place.commit).list_files(plan.prefix)
        common, failures = compare_sets(plan, there, session.settings.worker)
        session.tally.failed(len(failures))
        sha256: dict[str, str] = {}
        if transport is not None:
            with session.timed(Step.VERIFY):
                proof = session.prove(transport, place, common, there)
            failures += proof.failures
            sha256 = proof.sha256
            self._print(plan, transport, place, {file.key for file in common})
        session.refuse(plan, failures)
        how = "read back and equal" if session.settings.verify is Verify.FULL else "equal by hash or read back"
        return session.report(plan, sha256, f"{self._sizes(plan)} copied to {session.destination}, {how}.")

    def _print(self, plan: Plan, transport: Transport | None, place: Place, keys: set[str] | None = None) -> None:
        if transport is not None and self._session.settings.print_contents:
            files = [file for file in plan.mine if keys is None or file.key in keys]
            self._session.print_contents(transport, place, files)

    @staticmethod
    def _sizes(plan: Plan) -> str:
        return f"{len(plan.mine)} files, {plan.total_bytes} bytes"
