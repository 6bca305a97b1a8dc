"""What a person can do about each reason that a sync or a job can give: the one place for it, for all who tell.

`NAME` stands for the sync's name, `NAMESPACE` for its namespace.
"""

from collections.abc import Mapping

from s3sync_operator.api import Reason

_LOOK_AT_PODS = "Look at what the pod wrote: s3sync logs NAME -n NAMESPACE."
_WAITS = "Nothing needs to be done: it goes on by itself."

HINTS: Mapping[str, str] = {
    Reason.VERIFIED: "Nothing needs to be done: every file is in the repo and proved equal.",
    Reason.COPIED: "Every file is in the repo. To have them proved too, set spec.verify to Full or Checksum.",
    Reason.UNCHANGED: "Nothing needs to be done: the branch had every file already.",
    Reason.PROGRESSING: _WAITS,
    Reason.PROGRESSING_WITH_RETRY: "It is tried again by itself. The reason of Ready says what was wrong.",
    Reason.SUSPENDED: "Let it run: s3sync resume NAME -n NAMESPACE, or set spec.suspend to false in Git.",
    Reason.QUEUED: (
        "It waits for other syncs to end; status.queuePosition says its place, where it waits for the operator, whose "
        "limits of runs at a time can be raised. A job that is suspended waits for Kueue: kubectl get workloads."
    ),
    Reason.INVALID_SPEC: (
        "Mend the field that the message names, and apply the sync. Check it first: s3sync validate -f FILE."
    ),
    Reason.SECRET_NOT_FOUND: (
        "Create the Secret that the message names, in the sync's namespace, or mend its name in the spec."
    ),
    Reason.SECRET_INVALID: (
        "Store the values in the Secret without a line break or white space, for example by kubectl create secret "
        "generic SECRET -n NAMESPACE --from-literal=token=…."
    ),
    Reason.ENDPOINT_UNREACHABLE: (
        "Check spec.endpoint, and that a pod in NAMESPACE reaches Pachyderm's S3 gateway there: its Service, its "
        "port (30600 in Pachyderm 2, 600 in 1.9) and network policies."
    ),
    Reason.PACHD_UNREACHABLE: (
        "Check spec.pachdAddress, and that the operator and pods in NAMESPACE reach pachd's gRPC port there "
        "(30650 in Pachyderm 2). Where there is no gRPC, publish: Direct works without."
    ),
    Reason.TLS_FAILED: (
        "Check that the certificate is for the host in spec.endpoint and spec.pachdAddress, and that both sides "
        "speak TLS there (https://, grpcs://)."
    ),
    Reason.CERTIFICATE_UNTRUSTED: (
        "Put the CA that signed the server's certificate, as ca.crt, into a Secret, and name that in "
        "spec.certSecretRef."
    ),
    Reason.CERTIFICATE_EXPIRED: "Renew the server's certificate; no setting of the sync should get around it.",
    Reason.ACCESS_DENIED: (
        "Check the token in the Secret of spec.secretRef: it must be valid, and may write to the repo (pachctl "
        "auth check repo REPO)."
    ),
    Reason.BUCKET_REFUSED: (
        "Choose another repo, branch or project: Pachyderm refuses to make this one, for the reason in the message."
    ),
    Reason.SERVER_ERROR: (
        "Pachyderm answers, but fails; look at pachd's log. It is tried again by itself while attempts are left."
    ),
    Reason.TARGET_BUSY: (
        "Somebody holds the branch's head open; it is waited for. Find whose commit it is (pachctl inspect "
        "commit), and finish or drop it."
    ),
    Reason.TARGET_MOVED: (
        "Others write to the branch, so all is compared anew by itself. If that happens often, sync to a branch "
        "of its own."
    ),
    Reason.COMMIT_FAILED: (
        "Look at the commit's error in the message and at pachd's log. It is tried again by itself while attempts "
        "are left."
    ),
    Reason.MANIFEST_TOO_LARGE: "Let more spec.workers share the files: each then has a smaller list of them.",
    Reason.INPUT_CHANGED: (
        "It is tried again by itself. Where it goes on so, have nothing write to the input while a sync runs, or "
        "sync a snapshot of it."
    ),
    Reason.DELETING: (
        "Nothing needs to be done: it goes once its pods have ended. Look at them where that takes long: kubectl get "
        "pods -n NAMESPACE."
    ),
    Reason.DELETION_BLOCKED: (
        "Delete the pipelines that the message names, or have the branch kept: kubectl annotate ps3 NAME -n NAMESPACE "
        "sync.pachyderm.io/skip-cleanup=true."
    ),
    Reason.OPERATOR_FORBIDDEN: "Give the operator its role: apply deploy/base or the chart as they are in its version.",
    Reason.QUOTA_EXCEEDED: "Raise the quota of NAMESPACE, or ask for less in spec.podTemplate.resources.",
    Reason.TFJOB_CRD_NOT_INSTALLED: "Install Kubeflow's training-operator, or set spec.runner to Job.",
    Reason.TFJOB_REFUSED: (
        "Read in the message what an admission policy asks for; spec.podTemplate can give most of it."
    ),
    Reason.TFJOB_DELETED: (
        "Somebody or something deleted the job while it ran; find out who. It is tried again by itself while "
        "attempts are left."
    ),
    Reason.TFJOB_FAILED: _LOOK_AT_PODS,
    Reason.JOB_REFUSED: "Read in the message what an admission policy asks for; spec.podTemplate can give most of it.",
    Reason.JOB_DELETED: (
        "Somebody or something deleted the job while it ran; find out who. It is tried again by itself while "
        "attempts are left."
    ),
    Reason.JOB_FAILED: _LOOK_AT_PODS,
    Reason.NAME_CONFLICT: "Delete the object that the message names: it has the job's name, and is not this sync's.",
    Reason.PREVIOUS_RUN_TERMINATING: (
        "The pods of the previous run must end first. If their node is gone, delete them: kubectl delete pod POD "
        "-n NAMESPACE --force."
    ),
    Reason.POD_NOT_CREATED: (
        "See why in the job's events: kubectl describe tfjobs,jobs -n NAMESPACE. Quotas and admission policies "
        "are what mostly keeps pods from being made."
    ),
    Reason.POD_UNSCHEDULABLE: (
        "No node takes the pod, for the reason in the message; change spec.podTemplate (resources, nodeSelector, "
        "tolerations) or add a node."
    ),
    Reason.POD_CONFIG_ERROR: (
        "Mend what the message names: a Secret, ConfigMap or key that is missing, or an image that does not run "
        "s3sync-job."
    ),
    Reason.POD_NOT_STARTED: (
        "See why in the pod's events: kubectl describe pods -n NAMESPACE. Volumes that cannot be mounted are what "
        "mostly keeps pods from starting."
    ),
    Reason.MOUNT_FAILED: (
        "Create the ConfigMap or Secret that the message names, or mend spec.source and spec.podTemplate.volumes; a "
        "volume of a storage system must be reachable from the pod's node."
    ),
    Reason.POD_EVICTED: (
        "The node was short of something, or drained; it is tried again by itself while attempts are left. "
        "Requests in spec.podTemplate.resources keep a pod longer."
    ),
    Reason.POD_CRASHED: _LOOK_AT_PODS,
    Reason.OUT_OF_MEMORY: "Raise spec.podTemplate.resources.limits.memory, or share the files among more workers.",
    Reason.IMAGE_PULL_FAILED: (
        "Check spec.image (or the operator's --job-image), and spec.podTemplate.imagePullSecrets where the "
        "registry asks for credentials."
    ),
    Reason.DEADLINE_EXCEEDED: (
        "Raise spec.runPolicy.activeDeadlineSeconds, share the files among more workers, or use client: pfs for "
        "many small files."
    ),
    Reason.REPORT_MISSING: "Use an image that runs s3sync-job of this operator's version, and let it end by itself.",
    "ContentDiffers": (
        "Files changed on the way, or while they were read. If others write to the input or the branch, keep them "
        "from it during a run; else look at status.failures and run it again: s3sync retry NAME -n NAMESPACE."
    ),
    "InvalidArguments": (
        "The image's s3sync-job does not know a flag, or refuses a value; use an image of this operator's version."
    ),
    "InputPathNotFound": (
        "Check spec.inputPath: it is no directory in the pod. Files come with the image, or from spec.source."
    ),
    "InputEmpty": "Check spec.inputPath and spec.filter: there is no file to sync, and nothing is no result.",
    "InputUnreadable": (
        "Make the files readable to the pod's user (65532, or that of spec.podTemplate.securityContext), or set "
        "onInvalidPath: Skip."
    ),
    "InvalidKey": (
        "Rename the files in status.failures, which Pachyderm refuses, exclude them by spec.filter, or set "
        "onInvalidPath: Skip."
    ),
    "BucketNotFound": (
        "The repo or the branch was deleted while the run was under way; the next attempt makes it again."
    ),
    "PruneLimitExceeded": (
        "Check that the input is whole. If so much is really to be deleted, raise spec.prune.maxDeletePercent; "
        "spec.prune.dryRun lists what it would be."
    ),
    "Terminated": (
        "The pod was told to stop, as when its node is drained; it is tried again by itself while attempts are left."
    ),
    "InternalError": f"This is a bug of s3sync-job; please report it. {_LOOK_AT_PODS}",
}


def hint(reason: str, name: str = "NAME", namespace: str = "NAMESPACE") -> str:
    """Return what to do about a reason of this sync; about one that is not known, where to look."""
    text = HINTS.get(reason, _LOOK_AT_PODS)
    return text.replace("NAMESPACE", namespace).replace("NAME", name)
