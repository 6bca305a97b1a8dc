"""How a run can end: the reasons, their exit codes, the verdicts a file, and the error that carries them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a run ended as it did, in CamelCase so that it fits a Kubernetes condition's reason."""

    VERIFIED = "Verified"
    COPIED = "Copied"
    CONTENT_DIFFERS = "ContentDiffers"
    INVALID_ARGUMENTS = "InvalidArguments"
    INPUT_PATH_NOT_FOUND = "InputPathNotFound"
    INPUT_EMPTY = "InputEmpty"
    INPUT_UNREADABLE = "InputUnreadable"
    INVALID_KEY = "InvalidKey"
    ACCESS_DENIED = "AccessDenied"
    PRUNE_LIMIT_EXCEEDED = "PruneLimitExceeded"
    INTERNAL_ERROR = "InternalError"
    TERMINATED = "Terminated"
    ENDPOINT_UNREACHABLE = "EndpointUnreachable"
    SERVER_ERROR = "ServerError"
    BUCKET_NOT_FOUND = "BucketNotFound"
    TLS_FAILED = "TLSFailed"
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted"
    CERTIFICATE_EXPIRED = "CertificateExpired"
    PACHD_UNREACHABLE = "PachdUnreachable"
    COMMIT_FAILED = "CommitFailed"
    MANIFEST_TOO_LARGE = "ManifestTooLarge"
    INPUT_CHANGED = "InputChanged"


@dataclass(frozen=True)
class Ending:
    """What a reason means to a process (``code``) and to a person (``meaning``)."""

    code: int
    meaning: str


RETRY_FROM = 128
"""Exit codes from here on may be mended by a retry; the training-operator's ``restartPolicy: ExitCode`` agrees."""

TERMINATED_BY_SIGTERM = 143

ENDINGS: dict[Reason, Ending] = {
    Reason.VERIFIED: Ending(0, "every file is in the repo and proved equal"),
    Reason.COPIED: Ending(0, "every file was copied, and as asked none was verified"),
    Reason.CONTENT_DIFFERS: Ending(1, "what was read back is not what the input holds"),
    Reason.INVALID_ARGUMENTS: Ending(2, "a flag or an environment variable has a bad value"),
    Reason.INPUT_PATH_NOT_FOUND: Ending(3, "the input path is not a directory"),
    Reason.INPUT_EMPTY: Ending(4, "no file under the input path (see --allow-empty)"),
    Reason.INPUT_UNREADABLE: Ending(5, "a file under the input path cannot be read"),
    Reason.INVALID_KEY: Ending(6, "Pachyderm refuses the name of a file"),
    Reason.ACCESS_DENIED: Ending(7, "Pachyderm refuses the credentials"),
    Reason.INTERNAL_ERROR: Ending(8, "a bug in s3sync-job"),
    Reason.PRUNE_LIMIT_EXCEEDED: Ending(9, "more files would be deleted than --max-delete-percent allows"),
    Reason.MANIFEST_TOO_LARGE: Ending(10, "a worker has more files than the operator can hold the list of"),
    Reason.TERMINATED: Ending(TERMINATED_BY_SIGTERM, "ended by SIGTERM (130 after SIGINT)"),
    Reason.ENDPOINT_UNREACHABLE: Ending(160, "no S3 gateway answers at the endpoint"),
    Reason.SERVER_ERROR: Ending(161, "the gateway fails, or a request to it does"),
    Reason.BUCKET_NOT_FOUND: Ending(162, "the bucket (repo and branch) does not exist"),
    Reason.TLS_FAILED: Ending(163, "the server speaks no TLS, is another host, or refuses the client's certificate"),
    Reason.PACHD_UNREACHABLE: Ending(164, "pachd does not answer by gRPC"),
    Reason.COMMIT_FAILED: Ending(165, "Pachyderm could not start, or finish without an error, a commit"),
    Reason.INPUT_CHANGED: Ending(166, "files under the input path changed while they were synced"),
    Reason.CERTIFICATE_UNTRUSTED: Ending(167, "the server's certificate is signed by a CA that is not trusted"),
    Reason.CERTIFICATE_EXPIRED: Ending(168, "the server's certificate has expired, or is not yet valid"),
}


class Verdict(StrEnum):
    """What the comparison of one file ended with; only ``MATCH`` counts as verified."""

    MATCH = "Match"
    DIFFER = "Differ"
    MISSING_HERE = "MissingHere"
    MISSING_THERE = "MissingThere"
    ERROR = "Error"


@dataclass(frozen=True)
class Failure:
    """One file that is not verified: its path under the input path, the verdict and why."""

    path: str
    verdict: Verdict
    detail: str


class SyncError(Exception):
    """Ends the run with ``reason``; ``message`` says what is wrong, where, and what to do."""

    def __init__(self, reason: Reason, message: str, failures: tuple[Failure, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.failures = failures


def exit_code_table() -> str:
    """Return the exit codes as text for --help, one a line."""
    return "\n".join(f"  {ending.code:>3}  {reason:<20} {ending.meaning}" for reason, ending in ENDINGS.items())
