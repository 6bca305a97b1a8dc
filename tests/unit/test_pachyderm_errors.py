"""One failure has one reason, whether the operator or the job comes upon it."""

import pytest

from s3sync_job.outcome import ENDINGS, RETRY_FROM
from s3sync_job.outcome import Reason as JobReason
from s3sync_job.pachd import classify
from s3sync_job.tls import tls_failure
from s3sync_operator.errors import TemporarySyncError
from s3sync_operator.failures import grpc_error, tls_error
from s3sync_operator.report import JOB_REASONS
from s3sync_pachyderm.errors import Cause, grpc_cause, tls_cause

HANDSHAKES = {
    "certificate has expired": Cause.CERTIFICATE_EXPIRED,
    "certificate is not yet valid": Cause.CERTIFICATE_NOT_YET_VALID,
    "Hostname mismatch, certificate is not valid for 'x'": Cause.CERTIFICATE_OF_OTHER_HOST,
    "IP address mismatch, certificate is not valid for '127.0.0.1'": Cause.CERTIFICATE_OF_OTHER_HOST,
    "hostname '127.0.0.1' doesn't match 'elsewhere.example'": Cause.CERTIFICATE_OF_OTHER_HOST,
    "Peer name 127.0.0.1 is not in peer certificate": Cause.CERTIFICATE_OF_OTHER_HOST,
    "CERTIFICATE_VERIFY_FAILED: Hostname Verification Check failed.": Cause.CERTIFICATE_OF_OTHER_HOST,
    "CERTIFICATE_VERIFY_FAILED: self-signed certificate": Cause.CERTIFICATE_UNTRUSTED,
    "self signed certificate in certificate chain": Cause.CERTIFICATE_UNTRUSTED,
    "unable to get local issuer certificate": Cause.CERTIFICATE_UNTRUSTED,
    "certificate signature failure": Cause.CERTIFICATE_UNTRUSTED,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": Cause.CLIENT_CERTIFICATE_REFUSED,
    "TLSV1_ALERT_UNKNOWN_CA": Cause.CLIENT_CERTIFICATE_REFUSED,
    "SSL_ERROR_SSL: WRONG_VERSION_NUMBER": Cause.NO_TLS,
    "[SSL] record layer failure": Cause.NO_TLS,
}
CALLS: dict[tuple[str, str | None], Cause] = {
    ("UNAUTHENTICATED", "no authentication token"): Cause.DENIED,
    ("PERMISSION_DENIED", "no"): Cause.DENIED,
    ("UNKNOWN", "bob is not authorized to perform this operation"): Cause.DENIED,
    ("NOT_FOUND", 'branch "master" not found'): Cause.MISSING,
    ("ALREADY_EXISTS", "repo exists"): Cause.EXISTS,
    ("UNKNOWN", "branch is in the direct provenance of x"): Cause.READ_BY_PIPELINE,
    ("UNAVAILABLE", "Connection refused"): Cause.UNREACHABLE,
    ("DEADLINE_EXCEEDED", "Deadline Exceeded"): Cause.TOO_SLOW,
    ("CANCELLED", "Channel closed!"): Cause.TOO_SLOW,
    ("UNIMPLEMENTED", "unknown method"): Cause.NOT_PACHD,
    ("INTERNAL", None): Cause.FAILED,
    **{("UNAVAILABLE", text): cause for text, cause in HANDSHAKES.items()},
}
OF_THE_OPERATOR_ALONE = {Cause.READ_BY_PIPELINE, Cause.MISSING}
"""A job deletes nothing that pipelines read; to the operator what is missing is no failure."""


@pytest.mark.parametrize(("code", "details"), CALLS)
def test_a_failed_call_has_one_cause_and_one_reason_in_operator_and_job(code: str, details: str | None) -> None:
    cause = grpc_cause(code, details)
    assert cause is CALLS[code, details]
    if cause in OF_THE_OPERATOR_ALONE:
        return
    operators = grpc_error(code, details, "pachd:30650", "default/repo")
    jobs, _ = classify(code, details, "pachd:30650", "default/repo")
    assert operators.reason == jobs.value


@pytest.mark.parametrize("text", HANDSHAKES)
def test_a_failed_handshake_with_the_gateway_has_one_reason_and_is_tried_again_by_both(text: str) -> None:
    assert tls_cause(text) is HANDSHAKES[text]
    operators, jobs = tls_error(text, "pachd:1", "spec.endpoint"), tls_failure(text, "pachd:1", "S3_USE_HTTPS")
    assert isinstance(operators, TemporarySyncError)
    assert jobs
    assert operators.reason == jobs[0].value
    assert ENDINGS[jobs[0]].code >= RETRY_FROM


def test_the_operator_knows_each_reason_of_the_job() -> None:
    assert {reason.value for reason in JobReason} == JOB_REASONS
