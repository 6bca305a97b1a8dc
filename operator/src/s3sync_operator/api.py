"""The PachydermS3Sync resource as frozen typed models; the CRD is generated from them and holds no rule of its own.

Defaults stand in code, not in the schema: a default in the schema shows as drift in GitOps tools.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, PlainSerializer, ValidationError, model_validator

from s3sync_operator import rules
from s3sync_operator.models import Model, Text, plain
from s3sync_operator.pod_fields import PodTemplate, Source

GROUP = "sync.pachyderm.io"
VERSION = "v1alpha1"
KIND = "PachydermS3Sync"
PLURAL = "pachydermsyncs"
SINGULAR = "pachyderms3sync"
SHORT_NAME = "ps3"

DEFAULT_BRANCH = "master"
DEFAULT_PROJECT = "default"
DEFAULT_INPUT_PATH = "testdata"
MOST_WORKERS = 256
MOST_PATTERNS = 64
DEFAULT_HISTORY, MOST_HISTORY = 5, 50
ANNOTATION_RUN_REQUESTED = f"{GROUP}/run-requested"
REQUEST_LENGTH = 256
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
"""The label by which Kueue knows a queue; the only one of a sync's that its jobs get."""
FINALIZER = f"{GROUP}/cleanup"
ANNOTATION_SKIP_CLEANUP = f"{GROUP}/skip-cleanup"
MOST_SECONDS = 366 * 24 * 3600
LOG_TAIL_BYTES = 1024
FAILURES_IN_STATUS = 5


NO_SUCH_FIELD = "Extra inputs are not permitted"
"""What pydantic says of a field that a model does not have."""


class InvalidSpecError(ValueError):
    """A spec breaks a rule; the text names each field, what is wrong with it and what it may be."""


class Phase(StrEnum):
    """Where a sync stands, in words for a person; machines read the conditions."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    RETRYING = "Retrying"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    QUEUED = "Queued"
    SUSPENDED = "Suspended"


class ConditionType(StrEnum):
    """The conditions of kstatus, of which Reconciling and Stalled are present only while True and never both; and
    Syncing, present while a finished spec is run once more, which leaves Ready as it is."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SYNCING = "Syncing"


class Client(StrEnum):
    """Which client library of the job moves the files."""

    FILE_IO = "file_io"
    MINIO = "minio"
    PFS = "pfs"


class Verify(StrEnum):
    """How it is proved that the repo holds what the input holds."""

    FULL = "Full"
    CHECKSUM = "Checksum"
    NONE = "None"


class Publish(StrEnum):
    """How the files get onto the branch: all of them in one commit, or one by one."""

    ATOMIC = "Atomic"
    DIRECT = "Direct"


class OnInvalidPath(StrEnum):
    """What becomes of a sync whose tree has paths that cannot be synced."""

    FAIL = "Fail"
    SKIP = "Skip"


class ConcurrencyPolicy(StrEnum):
    """What becomes of a run under way when the next one is due: it is let end, or replaced."""

    FORBID = "Forbid"
    REPLACE = "Replace"


class DeletionPolicy(StrEnum):
    """What becomes of what was synced when the sync is deleted."""

    RETAIN = "Retain"
    DELETE_BRANCH = "DeleteBranch"
    DELETE_REPO = "DeleteRepo"


class Runner(StrEnum):
    """Which kind of Kubernetes object runs the job's pods."""

    TFJOB = "TFJob"
    JOB = "Job"


class Trigger(StrEnum):
    """What began a run: a spec that means something new, its schedule, or a request by annotation."""

    SPEC = "Spec"
    SCHEDULE = "Schedule"
    REQUEST = "Request"


