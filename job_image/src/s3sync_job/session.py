"""What every way of syncing does alike: it copies files, proves them, and reports, keeping count."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from s3sync_job.batches import batches
from s3sync_job.compare import There
from s3sync_job.console import Console
from s3sync_job.content_hash import Fingerprint, fingerprint
from s3sync_job.diagnose import COPIED, READ_BACK, ErrorLog
from s3sync_job.outcome import ENDINGS, Failure, Reason, SyncError, Verdict
from s3sync_job.parallel import StalledError, unordered
from s3sync_job.plan import Plan, PlannedFile
from s3sync_job.progress import Tally
from s3sync_job.reading import WholeReads, open_input, pieces_of
from s3sync_job.report import Report
from s3sync_job.settings import Settings, Verify
from s3sync_job.steps import Steps
from s3sync_job.transports import Place, Transport
from s3sync_job.verify import CHUNK, Comparison, manifest_digest

HASHED_TOGETHER, HASHED_BYTES = 64, 4 * 1024 * 1024
"""Small files are hashed so many at a time: a thread's turn takes longer than to read one."""

HASH_SECONDS = 3600.0
"""Hashing is the local disk's matter; if no file was read in an hour, that hangs."""


@dataclass
class Proof:
    """What verification found: the files that failed, and the SHA-256 (hex) by key of those that are proved equal."""

    failures: list[Failure] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)


