"""Pure: how a staged run gets onto its target in exactly one commit, from the target's history and the reports.

Nothing is kept in memory between steps: a run's commit is told by its description, which begins with the run's mark. An
attempt builds upon the newest commit there was, so a commit of the run that came after that is this attempt's. So
whoever looks next goes on from there, after any crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from s3sync_operator.api import Reason, Spec
from s3sync_operator.report import Report

MOST_COMMITS = 10_000
"""So far back in a target's history a run's commit is looked for: at one a minute, a week of others' commits."""


@dataclass(frozen=True)
class CommitSeen:
    """A commit: Open takes changes, Finishing no more, Finished is final, perhaps with an `error` (else empty).

    `started` is by pachd's clock, None where it does not tell; `branch` is the one that the commit was made on, empty
    where that is not known.
    """

    id: str
    parent: str | None
    description: str
    state: Literal["Open", "Finishing", "Finished"]
    error: str = ""
    started: datetime | None = None
    branch: str = ""


@dataclass(frozen=True)
class Publication:
    """What is to be published: the `mark` that the run's commit begins its description with, the commit built upon, the
    directory, the workers' last commits that staged anything, the one whose manifest tells what to delete, and how many
    files that takes to copy or delete.

    It `relies_on_base` where files were left as they are there, or are to be deleted. `same` is a later commit, by
    others, that holds the same below the directory: what was found of the base is true of it as well.
    """

    mark: str
    base: str | None
    prefix: str
    staged: tuple[str, ...]
    deletes_of: str | None
    files: int
    relies_on_base: bool
    same: str | None = None

    def fits(self, parent: str | None) -> bool:
        """Tell whether what is to be published can go onto this commit."""
        return not self.relies_on_base or parent in (self.base, self.same)

    @property
    def empty(self) -> bool:
        """Whether the target is already as it is to be."""
        return not self.staged and self.deletes_of is None


@dataclass(frozen=True)
class Published:
    """The run's commit is there, finished and without an error."""

    commit: str
    description: str


@dataclass(frozen=True)
class Unchanged:
    """There is nothing to publish: the commit (None: none at all) holds all already."""

    commit: str | None


@dataclass(frozen=True)
class Start:
    """Start the run's commit on the target."""


@dataclass(frozen=True)
class Fill:
    """Bring everything into the run's open commit, and finish that; doing so twice does no more than once."""

    commit: str


@dataclass(frozen=True)
class Await:
    """The run's commit is finishing."""

    commit: str


@dataclass(frozen=True)
class Drop:
    """Remove a commit of the run that cannot be what is wanted; `error` is what Pachyderm found wrong with it."""

    commit: str
    error: str = ""


@dataclass(frozen=True)
class Spoilt:
    """The run's commit finished with an error, and others have built upon it, so it stays."""

    error: str


@dataclass(frozen=True)
class Busy:
    """Somebody else holds the target's head open."""

    commit: str
    description: str


@dataclass(frozen=True)
class Moved:
    """The target is not what the run built upon any more: all must be compared anew."""

    head: str


INPUTS_DIFFER = (
    Reason.INPUT_CHANGED,
    "the input changed while the workers began, so they did not all see the same files",
)
"""Each worker has then shared out other files than the rest, so that one may be nobody's."""

Step = Published | Unchanged | Start | Fill | Await | Drop | Spoilt | Busy | Moved


def disagreement(reports: Sequence[Report]) -> tuple[Reason, str] | None:
    """Return reason and message where the workers' reports are not of one staging, None where they are."""
    staged = [report.staged for report in reports if report.staged]
    if len({item.base for item in staged}) > 1:
        return Reason.TARGET_MOVED, "the workers did not all build upon the same commit"
    if len({item.plan for item in staged}) > 1:
        return INPUTS_DIFFER
    return None


def publication(spec: Spec, reports: Sequence[Report], mark: str) -> Publication:
    """Return what the workers' reports leave to publish, which are of one staging."""
    base = next(report.staged.base for report in reports if report.staged)
    deletes = next((report.staged.commit for report in reports if report.staged and report.files.deleted), None)
    return Publication(
        mark=mark,
        base=base,
        prefix=spec.prefix,
        staged=tuple(report.staged.commit for report in reports if report.staged and report.files.copied),
        deletes_of=deletes,
        files=sum(report.files.copied + report.files.deleted for report in reports),
        relies_on_base=_prunes(spec) or any(report.files.unchanged or report.files.deleted for report in reports),
    )