class Reason(StrEnum):
    """Why a condition is what it is: the reasons of the operator itself; those of a job stand in its report."""

    VERIFIED = "Verified"
    COPIED = "Copied"
    UNCHANGED = "Unchanged"
    PROGRESSING = "Progressing"
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry"
    SUSPENDED = "Suspended"
    QUEUED = "Queued"
    INVALID_SPEC = "InvalidSpec"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    SECRET_INVALID = "SecretInvalid"  # noqa: S105 - a reason, not a secret
    ENDPOINT_UNREACHABLE = "EndpointUnreachable"
    PACHD_UNREACHABLE = "PachdUnreachable"
    TLS_FAILED = "TLSFailed"
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted"
    CERTIFICATE_EXPIRED = "CertificateExpired"
    ACCESS_DENIED = "AccessDenied"
    BUCKET_REFUSED = "BucketRefused"
    SERVER_ERROR = "ServerError"
    TARGET_BUSY = "TargetBusy"
    TARGET_MOVED = "TargetMoved"
    COMMIT_FAILED = "CommitFailed"
    MANIFEST_TOO_LARGE = "ManifestTooLarge"
    INPUT_CHANGED = "InputChanged"
    DELETING = "Deleting"
    DELETION_BLOCKED = "DeletionBlocked"
    OPERATOR_FORBIDDEN = "OperatorForbidden"
    QUOTA_EXCEEDED = "QuotaExceeded"
    TFJOB_CRD_NOT_INSTALLED = "TFJobCRDNotInstalled"
    TFJOB_REFUSED = "TFJobRefused"
    TFJOB_DELETED = "TFJobDeleted"
    TFJOB_FAILED = "TFJobFailed"
    JOB_REFUSED = "JobRefused"
    JOB_DELETED = "JobDeleted"
    JOB_FAILED = "JobFailed"
    NAME_CONFLICT = "NameConflict"
    PREVIOUS_RUN_TERMINATING = "PreviousRunTerminating"
    POD_NOT_CREATED = "PodNotCreated"
    POD_UNSCHEDULABLE = "PodUnschedulable"
    POD_CONFIG_ERROR = "PodConfigError"
    POD_NOT_STARTED = "PodNotStarted"
    MOUNT_FAILED = "MountFailed"
    POD_EVICTED = "PodEvicted"
    POD_CRASHED = "PodCrashed"
    OUT_OF_MEMORY = "OutOfMemory"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    REPORT_MISSING = "ReportMissing"


class Observed(Model):
    """A value of the status: a newer operator's fields are passed over, so a downgrade runs nothing again."""

    model_config = ConfigDict(extra="ignore")


RepoName = Annotated[str, Text(63, rules.NAME_CHARACTERS, rules.NOT_RESERVED)]
BranchName = Annotated[str, Text(63, rules.NAME_CHARACTERS, rules.NOT_A_COMMIT_ID, rules.NOT_A_STAGING_BRANCH)]
ProjectName = Annotated[str, Text(51, rules.NAME_CHARACTERS, rules.PROJECT_START)]
Endpoint = Annotated[str, Text(512, rules.ENDPOINT)]
InputPath = Annotated[str, Text(1024, rules.KEY_CHARACTERS, rules.PATH_ELEMENTS, rules.PATH_NOT_ROOT)]
DestinationPath = Annotated[str, Text(1024, rules.KEY_CHARACTERS, rules.PATH_ELEMENTS, rules.NOT_STAGING)]
PachdAddress = Annotated[str, Text(512, rules.PACHD_ADDRESS)]
Pattern = Annotated[str, Text(512, rules.PATTERN)]
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=MOST_PATTERNS)]
Image = Annotated[str, Text(512, rules.IMAGE)]
SecretName = Annotated[str, Text(253, rules.SECRET_NAME)]
Schedule = Annotated[str, Text(256, rules.SCHEDULE)]
TimeZone = Annotated[str, Text(64, rules.TIME_ZONE)]
Duration = Annotated[str, Text(32, rules.DURATION)]


class SecretRef(Model):
    """The Secret, in the sync's namespace, that holds the credentials for the S3 gateway."""

    name: SecretName = Field(
        description="Name of a Secret in the sync's namespace. It holds either 'token' (a Pachyderm auth token) or "
        "'AWS_ACCESS_KEY_ID' and 'AWS_SECRET_ACCESS_KEY'."
    )


class CertSecretRef(Model):
    """The Secret, in the sync's namespace, that says whom to trust and who asks, for the S3 gateway and for pachd."""

    name: SecretName = Field(
        description="Name of a Secret in the sync's namespace. It holds 'ca.crt', the CA to trust, and may hold "
        "'tls.crt' and 'tls.key', a client certificate and its key; all in PEM."
    )


