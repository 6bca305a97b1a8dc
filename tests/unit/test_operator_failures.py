"""What gRPC and TLS say, as the reason that a status gives."""

import json

import pytest

from s3sync_operator.access import certificate_problem, tls_of
from s3sync_operator.api import Reason, parse_spec
from s3sync_operator.errors import PermanentSyncError, TemporarySyncError
from s3sync_operator.failures import grpc_error
from s3sync_operator.manifests import Manifest, digest_of
from s3sync_pachyderm.errors import ROLLED_BACK, may_pass

HANDSHAKE = "failed to connect to all addresses; last error: Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: "


@pytest.mark.parametrize(
    ("code", "details", "kind", "reason"),
    [
        ("UNAUTHENTICATED", "no authentication token", PermanentSyncError, Reason.ACCESS_DENIED),
        ("UNKNOWN", "robot:x is not authorized to perform", PermanentSyncError, Reason.ACCESS_DENIED),
        ("UNAVAILABLE", "Connection refused", TemporarySyncError, Reason.PACHD_UNREACHABLE),
        ("UNAVAILABLE", f"{HANDSHAKE}certificate has expired", TemporarySyncError, Reason.CERTIFICATE_EXPIRED),
        (
            "UNAVAILABLE",
            f"{HANDSHAKE}unable to get local issuer certificate",
            TemporarySyncError,
            Reason.CERTIFICATE_UNTRUSTED,
        ),
        ("UNAVAILABLE", f"{HANDSHAKE}Hostname Verification Check failed.", TemporarySyncError, Reason.TLS_FAILED),
        ("UNAVAILABLE", "SSL_ERROR_SSL: WRONG_VERSION_NUMBER", TemporarySyncError, Reason.TLS_FAILED),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", TemporarySyncError, Reason.PACHD_UNREACHABLE),
        ("UNIMPLEMENTED", "unknown method DropCommit", PermanentSyncError, Reason.PACHD_UNREACHABLE),
        ("UNKNOWN", "parent commit has not been finished", TemporarySyncError, Reason.SERVER_ERROR),
    ],
)
def test_a_grpc_error_has_its_reason(code: str, details: str, kind: type[Exception], reason: Reason) -> None:
    error = grpc_error(code, details, "pachd:30650", "default/repo")
    assert (type(error), error.reason) == (kind, reason)
    assert "pachd:30650" in error.message


def test_only_what_was_not_done_is_tried_again_at_once() -> None:
    assert may_pass("UNAVAILABLE", "Connection refused")
    assert may_pass("UNKNOWN", f"transaction: {ROLLED_BACK}")
    assert not may_pass("UNAVAILABLE", f"{HANDSHAKE}certificate has expired")
    assert not may_pass("UNKNOWN", "parent commit has not been finished")


PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({}, "'ca.crt' is missing"),
        ({"ca.crt": "no-pem"}, "'ca.crt' is not a certificate in PEM"),
        ({"ca.crt": PEM, "tls.crt": PEM}, "it has one of 'tls.crt' and 'tls.key'"),
        ({"ca.crt": PEM, "tls.crt": PEM, "tls.key": "no-pem"}, "'tls.key' is not a private key in PEM"),
    ],
)
def test_what_is_wrong_with_a_certificate_secret_is_told_without_its_values(secret: dict[str, str], said: str) -> None:
    problem = certificate_problem(secret) or ""
    assert problem.startswith(said)
    assert "no-pem" not in problem


def test_certificates_are_taken_from_the_secret_and_never_shown() -> None:
    secret = {"ca.crt": PEM, "tls.crt": PEM, "tls.key": KEY}
    assert certificate_problem(secret) is None
    tls = tls_of(parse_spec({"repo": "r", "insecureSkipVerify": True}), secret)
    assert (tls.ca, tls.key, tls.verify) == (PEM, KEY, False)
    assert "MIIB" not in repr(tls)


def test_manifests_give_the_digest_that_one_worker_alone_would_report() -> None:
    first = b'{"s3syncManifest":1,"complete":true,"delete":["x"],"files":[["b",2,"22","staged"]]}'
    second = b'{"s3syncManifest":1,"complete":true,"delete":[],"files":[["a",1,"11","unchanged"]]}'
    together = b'{"s3syncManifest":1,"complete":true,"delete":[],"files":[["a",1,"11",""],["b",2,"22",""]]}'
    apart = [Manifest(content).lines() or [] for content in (first, second)]
    assert digest_of(apart[0] + apart[1]) == digest_of(Manifest(together).lines() or [])
    assert Manifest(first).deletes == ("x",)


@pytest.mark.parametrize("key", ["", "/data/x", "data/../x", "data//x", "other/x", "data", None, 7])
def test_a_manifest_deletes_nothing_but_what_is_below_the_destination(key: object) -> None:
    document = {"s3syncManifest": 1, "complete": True, "files": [], "delete": [key]}
    with pytest.raises(TemporarySyncError, match="below 'data/'"):
        Manifest(json.dumps(document).encode(), "data")
    assert Manifest(json.dumps(document | {"delete": ["data/x"]}).encode(), "data").deletes == ("data/x",)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"s3syncManifest":1,"complete":false,"delete":[],"files":[]}'])
def test_what_is_no_whole_manifest_is_staged_anew(content: bytes) -> None:
    with pytest.raises(TemporarySyncError, match="CommitFailed"):
        Manifest(content)
