"""What each reason means and what follows by itself; with the hints, it is the page docs/troubleshooting.md.

`python -m s3sync_operator.troubleshooting` prints the page; `make generate` writes it to docs/.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from s3sync_operator.api import Reason
from s3sync_operator.hints import HINTS


class Then(Enum):
    """What the operator does by itself after a reason."""

    NOTHING = "The sync is Ready."
    GOES_ON = "The run goes on, or begins when it can; no attempt is used up."
    RETRIED = (
        "Another attempt follows after a delay that doubles; when `spec.runPolicy.backoffLimit`, or the operator's "
        "`--max-attempts`, is used up, the sync is Stalled."
    )
    STALLED = "The sync is Stalled at once, since no retry would mend it."
    WAITED_THEN_RETRIED = "It is waited for until the operator's `--start-deadline`, then another attempt follows."
    WAITED_THEN_STALLED = "It is waited for until the operator's `--start-deadline`, then the sync is Stalled."
    BY_EXIT_CODE = "Another attempt follows if the exit code is 128 or more, else the sync is Stalled."
    WHILE_DELETING = "The deletion is tried again, until the operator's `--deletion-deadline`."


@dataclass(frozen=True)
class Meaning:
    """What is the case where a reason is given, and what follows."""

    text: str
    then: Then


MEANINGS: Mapping[str, Meaning] = {
    Reason.VERIFIED: Meaning("Every file is in the repo and proved equal.", Then.NOTHING),
    Reason.COPIED: Meaning("Every file was copied and, as `verify: None` asks, none was verified.", Then.NOTHING),
    Reason.UNCHANGED: Meaning("The branch had every file already; no commit was made.", Then.NOTHING),
    Reason.PROGRESSING: Meaning("A run is under way.", Then.GOES_ON),
    Reason.PROGRESSING_WITH_RETRY: Meaning(
        "A run is under way and in passing trouble, or an attempt failed and another follows.", Then.GOES_ON
    ),
    Reason.SUSPENDED: Meaning("`spec.suspend` holds a run back.", Then.GOES_ON),
    Reason.QUEUED: Meaning("As many runs are under way as the operator may have at a time.", Then.GOES_ON),
    Reason.INVALID_SPEC: Meaning(
        "The spec asks for what the operator refuses: a rule that admission cannot know, or a field that does not go "
        "with the operator's settings.",
        Then.STALLED,
    ),
    Reason.SECRET_NOT_FOUND: Meaning("A Secret that the spec names, or a key in it, does not exist.", Then.RETRIED),
    Reason.SECRET_INVALID: Meaning("A Secret that the spec names has a value that cannot be used.", Then.RETRIED),
    Reason.ENDPOINT_UNREACHABLE: Meaning("No S3 gateway answers at the endpoint.", Then.RETRIED),
    Reason.PACHD_UNREACHABLE: Meaning(
        "pachd does not answer by gRPC at the pachd address. Where something answers that is no pachd 2.8 or newer, "
        "the sync is Stalled at once.",
        Then.RETRIED,
    ),
    Reason.TLS_FAILED: Meaning(
        "TLS to the gateway or to pachd fails: a certificate is for another host, the server wants a client "
        "certificate, or it does not speak TLS.",
        Then.RETRIED,
    ),
    Reason.CERTIFICATE_UNTRUSTED: Meaning("The server's certificate is of a CA that is not trusted.", Then.RETRIED),
    Reason.CERTIFICATE_EXPIRED: Meaning("The server's certificate has expired, or is not yet valid.", Then.RETRIED),
    Reason.ACCESS_DENIED: Meaning(
        "Pachyderm refuses the credentials, or what they ask for; without `spec.secretRef`, it wants some.",
        Then.STALLED,
    ),
    Reason.BUCKET_REFUSED: Meaning("Pachyderm refuses to make the repo or the branch.", Then.STALLED),
    Reason.SERVER_ERROR: Meaning("The gateway or pachd answers a request with an error of its own.", Then.RETRIED),
    Reason.TARGET_BUSY: Meaning(
        "Somebody else has a commit open on the branch. When all is staged, it is waited for until the operator's "
        "`--publish-deadline`.",
        Then.WAITED_THEN_RETRIED,
    ),
    Reason.TARGET_MOVED: Meaning(
        "Others committed to the branch while the run was under way, so what was compared no longer holds.",
        Then.RETRIED,
    ),
    Reason.COMMIT_FAILED: Meaning(
        "Pachyderm could not start, or finish without an error, a commit.",
        Then.RETRIED,
    ),
    Reason.MANIFEST_TOO_LARGE: Meaning(
        "A worker has so many files that its list of them does not fit into the operator's memory, and the list is "
        "needed: files are to be deleted.",
        Then.STALLED,
    ),
    Reason.INPUT_CHANGED: Meaning(
        "Files under the input path changed while they were copied, so what arrived is neither the old nor the new.",
        Then.RETRIED,
    ),
    Reason.DELETING: Meaning("The sync is deleted, and its jobs are still ending.", Then.WHILE_DELETING),
    Reason.DELETION_BLOCKED: Meaning(
        "The sync is deleted, and Pachyderm does not let go of its branch: a pipeline reads it.", Then.WHILE_DELETING
    ),
    Reason.OPERATOR_FORBIDDEN: Meaning("The operator lacks a right in the sync's namespace.", Then.RETRIED),
    Reason.QUOTA_EXCEEDED: Meaning("A quota of the namespace does not admit the job.", Then.RETRIED),
    Reason.TFJOB_CRD_NOT_INSTALLED: Meaning("The cluster knows no TFJob: Kubeflow is missing.", Then.RETRIED),
    Reason.TFJOB_REFUSED: Meaning("The API server, or a webhook, refuses the job.", Then.STALLED),
    Reason.TFJOB_DELETED: Meaning("The job was deleted before it ended.", Then.RETRIED),
    Reason.TFJOB_FAILED: Meaning("The job failed without its pods saying why.", Then.RETRIED),
    Reason.JOB_REFUSED: Meaning("The API server, or a webhook, refuses the job.", Then.STALLED),
    Reason.JOB_DELETED: Meaning("The job was deleted before it ended.", Then.RETRIED),
    Reason.JOB_FAILED: Meaning("The job failed without its pods saying why.", Then.RETRIED),
    Reason.NAME_CONFLICT: Meaning("An object that is not this sync's has the name of the run's job.", Then.RETRIED),
    Reason.PREVIOUS_RUN_TERMINATING: Meaning(
        "The job or the pods of an earlier run are still ending; two runs never write at once.",
        Then.WAITED_THEN_RETRIED,
    ),
    Reason.POD_NOT_CREATED: Meaning(
        "No pod is made for a worker, as an Event says, or was made within the operator's `--start-deadline`.",
        Then.WAITED_THEN_RETRIED,
    ),
    Reason.POD_UNSCHEDULABLE: Meaning("The pod fits on no node.", Then.WAITED_THEN_RETRIED),
    Reason.POD_CONFIG_ERROR: Meaning("The pod's container cannot be made as its spec says.", Then.WAITED_THEN_STALLED),
    Reason.POD_NOT_STARTED: Meaning(
        "A pod does not start, as an Event says, or did not within the operator's `--start-deadline`.",
        Then.WAITED_THEN_RETRIED,
    ),
    Reason.MOUNT_FAILED: Meaning(
        "A volume of the pod cannot be mounted: a ConfigMap or Secret is missing, or storage is out of reach.",
        Then.WAITED_THEN_RETRIED,
    ),
    Reason.POD_EVICTED: Meaning("The node evicted the pod, or made room for another.", Then.RETRIED),
    Reason.POD_CRASHED: Meaning("The pod ended without a report.", Then.BY_EXIT_CODE),
    Reason.OUT_OF_MEMORY: Meaning("The pod took more memory than it may have.", Then.RETRIED),
    Reason.IMAGE_PULL_FAILED: Meaning("The node cannot get the image.", Then.WAITED_THEN_STALLED),
    Reason.DEADLINE_EXCEEDED: Meaning(
        "The job did not end within `spec.runPolicy.activeDeadlineSeconds`, or the operator's `--run-deadline`; or "
        "what it staged was not published within `--publish-deadline`.",
        Then.RETRIED,
    ),
    Reason.REPORT_MISSING: Meaning("The job ended well but left no report, so nothing is proved.", Then.STALLED),
    "ContentDiffers": Meaning("What was read back is not what the input holds.", Then.STALLED),
    "InvalidArguments": Meaning("A flag or an environment variable of the job has a bad value.", Then.STALLED),
    "InputPathNotFound": Meaning("The input path is no directory in the pod.", Then.STALLED),
    "InputEmpty": Meaning("There is no file to sync under the input path.", Then.STALLED),
    "InputUnreadable": Meaning("A file under the input path cannot be read.", Then.STALLED),
    "InvalidKey": Meaning("Pachyderm refuses the name of a file.", Then.STALLED),
    "BucketNotFound": Meaning("The repo or the branch does not exist.", Then.RETRIED),
    "PruneLimitExceeded": Meaning(
        "More files would be deleted than `spec.prune.maxDeletePercent` allows; nothing was copied.", Then.STALLED
    ),
    "Terminated": Meaning("The pod was ended by a signal.", Then.RETRIED),
    "InternalError": Meaning("A bug in s3sync-job.", Then.STALLED),
}

HEADER = """<!-- Generated from operator/src/s3sync_operator/troubleshooting.py by `make generate`; do not edit. -->
# Troubleshooting by reason

The reason of the condition `Ready` says why a sync is as it is, and its message what is wrong with what.
`s3sync status` shows both, with what to do about it from this page:

```sh
kubectl get pachydermsyncs -A
s3sync status books -n kubeflow
```

While work goes on, the condition `Reconciling` is True; what has failed for good is `Stalled`, until its spec
changes or a run is asked for: `s3sync retry books -n kubeflow`. Below, NAME stands for a sync's name and
NAMESPACE for its namespace.
"""


def page() -> str:
    """Return the page, Markdown."""
    return HEADER + "".join(_section(reason) for reason in sorted(MEANINGS, key=str.lower))


def _section(reason: str) -> str:
    known = MEANINGS[reason]
    return f"\n## {reason}\n\n{known.text} {known.then.value}\n\n**What to do:** {HINTS[reason]}\n"


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


if __name__ == "__main__":
    main()