class Filter(Model):
    """Which files of the input path are synced; patterns are those of .gitignore, relative to the input path."""

    include: Patterns | None = Field(
        default=None,
        description="Sync only files that match one of these patterns, written as in .gitignore and relative to "
        "inputPath: '*.txt' matches at any depth, '/images/' is a directory at the top. All files where absent.",
    )
    exclude: Patterns | None = Field(
        default=None, description="Leave out files that match one of these patterns; it wins over include."
    )


class Prune(Model):
    """Deletes what the input has no longer; its presence turns that on."""

    dry_run: bool | None = Field(
        default=None, description="Only list in status.dryRun what would be deleted. false where absent."
    )
    max_delete_percent: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None,
        description="Fail with PruneLimitExceeded, before anything is copied, where more of the destination's files "
        "than these percent would be deleted. 100 where absent.",
    )


class TriggerSpec(Model):
    """When a finished spec is run once more, besides on request."""

    schedule: Schedule = Field(
        description="When to run, in the five fields of cron: minute, hour, day of month, month, day of week; or "
        "@hourly, @daily, @weekly, @monthly, @yearly. Of runs missed while the operator was away, one is made up for."
    )
    time_zone: TimeZone | None = Field(
        default=None, description="Time zone of the schedule by its IANA name, as Europe/Berlin. UTC where absent."
    )
    jitter: Duration | None = Field(
        default=None,
        description="Spreads the runs of syncs with one schedule: each sync's start later by its own fixed part of "
        "this time, as 90s, 15m or 1h. Not at all where absent.",
    )


class RunPolicy(Model):
    """How long and how often a run is tried, and how long its job is kept."""

    backoff_limit: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None,
        description="How often a failed attempt is followed by another, each time after a doubled delay. One less than "
        "the operator's --max-attempts where absent.",
    )
    active_deadline_seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS)] | None = Field(
        default=None, description="Seconds in which an attempt must end. The operator's --run-deadline where absent."
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=MOST_SECONDS)] | None = Field(
        default=None,
        description="Seconds after which the job of a finished run is deleted with its pods. With the sync or the next "
        "run where absent.",
    )


TOGETHER = (rules.PRUNE_IS_ATOMIC, rules.SOURCE_HIDES_NOTHING)
IMMUTABLE = {"repo": None, "branch": DEFAULT_BRANCH, "project": DEFAULT_PROJECT}


def _immutable_rules() -> list[JsonValue]:
    def value(name: str, default: str | None, of: str) -> str:
        return f"{of}.{name}" if default is None else f"(has({of}.{name}) ? {of}.{name} : '{default}')"

    return [
        {
            "rule": f"{value(name, default, 'self')} == {value(name, default, 'oldSelf')}",
            "message": f"{name} cannot change: it names where the data lies; create another sync instead",
            "fieldPath": f".{name}",
            "reason": "FieldValueInvalid",
        }
        for name, default in IMMUTABLE.items()
    ]


def _together_rules() -> list[JsonValue]:
    return [
        {"rule": rule.cel, "message": rule.message, "fieldPath": f".{rule.field}", "reason": "FieldValueInvalid"}
        for rule in TOGETHER
    ]


