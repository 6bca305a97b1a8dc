"""Pure: what the objects of a sync's runs are called and marked with, and what they are made of besides its spec."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from s3sync_operator.api import GROUP, KIND, VERSION, Sync, Trigger

LABEL_UID = f"{GROUP}/sync-uid"
LABEL_SYNC = f"{GROUP}/sync-hash"
ANNOTATION_SYNC = f"{GROUP}/sync"
ANNOTATION_ATTEMPT = f"{GROUP}/attempt"
CONTAINER = "tensorflow"
COMMAND = "s3sync-job"
STAGING_FLAG = "--staging-branch="

# A TFJob's worker and its Service are named `<name>-worker-<index>`, and a Service's name has at most 63 characters; a
# Job's pods have a host name of that length too, `<name>-<index>`.
_NAME_LENGTH = 63 - len("-worker-9999")
_HASH_LENGTH = 8


@dataclass(frozen=True)
class Run:
    """One attempt of one run of a sync: the spec as of `generation`, tried for the `attempt`-th time.

    `occasion` tells runs of one spec apart: the time of the schedule, or the token of the request, that began it.
    """

    generation: int
    attempt: int
    digest: str
    trigger: Trigger = Trigger.SPEC
    occasion: str = ""

    @property
    def first_attempt(self) -> "Run":
        """The run's first attempt, which stands for the run."""
        return replace(self, attempt=1)

    @property
    def mark(self) -> str:
        """What tells the run from those that the spec itself began; nothing for these, as in versions that knew no
        other, whose runs an upgrade goes on with."""
        return "" if self.trigger is Trigger.SPEC else f"/{self.trigger}/{self.occasion}"


def run_name(sync: Sync, run: Run) -> str:
    """Return the name of the run's TFJob or Job, a DNS-1035 label that no other sync, spec or attempt gets."""
    identity = f"{sync.uid}/{run.generation}/{run.digest}/{run.attempt}{run.mark}"
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:_HASH_LENGTH]
    stem = re.sub(r"[^a-z0-9]+", "-", sync.name)
    stem = stem if stem[0].isalpha() else f"s-{stem}"
    return f"{stem[: _NAME_LENGTH - _HASH_LENGTH - 1].rstrip('-')}-{suffix}"


def owner_reference(sync: Sync) -> dict[str, Any]:
    """Return the reference that makes the garbage collector delete an object with its sync."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": sync.name,
        "uid": sync.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


@dataclass(frozen=True)
class Staging:
    """Where a run's workers stage: what their branches begin with, and the commit that they build upon, if any."""

    branch: str
    base: str | None


@dataclass(frozen=True)
class Found:
    """What a run's object is rendered from besides spec and settings: the keys that the spec's two Secrets have (empty
    without one), and where to stage (None where files are written to the branch itself)."""

    secret_keys: frozenset[str] = frozenset()
    certificate_keys: frozenset[str] = frozenset()
    staging: Staging | None = None


def labels(sync: Sync) -> dict[str, str]:
    """Return the labels of all that a sync has made; those of the sync itself are not copied, since Argo CD prunes what
    carries them."""
    return {
        "app.kubernetes.io/name": COMMAND,
        "app.kubernetes.io/component": "job",
        "app.kubernetes.io/part-of": "pachyderm-s3-sync",
        "app.kubernetes.io/managed-by": "s3sync-operator",
        LABEL_UID: sync.uid,
        LABEL_SYNC: sync_hash(sync),
    }


def sync_hash(sync: Sync) -> str:
    """Return what stands for a sync's name in a label, which a name can be too long for; unlike the uid, it stays the
    same when a sync is deleted and applied again."""
    return hashlib.sha256(sync.name.encode()).hexdigest()[:16]
