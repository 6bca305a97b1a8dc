"""Syncs to a staging branch, for the operator to publish in one commit: all that differs, verified, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from s3sync_job import manifest as manifests
from s3sync_job.batches import LONE_FILES, ROUND_FILES, batches
from s3sync_job.clients import Clients
from s3sync_job.compare import Delta, There, check_prune_limit, delta, extra_keys, may_be_unchanged
from s3sync_job.content_hash import Fingerprint
from s3sync_job.filters import EVERYTHING
from s3sync_job.manifest import Manifest, is_reusable, parse_manifest, plan_digest, tree_digest
from s3sync_job.outcome import Reason, SyncError
from s3sync_job.pachd import PachdClient
from s3sync_job.plan import SOLE_WORKER, Plan, PlannedFile, settle_conflicts
from s3sync_job.report import Report, Staged
from s3sync_job.session import Proof, Session
from s3sync_job.settings import Client, Staging, Verify
from s3sync_job.steps import Step
from s3sync_job.transports import Place, Transport
from s3sync_job.verify import compare_sets

STAGING_WRITERS = 4
"""Writers to one open commit. Seen on 2.12, 80 files in rounds of 16, on two cores: 8.1 s by 2, 6.9 by 4, 7.6 by 8."""

Batch = Sequence[PlannedFile]
"""The files of one commit."""

Rounds = Sequence[Batch]
"""A batch, cut into what the commit holds at a time."""

BATCH_ATTEMPTS = 3
BATCH_BACKOFF_SECONDS = 1.0
"""A batch whose commit was dropped since pachd could not be reached is sent again, so often, after growing pauses."""


class AtomicSync:
    """One worker's part of an atomic sync."""

    def __init__(self, session: Session, clients: Clients, staging: Staging) -> None:
        self._session = session
        self._clients = clients
        self._staging = staging
        self._pachd: PachdClient = clients.pachd()
        self._marks: dict[str, Fingerprint] = {}
        self._extra: tuple[str, ...] = ()
        self._mark = f"s3sync-job on {staging.branch}:"

    def run(self, plan: Plan) -> Report:
        """Stage what differs from the base commit, verify it, leave a manifest, and return the report."""
        session = self._session
        with session.timed(Step.PROBE):
            self._probe()
        with session.timed(Step.DIFF):
            plan, changes = self._changes(plan)
            earlier = self._earlier(plan, changes)
        if earlier is not None:
            return self._reused(plan, changes, *earlier)
        self._pachd.delete_branch(self._staging.branch, self._mark)
        for file in changes.unchanged:
            session.tally.unchanged(file.size)
        proof, tree = self._stage(plan, changes) if changes.stage else (Proof(), tree_digest({}))
        sha256 = {**{file.key: self._marks[file.key].sha256 for file in changes.unchanged}, **proof.sha256}
        with session.timed(Step.FINISH):
            commit = self._leave(plan, replace(self._manifest(plan, changes, sha256), tree=tree))
        return self._report(plan, changes, sha256, commit)

    def _probe(self) -> None:
        """Raise the SyncError that tells why pachd, or for the S3 clients the gateway, cannot be used."""
        settings = self._session.settings
        self._pachd.probe(self._clients.target.branch)
        if settings.client is not Client.PFS:
            self._clients.gateway().probe(settings.bucket)

    def _changes(self, plan: Plan) -> tuple[Plan, Delta]:
        """Return the plan, with nothing of the base commit in its way, and what of it is to be staged.

        Raises:
            SyncError: InvalidKey, PruneLimitExceeded.
        """
        settings, tally = self._session.settings, self._session.tally
        there = self._base_files(plan)
        self._extra = extra_keys(plan, there)
        deleted = self._deleted()
        if settings.prune:
            check_prune_limit(settings.prune, self._extra, len(there))
        if deleted and settings.worker.index == 0:
            # The operator has to read what it is to delete; of other manifests it can do without.
            manifests.check_size(plan.mine, deleted)
        plan = settle_conflicts(plan, set(there).difference(deleted), settings.on_invalid_path)
        tally.start(len(plan.mine), plan.total_bytes)
        if settings.worker.index == 0:
            tally.left(skipped=len(plan.skipped), extra=len(self._extra), deleted=len(deleted))
        for file, mark in self._session.fingerprints(may_be_unchanged(plan, there)):
            self._marks[file.key] = mark
        return plan, delta(plan, there, {key: mark.pachyderm for key, mark in self._marks.items()})

    def _base_files(self, plan: Plan) -> Mapping[str, There]:
        """Return what the base commit has under the destination; raises InvalidKey where a file is in its place."""
        base = self._staging.base
        if base is None:
            return {}
        blocking = self._pachd.file_at(base, plan.prefix)
        if blocking is not None:
            raise SyncError(
                Reason.INVALID_KEY,
                f"The repo has a file {blocking!r} where the copy needs a directory; delete it or sync another path.",
            )
        return self._pachd.list_files(base, plan.prefix)

    def _deleted(self) -> tuple[str, ...]:
        """Return the keys that are to go."""
        prune = self._session.settings.prune
        return self._extra if prune and not prune.dry_run else ()

    def _manifest(self, plan: Plan, changes: Delta, sha256: Mapping[str, str]) -> Manifest:
        settings = self._session.settings
        unchanged = frozenset(file.key for file in changes.unchanged)
        return Manifest(
            base=self._staging.base,
            worker=settings.worker,
            destination=plan.prefix,
            verification=settings.verify.value,
            files=manifests.entries(plan.mine, unchanged, sha256),
            delete=self._deleted() if settings.worker.index == 0 else (),
            plan=plan_digest(plan.everything),
        )

    def _earlier(self, plan: Plan, changes: Delta) -> tuple[str, Manifest] | None:
        """Return the commit and the manifest of an earlier attempt that staged just this, if there is one."""
        head = self._pachd.head(self._staging.branch)
        if head is None or not head.finished or head.error or not head.description.startswith(self._mark):
            return None
        try:
            content = b"".join(self._pachd.read(head.commit, manifests.PATH.removeprefix("/"), 0))
        except SyncError as error:
            if error.reason is Reason.BUCKET_NOT_FOUND:
                return None
            raise
        found = parse_manifest(content)
        if found is None or not is_reusable(found, self._manifest(plan, changes, {}), plan.mine):
            return None
        untouched = found.tree == self._tree(head.commit, plan)
        return (head.commit, found) if untouched and self._is_same(plan, found) else None

    def _tree(self, commit: str, plan: Plan) -> str:
        """Return the digest of what a commit holds under the destination."""
        return tree_digest(self._pachd.list_files(commit, plan.prefix))

    def _is_same(self, plan: Plan, found: Manifest) -> bool:
        """Tell whether the input's contents are still those of the manifest."""
        unread = [file for file in plan.mine if file.key not in self._marks]
        for file, mark in self._session.fingerprints(unread):
            self._marks[file.key] = mark
        return all(self._marks[entry.key].sha256 == entry.sha256 for entry in found.files)

    def _reused(self, plan: Plan, changes: Delta, commit: str, found: Manifest) -> Report:
        """Return the report of the earlier attempt, as if it were this one's."""
        tally = self._session.tally
        for file in changes.unchanged:
            tally.unchanged(file.size)
        for file in changes.stage:
            tally.copied(file.size)
            if self._session.settings.verify is not Verify.NONE:
                tally.verified(file.size)
        sha256 = {entry.key: entry.sha256 for entry in found.files if entry.sha256 is not None}
        return self._report(plan, changes, sha256, commit, ", all by an earlier attempt")

    def _stage(self, plan: Plan, changes: Delta) -> tuple[Proof, str]:
        """Copy what differs to the staging branch, and prove it there; return the proof, and the digest of the tree.

        Raises:
            SyncError: any of it failed.
        """
        session = self._session
        with session.timed(Step.LOAD):
            transport = self._clients.transport(max(file.size for file in changes.stage), STAGING_WRITERS)
        with session.timed(Step.COPY):
            commit = self._copy(transport, changes.stage)
        place = self._reading_place(commit)
        with session.timed(Step.LIST):
            there = self._pachd.list_files(commit, plan.prefix)
        proof = Proof()
        if session.settings.verify is Verify.NONE:
            self._check_presence(commit, changes.stage, there)
        else:
            proof = self._prove(plan, changes, transport, place, there)
        if session.settings.print_contents:
            session.print_contents(transport, place, changes.stage)
        self._check_head(commit)
        return proof, tree_digest(there)

    def _copy(self, transport: Transport, files: Sequence[PlannedFile]) -> str:
        """Copy the files in batches, a commit each, and return the last commit; pfs needs no more than one."""
        if self._session.settings.client is Client.PFS:
            return self._copy_batch(transport, [files])
        staging = self._staging
        first, *others = batches(files, staging.batch_files, staging.batch_bytes)
        commit = self._copy_batch(transport, _rounds(first))
        for batch in self._later(others):
            commit = self._copy_batch(transport, batch)
        return commit

    def _later(self, others: Sequence[Batch]) -> Iterator[Rounds]:
        """Yield the batches after the first, which have files below them: smaller ones, of a round each, where pachd
        would set these aside as well."""
        if any(len(batch) > ROUND_FILES for batch in others) and not self._pachd.tells_changes():
            for batch in others:
                for part in batches(batch, LONE_FILES, sys.maxsize):
                    yield [part]
            return
        yield from map(_rounds, others)

    def _copy_batch(self, transport: Transport, rounds: Rounds) -> str:
        pause = BATCH_BACKOFF_SECONDS
        for _ in range(BATCH_ATTEMPTS - 1):
            try:
                return self._copy_once(transport, rounds)
            except SyncError as error:
                if error.reason is not Reason.PACHD_UNREACHABLE:
                    raise
            time.sleep(pause)
            pause *= 2
        return self._copy_once(transport, rounds)

    def _copy_once(self, transport: Transport, rounds: Rounds) -> str:
        """Copy a batch in a commit of its own, which is dropped where that fails."""
        session, branch = self._session, self._staging.branch
        sizes = [file.size for files in rounds for file in files]
        description = f"{self._mark} stages {len(sizes)} files"
        with session.tally.provisional(), self._pachd.open_commit(branch, description, sum(sizes)) as commit:
            place = Place(self._clients.target.bucket(branch), branch, commit)
            *earlier, last = rounds
            held = []
            for files in earlier:
                session.copy(transport, place, files)
                held.append(self._pachd.set_aside(commit))
            session.copy(transport, place, last)
            if held:
                self._pachd.put_back(commit, held)
            # A PUT to a branch whose head was closed meanwhile makes a commit of its own.
            self._check_head(commit)
        return commit

    def _reading_place(self, commit: str) -> Place:
        """Return the staged commit; the MinIO client takes no bucket names as long as those with a commit's ID."""
        branch = self._staging.branch
        by_head = self._session.settings.client is Client.MINIO
        return Place(self._clients.target.bucket(branch, None if by_head else commit), branch, commit)

    def _prove(
        self, plan: Plan, changes: Delta, transport: Transport, place: Place, there: Mapping[str, There]
    ) -> Proof:
        """Prove that the staged commit holds the files to be staged, and nothing else under the destination."""
        session = self._session
        staged = replace(plan, everything=changes.stage, mine=changes.stage, skipped=(), filter=EVERYTHING)
        common, failures = compare_sets(staged, there, SOLE_WORKER)
        session.tally.failed(len(failures))
        with session.timed(Step.VERIFY):
            proof = session.prove(transport, place, common, there)
        session.refuse(plan, [*failures, *proof.failures])
        return proof

    def _check_presence(self, commit: str, files: Sequence[PlannedFile], there: Mapping[str, There]) -> None:
        """Raise CommitFailed where a file that was sent is not there at all: also what nobody verifies must not go."""
        lost = [file.key for file in files if file.key not in there]
        if lost:
            text = f"{len(lost)} files that were sent are not in commit {commit}, the first being {lost[0]!r}"
            raise SyncError(Reason.COMMIT_FAILED, f"{text}; does another run write to {self._staging.branch!r}?")

    def _check_head(self, commit: str) -> None:
        """Raise CommitFailed if the staging branch has moved: somebody else writes to it."""
        head = self._pachd.head(self._staging.branch)
        if head is None or head.commit != commit:
            raise self._written_by_others(f"is not the commit {commit} any more")

    def _written_by_others(self, what: str) -> SyncError:
        branch = self._staging.branch
        return SyncError(
            Reason.COMMIT_FAILED, f"The head of the staging branch {branch!r} {what}; does another run write to it?"
        )

    def _leave(self, plan: Plan, manifest: Manifest) -> str:
        """Write the manifest in a commit of its own, and return that once it is known to hold what was proved."""
        content = manifest.dump()
        description = f"{self._mark} leaves its manifest"
        with self._pachd.open_commit(self._staging.branch, description, len(content)) as commit:
            self._pachd.put(commit, manifests.PATH, content)
        if self._tree(commit, plan) != manifest.tree:
            raise self._written_by_others("holds more or other files than were verified")
        return commit

    def _report(self, plan: Plan, changes: Delta, sha256: Mapping[str, str], commit: str, how: str = "") -> Report:
        settings, staging = self._session.settings, self._staging
        proved = settings.verify is not Verify.NONE
        verified = f"verified ({settings.verify.value})" if proved else "not verified"
        message = (
            f"{len(changes.stage)} files, {sum(file.size for file in changes.stage)} bytes staged for "
            f"{self._session.destination} and {verified}, {len(changes.unchanged)} files unchanged{how}."
        )
        report = self._session.report(plan, sha256 if proved else None, message)
        first = settings.worker.index == 0
        dry_run = first and settings.prune is not None and settings.prune.dry_run
        return replace(
            report,
            staged=Staged(staging.branch, commit, staging.base, plan_digest(plan.everything)),
            would_delete=self._extra if dry_run else None,
        )


def _rounds(batch: Batch) -> Rounds:
    return list(batches(batch, ROUND_FILES, sys.maxsize))