class Spec(Model):
    """What to sync and where to."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": _immutable_rules() + _together_rules()})

    repo: RepoName = Field(description="Pachyderm repo that receives the files; created if missing. Cannot change.")
    branch: BranchName | None = Field(
        default=None,
        description=f"Branch of the repo; created if missing. '{DEFAULT_BRANCH}' where absent. Cannot change.",
    )
    project: ProjectName | None = Field(
        default=None, description=f"Pachyderm project of the repo. '{DEFAULT_PROJECT}' where absent. Cannot change."
    )
    endpoint: Endpoint | None = Field(
        default=None,
        description="Pachyderm's S3 gateway: http://host:port, https://host:port, or host:port, which means http. "
        "The operator's --default-endpoint where absent.",
    )
    input_path: InputPath | None = Field(
        default=None,
        description="Directory in the job's container whose files are copied to the same path in the repo. "
        "A relative path starts at the image's working directory, and where there is a source, which is mounted there, "
        f"at '/'. '{DEFAULT_INPUT_PATH}' where absent.",
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="Credentials for the S3 gateway; needed where Pachyderm's auth is on."
    )
    image: Image | None = Field(
        default=None, description="Image that runs s3sync-job. The operator's --job-image where absent."
    )
    pachd_address: PachdAddress | None = Field(
        default=None,
        description="Pachyderm's gRPC API (pachd 2.8 or newer): grpc://host:port, grpcs://host:port for TLS, or "
        "host:port, which means grpc. The operator's --default-pachd-address where absent.",
    )
    publish: Publish | None = Field(
        default=None,
        description="Atomic: workers stage and verify on branches of their own, and one commit brings all of it, or "
        "nothing, onto the branch; needs a pachd address. Direct: files are written to the branch one by one. Atomic "
        "where absent and a pachd address is known, else Direct.",
    )
    client: Client | None = Field(
        default=None,
        description="What moves the files: file_io (TensorFlow), minio (the MinIO client), or pfs (one gRPC stream, by "
        "far the fastest for many small files; needs a pachd address). file_io where absent.",
    )
    verify: Verify | None = Field(
        default=None,
        description="Full: every byte is read back and compared. Checksum: by Pachyderm's own hashes, and read back "
        "where these prove nothing. None: not at all, and the sync is Copied, never Verified. Full where absent.",
    )
    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] | None = Field(
        default=None, description="Pods that share the files among them. 1 where absent."
    )
    destination_path: DestinationPath | None = Field(
        default=None,
        description="Directory in the repo that receives the files; '/' is the repo's top level. The input path where "
        "absent. What lies at an earlier destination stays there.",
    )
    filter: Filter | None = Field(default=None, description="Which files are synced. All where absent.")
    prune: Prune | None = Field(
        default=None,
        description="Where present, files under the destination that the input path does not have are deleted, in the "
        "commit that publishes. Needs an atomic publish.",
    )
    on_invalid_path: OnInvalidPath | None = Field(
        default=None,
        description="What to do about sockets, unreadable files, dangling links and names that Pachyderm refuses: "
        "Fail, or Skip them and name them in status.skipped. Fail where absent.",
    )
    cert_secret_ref: CertSecretRef | None = Field(
        default=None, description="The CA to trust, and a client certificate, for the S3 gateway and for pachd."
    )
    insecure_skip_verify: bool | None = Field(
        default=None,
        description="Trust any certificate of the S3 gateway and of pachd; insecure. false where absent.",
    )

    source: Source | None = Field(
        default=None,
        description="Volume that is mounted, read-only, at the input path. Where absent, the files are in the image.",
    )
    suspend: bool | None = Field(
        default=None,
        description="Begin no run while true; a run under way ends as usual. false where absent.",
    )
    trigger: TriggerSpec | None = Field(
        default=None,
        description="When to run again. Where absent, a spec is run once, and again on request: by the annotation "
        f"{ANNOTATION_RUN_REQUESTED}, at each new value.",
    )
    concurrency_policy: ConcurrencyPolicy | None = Field(
        default=None,
        description="What a run that is due does about one that is under way: Forbid lets that end first, Replace "
        "deletes it. Two runs never write at once. Forbid where absent.",
    )
    run_policy: RunPolicy | None = Field(default=None, description="Limits of a run; the operator's where absent.")
    history_limit: Annotated[int, Field(ge=0, le=MOST_HISTORY)] | None = Field(
        default=None,
        description=f"How many finished runs status.history holds. {DEFAULT_HISTORY} where absent.",
    )
    deletion_policy: DeletionPolicy | None = Field(
        default=None,
        description="What is deleted in Pachyderm with the sync: nothing (Retain), the branch (DeleteBranch), or the "
        "repo too, where it has no other branch (DeleteRepo). Only what the sync itself has made, and what no other "
        "sync names, is deleted. Needs a pachd address. Retain where absent.",
    )
    runner: Runner | None = Field(
        default=None,
        description="What runs the pods: Kubeflow's TFJob, or a plain Job (batch/v1), which needs no Kubeflow. TFJob "
        "where absent.",
    )
    pod_template: PodTemplate | None = Field(default=None, description="What is particular to the sync's pods.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = self.model_dump(by_alias=True, exclude_none=True, mode="json")
        for rule in TOGETHER:
            if rule.refused(given):
                raise ValueError(f"{rule.field}: {rule.message}")
        return self

    @property
    def effective_branch(self) -> str:
        """The branch that is written to."""
        return self.branch or DEFAULT_BRANCH

    @property
    def effective_input_path(self) -> str:
        """The directory that is read."""
        return self.input_path or DEFAULT_INPUT_PATH

    @property
    def bucket(self) -> str:
        """The name under which the S3 gateway serves the branch: `branch.repo[.project]`."""
        return self.bucket_of(self.effective_branch)

    def bucket_of(self, branch: str) -> str:
        """Return the name under which the S3 gateway serves another branch of the repo."""
        parts = [branch, self.repo]
        if self.project and self.project != DEFAULT_PROJECT:
            parts.append(self.project)
        return ".".join(parts)

    @property
    def destination(self) -> str:
        """Where the tree lands, as an S3 address."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def prefix(self) -> str:
        """The directory in the repo that receives the files, without slashes at its ends; the top level is empty."""
        return (self.destination_path or self.effective_input_path).strip("/")

    @property
    def effective_client(self) -> Client:
        """What moves the files."""
        return self.client or Client.FILE_IO

    @property
    def effective_workers(self) -> int:
        """How many pods share the work."""
        return self.workers or 1

    @property
    def applied_digest(self) -> str:
        """A hash of all that the spec says, but for whether it is suspended."""
        given = self.model_dump(by_alias=True, exclude_none=True, exclude={"suspend"}, mode="json")
        return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def effective_history_limit(self) -> int:
        """How many finished runs the status tells of."""
        return DEFAULT_HISTORY if self.history_limit is None else self.history_limit

    @property
    def effective_runner(self) -> Runner:
        """What runs the pods."""
        return self.runner or Runner.TFJOB

    @property
    def digest(self) -> str:
        """A hash of what the spec means: equal for two specs that differ only in defaults written out."""
        meaning = self._without_defaults() | {
            "branch": self.effective_branch,
            "project": self.project or DEFAULT_PROJECT,
            "inputPath": self.effective_input_path,
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]

    def _without_defaults(self) -> dict[str, Any]:
        """A field that came later is left out where it says what its absence says, so that older digests stay."""
        given = self.model_dump(by_alias=True, exclude_none=True, mode="json")
        if (self.destination_path or "/").strip("/") == self.effective_input_path.strip("/"):
            del given["destinationPath"]
        if self.publish is Publish.ATOMIC and self.pachd_address:
            del given["publish"]
        if self.prune:
            given["prune"] = {"dryRun": False, "maxDeletePercent": 100} | given["prune"]
        if self.filter:
            given["filter"] = {kind: patterns for kind, patterns in given["filter"].items() if patterns}
        if self.pod_template:
            given["podTemplate"] = _without_empty(given["podTemplate"])
        return {
            name: value
            for name, value in given.items()
            if name not in _OF_NO_MEANING and _LATER_DEFAULTS.get(name) != value
        }


