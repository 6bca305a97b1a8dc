"""Pure: the names of what a run leaves in Pachyderm while it is under way, and which of it is a dead run's.

A name holds the hash of the sync's uid and that of its run, but not the attempt: a later attempt finds what an earlier
one has staged.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from s3sync_operator.access import pachd_address, short_hash
from s3sync_operator.api import Client, DeletionPolicy, Publish, Spec, Sync
from s3sync_operator.desired import Run
from s3sync_operator.pod_problems import pod_problem
from s3sync_operator.publish import CommitSeen
from s3sync_operator.settings import Settings

PREFIX = "s3sync-"
MANIFEST_PATH = ".s3sync/manifest.json"
LONGEST_MINIO_BUCKET = 63
_BRANCH = re.compile(rf"{PREFIX}([0-9a-f]{{8}})([0-9a-f]{{8}})-w[0-9]+")
_WRITER = re.compile(rf"s3sync-job for {PREFIX}([0-9a-f]{{8}})-w[0-9]+: .*", re.DOTALL)
_DESCRIPTION = re.compile(r"s3sync [^ ]+ run ([0-9a-f]{8})([0-9a-f]{8}) digest .*")


@dataclass(frozen=True)
class BranchSeen:
    """A branch of a repo; `written` is when its head was started, None where it has no commit."""

    name: str
    written: datetime | None


@dataclass(frozen=True)
class RepoSeen:
    """A repo: its description, and when each of its branches was made, as far as pachd tells."""

    description: str
    branches: Mapping[str, datetime | None]


def owner_of(uid: str) -> str:
    """Return what stands for a sync in the names of its runs."""
    return short_hash(uid)


def writer(sync: Sync) -> str:
    """Return what names a sync where its workers write to the branch itself."""
    return PREFIX + owner_of(sync.uid)


def run_id(sync: Sync, run: Run) -> str:
    """Return the 16 hex digits that all attempts of a run share."""
    return owner_of(sync.uid) + short_hash(f"{sync.uid}/{run.generation}/{run.digest}{run.mark}")


def staging_branch(run: str) -> str:
    """Return what the staging branches of a run's workers begin with; `-w<index>` follows."""
    return PREFIX + run


def staged_mark(branch: str) -> str:
    """Return what s3sync-job begins the description of each commit with that it makes on a staging branch."""
    return f"s3sync-job on {branch}:"


def repo_mark(sync: Sync) -> str:
    """Return what the description of a repo begins with that the sync made."""
    return f"s3sync {owner_of(sync.uid)}: "


def repo_description(sync: Sync) -> str:
    """Return the description of a repo that the sync makes; it is set with the repo itself, so no crash parts them."""
    return f"{repo_mark(sync)}made by PachydermS3Sync {sync.namespace}/{sync.name}"


def mark(sync: Sync, run: Run) -> str:
    """Return what the description of each of the run's commits on the target begins with."""
    return f"s3sync {sync.namespace}/{sync.name} run {run_id(sync, run)} "


def description(sync: Sync, run: Run, digest: str) -> str:
    """Return the description of the commit that publishes a run with this manifest digest."""
    return f"{mark(sync, run)}digest {digest}"


def digest_in(text: str) -> str | None:
    """Return the manifest digest that a commit's description tells, None where that tells of no one."""
    digest = text.rpartition(" digest ")[2]
    return digest if digest.startswith("sha256:") else None


def owner_and_run(branch_or_description: str) -> tuple[str, str] | None:
    """Return the sync's hash and the run's id that a staging branch or a commit's description tells, else None."""
    found = _BRANCH.fullmatch(branch_or_description) or _DESCRIPTION.fullmatch(branch_or_description)
    return (found[1], found[1] + found[2]) if found else None


def owner_in(branch_or_description: str) -> str | None:
    """Return the sync's hash that a staging branch or a commit's description tells, that of a worker which writes to
    the branch itself too; None for anybody else's."""
    written = _WRITER.fullmatch(branch_or_description)
    named = owner_and_run(branch_or_description)
    return written[1] if written else named[0] if named else None


def is_of(sync: Sync, branch_or_description: str) -> bool:
    """Tell whether a staging branch, or a commit by its description, is of one of the sync's runs."""
    return owner_in(branch_or_description) == owner_of(sync.uid)


def dead_branches(
    branches: Iterable[BranchSeen], live: Collection[str], owners: Collection[str], now: datetime, stray_age: timedelta
) -> list[str]:
    """Return the staging branches of runs that are over.

    Of syncs that are known, all but those of `live` runs; of others, which may be another operator's, those that
    nobody has written to for long.
    """
    before = now - stray_age
    return [branch.name for branch in branches if _is_over(branch.name, branch.written, live, owners, before)]


def dead_commits(
    commits: Iterable[CommitSeen], live: Collection[str], owners: Collection[str], now: datetime, stray_age: timedelta
) -> list[CommitSeen]:
    """Return the commits that were to publish runs that are over, or to hold what they write, by the same rule."""
    before = now - stray_age
    return [commit for commit in commits if _is_over(commit.description, commit.started, live, owners, before)]


def _is_over(
    name: str, written: datetime | None, live: Collection[str], owners: Collection[str], stray_before: datetime
) -> bool:
    owner, named = owner_in(name), owner_and_run(name)
    # A worker that writes to the branch itself names its sync alone.
    if owner is None or (named[1] in live if named else any(run.startswith(owner) for run in live)):
        return False
    return owner in owners or (written is not None and written < stray_before)


def is_atomic(spec: Spec, settings: Settings) -> bool:
    """Tell whether the sync is published in one commit."""
    return spec.publish is not Publish.DIRECT and pachd_address(spec, settings) is not None


def spec_problem(spec: Spec, settings: Settings) -> str | None:
    """Return what admission could not know to be wrong with a spec, since the operator's settings decide it too."""
    how = "set spec.pachdAddress, or the operator's --default-pachd-address"
    known = pachd_address(spec, settings) is not None
    if spec.publish is Publish.ATOMIC and not known:
        return f"spec.publish: Atomic needs Pachyderm's gRPC API; {how}"
    if spec.prune and not known:
        return f"spec.prune: needs an atomic publish, and with it Pachyderm's gRPC API; {how}"
    if spec.deletion_policy not in (None, DeletionPolicy.RETAIN) and not known:
        return f"spec.deletionPolicy: {spec.deletion_policy} deletes by Pachyderm's gRPC API; {how}"
    if spec.effective_client is Client.PFS and not known:
        return f"spec.client: pfs speaks gRPC with pachd; {how}"
    bucket = _longest_bucket(spec, settings)
    if spec.effective_client is Client.MINIO and len(bucket) > LONGEST_MINIO_BUCKET:
        return (
            f"spec.client: minio takes no bucket name as long as '{bucket}' ({LONGEST_MINIO_BUCKET} at most); use pfs"
        )
    return pod_problem(spec, settings)


def _longest_bucket(spec: Spec, settings: Settings) -> str:
    if not is_atomic(spec, settings):
        return spec.bucket
    return spec.bucket_of(f"{staging_branch('0' * 16)}-w{spec.effective_workers - 1}")