class Session:
    """One run's settings, counts and output. Its methods may be called from any one thread."""

    def __init__(self, settings: Settings, tally: Tally, console: Console, steps: Steps) -> None:
        self.settings = settings
        self.tally = tally
        self.console = console
        self.timed = steps.timed
        self.root = Path(settings.input_path)
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Return how long the run has been going on."""
        return time.monotonic() - self._started

    @property
    def destination(self) -> str:
        """Where the files go, as an URL with a slash at its end."""
        prefix = self.settings.prefix
        return f"s3://{self.settings.bucket}/{prefix}{'/' if prefix else ''}"

    def say_verbosely(self, text: str) -> None:
        """Say what the seed's script says while it walks and copies, with --print."""
        if self.settings.print_contents:
            self.console.line(text)

    def copy(self, transport: Transport, place: Place, files: Sequence[PlannedFile]) -> None:
        """Copy the files; raises SyncError if not all arrived."""
        errors = ErrorLog(COPIED, self.root, transport, place)

        def started(file: PlannedFile) -> None:
            self.say_verbosely(f"copying {self.root / file.path} to s3://{place.bucket}/{file.key}")

        def copied(file: PlannedFile, error: BaseException | None) -> None:
            if error is None:
                self.tally.copied(file.size)
                return
            self.tally.failed()
            errors.note(file, error)

        self.tally.enter("copied")
        transport.copy(place, files, self.root, started, copied)
        errors.raise_if_any()

    def prove(
        self, transport: Transport, place: Place, files: Sequence[PlannedFile], there: Mapping[str, There]
    ) -> Proof:
        """Prove the files by the level that the settings ask for, where ``there`` lists what the place holds."""
        self.tally.enter("verified")
        proof = Proof()
        left = list(files)
        if self.settings.verify is Verify.CHECKSUM:
            left = self._prove_by_hash(left, there, proof)
        if left:
            self._read_back(transport, place, left, proof, sum(found.size for found in there.values()))
        return proof

    def fingerprints(self, files: Sequence[PlannedFile]) -> Iterator[tuple[PlannedFile, Fingerprint]]:
        """Yield the fingerprints of local files, as they are known; raises SyncError InputUnreadable."""
        groups = batches(files, HASHED_TOGETHER, HASHED_BYTES)
        try:
            for group, future in unordered(
                self._fingerprints, groups, threads=self.settings.threads, patience=HASH_SECONDS
            ):
                yield from zip(group, future.result(), strict=True)
        except StalledError as error:
            raise SyncError(Reason.INPUT_UNREADABLE, f"{self.settings.input_path!r}: {error}.") from error

    def print_contents(self, transport: Transport, place: Place, files: Sequence[PlannedFile]) -> None:
        """Print what the repo holds as the seed's script does, whatever bytes it is."""
        # No line of progress may come between the pieces of one file's.
        self.tally.enter("")
        for file in files:
            directory, _, name = f"s3://{place.bucket}/{file.key}".rpartition("/")
            self.console.write(f"printing {name} in {directory}  as string: >>".encode())
            with transport.open(place, file) as reader:
                for content in pieces_of(reader, CHUNK):
                    self.console.write(content)
            self.console.write(b"<<\n")

    def refuse(self, plan: Plan, failures: Sequence[Failure]) -> None:
        """Raise ContentDiffers if there is any failure."""
        if not failures:
            return
        ordered = tuple(sorted(failures, key=lambda failure: failure.path))
        unequal = sum(failure.verdict is not Verdict.ERROR for failure in ordered)
        raise SyncError(
            Reason.CONTENT_DIFFERS,
            f"{unequal} of {len(plan.mine)} files do not match between the input and {self.destination}, the "
            f"first being {ordered[0].path!r} ({ordered[0].verdict}): {ordered[0].detail}.",
            ordered,
        )

    def report(self, plan: Plan, sha256: Mapping[str, str] | None, message: str) -> Report:
        """Return the report of a run that came to its end; without ``sha256`` by key nothing was verified."""
        reason = Reason.COPIED if sha256 is None else Reason.VERIFIED
        return Report(
            reason,
            message,
            ENDINGS[reason].code,
            self.tally.snapshot()[1],
            self.seconds(),
            self.settings.worker,
            digest=None if sha256 is None else manifest_digest(plan.mine, sha256),
            verification=self.settings.verify,
            skipped=plan.skipped if self.settings.worker.index == 0 else (),
        )

    def _prove_by_hash(
        self, files: Sequence[PlannedFile], there: Mapping[str, There], proof: Proof
    ) -> list[PlannedFile]:
        """Return the files that Pachyderm's hashes do not prove: these may differ, or lie there in other chunks."""
        hashed = [file for file in files if there[file.key].hash is not None and there[file.key].size == file.size]
        left = {file.key for file in files}
        for file, mark in self.fingerprints(hashed):
            if mark.pachyderm == there[file.key].hash:
                left.discard(file.key)
                proof.sha256[file.key] = mark.sha256
                self.tally.verified(mark.size)
        return [file for file in files if file.key in left]

    def _read_back(
        self, transport: Transport, place: Place, files: Sequence[PlannedFile], proof: Proof, listed: int
    ) -> None:
        """Compare the files byte for byte.

        Raises:
            SyncError: files could not be read, and none was found to differ.
        """
        errors = ErrorLog(READ_BACK, self.root, transport, place)

        def compared(file: PlannedFile, result: Comparison | BaseException) -> None:
            if isinstance(result, BaseException):
                self.tally.failed()
                errors.note(file, result)
            elif result.sha256 is None:
                self.tally.failed()
                proof.failures.append(Failure(file.path, result.verdict, result.detail))
            else:
                self.tally.verified(file.size)
                proof.sha256[file.key] = result.sha256

        transport.compare(place, files, self.root, compared, listed)
        if not proof.failures:
            errors.raise_if_any()
        proof.failures.extend(errors.failures)

    def _fingerprints(self, files: Sequence[PlannedFile]) -> list[Fingerprint]:
        root = str(self.root)
        return [_fingerprint(root, file) for file in files]


def _fingerprint(root: str, file: PlannedFile) -> Fingerprint:
    try:
        with open_input(root, file.path) as raw:
            return fingerprint(pieces_of(WholeReads(raw), min(CHUNK, file.size + 1)))
    except OSError as error:
        raise SyncError(
            Reason.INPUT_UNREADABLE,
            f"{file.path!r} is no longer readable: {error.strerror or error}",
            (Failure(file.path, Verdict.ERROR, error.strerror or str(error)),),
        ) from error