def _without_empty(template: dict[str, Any]) -> dict[str, Any]:
    """In the fields of a pod template themselves, what is empty asks for nothing; deeper, as in emptyDir, it may."""
    resources = {kind: amounts for kind, amounts in template.get("resources", {}).items() if amounts}
    # Without any requests of its own, a pod asks for what the operator's settings say; with empty ones, for nothing.
    kept = {"resources": resources} if "resources" in template else {}
    return {name: value for name, value in template.items() if value} | kept


_OF_NO_MEANING = frozenset(
    {"suspend", "trigger", "concurrencyPolicy", "runPolicy", "historyLimit", "deletionPolicy"},
)
"""Fields that say when and how a run is made, and nothing of what it does: a change of them alone begins none."""

_LATER_DEFAULTS: dict[str, object] = {
    "client": Client.FILE_IO.value,
    "verify": Verify.FULL.value,
    "workers": 1,
    "onInvalidPath": OnInvalidPath.FAIL.value,
    "insecureSkipVerify": False,
    "filter": {},
    "runner": Runner.TFJOB.value,
    "podTemplate": {},
}


def to_utc_text(moment: datetime) -> str:
    """Return a moment as Kubernetes' metav1.Time: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[
    datetime, PlainSerializer(to_utc_text, return_type=str), Field(json_schema_extra={"format": "date-time"})
]


class Condition(Observed):
    """One condition, in the fields of Kubernetes' metav1.Condition."""

    type: ConditionType
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(max_length=1024)
    message: str = Field(max_length=32768)
    last_transition_time: Time
    observed_generation: int


