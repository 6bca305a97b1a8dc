"""The PachydermS3Sync resource as frozen typed models; the CRD is generated from them and holds no rule of its own.

Defaults stand in code, not in the schema: a default in the schema shows as drift in GitOps tools.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    PlainSerializer,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from s3sync_operator import rules

GROUP = "sync.pachyderm.io"
VERSION = "v1alpha1"
KIND = "PachydermS3Sync"
PLURAL = "pachydermsyncs"
SINGULAR = "pachyderms3sync"
SHORT_NAME = "ps3"

DEFAULT_BRANCH = "master"
DEFAULT_PROJECT = "default"
DEFAULT_INPUT_PATH = "testdata"
LOG_TAIL_BYTES = 1024
FAILURES_IN_STATUS = 5


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


class ConditionType(StrEnum):
    """The conditions of kstatus; Reconciling and Stalled are present only while True, never both."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Why a condition is what it is: the reasons of the operator itself; those of a job stand in its report."""

    VERIFIED = "Verified"
    PROGRESSING = "Progressing"
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry"
    INVALID_SPEC = "InvalidSpec"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    SECRET_INVALID = "SecretInvalid"  # noqa: S105 - a reason, not a secret
    ENDPOINT_UNREACHABLE = "EndpointUnreachable"
    TLS_FAILED = "TLSFailed"
    ACCESS_DENIED = "AccessDenied"
    BUCKET_REFUSED = "BucketRefused"
    SERVER_ERROR = "ServerError"
    OPERATOR_FORBIDDEN = "OperatorForbidden"
    QUOTA_EXCEEDED = "QuotaExceeded"
    TFJOB_CRD_NOT_INSTALLED = "TFJobCRDNotInstalled"
    TFJOB_REFUSED = "TFJobRefused"
    TFJOB_DELETED = "TFJobDeleted"
    TFJOB_FAILED = "TFJobFailed"
    NAME_CONFLICT = "NameConflict"
    PREVIOUS_RUN_TERMINATING = "PreviousRunTerminating"
    POD_NOT_CREATED = "PodNotCreated"
    POD_UNSCHEDULABLE = "PodUnschedulable"
    POD_CONFIG_ERROR = "PodConfigError"
    POD_NOT_STARTED = "PodNotStarted"
    POD_EVICTED = "PodEvicted"
    POD_CRASHED = "PodCrashed"
    OUT_OF_MEMORY = "OutOfMemory"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    REPORT_MISSING = "ReportMissing"


class Model(BaseModel):
    """A frozen value that is written in camelCase and refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Observed(Model):
    """A value of the status: a newer operator's fields are passed over, so a downgrade runs nothing again."""

    model_config = ConfigDict(extra="ignore")