def _prunes(spec: Spec) -> bool:
    """Tell whether what is not in the source must not be in the target: what came since the base would be left."""
    return spec.prune is not None and not spec.prune.dry_run


def stranger(reports: Sequence[Report], staging_branch: str) -> str | None:
    """Return what shows that the reports are not those of the run's own workers, None where they are.

    What they name is read and removed, so it must be what this operator had them make.
    """
    if [report.worker.index for report in reports] != list(range(len(reports))):
        return "the workers' reports are not numbered from 0"
    for report in reports:
        expected = f"{staging_branch}-w{report.worker.index}"
        if report.worker.count != len(reports):
            return f"worker {report.worker.index} speaks of {report.worker.count} workers, not of {len(reports)}"
        if report.staged is None:
            return f"worker {report.worker.index} reports nothing staged"
        if report.staged.branch != expected:
            return f"worker {report.worker.index} staged on branch '{report.staged.branch}', not on '{expected}'"
    return None


def next_step(history: Sequence[CommitSeen], wanted: Publication) -> Step:
    """Return what to do next; `history` is the target's from its head back to the base, without that, newest first."""
    seen = _counting(history, wanted)
    own = [commit for commit in seen if commit.description.startswith(wanted.mark)]
    done = next((commit for commit in own if commit.state == "Finished" and not commit.error), None)
    if done:
        # Two operators, as when a node is cut off, may both have begun: the first to finish has published.
        twin = next((commit for commit in own if commit.state == "Open"), None)
        return Drop(twin.id) if twin else Published(done.id, done.description)
    if own:
        return _go_on_with(own[0], history[0], wanted)
    head = seen[0] if seen else None
    if wanted.empty and not wanted.relies_on_base:
        return Unchanged(head.id if head else wanted.base)
    if head and head.state != "Finished":
        return Busy(head.id, head.description)
    if head and not wanted.fits(head.id):
        return Moved(head.id)
    return Unchanged(head.id if head else wanted.base) if wanted.empty else Start()


def base_of(history: Sequence[CommitSeen]) -> str | None:
    """Return the commit that a target's content is that of: the last one that finished, and without an error."""
    return next((commit.id for commit in history if commit.state == "Finished" and not commit.error), None)


def built_upon(history: Sequence[CommitSeen], wanted: Publication) -> str | None:
    """Return the commit that the run's is, or would be, built upon, if that is a later one than its base.

    Only of a commit that is finished and without an error can be told what it holds.
    """
    seen = _counting(history, wanted)
    own = next((commit for commit in seen if commit.description.startswith(wanted.mark)), None)
    parent = own.parent if own else seen[0].id if seen else None
    sound = {commit.id for commit in seen if commit.state == "Finished" and not commit.error}
    return parent if parent in sound else None


def _counting(history: Sequence[CommitSeen], wanted: Publication) -> list[CommitSeen]:
    """Return the history without what others finished with an error: what comes after holds nothing of it.

    Seen on 2.12: a commit's content is built upon that of the last one before it without an error.
    """

    def is_void(commit: CommitSeen) -> bool:
        return bool(commit.error) and not commit.description.startswith(wanted.mark)

    void = {commit.id: commit.parent for commit in history if is_void(commit)}

    def sound(parent: str | None) -> str | None:
        passed = set()
        while parent in void and parent not in passed:
            passed.add(parent)
            parent = void[parent]
        return parent

    return [replace(commit, parent=sound(commit.parent)) for commit in history if not is_void(commit)]


def _go_on_with(own: CommitSeen, head: CommitSeen, wanted: Publication) -> Step:
    if own.state == "Finished":
        return Drop(own.id, own.error) if own.id == head.id else Spoilt(own.error)
    if own.state == "Finishing":
        return Await(own.id)
    # Between the last look and its start, somebody may have moved the target.
    return Fill(own.id) if wanted.fits(own.parent) else Drop(own.id)