class Counts(Observed):
    """What the job's report counted."""

    files: int = Field(description="Files found under the input path.")
    bytes: int = Field(description="Their size in bytes.")
    verified: int = Field(description="Files proved equal as spec.verify asks; unchanged ones are not among them.")
    failed: int = Field(description="Files that were not copied or did not prove equal.")
    unchanged: int | None = Field(default=None, description="Files that the branch had already, by Pachyderm's hash.")
    skipped: int | None = Field(default=None, description="Paths that cannot be synced and were left out.")
    extra: int | None = Field(
        default=None, description="Files that the branch has under the destination and the input has not."
    )
    deleted: int | None = Field(default=None, description="Those of them that the publishing commit deleted.")


class FileFailure(Observed):
    """One file that failed, and how."""

    path: str
    verdict: str
    detail: str


class SkippedPath(Observed):
    """One path that cannot be synced, and why."""

    path: str
    detail: str


class DryRun(Observed):
    """What pruning would delete."""

    delete: tuple[str, ...] = Field(description=f"The first {FAILURES_IN_STATUS} files that would be deleted.")
    count: int = Field(description="How many would be deleted.")


class Progress(Observed):
    """How far the attempt under way has come, as its workers last told."""

    step: str = Field(description="What the workers are at, as 'copy' or 'verify'.")
    files: int = Field(description="Files done in this step.")
    total_files: int = Field(description="Files to do in this step.")
    bytes: int = Field(description="Their bytes done.")
    total_bytes: int = Field(description="Their bytes to do.")
    percent: int = Field(description="Bytes done of all, in percent; by files where there are no bytes.")


class PastRun(Observed):
    """A run that has ended."""

    result: Literal["Succeeded", "Failed", "Replaced"] = Field(
        description="Replaced is a run that another one took the place of before it had ended."
    )
    reason: str
    trigger: Trigger
    attempts: int = Field(description="How many attempts it took.")
    start_time: Time | None = Field(default=None, description="When its last attempt's job was created.")
    completion_time: Time
    duration: str | None = None
    commit: str | None = None
    files: int | None = None
    bytes: int | None = None
    verified: int | None = None
    failed: int | None = None