class Text:
    """Annotates a non-empty string of at most `max_length` characters under rules, for model and CRD alike."""

    def __init__(self, max_length: int, *kept: rules.Rule) -> None:
        self._max_length = max_length
        self._rules = kept

    def _check(self, value: str) -> str:
        for rule in self._rules:
            if not rule.accepts(value):
                raise ValueError(rule.message)
        return value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(min_length=1, max_length=self._max_length)
        return core_schema.no_info_after_validator_function(self._check, text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        cel = [{"rule": rule.cel, "message": rule.message} for rule in self._rules]
        return handler(schema) | {"x-kubernetes-validations": cel}


RepoName = Annotated[str, Text(63, rules.NAME_CHARACTERS, rules.NOT_RESERVED)]
BranchName = Annotated[str, Text(63, rules.NAME_CHARACTERS, rules.NOT_A_COMMIT_ID)]
ProjectName = Annotated[str, Text(51, rules.NAME_CHARACTERS, rules.PROJECT_START)]
Endpoint = Annotated[str, Text(512, rules.ENDPOINT)]
InputPath = Annotated[str, Text(1024, rules.KEY_CHARACTERS, rules.PATH_ELEMENTS, rules.PATH_NOT_ROOT)]
Image = Annotated[str, Text(512, rules.IMAGE)]
SecretName = Annotated[str, Text(253, rules.SECRET_NAME)]


class SecretRef(Model):
    """The Secret, in the sync's namespace, that holds the credentials for the S3 gateway."""

    name: SecretName = Field(
        description="Name of a Secret in the sync's namespace. It holds either 'token' (a Pachyderm auth token) or "
        "'AWS_ACCESS_KEY_ID' and 'AWS_SECRET_ACCESS_KEY'."
    )


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


class Spec(Model):
    """What to sync and where to."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": _immutable_rules()})

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
        f"A relative path starts at the image's working directory. '{DEFAULT_INPUT_PATH}' where absent.",
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="Credentials for the S3 gateway; needed where Pachyderm's auth is on."
    )
    image: Image | None = Field(
        default=None, description="Image that runs s3sync-job. The operator's --job-image where absent."
    )

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
        parts = [self.effective_branch, self.repo]
        if self.project and self.project != DEFAULT_PROJECT:
            parts.append(self.project)
        return ".".join(parts)

    @property
    def destination(self) -> str:
        """Where the tree lands, as an S3 address."""
        return f"s3://{self.bucket}/{self.effective_input_path.strip('/')}"

    @property
    def digest(self) -> str:
        """A hash of what the spec means: equal for two specs that differ only in defaults written out."""
        meaning = self.model_dump(by_alias=True, exclude_none=True) | {
            "branch": self.effective_branch,
            "project": self.project or DEFAULT_PROJECT,
            "inputPath": self.effective_input_path,
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]


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
    verified: int = Field(description="Files read back through the gateway and found equal.")
    failed: int = Field(description="Files that were not copied or did not read back equal.")


class FileFailure(Observed):
    """One file that failed, and how."""

    path: str
    verdict: str
    detail: str


class Status(Observed):
    """What the operator last saw and decided; all that decides whether to run again stands here."""

    observed_generation: int = Field(default=-1, description="Generation of the spec that this status speaks of.")
    phase: Phase | None = Field(default=None, description="Pending, Starting, Running, Retrying, Succeeded or Failed.")
    branch: str | None = Field(default=None, description="Branch that is written to.")
    destination: str | None = Field(default=None, description="Where the tree lands, as an S3 address.")
    spec_digest: str | None = Field(default=None, description="Hash of the spec that the run carries out.")
    run_generation: int | None = Field(default=None, description="Generation of the spec at which the run began.")
    attempt: int | None = Field(default=None, description="Number of the run's current or last attempt, from 1.")
    next_attempt_time: Time | None = Field(default=None, description="When a failed attempt is followed by the next.")
    tf_job_name: str | None = Field(
        default=None, alias="tfJobName", description="TFJob of the current or last attempt."
    )
    pod_names: tuple[str, ...] | None = Field(default=None, description="Pods of that TFJob.")
    start_time: Time | None = Field(default=None, description="When the attempt's TFJob was created.")
    completion_time: Time | None = Field(default=None, description="When the run was found to have ended.")
    duration: str | None = Field(default=None, description="From startTime to completionTime, as in 1m30s.")
    counts: Counts | None = Field(default=None, description="Files and bytes of the last attempt.")
    manifest_digest: str | None = Field(
        default=None,
        description="SHA-256 over the sorted list of all files' hashes, sizes and keys; only when verified.",
    )
    failures: tuple[FileFailure, ...] | None = Field(
        default=None, description=f"The first {FAILURES_IN_STATUS} files that failed."
    )
    log_tail: str | None = Field(
        default=None, max_length=LOG_TAIL_BYTES, description=f"End of the job's log, at most {LOG_TAIL_BYTES} bytes."
    )
    conditions: tuple[Condition, ...] = Field(default=(), description="Ready; Reconciling or Stalled only while True.")

    def condition(self, kind: ConditionType) -> Condition | None:
        """Return the condition of that type, if present."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    @property
    def finished(self) -> bool:
        """Whether the run has ended for good, well or badly."""
        return self.phase in (Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True)
class Sync:
    """A PachydermS3Sync as read from the API server; `spec` is None where it breaks a rule, `spec_error` says which."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    spec: Spec | None
    spec_error: str | None
    status: Status


def parse_spec(raw: object) -> Spec:
    """Return the spec of a resource's `spec` field.

    Raises InvalidSpecError that names every field at fault.
    """
    try:
        return Spec.model_validate(raw)
    except ValidationError as error:
        raise InvalidSpecError("; ".join(_complaint(item) for item in error.errors())) from error


def _complaint(item: Any) -> str:
    where = ".".join(("spec", *(str(part) for part in item["loc"])))
    return f"{where}: {item['msg'].removeprefix('Value error, ')}"


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
    )