class Status(Observed):
    """What the operator last saw and decided; all that decides whether to run again stands here."""

    observed_generation: int = Field(default=-1, description="Generation of the spec that this status speaks of.")
    phase: Phase | None = Field(
        default=None,
        description="Pending, Starting, Running, Retrying, Succeeded or Failed; Queued or Suspended where that keeps a "
        "run from beginning.",
    )
    branch: str | None = Field(default=None, description="Branch that is written to.")
    destination: str | None = Field(default=None, description="Where the tree lands, as an S3 address.")
    spec_digest: str | None = Field(default=None, description="Hash of the spec that the run carries out.")
    applied_digest: str | None = Field(
        default=None,
        description="Hash of all of the spec but suspend: a run that failed for good begins anew when it changes.",
    )
    run_generation: int | None = Field(default=None, description="Generation of the spec at which the run began.")
    attempt: int | None = Field(default=None, description="Number of the run's current or last attempt, from 1.")
    next_attempt_time: Time | None = Field(default=None, description="When a failed attempt is followed by the next.")
    tf_job_name: str | None = Field(
        default=None,
        alias="tfJobName",
        description="TFJob of the current or last attempt, where spec.runner is not Job.",
    )
    pod_names: tuple[str, ...] | None = Field(default=None, description="Pods of that TFJob or Job.")
    start_time: Time | None = Field(default=None, description="When the attempt's TFJob or Job was created.")
    completion_time: Time | None = Field(default=None, description="When the run was found to have ended.")
    duration: str | None = Field(default=None, description="From startTime to completionTime, as in 1m30s.")
    counts: Counts | None = Field(default=None, description="Files and bytes of the last attempt.")
    commit: str | None = Field(
        default=None, description="The commit that holds the sync: its own, or where nothing changed the one before."
    )
    manifest_digest: str | None = Field(
        default=None,
        description="SHA-256 over the sorted list of all files' hashes, sizes and keys; only when verified, and of "
        "several workers only where the publish was atomic and of at most 200000 files.",
    )
    failures: tuple[FileFailure, ...] | None = Field(
        default=None, description=f"The first {FAILURES_IN_STATUS} files that failed."
    )
    skipped: tuple[SkippedPath, ...] | None = Field(
        default=None,
        description=f"The first {FAILURES_IN_STATUS} paths that were skipped; counts.skipped says of how many.",
    )
    dry_run: DryRun | None = Field(default=None, description="What spec.prune would delete, where it is a dry run.")
    log_tail: str | None = Field(
        default=None, max_length=LOG_TAIL_BYTES, description=f"End of the job's log, at most {LOG_TAIL_BYTES} bytes."
    )
    trigger: Trigger | None = Field(default=None, description="What began the run: Spec, Schedule or Request.")
    job_name: str | None = Field(
        default=None, description="Job (batch/v1) of the current or last attempt, where spec.runner is Job."
    )
    queue_position: int | None = Field(
        default=None, description="Place among the syncs that wait for their turn to run, from 1."
    )
    progress: Progress | None = Field(default=None, description="How far the attempt under way has come.")
    last_handled_run_request: str | None = Field(
        default=None,
        description=f"Value of the annotation {ANNOTATION_RUN_REQUESTED} (its first {REQUEST_LENGTH} characters) "
        "that was last acted upon.",
    )
    last_schedule_time: Time | None = Field(default=None, description="Time of the schedule that was last acted upon.")
    next_schedule_time: Time | None = Field(
        default=None,
        description="When the schedule next begins a run; past while spec.suspend, a run under way or the queue holds "
        "that run back.",
    )
    last_successful_time: Time | None = Field(default=None, description="When a run last succeeded.")
    consecutive_failures: int | None = Field(default=None, description="Runs that failed since one succeeded.")
    history: tuple[PastRun, ...] | None = Field(default=None, description="The last runs that ended, the latest first.")
    branch_created_at: Time | None = Field(
        default=None,
        description="When the sync made its branch, by pachd's clock; absent where it was there before. What the sync "
        "did not make, spec.deletionPolicy does not delete.",
    )
    conditions: tuple[Condition, ...] = Field(
        default=(), description="Ready; Reconciling, Stalled and Syncing only while True."
    )

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of that type, if present."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    @property
    def job(self) -> str | None:
        """The TFJob or Job of the current or last attempt."""
        return self.tf_job_name or self.job_name

    @property
    def finished(self) -> bool:
        """Whether the run has ended for good, well or badly."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED) or self.completion_time is not None

    @property
    def telling(self) -> Condition | None:
        """The condition that tells how the run under way stands, or how the last one ended."""
        return self.condition(ConditionType.SYNCING) or self.condition(ConditionType.READY)

    @property
    def ready(self) -> bool:
        """Whether the last run that ended succeeded, and with what the spec means now."""
        condition = self.condition(ConditionType.READY)
        return condition is not None and condition.status == "True"


@dataclass(frozen=True)
class Sync:
    """A PachydermS3Sync as read from the API server; `spec` is None where it breaks a rule, `spec_error` says which.

    `run_request` is what its annotation asks for a run by; `deleted_at` is when its deletion was asked for, None where
    it was not; `queue` is that of Kueue, empty where it names none.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    spec: Spec | None
    spec_error: str | None
    status: Status
    run_request: str | None = None
    deleted_at: datetime | None = None
    finalizers: tuple[str, ...] = ()
    skips_cleanup: bool = False
    queue: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The namespace and the name, by which the operator knows it."""
        return (self.namespace, self.name)


def parse_spec(raw: object) -> Spec:
    """Return the spec of a resource's `spec` field.

    Raises InvalidSpecError that names every field at fault.
    """
    try:
        return Spec.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidSpecError("; ".join(str(_complaint(item)) for item in error.errors())) from error


@dataclass(frozen=True)
class Complaint:
    """What is wrong with a field, which is named as in YAML from the spec on: ("filter", "include", 0)."""

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return f"{'.'.join(('spec', *map(str, self.path)))}: {self.message}"


def admission_complaints(raw: object) -> tuple[Complaint, ...]:
    """Return what the API server would refuse of a `spec` field that was just written.

    It takes no "2" for a number and no "yes" for a boolean, which parse_spec would: what is stored has been admitted.
    """
    try:
        spec = Spec.model_validate_json(json.dumps(raw), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        return tuple(_complaint(item) for item in error.errors())
    return tuple(Complaint(path, NO_SUCH_FIELD) for path in _passed_over(raw, plain(spec)))


def _passed_over(raw: object, known: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the paths that a model has taken by another name: Kubernetes' own also take those of their Python
    attributes."""
    if isinstance(raw, dict) and isinstance(known, dict):
        for name, value in raw.items():
            if name in known:
                yield from _passed_over(value, known[name], (*above, name))
            elif value is not None:
                yield (*above, name)
    elif isinstance(raw, list) and isinstance(known, list):
        for index, (value, found) in enumerate(zip(raw, known, strict=True)):
            yield from _passed_over(value, found, (*above, index))


def _complaint(item: Any) -> Complaint:
    said = item["msg"].removeprefix("Value error, ")
    if item["loc"]:
        return Complaint(tuple(item["loc"]), said)
    # A check of the whole spec names its field itself.
    field, named, message = said.partition(": ")
    return Complaint((field,), message) if named else Complaint((), said)


def parse_status(raw: object) -> Status:
    """Return the status of a resource's `status` field; of another version's status, what can be read counts.

    What cannot is left out by itself: a status that was dropped whole would have every sync run again at an upgrade.
    """
    known = _known(raw)
    try:
        return Status.model_validate(known)
    except ValidationError as error:
        unreadable = {item["loc"][0] for item in error.errors()}
        return Status.model_validate({name: value for name, value in known.items() if name not in unreadable})


def _known(raw: object) -> dict[str, Any]:
    """Leave out phases and conditions that only a newer operator knows."""
    if not isinstance(raw, dict):
        return {}
    given = raw.get("conditions")
    conditions = [item for item in given if _readable(item)] if isinstance(given, list) else []
    phase = raw.get("phase")
    return raw | {"conditions": conditions, "phase": phase if phase in list(Phase) else None}


def _readable(condition: object) -> bool:
    try:
        Condition.model_validate(condition)
    except ValidationError:
        return False
    return True


def parse_sync(raw: dict[str, Any]) -> Sync:
    """Return the resource of an API object."""
    spec, error = None, None
    try:
        spec = parse_spec(raw.get("spec"))
    except InvalidSpecError as complaint:
        error = str(complaint)
    metadata = raw["metadata"]
    return Sync(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        resource_version=metadata["resourceVersion"],
        spec=spec,
        spec_error=error,
        status=parse_status(raw.get("status")),
        run_request=_run_request(metadata.get("annotations") or {}),
        deleted_at=_moment(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        skips_cleanup=(metadata.get("annotations") or {}).get(ANNOTATION_SKIP_CLEANUP) == "true",
        queue=(metadata.get("labels") or {}).get(LABEL_QUEUE, ""),
    )


def _run_request(annotations: Mapping[str, str]) -> str | None:
    """An annotation may be very long, a status should not be."""
    return annotations.get(ANNOTATION_RUN_REQUESTED, "")[:REQUEST_LENGTH] or None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
